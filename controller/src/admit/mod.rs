//! Asks for work, lets it in, and shows it: RunService, the first stage of every run.
//!
//! A request is resolved and validated here, in full and at once, and becomes a run that is frozen.
//! A task lets requested runs in (REQUESTED to QUEUED or SKIPPED); another ends runs whose work is
//! in their parts. It never sends anything to an agent and never judges what came of a run.

pub mod api;
mod insert;
mod names;
mod plan;
mod task;
mod wire;

pub use api::Runs;
pub use task::{AdmitTask, PartsTask};
