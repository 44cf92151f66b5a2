//! Sends queued runs to the agents that are connected.

use super::model::{Dispatch, later};
use super::plan::{self, Amnesia, Around, Connected, Decision, Rival};
use super::wire;
use crate::db::Tx;
use crate::events::{Context, Topic};
use crate::fleet::store::agent::agent_by_id;
use crate::lifecycle::Failure;
use crate::lifecycle::attempt::{
    AttemptEvent, Report, attempt_apply, attempt_count_live, attempt_offer,
};
use crate::lifecycle::controller::controller_get;
use crate::lifecycle::run::{
    Run, RunEvent, RunState, run_apply, run_exclusive_holder, run_get, run_list_queued,
    run_list_queued_after,
};
use crate::supervisor::{Activity, Task};
use async_trait::async_trait;
use provado_model::id::{AttemptId, RunId};
use provado_model::{Error, Kind, Reason};
use std::time::Duration;

/// Runs sent by one transaction.
const BATCH: usize = 64;
/// Queued runs read at a time.
const PAGE: u32 = 500;
/// Pages looked through by one activation.
const PAGES_MAX: u32 = 40;

/// Sends queued runs to the agents that are connected.
#[derive(Debug)]
pub struct DispatchTask {
    dispatch: Dispatch,
}

impl DispatchTask {
    /// What wakes it: work, a place to send it, or room for it.
    pub const TOPICS: &'static [Topic] = &[
        Topic::RunQueued,
        Topic::RunEnded,
        Topic::AttemptEnded,
        Topic::Agent,
    ];

    /// The task.
    pub const fn new(dispatch: Dispatch) -> Self {
        Self { dispatch }
    }
}

#[async_trait]
impl Task for DispatchTask {
    fn name(&self) -> &'static str {
        "dispatch"
    }

    /// Short, since nobody wakes it when the wait before another attempt is over.
    fn period(&self) -> Duration {
        Duration::from_secs(2)
    }

    async fn activate(&self) -> Result<Activity, Error> {
        let ctx = self.dispatch.core.task_context(self.name());
        let candidates = self.candidates(&ctx).await?;
        if candidates.is_empty() {
            return Ok(Activity::Idle);
        }
        let sent = match self.send_all(&ctx, &candidates).await {
            Ok(sent) => sent,
            // Someone else was quicker with one of them, or one cannot be sent at all: each by
            // itself, so that the others go.
            Err(error) if is_race(&error) || error.kind == Kind::Internal => {
                self.send_each(&ctx, &candidates).await?
            }
            Err(error) => return Err(error),
        };
        // Nothing sent means that all of them wait; to look again at once would not help.
        Ok(match (sent, candidates.len() < BATCH) {
            (0, _) => Activity::Idle,
            (_, true) => Activity::Done,
            (_, false) => Activity::More,
        })
    }
}

/// Whether an error says that another controller changed the same thing.
fn is_race(error: &Error) -> bool {
    matches!(error.reason, Reason::VersionStale | Reason::NameTaken)
}

async fn amnesia_of(tx: &mut Tx) -> Result<Amnesia, Error> {
    Ok(match controller_get(tx).await?.amnesia_reason {
        Some(_) => Amnesia::Stands,
        None => Amnesia::None,
    })
}

impl DispatchTask {
    /// Queued runs whose agents are connected here, in order; runs for others are passed over, so
    /// that they hold nobody up.
    async fn candidates(&self, ctx: &Context) -> Result<Vec<RunId>, Error> {
        let sessions = &self.dispatch.sessions;
        if sessions.connected().is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.dispatch.core.db.read().await?;
        let amnesia = amnesia_of(&mut tx).await?;
        let mut out = Vec::new();
        let mut page = run_list_queued(&mut tx, ctx.now, PAGE).await?;
        for _ in 0..PAGES_MAX {
            let Some(last) = page
                .last()
                .map(|run| (run.priority, run.request_time, run.id))
            else {
                break;
            };
            for run in &page {
                let ready = run
                    .binding
                    .agent_id
                    .is_some_and(|id| sessions.is_connected(id))
                    && !plan::is_held_back(run, amnesia)
                    && self.has_room(&mut tx, run).await?;
                if ready {
                    out.push(run.id);
                }
                if out.len() >= BATCH {
                    return Ok(out);
                }
            }
            page = run_list_queued_after(&mut tx, ctx.now, last, PAGE).await?;
        }
        Ok(out)
    }

    /// Whether a run's agent and its exclusive key are free as far as one can see now.
    async fn has_room(&self, tx: &mut Tx, run: &Run) -> Result<bool, Error> {
        if let Some(key) = &run.binding.exclusive_key
            && run_exclusive_holder(tx, key).await?.is_some()
        {
            return Ok(false);
        }
        match run.binding.agent_id {
            Some(agent) => {
                let live = attempt_count_live(tx, agent).await?;
                Ok(live < self.dispatch.times.agent_attempts_max)
            }
            None => Ok(false),
        }
    }

    async fn send_all(&self, ctx: &Context, runs: &[RunId]) -> Result<usize, Error> {
        let mut tx = self.dispatch.core.db.begin().await?;
        let mut sent = 0_usize;
        for run in runs {
            sent = sent.saturating_add(self.send(&mut tx, ctx, *run).await?);
        }
        tx.commit().await?;
        Ok(sent)
    }

    async fn send_each(&self, ctx: &Context, runs: &[RunId]) -> Result<usize, Error> {
        let mut sent = 0_usize;
        for run in runs {
            match self.send_all(ctx, std::slice::from_ref(run)).await {
                Ok(count) => sent = sent.saturating_add(count),
                Err(error) if is_race(&error) => {}
                Err(error) if error.kind == Kind::Internal => {
                    self.fail(ctx, *run, &error).await?;
                    sent = sent.saturating_add(1);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Ends a run that cannot be sent because of what stands in the rows.
    async fn fail(&self, ctx: &Context, id: RunId, error: &Error) -> Result<(), Error> {
        tracing::error!(run.id = %id, "a run cannot be sent: {}", error.chain());
        let mut tx = self.dispatch.core.db.begin().await?;
        if let Some(run) = run_get(&mut tx, id).await?
            && run.state == RunState::Queued
        {
            let event = RunEvent::Fail {
                failure: Failure::from(error),
                outcome: None,
            };
            run_apply(&mut tx, ctx, &run, event).await?;
        }
        tx.commit().await
    }

    /// Sends one run, if it may go; how many rows of `run` moved: 0 or 1.
    async fn send(&self, tx: &mut Tx, ctx: &Context, id: RunId) -> Result<usize, Error> {
        let Some(run) = run_get(tx, id).await? else {
            return Ok(0);
        };
        let Some(agent_id) = run.binding.agent_id else {
            return Ok(0);
        };
        if run.state != RunState::Queued {
            return Ok(0);
        }
        let agent = agent_by_id(tx, agent_id)
            .await?
            .ok_or_else(|| Error::internal(format!("agent {agent_id} of run {id} is not there")))?;
        let rival = match &run.binding.exclusive_key {
            Some(key) => run_exclusive_holder(tx, key).await?,
            None => None,
        };
        let around = Around {
            agent: &agent,
            connected: if self.dispatch.sessions.is_connected(agent_id) {
                Connected::Yes
            } else {
                Connected::No
            },
            live_count: attempt_count_live(tx, agent_id).await?,
            rival: rival.map_or(Rival::None, |_| Rival::AtWork),
            amnesia: amnesia_of(tx).await?,
        };
        match plan::decide(&run, &around, &self.dispatch.times) {
            Decision::Wait => Ok(0),
            Decision::Fail(failure) => {
                let outcome = None;
                run_apply(tx, ctx, &run, RunEvent::Fail { failure, outcome }).await?;
                Ok(1)
            }
            Decision::Offer => {
                self.offer(tx, ctx, &run).await?;
                Ok(1)
            }
        }
    }

    /// Writes the attempt and, once that is durable, sends it. A run whose job cannot be built
    /// fails together with the attempt it would have had.
    async fn offer(&self, tx: &mut Tx, ctx: &Context, run: &Run) -> Result<(), Error> {
        let core = &self.dispatch.core;
        let agent = run
            .binding
            .agent_id
            .ok_or_else(|| Error::internal(format!("run {} has no agent", run.id)))?;
        let id = AttemptId::new(core.clock.as_ref(), core.entropy.as_ref());
        let lease_until = later(ctx.now, self.dispatch.times.offer);
        let sent = run_apply(tx, ctx, run, RunEvent::Dispatch(agent)).await?;
        let attempt = attempt_offer(tx, ctx, id, &sent, lease_until).await?;
        match self.dispatch.job(tx, &sent, &attempt).await? {
            Ok(job) => {
                let command = wire::start(&attempt, job);
                self.dispatch.push_on_commit(tx, agent, command);
            }
            Err(failure) => {
                let event = AttemptEvent::Fail {
                    failure: failure.clone(),
                    report: Report::default(),
                };
                attempt_apply(tx, ctx, &attempt, event).await?;
                let outcome = None;
                run_apply(tx, ctx, &sent, RunEvent::Fail { failure, outcome }).await?;
            }
        }
        Ok(())
    }
}
