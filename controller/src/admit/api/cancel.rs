//! Asking runs to end.

use super::Runs;
use crate::db::Tx;
use crate::events::{AuditEntry, Context, audit_append};
use crate::lifecycle::run::{Run, RunEvent, run_apply, run_get, run_list_children};
use crate::request::{Caller, Violations, answer_get, answer_put, request_digest, request_id_of};
use crate::resolve;
use provado_model::limits::DATABASES_PER_RUN_MAX;
use provado_model::{Error, Reason};
use provado_proto::operator::v1::{CancelRunRequest, CancelRunResponse};

const METHOD: &str = "CancelRun";
/// Longest message that is kept.
const MESSAGE_BYTES_MAX: usize = 1_000;

impl Runs {
    pub(super) async fn cancel(
        &self,
        caller: &Caller,
        request: &CancelRunRequest,
    ) -> Result<CancelRunResponse, Error> {
        let mut violations = Violations::default();
        let request_id = violations.take(request_id_of(&request.request_id));
        if request.name.is_empty() {
            violations.add("name", "must not be empty");
        }
        let message = &request.message;
        if message.len() > MESSAGE_BYTES_MAX || message.chars().any(char::is_control) {
            violations.add(
                "message",
                format!("must be at most {MESSAGE_BYTES_MAX} bytes without control characters"),
            );
        }
        violations.finish()?;
        let ctx = self.core.context(caller.actor(), request_id);
        let digest = request_digest(request);
        let mut tx = self.core.db.begin().await?;
        if let Some(answer) = answer_get(&mut tx, &ctx, METHOD, &digest).await? {
            return Ok(answer);
        }
        let run = resolve::run(&mut tx, "name", &request.name).await?;
        if run.state.is_final() {
            return Err(Error::new(
                Reason::RunEnded,
                format!("the run {} has ended ({}) already", run.id, run.state),
            )
            .with("run", run.id));
        }
        if !message.is_empty() {
            let entry = AuditEntry::done("run.tell-why-canceled", "run", run.id)
                .with("message", message.clone());
            audit_append(&mut tx, &ctx, entry).await?;
        }
        let run = ask(&mut tx, &ctx, &run).await?;
        let shown = self.show(&mut tx, &run).await?;
        let response = CancelRunResponse { run: Some(shown) };
        if request.validate_only {
            tx.rollback().await?;
        } else {
            answer_put(&mut tx, &ctx, METHOD, &digest, &response).await?;
            tx.commit().await?;
        }
        Ok(response)
    }
}

/// Asks a run and its parts to end. One that was asked before stays as it is.
async fn ask(tx: &mut Tx, ctx: &Context, run: &Run) -> Result<Run, Error> {
    let limit = u32::try_from(DATABASES_PER_RUN_MAX).unwrap_or(u32::MAX);
    for part in run_list_children(tx, run.id, limit).await? {
        if !part.state.is_final() && !part.cancel_requested {
            run_apply(tx, ctx, &part, RunEvent::AskCancel).await?;
        }
    }
    if !run.cancel_requested {
        return run_apply(tx, ctx, run, RunEvent::AskCancel).await;
    }
    run_get(tx, run.id)
        .await?
        .ok_or_else(|| Error::internal(format!("run {} vanished", run.id)))
}
