//! The agent against a controller that plays its part from a script: the real stubs over real
//! mTLS, with keys, journal and outbox on disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, unreachable_pub)]

mod attempts;
mod certificates;
mod controller;
mod joining;
mod program;
mod services;
mod world;
