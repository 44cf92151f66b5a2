//! The audit chain as people and other programs see it: lists, verification, signed checkpoints.
//!
//! It writes nothing but checkpoints; events are written by whoever does what they tell of, in the
//! same transaction. It never changes and never deletes an event.

mod api;
mod store;
mod task;
mod wire;

pub use api::AuditApi;
pub use store::{ChainSummary, chain_verify};
pub use task::{CheckpointTask, origin};

#[cfg(test)]
mod tests;
