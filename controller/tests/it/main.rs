//! The controller as its callers see it: real sockets, real TLS, real clients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod agents;
mod amnesia;
mod attempts;
mod clones;
mod doors;
mod growth;
mod inventory;
mod joining;
mod moved_clock;
mod program;
mod renewal;
mod returning;
mod roles;
mod session;
mod world;
