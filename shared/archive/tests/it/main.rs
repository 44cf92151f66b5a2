//! The crate against real archives: those of the corpus, and those that real servers dump now.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod collect;
mod corpus;
mod damage;
mod mutations;
mod properties;
mod selection;
mod server;
mod servers;
