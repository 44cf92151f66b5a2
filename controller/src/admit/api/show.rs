//! Everything a run's message needs, read in one transaction.

use super::Runs;
use crate::admit::names::Names;
use crate::admit::wire::{self, Around, View};
use crate::db::Tx;
use crate::fleet::progress_from_json;
use crate::lifecycle::attempt::attempt_live;
use crate::lifecycle::run::{
    Run, RunState, run_children_count, run_exclusive_first, run_exclusive_holder, run_get,
};
use crate::lifecycle::spec::RunSpec;
use provado_model::Error;
use provado_proto::common::v1::Progress;
use provado_proto::operator::v1 as operator;
use std::sync::atomic::Ordering;

impl Runs {
    /// The message for a run, with everything that came of it.
    pub(super) async fn show(&self, tx: &mut Tx, run: &Run) -> Result<operator::Run, Error> {
        self.show_as(tx, &mut Names::default(), run, View::Whole)
            .await
    }

    /// The message for a run; `names` may be shared by many.
    pub(super) async fn show_as(
        &self,
        tx: &mut Tx,
        names: &mut Names,
        run: &Run,
        view: View,
    ) -> Result<operator::Run, Error> {
        let mut around = Around::default();
        let binding = &run.binding;
        if let Some(id) = binding.agent_id {
            around.agent = Some(names.agent(tx, id).await?);
        }
        if let Some(id) = binding.instance_id {
            around.instance = Some(names.instance(tx, id).await?);
        }
        if let Some(id) = binding.repository_id {
            around.repository = Some(names.repository(tx, id).await?);
        }
        for (state, count) in run_children_count(tx, run.id).await? {
            around.part_count = around.part_count.saturating_add(count);
            if state.is_final() {
                around.ended_part_count = around.ended_part_count.saturating_add(count);
            }
        }
        match run.state {
            RunState::Queued => {
                let agent = around.agent.as_deref().unwrap_or("?");
                around.waits = self.why_it_waits(tx, run, agent).await?;
            }
            RunState::Dispatched | RunState::Running => {
                around.progress = self.progress_of(tx, run).await?;
                if run.cancel_requested {
                    "it was asked to end and cleans up".clone_into(&mut around.waits);
                }
            }
            RunState::Requested
            | RunState::Succeeded
            | RunState::Failed
            | RunState::Canceled
            | RunState::Skipped => {}
        }
        wire::run(run, around, view)
    }

    async fn why_it_waits(&self, tx: &mut Tx, run: &Run, agent: &str) -> Result<String, Error> {
        if let Some(key) = &run.binding.exclusive_key {
            if let Some(other) = run_exclusive_holder(tx, key).await? {
                return Ok(format!(
                    "waits for the run {other}, which works on the same thing"
                ));
            }
            if let Some(other) = run_exclusive_first(tx, key, run.id).await?
                && let Some(other) = run_get(tx, other).await?
                && (other.request_time, other.id) < (run.request_time, run.id)
            {
                return Ok(format!(
                    "waits for the run {}, which was asked for earlier",
                    other.id
                ));
            }
        }
        if run.not_before_time > self.core.clock.now() {
            let cause = run.failure.as_ref().map_or("", |cause| &cause.message);
            return Ok(format!(
                "is tried again at {}; the last attempt: {cause}",
                run.not_before_time
            ));
        }
        if self.core.amnesia().load(Ordering::Acquire)
            && RunSpec::from_json(&run.spec).is_ok_and(|spec| spec.is_destructive())
        {
            return Ok(
                "waits until an operator agrees to go on with an older copy of the controller's \
                 database; see `provado controller show`"
                    .to_owned(),
            );
        }
        let connected = run
            .binding
            .agent_id
            .is_some_and(|id| self.sessions.is_connected(id));
        Ok(if connected {
            format!("waits for its turn on the agent {agent}")
        } else {
            format!("waits for the agent {agent} to connect")
        })
    }

    /// The latest in memory; what another controller's agent told is in the attempt's row.
    async fn progress_of(&self, tx: &mut Tx, run: &Run) -> Result<Option<Progress>, Error> {
        if let Some(live) = self.progress.get(run.id)
            && live.number == run.attempt_number
        {
            return Ok(Some(live.progress));
        }
        let attempt = attempt_live(tx, run.id).await?;
        Ok(attempt
            .and_then(|attempt| attempt.progress)
            .map(|stored| progress_from_json(&stored)))
    }
}
