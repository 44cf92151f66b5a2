//! The control plane: what is to run, where it runs, what came of it, and who asked.
//!
//! A line of slices, not a stack of layers (see ARCHITECTURE.md for the ranks): `db` and
//! `supervisor` know no table; `events`, `lifecycle` and `request` own what every slice shares.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod access;
pub mod admit;
pub mod app;
pub mod audit;
pub mod catalog;
pub mod config;
pub mod db;
pub mod dispatch;
pub mod events;
pub mod fleet;
pub mod intake;
pub mod lifecycle;
pub mod listeners;
pub mod policy;
pub mod request;
pub mod resolve;
pub mod sealed;
pub mod supervisor;
pub mod verify;

/// Every store's statements, for the test that prepares them all on both engines.
pub const STATEMENTS: &[(&str, &[db::Statement])] = &[
    ("events", events::STATEMENTS),
    ("request", request::STATEMENTS),
    ("run", lifecycle::run::STATEMENTS),
    ("run lists", lifecycle::run::LIST_STATEMENTS),
    ("attempt", lifecycle::attempt::STATEMENTS),
    ("attempt leases", lifecycle::attempt::LEASE_STATEMENTS),
    ("backup", lifecycle::backup::STATEMENTS),
    ("packs", lifecycle::backup::PACK_STATEMENTS),
    ("proven", lifecycle::backup::PROVEN_STATEMENTS),
    ("policy", policy::STATEMENTS),
    ("catalog", catalog::STATEMENTS),
    ("verify", verify::STATEMENTS),
    ("controller", lifecycle::controller::STATEMENTS),
    ("access", access::STATEMENTS),
    ("agent", fleet::store::agent::STATEMENTS),
    ("certificate", fleet::store::certificate::STATEMENTS),
    ("instance", fleet::store::instance::STATEMENTS),
    ("database", fleet::store::database::STATEMENTS),
];

/// Names of the statements that must not scan a table.
pub const HOT_STATEMENTS: &[&[&str]] = &[
    lifecycle::run::HOT,
    lifecycle::run::LIST_HOT,
    lifecycle::attempt::HOT,
    lifecycle::attempt::LEASE_HOT,
    lifecycle::backup::HOT,
    lifecycle::backup::PROVEN_HOT,
];
