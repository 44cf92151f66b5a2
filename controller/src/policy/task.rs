//! Notes which repositories have been made: load, compare, apply.

use super::model::Repository;
use super::store::{repository_list_declared, repository_ready};
use crate::db::Tx;
use crate::events::Topic;
use crate::lifecycle::controller::Core;
use crate::lifecycle::facts::{Detail, Facts, InitFacts};
use crate::lifecycle::run::{RunFilter, RunKind, RunState, run_list};
use crate::supervisor::{Activity, Task};
use async_trait::async_trait;
use provado_model::Error;
use std::time::Duration;

/// Repositories looked at in one transaction.
const BATCH: u32 = 100;

/// Marks a repository READY once a run of kind *init* for it has succeeded.
#[derive(Debug)]
pub struct ReadyTask {
    core: Core,
}

impl ReadyTask {
    /// What wakes it.
    pub const TOPICS: &'static [Topic] = &[Topic::RunEnded];

    /// The task.
    pub const fn new(core: Core) -> Self {
        Self { core }
    }
}

#[async_trait]
impl Task for ReadyTask {
    fn name(&self) -> &'static str {
        "policy-ready"
    }

    fn period(&self) -> Duration {
        Duration::from_mins(1)
    }

    async fn activate(&self) -> Result<Activity, Error> {
        let ctx = self.core.task_context(self.name());
        let mut activity = Activity::Idle;
        let mut after = None;
        loop {
            let mut tx = self.core.db.begin().await?;
            let declared = repository_list_declared(&mut tx, after, BATCH).await?;
            let Some(last) = declared.last() else {
                return Ok(activity);
            };
            after = Some(last.facts.id);
            for repository in &declared {
                if let Some(made) = init_facts(&mut tx, repository).await? {
                    repository_ready(&mut tx, &ctx, repository, &made.capabilities).await?;
                    activity = Activity::Done;
                }
            }
            tx.commit().await?;
        }
    }
}

/// What the newest successful init run of a repository told, if there was one.
async fn init_facts(tx: &mut Tx, repository: &Repository) -> Result<Option<InitFacts>, Error> {
    let filter = RunFilter {
        kinds: vec![RunKind::Init],
        states: vec![RunState::Succeeded],
        repository_id: Some(repository.facts.id),
        ..RunFilter::default()
    };
    let runs = run_list(tx, &filter, None, 1).await?;
    let Some(outcome) = runs.first().and_then(|run| run.outcome.as_ref()) else {
        return Ok(None);
    };
    match Facts::from_json(outcome)?.detail {
        Some(Detail::Init(made)) => Ok(Some(made)),
        Some(_) | None => Ok(None),
    }
}
