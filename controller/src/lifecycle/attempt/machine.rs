//! Which state of an attempt follows which: pure, total, without a wildcard arm.

use crate::lifecycle::NotAllowed;
use provado_model::state::AttemptState;
use std::fmt;

/// What can happen to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptStep {
    /// The agent has it in its journal.
    Accept,
    /// The agent will not take it.
    Refuse,
    /// It makes progress.
    Start,
    /// Reported, and judged good from evidence.
    Succeed,
    /// Reported as failed, or judged bad.
    Fail,
    /// Ended because someone asked for it.
    Cancel,
    /// Its lease ended without a report.
    Lose,
}

/// Every event, in the order of the table.
pub const EVENTS: &[AttemptStep] = &[
    AttemptStep::Accept,
    AttemptStep::Refuse,
    AttemptStep::Start,
    AttemptStep::Succeed,
    AttemptStep::Fail,
    AttemptStep::Cancel,
    AttemptStep::Lose,
];

impl AttemptStep {
    /// The event's name; with `attempt.` before it, the action in the audit chain.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Refuse => "refuse",
            Self::Start => "start",
            Self::Succeed => "succeed",
            Self::Fail => "fail",
            Self::Cancel => "cancel",
            Self::Lose => "lose",
        }
    }
}

impl fmt::Display for AttemptStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the store does beside moving the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptEffect {
    /// Write when it was accepted.
    StampAccepted,
    /// Write when it started.
    StampStarted,
    /// Write when it ended.
    StampEnded,
    /// Begin or prolong its lease.
    RenewLease,
}

impl fmt::Display for AttemptEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::StampAccepted => "accept time",
            Self::StampStarted => "start time",
            Self::StampEnded => "end time",
            Self::RenewLease => "lease",
        })
    }
}

use AttemptEffect::{RenewLease, StampAccepted, StampEnded, StampStarted};
use AttemptState::{Accepted, Canceled, Failed, Lost, Offered, Refused, Running, Succeeded};

type Next = (AttemptState, &'static [AttemptEffect]);

/// The state that follows, and what to do beside; or why nothing does.
pub fn step(
    state: AttemptState,
    event: AttemptStep,
) -> Result<(AttemptState, Vec<AttemptEffect>), NotAllowed> {
    let next = match event {
        AttemptStep::Accept => accept(state),
        AttemptStep::Refuse => refuse(state),
        AttemptStep::Start => start(state),
        AttemptStep::Succeed => end(state, Succeeded),
        AttemptStep::Fail => end(state, Failed),
        AttemptStep::Cancel => end(state, Canceled),
        AttemptStep::Lose => end(state, Lost),
    };
    match next {
        Some((next, effects)) => Ok((next, effects.to_vec())),
        None => Err(NotAllowed::new("attempt", state, event)),
    }
}

const fn accept(state: AttemptState) -> Option<Next> {
    match state {
        Offered => Some((Accepted, &[StampAccepted, RenewLease])),
        Accepted | Running | Succeeded | Failed | Canceled | Refused | Lost => None,
    }
}

const fn refuse(state: AttemptState) -> Option<Next> {
    match state {
        Offered => Some((Refused, &[StampEnded])),
        Accepted | Running | Succeeded | Failed | Canceled | Refused | Lost => None,
    }
}

const fn start(state: AttemptState) -> Option<Next> {
    match state {
        // Word of the acceptance may have been lost with a session.
        Offered => Some((Running, &[StampAccepted, StampStarted, RenewLease])),
        Accepted => Some((Running, &[StampStarted, RenewLease])),
        Running | Succeeded | Failed | Canceled | Refused | Lost => None,
    }
}

/// A report counts whatever word was lost before it.
const fn end(state: AttemptState, into: AttemptState) -> Option<Next> {
    match state {
        Offered | Accepted | Running => Some((into, &[StampEnded])),
        Succeeded | Failed | Canceled | Refused | Lost => None,
    }
}
