//! What every change of state must know about itself.

use super::{Actor, Bus};
use jiff::Timestamp;
use provado_model::id::RequestId;

/// Who changes something, when, in which epoch, and whom to tell once it is durable.
#[derive(Debug, Clone)]
pub struct Context {
    /// Who does it.
    pub actor: Actor,
    /// The request it belongs to, if a client named one.
    pub request_id: Option<RequestId>,
    /// The instant that is written into every row of this change.
    pub now: Timestamp,
    /// The epoch this controller believes in; a write in an older one is refused.
    pub epoch: u64,
    /// Whom to tell after the commit.
    pub bus: Bus,
}
