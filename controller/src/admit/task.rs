//! Lets requested runs in, and ends runs whose work is in their parts.

use super::plan::{self, PartsVerdict};
use crate::db::Tx;
use crate::events::{Context, Topic};
use crate::fleet::store::agent::agent_by_id;
use crate::lifecycle::Failure;
use crate::lifecycle::controller::Core;
use crate::lifecycle::facts::Facts;
use crate::lifecycle::run::{
    Run, RunEvent, RunKind, run_apply, run_list_children, run_list_parents_done, run_list_requested,
};
use crate::lifecycle::spec::RunSpec;
use crate::policy::{RepositoryState, repository_by_id};
use crate::supervisor::{Activity, Task};
use async_trait::async_trait;
use provado_model::limits::DATABASES_PER_RUN_MAX;
use provado_model::{Error, Reason};
use std::time::Duration;

/// Runs let in by one transaction.
const BATCH: u32 = 100;

/// Lets requested runs in: REQUESTED to QUEUED or SKIPPED.
#[derive(Debug)]
pub struct AdmitTask {
    core: Core,
}

impl AdmitTask {
    /// What wakes it.
    pub const TOPICS: &'static [Topic] = &[Topic::RunRequested];

    /// The task.
    pub const fn new(core: Core) -> Self {
        Self { core }
    }
}

#[async_trait]
impl Task for AdmitTask {
    fn name(&self) -> &'static str {
        "admit"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(10)
    }

    async fn activate(&self) -> Result<Activity, Error> {
        let ctx = self.core.task_context(self.name());
        let mut tx = self.core.db.begin().await?;
        let runs = run_list_requested(&mut tx, BATCH).await?;
        for run in &runs {
            let outcome = match (RunSpec::from_json(&run.spec), refusal(&mut tx, run).await?) {
                // One that cannot be read must not hold up the others.
                (Err(error), _) => run_apply(&mut tx, &ctx, run, broken(run, &error)).await,
                (Ok(_), Some(reason)) => {
                    run_apply(&mut tx, &ctx, run, RunEvent::Skip(reason)).await
                }
                (Ok(spec), None) => admit(&mut tx, &ctx, run, &spec).await,
            };
            // After a lost race nothing of the batch is kept: on PostgreSQL a deadlock has undone
            // it already, and a commit would say nothing of that.
            outcome?;
        }
        tx.commit().await?;
        Ok(activity(runs.len()))
    }
}

/// Why a run may not start now, if so. What was true when it was asked for may have changed.
async fn refusal(tx: &mut Tx, run: &Run) -> Result<Option<Failure>, Error> {
    if let Some(id) = run.binding.agent_id
        && let Some(agent) = agent_by_id(tx, id).await?
        && let Err(error) = plan::check_agent(&agent)
    {
        return Ok(Some(Failure::from(&error)));
    }
    if run.kind == RunKind::Backup
        && let Some(id) = run.binding.repository_id
    {
        let ready = repository_by_id(tx, id)
            .await?
            .is_some_and(|repository| repository.state == RepositoryState::Ready);
        if !ready {
            return Ok(Some(Failure::new(
                Reason::RepositoryMissing,
                "the repository has not been made; run `provado repository init`",
            )));
        }
    }
    Ok(None)
}

/// The end of a run whose row cannot be understood.
fn broken(run: &Run, error: &Error) -> RunEvent {
    tracing::error!(run.id = %run.id, "a run cannot be let in: {}", error.chain());
    RunEvent::Fail {
        failure: Failure::from(error),
        outcome: None,
    }
}

/// Queues a run. One whose work is in its parts is at work from then on: it has no attempt.
async fn admit(tx: &mut Tx, ctx: &Context, run: &Run, spec: &RunSpec) -> Result<Run, Error> {
    let queued = run_apply(tx, ctx, run, RunEvent::Admit(run.binding.clone())).await?;
    match run.binding.agent_id {
        Some(agent) if spec.is_whole_instance() => {
            let sent = run_apply(tx, ctx, &queued, RunEvent::Dispatch(agent)).await?;
            run_apply(tx, ctx, &sent, RunEvent::Start).await
        }
        Some(_) | None => Ok(queued),
    }
}

/// Ends runs whose parts have all ended.
#[derive(Debug)]
pub struct PartsTask {
    core: Core,
}

impl PartsTask {
    /// What wakes it.
    pub const TOPICS: &'static [Topic] = &[Topic::RunEnded];

    /// The task.
    pub const fn new(core: Core) -> Self {
        Self { core }
    }
}

#[async_trait]
impl Task for PartsTask {
    fn name(&self) -> &'static str {
        "admit-parts"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(30)
    }

    async fn activate(&self) -> Result<Activity, Error> {
        let ctx = self.core.task_context(self.name());
        let limit = u32::try_from(DATABASES_PER_RUN_MAX).unwrap_or(u32::MAX);
        let mut tx = self.core.db.begin().await?;
        let parents = run_list_parents_done(&mut tx, BATCH).await?;
        let mut ended = 0_usize;
        for parent in &parents {
            let parts = run_list_children(&mut tx, parent.id, limit).await?;
            let event = match plan::judge_parts(parent, &parts) {
                PartsVerdict::Waits => continue,
                PartsVerdict::Succeeded => RunEvent::Succeed {
                    outcome: Facts::default().to_json()?,
                    backup: None,
                },
                PartsVerdict::Canceled => RunEvent::Cancel { outcome: None },
                PartsVerdict::Failed(failure) => RunEvent::Fail {
                    failure,
                    outcome: None,
                },
            };
            run_apply(&mut tx, &ctx, parent, event).await?;
            ended = ended.saturating_add(1);
        }
        tx.commit().await?;
        Ok(if ended == 0 {
            Activity::Idle
        } else {
            Activity::Done
        })
    }
}

fn activity(done: usize) -> Activity {
    if done == 0 {
        Activity::Idle
    } else if u32::try_from(done).is_ok_and(|done| done < BATCH) {
        Activity::Done
    } else {
        Activity::More
    }
}
