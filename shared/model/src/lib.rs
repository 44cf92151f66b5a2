//! The words every part of Provado shares: ids, clock, entropy, limits, errors, states.
//!
//! This crate decides nothing and does no I/O beyond reading the system clock and the system's
//! random source, each in its one place. It knows no network, no SQL and no cloud.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod audit_chain;
pub mod error;
pub mod id;
pub mod label;
pub mod limits;
pub mod random;
pub mod state;
pub mod statement;
pub mod time;

pub use error::{Error, Kind, Reason, Retry};
