//! Rules of the house that neither the compiler nor clippy holds, each as a check over the tree.
//!
//! A check reads a [`tree::Tree`] and returns findings; a finding names the file, the line and the
//! way out. Every check has two tests: that it holds on this tree, and that it finds what it is
//! there to find in a made-up one, because a check that cannot fail protects nothing.
//! It never runs a program and never reads outside the tree.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

mod crates;
mod files;
mod heads;
mod lexer;
mod machine;
mod ranks;
mod reasons;
mod sizes;
mod tree;
mod words;
