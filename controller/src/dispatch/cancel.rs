//! Tells agents to stop what someone asked to end.

use super::model::Dispatch;
use super::wire;
use crate::events::Topic;
use crate::lifecycle::attempt::attempt_live;
use crate::lifecycle::run::run_list_cancel_asked;
use crate::supervisor::{Activity, Task};
use async_trait::async_trait;
use provado_model::Error;
use std::time::Duration;

/// Runs looked at by one activation.
const BATCH: u32 = 500;

/// Tells agents to stop what someone asked to end; again and again, until it has ended. Changes no
/// row: the run is CANCELED when the agent reports it or the lease ends.
#[derive(Debug)]
pub struct CancelTask {
    dispatch: Dispatch,
}

impl CancelTask {
    /// What wakes it.
    pub const TOPICS: &'static [Topic] = &[Topic::CancelAsked, Topic::Agent];

    /// The task.
    pub const fn new(dispatch: Dispatch) -> Self {
        Self { dispatch }
    }
}

#[async_trait]
impl Task for CancelTask {
    fn name(&self) -> &'static str {
        "dispatch-cancel"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(10)
    }

    async fn activate(&self) -> Result<Activity, Error> {
        let epoch = self.dispatch.core.epoch();
        let mut tx = self.dispatch.core.db.read().await?;
        let mut activity = Activity::Idle;
        for run in run_list_cancel_asked(&mut tx, BATCH).await? {
            let Some(attempt) = attempt_live(&mut tx, run.id).await? else {
                continue;
            };
            let command = wire::cancel(&attempt, epoch, "an operator asked for the run to end");
            if let Err(error) = self.dispatch.sessions.send(attempt.agent_id, command) {
                tracing::debug!(run.id = %run.id, "an agent was not told to stop yet: {error}");
            }
            activity = Activity::Done;
        }
        Ok(activity)
    }
}
