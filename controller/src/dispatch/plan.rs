//! Pure decisions: whether a run may go to its agent now, and what becomes of it when its attempt
//! ended without a report.

use super::model::{DispatchTimes, later};
use crate::fleet::model::{Agent, AgentState};
use crate::lifecycle::Failure;
use crate::lifecycle::attempt::{Attempt, AttemptState};
use crate::lifecycle::run::{Run, RunEvent};
use crate::lifecycle::spec::RunSpec;
use jiff::{SignedDuration, Timestamp};
use provado_model::{Kind, Reason};

/// Longest wait before another attempt.
const BACK_OFF_MAX: SignedDuration = SignedDuration::from_mins(5);

/// What is known of a run's agent and of its rivals.
#[derive(Debug)]
pub(super) struct Around<'a> {
    pub(super) agent: &'a Agent,
    pub(super) connected: Connected,
    /// Attempts the agent has that may still act.
    pub(super) live_count: u64,
    /// Whether a run with the same exclusive key is with an agent.
    pub(super) rival: Rival,
    /// Whether it is known that others know more than this database.
    pub(super) amnesia: Amnesia,
}

/// Whether destructive work waits for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Amnesia {
    Stands,
    None,
}

/// Whether a run must wait because of what this database may have forgotten (INV-EPOCH). One whose
/// spec cannot be read is left to whoever builds its job.
pub(super) fn is_held_back(run: &Run, amnesia: Amnesia) -> bool {
    amnesia == Amnesia::Stands
        && RunSpec::from_json(&run.spec).is_ok_and(|spec| spec.is_destructive())
}

/// Whether an agent has an open stream with this controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connected {
    Yes,
    No,
}

/// Whether someone else works on the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rival {
    AtWork,
    None,
}

/// What to do with a queued run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Offer it.
    Offer,
    /// Not now.
    Wait,
    /// It can never start.
    Fail(Failure),
}

/// Whether a queued run may go to its agent now.
pub(super) fn decide(run: &Run, around: &Around<'_>, times: &DispatchTimes) -> Decision {
    let agent = around.agent;
    if !run.has_attempts_left() {
        return Decision::Fail(exhausted(run, None));
    }
    match agent.state {
        AgentState::Revoked => {
            return Decision::Fail(Failure::new(
                Reason::AgentLocked,
                format!(
                    "the agent {} was revoked before the run started",
                    agent.name
                ),
            ));
        }
        AgentState::Pending | AgentState::Locked => return Decision::Wait,
        AgentState::Active => {}
    }
    let busy = around.live_count >= times.agent_attempts_max;
    let offline = around.connected == Connected::No;
    let held_back = is_held_back(run, around.amnesia);
    if offline || busy || held_back || agent.draining || around.rival == Rival::AtWork {
        return Decision::Wait;
    }
    // An agent that has told nothing yet is taken at its word later, by its refusal.
    let knows = agent.capabilities.is_empty()
        || agent
            .capabilities
            .iter()
            .any(|kind| kind == run.kind.as_str());
    if !knows {
        return Decision::Fail(Failure::new(
            Reason::Unimplemented,
            format!(
                "the agent {} does not know how to do a {}; upgrade it",
                agent.name, run.kind
            ),
        ));
    }
    Decision::Offer
}

/// What becomes of a run whose newest attempt has ended without a report that was judged.
///
/// A lost attempt may still be at work somewhere; its fence is lower than the next one's, so
/// nothing it reports counts. Every kind of work may be tried again: backups write under names of
/// their own, checks and drills change nothing, sweeps and inits may be repeated, and a restore
/// refuses a database that is there, so that a second one can never damage what a first one made.
pub(super) fn after(
    run: &Run,
    attempt: &Attempt,
    now: Timestamp,
    times: &DispatchTimes,
) -> Option<RunEvent> {
    let again = |cause: Failure| {
        if run.cancel_requested {
            RunEvent::Cancel { outcome: None }
        } else if run.has_attempts_left() {
            RunEvent::Requeue {
                not_before: later(now, back_off(run.attempt_number, times)),
                cause,
            }
        } else {
            RunEvent::Fail {
                failure: exhausted(run, Some(&cause)),
                outcome: None,
            }
        }
    };
    let cause = || {
        attempt
            .failure
            .clone()
            .unwrap_or_else(|| Failure::new(Reason::Internal, "the attempt ended without a cause"))
    };
    match attempt.state {
        AttemptState::Offered | AttemptState::Accepted | AttemptState::Running => None,
        AttemptState::Lost => Some(again(cause())),
        AttemptState::Refused if run.cancel_requested || may_pass(&cause()) => Some(again(cause())),
        AttemptState::Refused | AttemptState::Failed => Some(RunEvent::Fail {
            failure: cause(),
            outcome: None,
        }),
        AttemptState::Canceled => Some(RunEvent::Cancel { outcome: None }),
        AttemptState::Succeeded => Some(RunEvent::Fail {
            failure: Failure::new(
                Reason::Internal,
                "the attempt succeeded, but its run was not ended with it",
            ),
            outcome: None,
        }),
    }
}

/// Whether a refusal may pass with time: the agent is busy, or something it needs is away.
fn may_pass(failure: &Failure) -> bool {
    match failure.known_kind() {
        Some(Kind::Exhausted | Kind::Unavailable | Kind::TimedOut | Kind::Stale) => true,
        Some(
            Kind::Invalid
            | Kind::Unauthenticated
            | Kind::Forbidden
            | Kind::NotFound
            | Kind::AlreadyExists
            | Kind::NotAllowedNow
            | Kind::Unsupported
            | Kind::Cancelled
            | Kind::Corrupt
            | Kind::Internal,
        )
        | None => false,
    }
}

/// The failure of a run that has had all its attempts.
fn exhausted(run: &Run, last: Option<&Failure>) -> Failure {
    let last = last
        .or(run.failure.as_ref())
        .map_or_else(String::new, |last| {
            format!("; the last one: {}", last.message)
        });
    Failure::new(
        Reason::AttemptsExhausted,
        format!(
            "none of {} attempts was reported to its end{last}. Look at the agent's log and host, \
             then repeat the run",
            run.attempt_number
        ),
    )
}

/// Why an attempt is lost when its lease ends.
pub(super) fn loss(attempt: &Attempt) -> Failure {
    let message = match attempt.state {
        AttemptState::Offered => "the agent did not take the attempt in time",
        AttemptState::Accepted
        | AttemptState::Running
        | AttemptState::Succeeded
        | AttemptState::Failed
        | AttemptState::Canceled
        | AttemptState::Refused
        | AttemptState::Lost => {
            "the agent was not heard of while its attempt's lease lasted: the agent, its host or \
             the network went away"
        }
    };
    Failure::new(Reason::AgentOffline, message)
}

/// The failure of a run that did not end in time.
pub(super) fn overdue() -> Failure {
    Failure::new(
        Reason::DeadlineExceeded,
        "the run did not end before its deadline; see whether its agent is connected, then repeat \
         it",
    )
}

/// The failure of a run whose identity is not held any more.
pub(super) fn identity_gone() -> Failure {
    Failure::new(
        Reason::IdentityMissing,
        "the identity that was given with this run is held in memory only, and the controller was \
         restarted; repeat the run and give it again",
    )
}

fn back_off(attempts: u32, times: &DispatchTimes) -> SignedDuration {
    let doublings = attempts.saturating_sub(1).min(16);
    times
        .back_off
        .saturating_mul(1_i32 << doublings)
        .min(BACK_OFF_MAX)
}
