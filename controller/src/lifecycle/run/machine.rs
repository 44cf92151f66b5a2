//! Which state of a run follows which: pure, total, without a wildcard arm.

use crate::lifecycle::NotAllowed;
use provado_model::state::RunState;
use std::fmt;

/// What can happen to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunStep {
    /// It passed every rule; it may go to an agent.
    Admit,
    /// A rule forbids it; it will never start.
    Skip,
    /// An attempt was offered to an agent.
    Dispatch,
    /// Its attempt makes progress, or its child runs do.
    Start,
    /// Its attempt ended without an end of the run; another one is to come.
    Requeue,
    /// It did what it was for.
    Succeed,
    /// It ended without doing what it was for.
    Fail,
    /// Someone asked for it to end.
    AskCancel,
    /// It ended because someone asked for it.
    Cancel,
}

/// Every event, in the order of the table.
pub const EVENTS: &[RunStep] = &[
    RunStep::Admit,
    RunStep::Skip,
    RunStep::Dispatch,
    RunStep::Start,
    RunStep::Requeue,
    RunStep::Succeed,
    RunStep::Fail,
    RunStep::AskCancel,
    RunStep::Cancel,
];

impl RunStep {
    /// The event's name; with `run.` before it, the action in the audit chain.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Skip => "skip",
            Self::Dispatch => "dispatch",
            Self::Start => "start",
            Self::Requeue => "requeue",
            Self::Succeed => "succeed",
            Self::Fail => "fail",
            Self::AskCancel => "ask-cancel",
            Self::Cancel => "cancel",
        }
    }
}

impl fmt::Display for RunStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the store does beside moving the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunEffect {
    /// Write when it was queued.
    StampQueued,
    /// Write when it first started.
    StampStarted,
    /// Write when it ended.
    StampEnded,
    /// Remember that someone asked for its end, and tell the agent.
    TellCancel,
}

impl fmt::Display for RunEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::StampQueued => "queue time",
            Self::StampStarted => "start time",
            Self::StampEnded => "end time",
            Self::TellCancel => "tell agent",
        })
    }
}

use RunEffect::{StampEnded, StampQueued, StampStarted, TellCancel};
use RunState::{Canceled, Dispatched, Failed, Queued, Requested, Running, Skipped, Succeeded};

type Next = (RunState, &'static [RunEffect]);

/// The state that follows, and what to do beside; or why nothing does.
pub fn step(state: RunState, event: RunStep) -> Result<(RunState, Vec<RunEffect>), NotAllowed> {
    let next = match event {
        RunStep::Admit => admit(state),
        RunStep::Skip => skip(state),
        RunStep::Dispatch => dispatch(state),
        RunStep::Start => start(state),
        RunStep::Requeue => requeue(state),
        RunStep::Succeed => succeed(state),
        RunStep::Fail => fail(state),
        RunStep::AskCancel => ask_cancel(state),
        RunStep::Cancel => cancel(state),
    };
    match next {
        Some((next, effects)) => Ok((next, effects.to_vec())),
        None => Err(NotAllowed::new("run", state, event)),
    }
}

const fn admit(state: RunState) -> Option<Next> {
    match state {
        Requested => Some((Queued, &[StampQueued])),
        Queued | Dispatched | Running | Succeeded | Failed | Canceled | Skipped => None,
    }
}

const fn skip(state: RunState) -> Option<Next> {
    match state {
        Requested => Some((Skipped, &[StampEnded])),
        Queued | Dispatched | Running | Succeeded | Failed | Canceled | Skipped => None,
    }
}

const fn dispatch(state: RunState) -> Option<Next> {
    match state {
        Queued => Some((Dispatched, &[])),
        Requested | Dispatched | Running | Succeeded | Failed | Canceled | Skipped => None,
    }
}

const fn start(state: RunState) -> Option<Next> {
    match state {
        Dispatched => Some((Running, &[StampStarted])),
        Requested | Queued | Running | Succeeded | Failed | Canceled | Skipped => None,
    }
}

const fn requeue(state: RunState) -> Option<Next> {
    match state {
        Dispatched | Running => Some((Queued, &[StampQueued])),
        Requested | Queued | Succeeded | Failed | Canceled | Skipped => None,
    }
}

const fn succeed(state: RunState) -> Option<Next> {
    match state {
        // A report may be there before word of the start: the session's messages may be lost.
        Dispatched | Running => Some((Succeeded, &[StampEnded])),
        Requested | Queued | Succeeded | Failed | Canceled | Skipped => None,
    }
}

const fn fail(state: RunState) -> Option<Next> {
    match state {
        // From REQUESTED and QUEUED: what it needs is gone, its deadline passed, or it has had
        // all its attempts.
        Requested | Queued | Dispatched | Running => Some((Failed, &[StampEnded])),
        Succeeded | Failed | Canceled | Skipped => None,
    }
}

const fn ask_cancel(state: RunState) -> Option<Next> {
    match state {
        Requested | Queued => Some((Canceled, &[StampEnded])),
        Dispatched => Some((Dispatched, &[TellCancel])),
        Running => Some((Running, &[TellCancel])),
        Succeeded | Failed | Canceled | Skipped => None,
    }
}

const fn cancel(state: RunState) -> Option<Next> {
    match state {
        Requested | Queued | Dispatched | Running => Some((Canceled, &[StampEnded])),
        Succeeded | Failed | Canceled | Skipped => None,
    }
}
