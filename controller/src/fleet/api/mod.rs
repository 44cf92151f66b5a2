//! The three services of the fleet, from least trust to most: joining, connected, administered.

mod administration;
mod connected;
mod joining;
mod rate;
mod show;

pub use administration::FleetApi;
pub(super) use administration::resolve_agent;
pub use connected::SessionApi;
pub use joining::EnrollmentApi;

use super::AgentPeer;
use provado_model::{Error, Reason};
use tonic::Request;

impl AgentPeer {
    /// The agent of a call, put there by the listener that agents dial. Errors: `NOT_YOURS`.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Error> {
        request
            .extensions()
            .get()
            .cloned()
            .ok_or_else(|| Error::new(Reason::NotYours, "only an agent may make this call"))
    }
}
