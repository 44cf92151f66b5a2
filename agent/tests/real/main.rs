//! Tests of the agent on real PostgreSQL 15, 16 and 18.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)]
#![allow(unreachable_pub, dead_code)]

mod activity;
mod by_hand;
mod damage;
mod drills;
mod inventory;
mod jobs;
mod lies;
mod orphans;
mod partial;
mod restores;
mod rights;
mod support;
mod throwaway;
mod waits;
