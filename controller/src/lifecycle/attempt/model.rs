//! An attempt, and the pure function that moves it.

use super::machine::{self, AttemptEffect, AttemptStep};
use crate::lifecycle::{Failure, NotAllowed};
use jiff::Timestamp;
use provado_model::id::{AgentId, AttemptId, RunId};
use provado_model::state::AttemptState;

/// An attempt as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// The run it is for.
    pub run_id: RunId,
    /// Its fence: rises with every attempt of the run, from 1.
    pub number: u32,
    /// The epoch it was offered in.
    pub epoch: u64,
    /// Who has it.
    pub agent_id: AgentId,
    /// Where it stands.
    pub state: AttemptState,
    /// Rises by one with every move.
    pub version: u64,
    /// When it was offered.
    pub offer_time: Timestamp,
    /// When the agent took it.
    pub accept_time: Option<Timestamp>,
    /// When it began to work.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// Until when it is presumed alive.
    pub lease_until_time: Timestamp,
    /// How far it is, as the agent told last.
    pub progress: Option<serde_json::Value>,
    /// The sequence of that message.
    pub progress_sequence: u64,
    /// The SHA-256 of the report that ended it, in lower-case hex.
    pub outcome_sha256: Option<String>,
    /// The final facts it reported.
    pub outcome: Option<serde_json::Value>,
    /// Why it failed or was refused.
    pub failure: Option<Failure>,
}

/// The report that ends an attempt, as it is kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// The SHA-256 of the message, in lower-case hex: a repeated report is known by it.
    pub sha256: Option<String>,
    /// The final facts.
    pub outcome: Option<serde_json::Value>,
}

/// What happens to an attempt, with its facts.
#[derive(Debug, Clone)]
pub enum AttemptEvent {
    /// The agent has it in its journal.
    Accept {
        /// The lease it has from now on.
        lease_until: Timestamp,
    },
    /// The agent will not take it.
    Refuse(Failure),
    /// It makes progress.
    Start {
        /// The lease it has from now on.
        lease_until: Timestamp,
    },
    /// Reported, and judged good.
    Succeed(Report),
    /// Reported as failed, or judged bad.
    Fail {
        /// Why.
        failure: Failure,
        /// The report, if there was one.
        report: Report,
    },
    /// Ended because someone asked for it.
    Cancel(Report),
    /// Its lease ended without a report.
    Lose(Failure),
}

impl AttemptEvent {
    /// The event without its facts.
    pub const fn step(&self) -> AttemptStep {
        match self {
            Self::Accept { .. } => AttemptStep::Accept,
            Self::Refuse(_) => AttemptStep::Refuse,
            Self::Start { .. } => AttemptStep::Start,
            Self::Succeed(_) => AttemptStep::Succeed,
            Self::Fail { .. } => AttemptStep::Fail,
            Self::Cancel(_) => AttemptStep::Cancel,
            Self::Lose(_) => AttemptStep::Lose,
        }
    }
}

/// The attempt after an event; pure.
pub fn advance(
    attempt: &Attempt,
    event: &AttemptEvent,
    now: Timestamp,
) -> Result<Attempt, NotAllowed> {
    let (state, effects) = machine::step(attempt.state, event.step())?;
    let mut next = attempt.clone();
    next.state = state;
    next.version = attempt.version.saturating_add(1);
    for effect in effects {
        match effect {
            AttemptEffect::StampAccepted => next.accept_time = Some(now),
            AttemptEffect::StampStarted => next.start_time = Some(now),
            AttemptEffect::StampEnded => next.end_time = Some(now),
            // The new lease is among the event's facts.
            AttemptEffect::RenewLease => {}
        }
    }
    match event {
        AttemptEvent::Accept { lease_until } | AttemptEvent::Start { lease_until } => {
            next.lease_until_time = *lease_until;
        }
        AttemptEvent::Refuse(failure) | AttemptEvent::Lose(failure) => {
            next.failure = Some(failure.clone());
        }
        AttemptEvent::Succeed(report) | AttemptEvent::Cancel(report) => take(&mut next, report),
        AttemptEvent::Fail { failure, report } => {
            next.failure = Some(failure.clone());
            take(&mut next, report);
        }
    }
    Ok(next)
}

fn take(next: &mut Attempt, report: &Report) {
    next.outcome_sha256.clone_from(&report.sha256);
    next.outcome.clone_from(&report.outcome);
}
