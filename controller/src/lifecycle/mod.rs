//! Runs, attempts, backups and incidents: their rows, and which state follows which.
//!
//! A transition is one pure, total function of (state, event). The store applies it by an UPDATE
//! guarded by the version it read, and writes the audit event in the same transaction. It never
//! decides when something should happen: that is the slices' part.

pub mod attempt;
pub mod backup;
pub mod controller;
pub mod facts;
mod failure;
pub mod incident;
pub mod run;
pub mod spec;
mod sql;
mod table;
pub mod wire;

pub use failure::{Failure, SkipReason};
pub use table::{NotAllowed, transition_table};
