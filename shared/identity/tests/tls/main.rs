//! Real TLS handshakes between the configurations of both sides, over a pipe in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod forged;
mod handshake;
mod support;
