//! What the demonstration, the scenarios and the benchmarks share: real servers, real programs,
//! real data. Everything lives in a temporary directory and ends with the value that owns it.
// A harness may end the test that uses it; its names are for this crate alone.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unnecessary_debug_formatting,
    clippy::format_push_string
)]

pub mod bench;
pub mod data;
pub mod harness;
