//! The daemon on a database host: runs dumps, restores, checks and drills on command.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod config;
pub mod jobs;
pub mod journal;
pub mod postgres;
