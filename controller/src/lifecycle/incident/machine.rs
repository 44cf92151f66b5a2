//! Which state of an incident follows which: pure, total, without a wildcard arm.

use crate::lifecycle::NotAllowed;
use provado_model::state::IncidentState;
use std::fmt;

/// What can happen to an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IncidentStep {
    /// Someone says that they know of it.
    Acknowledge,
    /// Its cause is gone.
    Resolve,
    /// The same cause was seen again within its window.
    Recur,
}

/// Every event, in the order of the table.
pub const EVENTS: &[IncidentStep] = &[
    IncidentStep::Acknowledge,
    IncidentStep::Resolve,
    IncidentStep::Recur,
];

impl fmt::Display for IncidentStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Acknowledge => "acknowledge",
            Self::Resolve => "resolve",
            Self::Recur => "recur",
        })
    }
}

use IncidentState::{Acknowledged, Open, Resolved};

/// The state that follows, or why nothing does.
pub fn step(state: IncidentState, event: IncidentStep) -> Result<IncidentState, NotAllowed> {
    let next = match event {
        IncidentStep::Acknowledge => match state {
            Open => Some(Acknowledged),
            Acknowledged | Resolved => None,
        },
        IncidentStep::Resolve => match state {
            Open | Acknowledged => Some(Resolved),
            Resolved => None,
        },
        IncidentStep::Recur => match state {
            Open | Resolved => Some(Open),
            Acknowledged => Some(Acknowledged),
        },
    };
    next.ok_or_else(|| NotAllowed::new("incident", state, event))
}
