//! A run, and the pure function that moves it.

use super::machine::{self, RunEffect, RunStep};
use crate::lifecycle::{Failure, NotAllowed};
use jiff::Timestamp;
use provado_model::id::{
    AgentId, BackupId, CallerId, DatabaseId, InstanceId, RepositoryId, RequestId, RunId, uuid_v5,
};
use provado_model::label::Labels;
use provado_model::limits;
use provado_model::state::{RunKind, RunState};
use uuid::Uuid;

/// Namespace of run ids that are made from a caller's request (any fixed UUID serves).
const REQUEST_NAMESPACE: Uuid = Uuid::from_u128(0x7f0c_55d1_5f3e_4a0b_9d0a_1f6b_52c8_e2a4);

/// The id of the run that a caller's request makes: the same request makes the same run.
pub fn run_id_for_request(caller: &str, request: RequestId) -> RunId {
    let name = format!("{caller}/{request}");
    RunId::from_uuid(uuid_v5(REQUEST_NAMESPACE, name.as_bytes()))
}

/// What a run works on; empty fields are not known yet or do not apply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunBinding {
    /// Who is to carry it out.
    pub agent_id: Option<AgentId>,
    /// On which instance.
    pub instance_id: Option<InstanceId>,
    /// On which database.
    pub database_id: Option<DatabaseId>,
    /// Its name, or the name of the database to be made.
    pub database_name: Option<String>,
    /// Into or out of which repository.
    pub repository_id: Option<RepositoryId>,
    /// The backup to restore, check or drill; for a backup run, the backup that it made.
    pub backup_id: Option<BackupId>,
    /// Runs with the same key are never with agents at the same time.
    pub exclusive_key: Option<String>,
}

/// How what a run works on is called when it is requested; for the audit chain, which must be
/// understood when the rows are gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunNames {
    /// The instance's name.
    pub instance: Option<String>,
    /// The repository's name.
    pub repository: Option<String>,
}

/// A run that is about to be requested.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id: [`run_id_for_request`], or one of its own kind for schedules and children.
    pub id: RunId,
    /// What it is for.
    pub kind: RunKind,
    /// What the job needs to know, as the requester gave it.
    pub spec: serde_json::Value,
    /// Labels, carried over to the backup it makes.
    pub labels: Labels,
    /// What it works on.
    pub binding: RunBinding,
    /// What that is called.
    pub names: RunNames,
    /// The run over a whole instance that it is a part of.
    pub parent_run_id: Option<RunId>,
    /// Lower goes first; 100 is usual.
    pub priority: u32,
    /// Attempts before it fails, from 1.
    pub attempts_max: u32,
    /// When it fails if it has not ended.
    pub deadline_time: Option<Timestamp>,
}

impl NewRun {
    /// A run with usual priority and [`limits::RUN_ATTEMPTS_MAX`] attempts.
    pub fn new(id: RunId, kind: RunKind, spec: serde_json::Value) -> Self {
        Self {
            id,
            kind,
            spec,
            labels: Labels::new(),
            binding: RunBinding::default(),
            names: RunNames::default(),
            parent_run_id: None,
            priority: 100,
            attempts_max: limits::RUN_ATTEMPTS_MAX,
            deadline_time: None,
        }
    }
}

/// A run as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// What it is for.
    pub kind: RunKind,
    /// Where it stands.
    pub state: RunState,
    /// Rises by one with every move.
    pub version: u64,
    /// Who asked for it: a caller's id, or the task's name.
    pub requester_id: String,
    /// The requester's name at that time.
    pub requester_name: String,
    /// What the job needs to know.
    pub spec: serde_json::Value,
    /// Labels.
    pub labels: Labels,
    /// What it works on.
    pub binding: RunBinding,
    /// The run that it is a part of.
    pub parent_run_id: Option<RunId>,
    /// Lower goes first.
    pub priority: u32,
    /// Attempts before it fails.
    pub attempts_max: u32,
    /// The number of its newest attempt: the fence; 0 before the first.
    pub attempt_number: u32,
    /// Whether someone asked for its end.
    pub cancel_requested: bool,
    /// Not to be dispatched before this instant.
    pub not_before_time: Timestamp,
    /// When it fails if it has not ended.
    pub deadline_time: Option<Timestamp>,
    /// When it was requested.
    pub request_time: Timestamp,
    /// When it was last queued.
    pub queue_time: Option<Timestamp>,
    /// When it first started.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// Why it failed, was skipped, or has to be tried again.
    pub failure: Option<Failure>,
    /// What came of it.
    pub outcome: Option<serde_json::Value>,
}

impl Run {
    /// Whether another attempt is allowed after the newest one.
    pub const fn has_attempts_left(&self) -> bool {
        self.attempt_number < self.attempts_max
    }
}

/// What happens to a run, with its facts.
#[derive(Debug, Clone)]
pub enum RunEvent {
    /// It passed every rule; what it works on is known now.
    Admit(RunBinding),
    /// A rule forbids it.
    Skip(Failure),
    /// A new attempt is offered to this agent; its number is one higher.
    Dispatch(AgentId),
    /// Its attempt makes progress.
    Start,
    /// Another attempt is to come.
    Requeue {
        /// Not before this instant.
        not_before: Timestamp,
        /// What the last attempt ended with.
        cause: Failure,
    },
    /// It did what it was for.
    Succeed {
        /// The final facts.
        outcome: serde_json::Value,
        /// The backup that it made, for a backup run.
        backup: Option<BackupId>,
    },
    /// It ended without doing what it was for.
    Fail {
        /// Why.
        failure: Failure,
        /// What is known all the same.
        outcome: Option<serde_json::Value>,
    },
    /// Someone asked for its end.
    AskCancel,
    /// It ended because someone asked for it.
    Cancel {
        /// What is known all the same.
        outcome: Option<serde_json::Value>,
    },
}

impl RunEvent {
    /// The event without its facts.
    pub const fn step(&self) -> RunStep {
        match self {
            Self::Admit(_) => RunStep::Admit,
            Self::Skip(_) => RunStep::Skip,
            Self::Dispatch(_) => RunStep::Dispatch,
            Self::Start => RunStep::Start,
            Self::Requeue { .. } => RunStep::Requeue,
            Self::Succeed { .. } => RunStep::Succeed,
            Self::Fail { .. } => RunStep::Fail,
            Self::AskCancel => RunStep::AskCancel,
            Self::Cancel { .. } => RunStep::Cancel,
        }
    }
}

/// Which runs a list shows. Empty fields do not restrict.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// In one of these states.
    pub states: Vec<RunState>,
    /// Of one of these kinds.
    pub kinds: Vec<RunKind>,
    /// With this agent.
    pub agent_id: Option<AgentId>,
    /// On this instance.
    pub instance_id: Option<InstanceId>,
    /// On the database of this name.
    pub database_name: Option<String>,
    /// Into or out of this repository.
    pub repository_id: Option<RepositoryId>,
    /// About this backup.
    pub backup_id: Option<BackupId>,
    /// Parts of this run.
    pub parent_run_id: Option<RunId>,
    /// Asked for by this caller.
    pub requester_id: Option<CallerId>,
    /// Requested at or after this instant.
    pub from_time: Option<Timestamp>,
    /// Requested before this instant.
    pub until_time: Option<Timestamp>,
}

/// The run after an event, and what else is to be done; pure.
pub fn advance(
    run: &Run,
    event: &RunEvent,
    now: Timestamp,
) -> Result<(Run, Vec<RunEffect>), NotAllowed> {
    let (state, effects) = machine::step(run.state, event.step())?;
    let mut next = run.clone();
    next.state = state;
    next.version = run.version.saturating_add(1);
    for effect in &effects {
        match effect {
            RunEffect::StampQueued => next.queue_time = Some(now),
            RunEffect::StampStarted => next.start_time = next.start_time.or(Some(now)),
            RunEffect::StampEnded => next.end_time = Some(now),
            RunEffect::TellCancel => next.cancel_requested = true,
        }
    }
    take_facts(&mut next, event);
    Ok((next, effects))
}

fn take_facts(next: &mut Run, event: &RunEvent) {
    match event {
        RunEvent::Admit(binding) => next.binding = binding.clone(),
        RunEvent::Skip(reason) => next.failure = Some(reason.clone()),
        RunEvent::Dispatch(agent) => {
            next.binding.agent_id = Some(*agent);
            next.attempt_number = next.attempt_number.saturating_add(1);
        }
        RunEvent::Start => {}
        RunEvent::Requeue { not_before, cause } => {
            next.not_before_time = *not_before;
            next.failure = Some(cause.clone());
        }
        RunEvent::Succeed { outcome, backup } => {
            next.outcome = Some(outcome.clone());
            next.binding.backup_id = backup.or(next.binding.backup_id);
            // What an earlier attempt failed with is in that attempt's row.
            next.failure = None;
        }
        RunEvent::Fail { failure, outcome } => {
            next.failure = Some(failure.clone());
            next.outcome.clone_from(outcome);
        }
        RunEvent::AskCancel => next.cancel_requested = true,
        RunEvent::Cancel { outcome } => {
            next.cancel_requested = true;
            next.outcome.clone_from(outcome);
        }
    }
}
