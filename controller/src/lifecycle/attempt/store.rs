//! The SQL of `attempt`. Every write of its state carries the epoch: a controller that was
//! superseded cannot move an attempt.

use super::model::{Attempt, AttemptEvent, advance};
use crate::db::{Row, Tx, statements, values};
use crate::events::{AuditEntry, Context, Event, audit_append};
use crate::lifecycle::Failure;
use crate::lifecycle::run::Run;
use jiff::Timestamp;
use provado_model::id::{AgentId, AttemptId, RunId};
use provado_model::{Error, Reason};

macro_rules! attempt_columns {
    () => {
        "id, run_id, number, epoch, agent_id, state, version, offer_time, accept_time, start_time, \
         end_time, lease_until_time, progress_json, progress_sequence, outcome_sha256, \
         outcome_json, failure_kind, failure_reason, failure_message, failure_context_json"
    };
}

statements! {
    ATTEMPT_INSERT = both(
        "INSERT INTO attempt (id, run_id, number, epoch, agent_id, state, version, offer_time, \
         lease_until_time, progress_sequence) \
         SELECT $1, $2, $3, $4, $5, 'offered', 1, $6, $7, 0 \
         FROM controller_state WHERE controller_state.epoch = $4",
    );
    ATTEMPT_GET = both(concat!(
        "SELECT ", attempt_columns!(), " FROM attempt WHERE run_id = $1 AND number = $2"
    ));
    ATTEMPT_GET_OF_AGENT = both(concat!(
        "SELECT ", attempt_columns!(), " FROM attempt WHERE id = $1 AND agent_id = $2"
    ));
    ATTEMPT_LIVE = both(concat!(
        "SELECT ", attempt_columns!(), " FROM attempt \
         WHERE run_id = $1 AND state IN ('offered', 'accepted', 'running')"
    ));
    ATTEMPT_LIST = both(concat!(
        "SELECT ", attempt_columns!(), " FROM attempt WHERE run_id = $1 ORDER BY number LIMIT $2"
    ));
    ATTEMPT_LIST_LEASE_EXPIRED = both(concat!(
        "SELECT ", attempt_columns!(), " FROM attempt \
         WHERE state IN ('offered', 'accepted', 'running') AND lease_until_time <= $1 \
         ORDER BY lease_until_time LIMIT $2"
    ));
    ATTEMPT_LIST_OFFERED = both(concat!(
        "SELECT ", attempt_columns!(), " FROM attempt \
         WHERE state IN ('offered', 'accepted', 'running') AND state = 'offered' \
         AND offer_time <= $1 AND lease_until_time > $2 ORDER BY lease_until_time LIMIT $3"
    ));
    ATTEMPT_LIST_LIVE_OF_AGENT = both(concat!(
        "SELECT ", attempt_columns!(), " FROM attempt \
         WHERE agent_id = $1 AND state IN ('offered', 'accepted', 'running') ORDER BY id LIMIT $2"
    ));
    ATTEMPT_COUNT_LIVE = both(
        "SELECT COUNT(*) AS attempt_count FROM attempt \
         WHERE agent_id = $1 AND state IN ('offered', 'accepted', 'running')",
    );
    ATTEMPT_UPDATE = both(
        "UPDATE attempt SET state = $1, version = $2, accept_time = $3, start_time = $4, \
         end_time = $5, lease_until_time = $6, outcome_sha256 = $7, outcome_json = $8, \
         failure_kind = $9, failure_reason = $10, failure_message = $11, \
         failure_context_json = $12 \
         WHERE id = $13 AND version = $14 \
         AND EXISTS (SELECT 1 FROM controller_state WHERE controller_state.epoch = $15)",
    );
    ATTEMPT_PROGRESS = both(
        "UPDATE attempt SET progress_json = $1, progress_sequence = $2 \
         WHERE id = $3 AND agent_id = $4 AND progress_sequence < $2 \
         AND state IN ('offered', 'accepted', 'running')",
    );
}

/// Statements that must not scan the whole table.
pub const HOT: &[&str] = &[
    "ATTEMPT_GET",
    "ATTEMPT_GET_OF_AGENT",
    "ATTEMPT_LIVE",
    "ATTEMPT_LIST",
    "ATTEMPT_LIST_LEASE_EXPIRED",
    "ATTEMPT_LIST_OFFERED",
    "ATTEMPT_LIST_LIVE_OF_AGENT",
    "ATTEMPT_COUNT_LIVE",
    "ATTEMPT_UPDATE",
    "ATTEMPT_PROGRESS",
];

/// Makes the attempt of a run that has just been dispatched: number and agent stand in the run.
/// A second live attempt of the same run cannot be made.
pub async fn attempt_offer(
    tx: &mut Tx,
    ctx: &Context,
    id: AttemptId,
    run: &Run,
    lease_until: Timestamp,
) -> Result<Attempt, Error> {
    let agent = run
        .binding
        .agent_id
        .ok_or_else(|| Error::internal(format!("run {} was dispatched to no agent", run.id)))?;
    let made = tx
        .execute(
            ATTEMPT_INSERT,
            &values![
                id,
                run.id,
                run.attempt_number,
                ctx.epoch,
                agent,
                ctx.now,
                lease_until
            ],
        )
        .await?;
    if made != 1 {
        return Err(superseded(ctx.epoch));
    }
    let attempt = attempt_get(tx, run.id, run.attempt_number)
        .await?
        .ok_or_else(|| Error::internal(format!("attempt {id} is not there after its insert")))?;
    let entry = AuditEntry::done("attempt.offer", "attempt", id);
    audit_append(tx, ctx, about(entry, &attempt)).await?;
    publish(tx, ctx, &attempt);
    Ok(attempt)
}

/// Moves an attempt. Errors: `ATTEMPT_SUPERSEDED` when it has ended, `VERSION_STALE` when someone
/// else moved it since it was read or this controller's epoch is over.
pub async fn attempt_apply(
    tx: &mut Tx,
    ctx: &Context,
    attempt: &Attempt,
    event: AttemptEvent,
) -> Result<Attempt, Error> {
    let next = advance(attempt, &event, ctx.now).map_err(|refused| {
        let error = if attempt.state.is_final() {
            Error::new(
                Reason::AttemptSuperseded,
                format!(
                    "attempt {} of run {} has ended ({}); what it still does has no effect",
                    attempt.number, attempt.run_id, attempt.state
                ),
            )
            .with("run", attempt.run_id)
            .with("attempt", attempt.number)
        } else {
            Error::internal(format!("attempt {}", attempt.id))
        };
        error.caused_by(refused)
    })?;
    attempt_update(tx, ctx, attempt, &next).await?;
    let entry = AuditEntry::done(action(&event), "attempt", attempt.id)
        .with("from", attempt.state.as_str())
        .with("to", next.state.as_str());
    audit_append(tx, ctx, about(entry, &next)).await?;
    publish(tx, ctx, &next);
    Ok(next)
}

const fn action(event: &AttemptEvent) -> &'static str {
    match event {
        AttemptEvent::Accept { .. } => "attempt.accept",
        AttemptEvent::Refuse(_) => "attempt.refuse",
        AttemptEvent::Start { .. } => "attempt.start",
        AttemptEvent::Succeed(_) => "attempt.succeed",
        AttemptEvent::Fail { .. } => "attempt.fail",
        AttemptEvent::Cancel(_) => "attempt.cancel",
        AttemptEvent::Lose(_) => "attempt.lose",
    }
}

fn about(entry: AuditEntry, attempt: &Attempt) -> AuditEntry {
    let entry = entry
        .agent(attempt.agent_id)
        .with("run", attempt.run_id.to_string())
        .with("number", attempt.number)
        .with("epoch", attempt.epoch);
    match &attempt.failure {
        Some(failure) => entry.with("reason", failure.reason.clone()),
        None => entry,
    }
}

fn publish(tx: &mut Tx, ctx: &Context, attempt: &Attempt) {
    let event = Event::Attempt {
        id: attempt.id,
        run: attempt.run_id,
        agent: attempt.agent_id,
        state: attempt.state,
    };
    ctx.bus.publish_on_commit(tx, event);
}

fn superseded(epoch: u64) -> Error {
    Error::new(
        Reason::VersionStale,
        format!("epoch {epoch} is over: another controller has taken the place of this one"),
    )
    .with("epoch", epoch)
}

async fn attempt_update(
    tx: &mut Tx,
    ctx: &Context,
    before: &Attempt,
    next: &Attempt,
) -> Result<(), Error> {
    let mut values = values![
        next.state,
        next.version,
        next.accept_time,
        next.start_time,
        next.end_time,
        next.lease_until_time,
        next.outcome_sha256,
        next.outcome.as_ref().map(ToString::to_string),
    ]
    .to_vec();
    values.extend(Failure::values(next.failure.as_ref())?);
    values.extend(values![before.id, before.version, ctx.epoch]);
    match tx.execute(ATTEMPT_UPDATE, &values).await? {
        1 => Ok(()),
        _ => Err(Error::new(
            Reason::VersionStale,
            format!(
                "attempt {} of run {} was changed at the same time, or epoch {} is over",
                before.number, before.run_id, ctx.epoch
            ),
        )
        .with("run", before.run_id)
        .with("attempt", before.number)),
    }
}

/// The attempt of a run with this number, if there is one.
pub async fn attempt_get(tx: &mut Tx, run: RunId, number: u32) -> Result<Option<Attempt>, Error> {
    optional(
        tx.fetch_optional(ATTEMPT_GET, &values![run, number])
            .await?,
    )
}

/// An attempt, if it is this agent's: to anyone else it is as if it were not there.
pub async fn attempt_get_of_agent(
    tx: &mut Tx,
    id: AttemptId,
    agent: AgentId,
) -> Result<Option<Attempt>, Error> {
    optional(
        tx.fetch_optional(ATTEMPT_GET_OF_AGENT, &values![id, agent])
            .await?,
    )
}

/// The run's attempt that may still act, if there is one.
pub async fn attempt_live(tx: &mut Tx, run: RunId) -> Result<Option<Attempt>, Error> {
    optional(tx.fetch_optional(ATTEMPT_LIVE, &values![run]).await?)
}

/// The run's attempts in order of number.
pub async fn attempt_list(tx: &mut Tx, run: RunId, limit: u32) -> Result<Vec<Attempt>, Error> {
    list(&tx.fetch_all(ATTEMPT_LIST, &values![run, limit]).await?)
}

/// Attempts whose lease has ended, the longest overdue first.
pub async fn attempt_list_lease_expired(
    tx: &mut Tx,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Attempt>, Error> {
    list(
        &tx.fetch_all(ATTEMPT_LIST_LEASE_EXPIRED, &values![now, limit])
            .await?,
    )
}

/// Attempts that were offered at or before `offered_until`, have not been answered, and whose lease
/// lasts, the shortest first.
pub async fn attempt_list_offered(
    tx: &mut Tx,
    offered_until: Timestamp,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Attempt>, Error> {
    list(
        &tx.fetch_all(ATTEMPT_LIST_OFFERED, &values![offered_until, now, limit])
            .await?,
    )
}

/// What an agent should be working on.
pub async fn attempt_list_live_of_agent(
    tx: &mut Tx,
    agent: AgentId,
    limit: u32,
) -> Result<Vec<Attempt>, Error> {
    list(
        &tx.fetch_all(ATTEMPT_LIST_LIVE_OF_AGENT, &values![agent, limit])
            .await?,
    )
}

/// How many attempts an agent has that may still act.
pub async fn attempt_count_live(tx: &mut Tx, agent: AgentId) -> Result<u64, Error> {
    tx.fetch_one(ATTEMPT_COUNT_LIVE, &values![agent])
        .await?
        .size("attempt_count")
}

/// Keeps how far an agent's attempt is; false if something newer is known or it is not its own.
pub async fn attempt_progress(
    tx: &mut Tx,
    ctx: &Context,
    attempt: &Attempt,
    agent: AgentId,
    sequence: u64,
    progress: &serde_json::Value,
) -> Result<bool, Error> {
    let kept = tx
        .execute(
            ATTEMPT_PROGRESS,
            &values![progress.to_string(), sequence, attempt.id, agent],
        )
        .await?
        == 1;
    if kept {
        let run = attempt.run_id;
        ctx.bus.publish_on_commit(tx, Event::Progress { run });
    }
    Ok(kept)
}

fn list(rows: &[Row]) -> Result<Vec<Attempt>, Error> {
    rows.iter().map(attempt_of).collect()
}

fn optional(row: Option<Row>) -> Result<Option<Attempt>, Error> {
    row.map(|row| attempt_of(&row)).transpose()
}

fn attempt_of(row: &Row) -> Result<Attempt, Error> {
    Ok(Attempt {
        id: row.parse("id")?,
        run_id: row.parse("run_id")?,
        number: row.number("number")?,
        epoch: row.size("epoch")?,
        agent_id: row.parse("agent_id")?,
        state: row.parse("state")?,
        version: row.size("version")?,
        offer_time: row.time("offer_time")?,
        accept_time: row.time_opt("accept_time")?,
        start_time: row.time_opt("start_time")?,
        end_time: row.time_opt("end_time")?,
        lease_until_time: row.time("lease_until_time")?,
        progress: row.json_opt("progress_json")?,
        progress_sequence: row.size("progress_sequence")?,
        outcome_sha256: row.text_opt("outcome_sha256")?,
        outcome: row.json_opt("outcome_json")?,
        failure: Failure::of(row)?,
    })
}
