//! What happened and who did it: the audit chain, hints to tasks and watchers, the logs of runs.
//!
//! The audit chain is also the durable stream of domain events: every state move writes exactly
//! one event, in the transaction of the move. What goes over the [`Bus`] is a hint that may be
//! lost. Events are never changed and never deleted. The words of a slice's actions are its own.

mod actor;
mod bus;
mod context;
mod model;
mod store;

pub use actor::{Actor, ActorKind};
pub use bus::{Bus, Event, Topic};
pub use context::Context;
pub use model::{AuditEntry, AuditFilter, AuditOutcome, LogLevel, LogLine, StoredCheckpoint};
pub use store::{
    STATEMENTS, audit_append, audit_get, audit_head, audit_list, checkpoint_insert,
    checkpoint_latest, checkpoint_list, run_log_append, run_log_list,
};
