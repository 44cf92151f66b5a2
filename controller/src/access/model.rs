//! Callers, their certificates, and join tokens as the rest of the controller sees them.

use jiff::Timestamp;
use provado_model::id::{AgentId, CallerId, JoinTokenId};
use provado_model::label::Labels;
use provado_model::state::Role;

provado_model::names! {
    /// Whether a caller may still call.
    CallerState, "caller state" {
        /// It may.
        Active = "active",
        /// Its access was ended for good.
        Revoked = "revoked",
    }
}

/// One who may call the operator API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The id; it stands in the certificate.
    pub id: CallerId,
    /// The name; unique, never reused.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it may still call.
    pub state: CallerState,
    /// Rises with each change of the row.
    pub version: u64,
    /// When it was made.
    pub create_time: Timestamp,
    /// When its access was ended.
    pub revoke_time: Option<Timestamp>,
    /// When its newest certificate ends.
    pub certificate_expire_time: Option<Timestamp>,
}

/// A certificate that was issued to a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerCertificate {
    /// SHA-256 of its DER, in lower-case hex.
    pub sha256: String,
    /// Whose it is.
    pub caller: CallerId,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
}

/// What the live allow-list holds of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedCaller {
    /// Who it is.
    pub id: CallerId,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Until when the certificate is valid.
    pub not_after: Timestamp,
}

/// A one-time join token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinTokenRecord {
    /// The id.
    pub id: JoinTokenId,
    /// Labels for the agent that joins with it.
    pub labels: Labels,
    /// The only name an agent may join with, if it is bound to one; the bound agent's.
    pub agent_name: Option<String>,
    /// The agent that alone may come back with it; none for a new agent's token.
    pub bound_agent: Option<AgentId>,
    /// When it was made.
    pub create_time: Timestamp,
    /// When it ends.
    pub expire_time: Timestamp,
    /// When it was used.
    pub use_time: Option<Timestamp>,
    /// Which agent used it.
    pub use_agent: Option<AgentId>,
    /// When it was revoked.
    pub revoke_time: Option<Timestamp>,
}
