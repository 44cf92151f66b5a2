//! What checks and drills found: the check state of backups, and proofs (ProofService).
//!
//! A task looks at ended checks and drills, each once. A check that passed raises the state and
//! never lowers it; damage or a difference that was found makes a backup CORRUPT. A drill that
//! could not be carried out says nothing about the backup, whose state stays. It starts no check
//! and no drill by itself. It owns the rows of `proof` and `verification`.

mod api;
mod model;
mod plan;
mod store;
mod task;
mod wire;

pub use api::Proofs;
pub use model::{Proof, ProofLevel};
pub use store::STATEMENTS;
pub use task::VerifyTask;
