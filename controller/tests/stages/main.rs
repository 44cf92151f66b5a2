//! The stages of a run, each stepped by hand: policy, admit, dispatch, intake, catalog, verify.
//!
//! One agent, one instance, a clock that stands still, streams that only record. After every walk
//! the tasks run once more and must find nothing to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod admission;
mod asking;
mod backups;
mod clock;
mod dispatching;
mod following;
mod losing;
mod refusals;
mod reporting;
mod reports;
mod repositories;
mod restoring;
mod rows;
mod scanning;
mod two_controllers;
mod verifying;
mod world;
