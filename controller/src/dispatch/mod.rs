//! Sends runs to agents, and takes them back: QUEUED to DISPATCHED, and from there to another
//! attempt when one is lost.
//!
//! The attempt's row, with its fence, epoch and lease, is durable before anything is sent
//! (INV-ONCE-EFFECT); then the command is pushed over the open stream. A command may be lost or
//! come twice: offers are repeated, and agents answer duplicates from their journal. Every live
//! attempt has a lease and a reaper (INV-LIVE). It never judges what came of an attempt.

mod build;
mod cancel;
mod model;
mod plan;
mod reap;
mod task;
mod wire;

pub use cancel::CancelTask;
pub use model::{Dispatch, DispatchTimes};
pub use reap::ReapTask;
pub use task::DispatchTask;
