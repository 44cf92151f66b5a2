//! The audit chain as people and other programs see it: lists, verification, signed checkpoints,
//! and what follows for the controller when witnesses know another chain.
//!
//! It writes nothing but checkpoints; events are written by whoever does what they tell of, in the
//! same transaction. It never changes and never deletes an event.

mod api;
mod controller;
mod store;
mod task;
mod wire;

pub use api::AuditApi;
pub use controller::ControllerApi;
pub use store::{ChainSummary, chain_verify};
pub use task::{CheckpointTask, origin};

#[cfg(test)]
mod tests;
