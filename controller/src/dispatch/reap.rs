//! The reaper: nothing stays dispatched or running for ever (INV-LIVE).

use super::model::{Dispatch, later};
use super::{plan, wire};
use crate::db::Tx;
use crate::events::{Context, Topic};
use crate::lifecycle::attempt::{
    Attempt, AttemptEvent, attempt_apply, attempt_get, attempt_list_lease_expired,
    attempt_list_offered, attempt_live,
};
use crate::lifecycle::run::{
    Run, RunEvent, RunState, run_apply, run_get, run_list_overdue, run_list_without_attempt,
};
use crate::lifecycle::spec::RunSpec;
use crate::supervisor::{Activity, Task};
use async_trait::async_trait;
use provado_model::id::AttemptId;
use provado_model::{Error, Kind, Reason};
use std::time::Duration;

/// Rows looked at by one step of an activation.
const BATCH: u32 = 100;

/// Ends attempts whose lease is over, and gives their runs another attempt or an end; repeats
/// offers that were not answered; ends runs past their deadline; lets go of identities.
#[derive(Debug)]
pub struct ReapTask {
    dispatch: Dispatch,
}

impl ReapTask {
    /// What wakes it. Leases end without a word, so its period counts.
    pub const TOPICS: &'static [Topic] = &[Topic::AttemptEnded, Topic::RunEnded, Topic::Agent];

    /// The task.
    pub const fn new(dispatch: Dispatch) -> Self {
        Self { dispatch }
    }
}

#[async_trait]
impl Task for ReapTask {
    fn name(&self) -> &'static str {
        "dispatch-reap"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(2)
    }

    async fn activate(&self) -> Result<Activity, Error> {
        let ctx = self.dispatch.core.task_context(self.name());
        let steps = [
            self.reap_leases(&ctx).await?,
            self.settle(&ctx).await?,
            self.end_overdue(&ctx).await?,
        ];
        self.repeat_offers(&ctx).await?;
        self.let_go().await?;
        let done: u32 = steps.iter().sum();
        Ok(if steps.iter().any(|count| *count >= BATCH) {
            Activity::More
        } else if done > 0 {
            Activity::Done
        } else {
            Activity::Idle
        })
    }
}

impl ReapTask {
    /// Attempts whose lease is over are LOST, and their runs move on. How many were.
    async fn reap_leases(&self, ctx: &Context) -> Result<u32, Error> {
        let db = &self.dispatch.core.db;
        let mut tx = db.read().await?;
        let expired = attempt_list_lease_expired(&mut tx, ctx.now, BATCH).await?;
        drop(tx);
        let mut count = 0_u32;
        for attempt in expired {
            let mut tx = db.begin().await?;
            if unless_stale(self.lose(&mut tx, ctx, attempt.id, &attempt).await)? {
                tx.commit().await?;
                count = count.saturating_add(1);
            }
        }
        Ok(count)
    }

    async fn lose(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        id: AttemptId,
        seen: &Attempt,
    ) -> Result<bool, Error> {
        // Read again in the writing transaction: a heartbeat may have come between.
        let Some(attempt) = attempt_get(tx, seen.run_id, seen.number).await? else {
            return Err(Error::internal(format!("attempt {id} vanished")));
        };
        if attempt.state.is_final() || attempt.lease_until_time > ctx.now {
            return Ok(false);
        }
        let event = AttemptEvent::Lose(plan::loss(&attempt));
        let lost = attempt_apply(tx, ctx, &attempt, event).await?;
        self.move_on(tx, ctx, &lost).await?;
        // Should it be alive after all, it is told to stop at once.
        let stop = wire::cancel(&lost, ctx.epoch, "the attempt's lease has ended");
        self.dispatch.push_on_commit(tx, lost.agent_id, stop);
        Ok(true)
    }

    /// Gives the run of an attempt that has ended its next state.
    async fn move_on(&self, tx: &mut Tx, ctx: &Context, attempt: &Attempt) -> Result<(), Error> {
        let run = run_get(tx, attempt.run_id)
            .await?
            .ok_or_else(|| Error::internal(format!("run {} vanished", attempt.run_id)))?;
        if run.state.is_final() || run.attempt_number != attempt.number {
            return Ok(());
        }
        match run.state {
            RunState::Dispatched | RunState::Running => {}
            RunState::Requested
            | RunState::Queued
            | RunState::Succeeded
            | RunState::Failed
            | RunState::Canceled
            | RunState::Skipped => return Ok(()),
        }
        if let Some(event) = plan::after(&run, attempt, ctx.now, &self.dispatch.times) {
            run_apply(tx, ctx, &run, event).await?;
        }
        Ok(())
    }

    /// Runs that are with an agent although their newest attempt has ended: it was refused.
    async fn settle(&self, ctx: &Context) -> Result<u32, Error> {
        let db = &self.dispatch.core.db;
        let mut tx = db.read().await?;
        let runs = run_list_without_attempt(&mut tx, BATCH).await?;
        drop(tx);
        let mut count = 0_u32;
        for run in runs {
            let mut tx = db.begin().await?;
            let Some(attempt) = attempt_get(&mut tx, run.id, run.attempt_number).await? else {
                continue;
            };
            let moved = self.move_on(&mut tx, ctx, &attempt).await.map(|()| true);
            if unless_stale(moved)? {
                tx.commit().await?;
                count = count.saturating_add(1);
            }
        }
        Ok(count)
    }

    /// Runs past their deadline fail, wherever they are.
    async fn end_overdue(&self, ctx: &Context) -> Result<u32, Error> {
        let db = &self.dispatch.core.db;
        let mut tx = db.read().await?;
        let runs = run_list_overdue(&mut tx, ctx.now, BATCH).await?;
        drop(tx);
        let mut count = 0_u32;
        for run in runs {
            // It ends with its parts, which have the same deadline.
            if RunSpec::from_json(&run.spec).is_ok_and(|spec| spec.is_whole_instance()) {
                continue;
            }
            let mut tx = db.begin().await?;
            let ended = self.end(&mut tx, ctx, &run).await.map(|()| true);
            if unless_stale(ended)? {
                tx.commit().await?;
                count = count.saturating_add(1);
            }
        }
        Ok(count)
    }

    async fn end(&self, tx: &mut Tx, ctx: &Context, run: &Run) -> Result<(), Error> {
        if let Some(attempt) = attempt_live(tx, run.id).await? {
            let event = AttemptEvent::Lose(plan::overdue());
            let lost = attempt_apply(tx, ctx, &attempt, event).await?;
            let stop = wire::cancel(&lost, ctx.epoch, "the run's deadline has passed");
            self.dispatch.push_on_commit(tx, lost.agent_id, stop);
        }
        let failure = plan::overdue();
        let outcome = None;
        run_apply(tx, ctx, run, RunEvent::Fail { failure, outcome }).await?;
        Ok(())
    }

    /// Offers that were not answered are made again: the first may have been lost with a stream.
    /// The agent answers a duplicate from its journal. An offer of an older epoch is not made
    /// again: an agent that has obeyed this one would refuse it. It lapses with its lease, unless
    /// the agent names the attempt as one in hand.
    async fn repeat_offers(&self, ctx: &Context) -> Result<(), Error> {
        let since = later(ctx.now, -self.dispatch.times.repeat);
        let mut tx = self.dispatch.core.db.read().await?;
        for attempt in attempt_list_offered(&mut tx, since, ctx.now, BATCH).await? {
            let agent = attempt.agent_id;
            if attempt.epoch != ctx.epoch || !self.dispatch.sessions.is_connected(agent) {
                continue;
            }
            let Some(run) = run_get(&mut tx, attempt.run_id).await? else {
                continue;
            };
            // One that cannot be built any more lapses with its lease.
            if let Ok(Ok(job)) = self.dispatch.job(&mut tx, &run, &attempt).await {
                let command = wire::start(&attempt, job);
                if let Err(error) = self.dispatch.sessions.send(agent, command) {
                    tracing::debug!(agent.id = %agent, "an offer was not repeated: {error}");
                }
            }
        }
        Ok(())
    }

    /// Identities of runs that have ended are held no longer.
    async fn let_go(&self) -> Result<(), Error> {
        let held = self.dispatch.sealed.runs();
        if held.is_empty() {
            return Ok(());
        }
        let mut tx = self.dispatch.core.db.read().await?;
        for id in held {
            // A run that is not there yet is about to be committed.
            if run_get(&mut tx, id)
                .await?
                .is_some_and(|run| run.state.is_final())
            {
                self.dispatch.sealed.drop_of(id);
            }
        }
        Ok(())
    }
}

/// A lost race is no failure, but nothing of it is kept; whoever won did the work. A row that
/// cannot be understood is told of and left alone, so that it holds nobody up.
fn unless_stale(outcome: Result<bool, Error>) -> Result<bool, Error> {
    match outcome {
        Err(error) if error.kind == Kind::Internal => {
            tracing::error!("an attempt could not be reaped: {}", error.chain());
            Ok(false)
        }
        Err(error)
            if matches!(
                error.reason,
                Reason::VersionStale | Reason::RunEnded | Reason::AttemptSuperseded
            ) =>
        {
            Ok(false)
        }
        other => other,
    }
}
