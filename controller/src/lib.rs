//! The control plane: what is to run, where it runs, what came of it, and who asked.
//!
//! A line of slices, not a stack of layers (see ARCHITECTURE.md for the ranks): `db` and
//! `supervisor` know no table; `events`, `lifecycle` and `request` own what every slice shares.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod access;
pub mod config;
pub mod db;
pub mod events;
pub mod fleet;
pub mod lifecycle;
pub mod request;
pub mod supervisor;
