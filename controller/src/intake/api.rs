//! ReportService: outcomes and logs, each idempotent.

use super::expect::expected;
use super::judge::{Verdict, judge};
use super::log::{self, LINES_PER_CALL_MAX};
use super::settle::{Settled, settle};
use crate::db::Tx;
use crate::events::{AuditEntry, AuditOutcome, Context, audit_append, run_log_append};
use crate::lifecycle::attempt::{Attempt, AttemptState, attempt_get_of_agent};
use crate::lifecycle::backup::{Backup, backup_get};
use crate::lifecycle::controller::{Core, controller_get};
use crate::lifecycle::run::{Run, RunState, run_get};
use crate::request::wire::time_out;
use crate::request::{Caller, Told, ToldRate, Violations, request_id_of, status};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER;
use prost::Message;
use provado_identity::SigningKey;
use provado_model::id::{AgentId, AttemptId, RunId};
use provado_model::{Error, Reason};
use provado_proto::agent::v1::report_service_server::ReportService;
use provado_proto::agent::v1::{
    AppendLogRequest, AppendLogResponse, AttemptRef, Outcome, ReportAttemptRequest,
    ReportAttemptResponse,
};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// How often a report that lost a race is taken in again before the agent must repeat it.
const RETRIES_MAX: u32 = 3;

/// The service.
#[derive(Debug, Clone)]
pub struct Reports {
    core: Core,
    key: Arc<SigningKey>,
    told: Arc<ToldRate>,
}

/// Which attempt a message names.
struct Named {
    attempt: AttemptId,
    run: RunId,
    fence: u32,
}

impl Reports {
    /// The service; `key` countersigns backups.
    pub fn new(core: &Core, key: Arc<SigningKey>) -> Self {
        Self {
            core: core.clone(),
            key,
            told: Arc::default(),
        }
    }
}

#[tonic::async_trait]
impl ReportService for Reports {
    async fn report_attempt(
        &self,
        request: Request<ReportAttemptRequest>,
    ) -> Result<Response<ReportAttemptResponse>, Status> {
        let caller = Caller::of_request(&request).map_err(status)?.clone();
        self.report(&caller, &request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn append_log(
        &self,
        request: Request<AppendLogRequest>,
    ) -> Result<Response<AppendLogResponse>, Status> {
        let caller = Caller::of_request(&request).map_err(status)?.clone();
        self.append(&caller, &request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }
}

impl Reports {
    async fn report(
        &self,
        caller: &Caller,
        request: &ReportAttemptRequest,
    ) -> Result<ReportAttemptResponse, Error> {
        let agent = caller.agent()?;
        let mut violations = Violations::default();
        let request_id = violations.take(request_id_of(&request.request_id));
        let named = violations.take(named(request.attempt.as_ref()));
        if request.outcome.is_none() {
            violations.add("outcome", "must be there");
        }
        violations.finish()?;
        let (Some(named), Some(outcome)) = (named, &request.outcome) else {
            return Err(Error::internal("a report is empty after its check"));
        };
        let ctx = self.core.context(caller.actor(), request_id);
        for _ in 1..RETRIES_MAX {
            match self
                .take(&ctx, agent, &named, (request.epoch, outcome))
                .await
            {
                Err(error) if error.reason == Reason::VersionStale => {}
                other => return other,
            }
        }
        self.take(&ctx, agent, &named, (request.epoch, outcome))
            .await
    }

    async fn take(
        &self,
        ctx: &Context,
        agent: AgentId,
        named: &Named,
        (epoch, outcome): (i64, &Outcome),
    ) -> Result<ReportAttemptResponse, Error> {
        let sha256 = HEXLOWER.encode(&Sha256::digest(outcome.encode_to_vec()));
        let mut tx = self.core.db.begin().await?;
        let attempt = own_attempt(&mut tx, agent, named).await?;
        if u64::try_from(epoch) != Ok(attempt.epoch) {
            return Err(Violations::of(
                "epoch",
                "must be the one under which the attempt was started",
            ));
        }
        if attempt.state.is_final() {
            return self.repeated(tx, ctx, &attempt, &sha256).await;
        }
        let run = live_run(&mut tx, &attempt).await?;
        let expected = expected(&mut tx, &run, &attempt, outcome).await?;
        let verdict = judge(&expected, outcome);
        let message = match &verdict {
            Verdict::Good | Verdict::Canceled => String::new(),
            Verdict::Failed(failure) => failure.message.clone(),
        };
        let accepted = verdict == Verdict::Good;
        let settled = Settled {
            run: &run,
            attempt: &attempt,
            outcome,
            sha256,
            verdict,
        };
        let backup = settle(&mut tx, ctx, &self.key, settled).await?;
        tx.commit().await?;
        answer((accepted, message), backup.as_ref())
    }

    /// The answer to a report of an attempt that has ended: the same again for the same report.
    async fn repeated(
        &self,
        mut tx: Tx,
        ctx: &Context,
        attempt: &Attempt,
        sha256: &str,
    ) -> Result<ReportAttemptResponse, Error> {
        match &attempt.outcome_sha256 {
            None => Err(superseded(attempt)),
            Some(known) if known == sha256 => {
                let accepted = attempt.state == AttemptState::Succeeded;
                let failure = attempt.failure.as_ref();
                let message = failure.map_or_else(String::new, |failure| failure.message.clone());
                let backup = backup_get(&mut tx, super::expect::backup_id_of(attempt)).await?;
                answer((accepted, message), backup.as_ref().filter(|_| accepted))
            }
            Some(known) => {
                let now = self.core.clock.monotonic();
                if !self.told.allows(attempt.agent_id, Told::Report, now) {
                    return Err(conflict(attempt));
                }
                let entry = AuditEntry::done("attempt.report-otherwise", "attempt", attempt.id)
                    .outcome(AuditOutcome::Refused)
                    .agent(attempt.agent_id)
                    .with("run", attempt.run_id.to_string())
                    .with("known_sha256", known.clone())
                    .with("sha256", sha256);
                audit_append(&mut tx, ctx, entry).await?;
                tx.commit().await?;
                Err(conflict(attempt))
            }
        }
    }

    async fn append(
        &self,
        caller: &Caller,
        request: &AppendLogRequest,
    ) -> Result<AppendLogResponse, Error> {
        let agent = caller.agent()?;
        let mut violations = Violations::default();
        let request_id = violations.take(request_id_of(&request.request_id));
        let named = violations.take(named(request.attempt.as_ref()));
        if request.lines.len() > LINES_PER_CALL_MAX {
            violations.add("lines", format!("must be at most {LINES_PER_CALL_MAX}"));
        }
        violations.finish()?;
        let named = named.ok_or_else(|| Error::internal("a log is empty after its check"))?;
        let ctx = self.core.context(caller.actor(), request_id);
        let mut tx = self.core.db.begin().await?;
        let attempt = own_attempt(&mut tx, agent, &named).await?;
        match attempt.state {
            AttemptState::Offered
            | AttemptState::Accepted
            | AttemptState::Running
            | AttemptState::Succeeded
            | AttemptState::Failed
            | AttemptState::Canceled => {}
            AttemptState::Refused | AttemptState::Lost => return Err(superseded(&attempt)),
        }
        let lines = log::lines(attempt.number, &request.lines, ctx.now);
        run_log_append(&mut tx, &ctx, attempt.run_id, &lines).await?;
        tx.commit().await?;
        // What was dropped for being too much is acknowledged too: it must not come again.
        let sequence = request.lines.iter().map(|line| line.sequence).max();
        Ok(AppendLogResponse {
            sequence: sequence.unwrap_or(0),
        })
    }
}

fn named(attempt: Option<&AttemptRef>) -> Result<Named, Error> {
    let parsed = attempt.and_then(|named| {
        Some(Named {
            attempt: named.attempt_id.parse().ok()?,
            run: named.run_id.parse().ok()?,
            fence: u32::try_from(named.fence).ok()?,
        })
    });
    parsed.ok_or_else(|| Violations::of("attempt", "must name an attempt, its run and its fence"))
}

/// The attempt, if it is this agent's: the agent's id stands in the statement, so that another's
/// attempt and one that is not there look the same. Errors: `NOT_YOURS`, `ATTEMPT_SUPERSEDED`.
async fn own_attempt(tx: &mut Tx, agent: AgentId, named: &Named) -> Result<Attempt, Error> {
    let found = attempt_get_of_agent(tx, named.attempt, agent).await?;
    let Some(attempt) = found.filter(|found| found.run_id == named.run) else {
        let message = if controller_get(tx).await?.has_lost_rows() {
            "the controller's database is an older copy and has lost this attempt; a backup it \
             made is brought back by `provado repository scan`"
        } else {
            "this agent has no such attempt; stop it and forget it"
        };
        return Err(Error::new(Reason::NotYours, message).with("attempt", named.attempt));
    };
    if attempt.number != named.fence {
        return Err(superseded(&attempt));
    }
    Ok(attempt)
}

/// The run of a live attempt, which must be with that attempt. Errors: `VERSION_STALE` when the
/// attempt has ended since it was read, so that the report is taken in anew and finds its answer;
/// `ATTEMPT_SUPERSEDED`.
async fn live_run(tx: &mut Tx, attempt: &Attempt) -> Result<Run, Error> {
    let run = run_get(tx, attempt.run_id)
        .await?
        .ok_or_else(|| Error::internal(format!("run {} is not there", attempt.run_id)))?;
    let with_it = matches!(run.state, RunState::Dispatched | RunState::Running)
        && run.attempt_number == attempt.number;
    if with_it {
        return Ok(run);
    }
    let now = attempt_get_of_agent(tx, attempt.id, attempt.agent_id).await?;
    if now.is_some_and(|now| now.state.is_final()) {
        return Err(Error::new(
            Reason::VersionStale,
            format!(
                "attempt {} of the run {} ended at the same time; report it again",
                attempt.number, attempt.run_id
            ),
        )
        .with("run", attempt.run_id));
    }
    Err(superseded(attempt))
}

fn superseded(attempt: &Attempt) -> Error {
    Error::new(
        Reason::AttemptSuperseded,
        format!(
            "attempt {} of the run {} is over ({}); what it still does has no effect",
            attempt.number, attempt.run_id, attempt.state
        ),
    )
    .with("run", attempt.run_id)
    .with("attempt", attempt.number)
}

fn conflict(attempt: &Attempt) -> Error {
    Error::new(
        Reason::OutcomeConflict,
        format!(
            "attempt {} of the run {} was reported before with another outcome; the first one \
             stands",
            attempt.number, attempt.run_id
        ),
    )
    .with("run", attempt.run_id)
    .with("attempt", attempt.number)
}

fn answer(
    (accepted, message): (bool, String),
    backup: Option<&Backup>,
) -> Result<ReportAttemptResponse, Error> {
    let mut out = ReportAttemptResponse {
        accepted,
        message,
        ..ReportAttemptResponse::default()
    };
    if let Some(backup) = backup
        && let Some(signature) = &backup.facts.countersignature
    {
        out.countersignature = STANDARD.decode(signature).map_err(|source| {
            let id = backup.facts.id;
            Error::internal(format!("the countersignature of backup {id} is no base64"))
                .caused_by(source)
        })?;
        out.countersign_time = Some(time_out(backup.create_time));
    }
    Ok(out)
}
