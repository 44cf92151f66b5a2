//! The two doors: one for agents, one for operators, with different roots of trust, so that no
//! agent's certificate reaches what is for operators.
//!
//! They own sockets, handshakes, connections and the layers around every call. They know nobody:
//! who a certificate belongs to is asked of the slice that keeps the list. Order of the layers,
//! outermost first: connection limits, trace, deadline, peer identity, authorisation, handler.
//! There is no plaintext port.

mod accept;
mod certificate;
mod connection;
mod crowd;
mod health;
mod identify;
mod refusals;
mod serve;
mod warn;

pub use certificate::{CertificateTask, ServerCertificates};
pub use connection::PeerInfo;
pub use health::{HealthTask, Probes};
pub use identify::{AgentDoor, Door, OperatorDoor};
pub use refusals::Refusals;
pub use serve::{Doorway, Options};
