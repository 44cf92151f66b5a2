//! The daemon on a database host: runs dumps, restores, checks and drills on command.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod app;
pub mod config;
pub mod executor;
pub mod host;
pub mod inbox;
pub mod jobs;
pub mod join;
pub mod journal;
pub mod link;
pub mod membership;
pub mod outbox;
pub mod postgres;
pub mod report;
pub mod session;
pub mod wait;
pub mod wire;
