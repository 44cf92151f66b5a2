//! The SQL of `run`.

use super::model::{NewRun, Run, RunBinding, RunEvent, RunFilter, advance};
use crate::db::{Row, Tx, statements, values};
use crate::events::{AuditEntry, Context, Event, audit_append};
use crate::lifecycle::Failure;
use crate::lifecycle::run::RunEffect;
use crate::lifecycle::sql::{among, json, text};
use jiff::Timestamp;
use provado_model::id::RunId;
use provado_model::state::RunState;
use provado_model::{Error, Reason, time};

macro_rules! run_columns {
    () => {
        "id, kind, state, version, requester_id, requester_name, spec_json, labels_json, agent_id, \
         instance_id, database_id, database_name, repository_id, backup_id, parent_run_id, \
         priority, attempts_max, attempt_number, exclusive_key, cancel_requested, \
         not_before_time, deadline_time, request_time, queue_time, start_time, end_time, \
         failure_kind, failure_reason, failure_message, failure_context_json, outcome_json"
    };
}

statements! {
    RUN_INSERT = both(
        "INSERT INTO run (id, kind, state, version, requester_id, requester_name, spec_json, \
         labels_json, agent_id, instance_id, database_id, database_name, repository_id, backup_id, \
         parent_run_id, priority, attempts_max, attempt_number, exclusive_key, cancel_requested, \
         not_before_time, deadline_time, request_time) \
         VALUES ($1, $2, 'requested', 1, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
         0, $16, 0, $17, $18, $17) ON CONFLICT (id) DO NOTHING",
    );
    RUN_GET = both(concat!("SELECT ", run_columns!(), " FROM run WHERE id = $1"));
    RUN_RESOLVE = both(
        "SELECT id FROM run WHERE (id >= $1 AND id < $2) OR id LIKE $3 ORDER BY id LIMIT 2",
    );
    RUN_UPDATE = both(
        "UPDATE run SET state = $1, version = $2, agent_id = $3, instance_id = $4, \
         database_id = $5, database_name = $6, repository_id = $7, backup_id = $8, \
         exclusive_key = $9, attempt_number = $10, cancel_requested = $11, not_before_time = $12, \
         queue_time = $13, start_time = $14, end_time = $15, outcome_json = $16, \
         failure_kind = $17, failure_reason = $18, failure_message = $19, \
         failure_context_json = $20 \
         WHERE id = $21 AND version = $22",
    );
    RUN_LIST = both(concat!(
        "SELECT ", run_columns!(), " FROM run \
         WHERE (request_time < $1 OR (request_time = $1 AND id < $2)) \
         AND ($3 = '' OR $3 LIKE '%,' || state || ',%') \
         AND ($4 = '' OR $4 LIKE '%,' || kind || ',%') \
         AND ($5 = '' OR agent_id = $5) \
         AND ($6 = '' OR instance_id = $6) \
         AND (CAST($7 AS TEXT) IS NULL OR database_name = $7) \
         AND ($8 = '' OR backup_id = $8) \
         AND ($9 = '' OR parent_run_id = $9) \
         AND ($10 = '' OR requester_id = $10) \
         AND request_time >= $11 AND request_time < $12 \
         ORDER BY request_time DESC, id DESC LIMIT $13"
    ));
    RUN_LIST_REQUESTED = both(concat!(
        "SELECT ", run_columns!(), " FROM run WHERE state = 'requested' ORDER BY id LIMIT $1"
    ));
    RUN_LIST_QUEUED = both(concat!(
        "SELECT ", run_columns!(), " FROM run WHERE state = 'queued' AND not_before_time <= $1 \
         ORDER BY priority, id LIMIT $2"
    ));
    RUN_LIST_CANCEL_ASKED = both(concat!(
        "SELECT ", run_columns!(), " FROM run \
         WHERE state IN ('dispatched', 'running') AND cancel_requested = 1 \
         ORDER BY id LIMIT $1"
    ));
    RUN_LIST_CHILDREN = both(concat!(
        "SELECT ", run_columns!(), " FROM run WHERE parent_run_id = $1 ORDER BY id LIMIT $2"
    ));
    RUN_LIST_PARENTS_LIVE = both(concat!(
        "SELECT ", run_columns!(), " FROM run \
         WHERE state IN ('dispatched', 'running') \
         AND EXISTS (SELECT 1 FROM run AS part WHERE part.parent_run_id = run.id) \
         ORDER BY id LIMIT $1"
    ));
    RUN_LIST_WITHOUT_ATTEMPT = both(concat!(
        "SELECT ", run_columns!(), " FROM run \
         WHERE state IN ('dispatched', 'running') \
         AND EXISTS (SELECT 1 FROM attempt WHERE attempt.run_id = run.id) \
         AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.run_id = run.id \
         AND attempt.state IN ('offered', 'accepted', 'running')) \
         ORDER BY id LIMIT $1"
    ));
    RUN_LIST_OVERDUE = both(concat!(
        "SELECT ", run_columns!(), " FROM run \
         WHERE deadline_time IS NOT NULL AND deadline_time <= $1 \
         AND state IN ('requested', 'queued', 'dispatched', 'running') \
         ORDER BY deadline_time LIMIT $2"
    ));
    RUN_CHILDREN_COUNT = both(
        "SELECT state, COUNT(*) AS run_count FROM run WHERE parent_run_id = $1 GROUP BY state",
    );
    RUN_EXCLUSIVE_HOLDER = both(
        "SELECT id FROM run WHERE exclusive_key = $1 AND state IN ('dispatched', 'running')",
    );
}

/// Statements that must not scan the whole table.
pub const HOT: &[&str] = &[
    "RUN_GET",
    "RUN_LIST_REQUESTED",
    "RUN_LIST_QUEUED",
    "RUN_LIST_CANCEL_ASKED",
    "RUN_LIST_CHILDREN",
    "RUN_LIST_OVERDUE",
    "RUN_EXCLUSIVE_HOLDER",
];

/// Whether a row is new or was there.
#[derive(Debug, Clone, PartialEq)]
pub enum Inserted<T> {
    /// It was made now.
    New(T),
    /// It was there already, and was not changed.
    Existing(T),
}

impl<T> Inserted<T> {
    /// The row, whichever it is.
    pub fn into_inner(self) -> T {
        match self {
            Self::New(row) | Self::Existing(row) => row,
        }
    }
}

/// Requests a run. A run with this id is given back as it is: a request that comes twice makes one
/// run.
pub async fn run_insert(tx: &mut Tx, ctx: &Context, new: &NewRun) -> Result<Inserted<Run>, Error> {
    let binding = &new.binding;
    let inserted = tx
        .execute(
            RUN_INSERT,
            &values![
                new.id,
                new.kind,
                ctx.actor.id,
                ctx.actor.name,
                new.spec.to_string(),
                json(&new.labels)?,
                binding.agent_id,
                binding.instance_id,
                binding.database_id,
                binding.database_name,
                binding.repository_id,
                binding.backup_id,
                new.parent_run_id,
                new.priority,
                new.attempts_max,
                binding.exclusive_key,
                ctx.now,
                new.deadline_time,
            ],
        )
        .await?;
    let run = run_get(tx, new.id)
        .await?
        .ok_or_else(|| Error::internal(format!("run {} is not there after its insert", new.id)))?;
    if inserted == 0 {
        return Ok(Inserted::Existing(run));
    }
    let entry = AuditEntry::done("run.request", "run", run.id).with("kind", run.kind.as_str());
    let entry = about(entry, &run);
    audit_append(tx, ctx, entry).await?;
    publish(tx, ctx, &run);
    Ok(Inserted::New(run))
}

/// Moves a run. Errors: `RUN_ENDED` when it has ended, `VERSION_STALE` when someone else moved it
/// since it was read, `INTERNAL` for an event that makes no sense in its state.
pub async fn run_apply(
    tx: &mut Tx,
    ctx: &Context,
    run: &Run,
    event: RunEvent,
) -> Result<Run, Error> {
    let (next, effects) = advance(run, &event, ctx.now).map_err(|refused| {
        let error = if run.state.is_final() {
            Error::new(
                Reason::RunEnded,
                format!(
                    "run {} has ended ({}) and cannot be changed",
                    run.id, run.state
                ),
            )
            .with("run", run.id)
            .with("state", run.state)
        } else {
            Error::internal(format!("run {}", run.id))
        };
        error.caused_by(refused)
    })?;
    run_update(tx, run, &next).await?;
    let step = event.step();
    let mut entry = AuditEntry::done(action(step), "run", run.id)
        .with("from", run.state.as_str())
        .with("to", next.state.as_str())
        .with("attempt", next.attempt_number);
    if let (Some(failure), true) = (&next.failure, next.failure != run.failure) {
        entry = entry.with("reason", failure.reason.clone());
    }
    audit_append(tx, ctx, about(entry, &next)).await?;
    publish(tx, ctx, &next);
    if effects.contains(&RunEffect::TellCancel) {
        let run = next.id;
        ctx.bus.publish_on_commit(tx, Event::CancelAsked { run });
    }
    Ok(next)
}

const fn action(step: super::RunStep) -> &'static str {
    use super::RunStep;
    match step {
        RunStep::Admit => "run.admit",
        RunStep::Skip => "run.skip",
        RunStep::Dispatch => "run.dispatch",
        RunStep::Start => "run.start",
        RunStep::Requeue => "run.requeue",
        RunStep::Succeed => "run.succeed",
        RunStep::Fail => "run.fail",
        RunStep::AskCancel => "run.ask-cancel",
        RunStep::Cancel => "run.cancel",
    }
}

fn about(entry: AuditEntry, run: &Run) -> AuditEntry {
    match run.binding.agent_id {
        Some(agent) => entry.agent(agent),
        None => entry,
    }
}

fn publish(tx: &mut Tx, ctx: &Context, run: &Run) {
    let event = Event::Run {
        id: run.id,
        state: run.state,
        version: run.version,
    };
    ctx.bus.publish_on_commit(tx, event);
}

async fn run_update(tx: &mut Tx, before: &Run, next: &Run) -> Result<(), Error> {
    let binding = &next.binding;
    let mut values = values![
        next.state,
        next.version,
        binding.agent_id,
        binding.instance_id,
        binding.database_id,
        binding.database_name,
        binding.repository_id,
        binding.backup_id,
        binding.exclusive_key,
        next.attempt_number,
        next.cancel_requested,
        next.not_before_time,
        next.queue_time,
        next.start_time,
        next.end_time,
        next.outcome.as_ref().map(ToString::to_string),
    ]
    .to_vec();
    values.extend(Failure::values(next.failure.as_ref())?);
    values.extend(values![before.id, before.version]);
    match tx.execute(RUN_UPDATE, &values).await? {
        1 => Ok(()),
        _ => Err(Error::new(
            Reason::VersionStale,
            format!(
                "run {} was changed at the same time; read it again",
                before.id
            ),
        )
        .with("run", before.id)),
    }
}

/// The run, if there is one.
pub async fn run_get(tx: &mut Tx, id: RunId) -> Result<Option<Run>, Error> {
    tx.fetch_optional(RUN_GET, &values![id])
        .await?
        .map(|row| run_of(&row))
        .transpose()
}

/// The ids that begin or end with `part` (hexadecimal digits and hyphens), at most two.
pub async fn run_resolve(tx: &mut Tx, part: &str) -> Result<Vec<RunId>, Error> {
    let rows = tx
        .fetch_all(
            RUN_RESOLVE,
            &values![part, format!("{part}~"), format!("%{part}")],
        )
        .await?;
    rows.iter().map(|row| row.parse("id")).collect()
}

/// Runs that fit the filter, newest request first, after the cursor (request time and id of the
/// last one seen), at most `limit`.
pub async fn run_list(
    tx: &mut Tx,
    filter: &RunFilter,
    after: Option<(Timestamp, RunId)>,
    limit: u32,
) -> Result<Vec<Run>, Error> {
    let (after_time, after_id) = after.map_or((i64::MAX, String::new()), |(time, id)| {
        (time::to_micros(time), id.to_string())
    });
    let rows = tx
        .fetch_all(
            RUN_LIST,
            &values![
                after_time,
                after_id,
                among(filter.states.iter().map(|state| state.as_str())),
                among(filter.kinds.iter().map(|kind| kind.as_str())),
                text(filter.agent_id),
                text(filter.instance_id),
                filter.database_name,
                text(filter.backup_id),
                text(filter.parent_run_id),
                text(filter.requester_id),
                filter.from_time.map_or(i64::MIN, time::to_micros),
                filter.until_time.map_or(i64::MAX, time::to_micros),
                limit,
            ],
        )
        .await?;
    rows.iter().map(run_of).collect()
}

/// Runs that wait to be admitted, oldest id first.
pub async fn run_list_requested(tx: &mut Tx, limit: u32) -> Result<Vec<Run>, Error> {
    list(tx.fetch_all(RUN_LIST_REQUESTED, &values![limit]).await?)
}

/// Runs that wait for an agent and may go now, in order of priority, then id.
pub async fn run_list_queued(tx: &mut Tx, now: Timestamp, limit: u32) -> Result<Vec<Run>, Error> {
    list(tx.fetch_all(RUN_LIST_QUEUED, &values![now, limit]).await?)
}

/// Runs that are with an agent although someone asked for their end.
pub async fn run_list_cancel_asked(tx: &mut Tx, limit: u32) -> Result<Vec<Run>, Error> {
    list(tx.fetch_all(RUN_LIST_CANCEL_ASKED, &values![limit]).await?)
}

/// The parts of a run, in order of id.
pub async fn run_list_children(tx: &mut Tx, parent: RunId, limit: u32) -> Result<Vec<Run>, Error> {
    list(
        tx.fetch_all(RUN_LIST_CHILDREN, &values![parent, limit])
            .await?,
    )
}

/// Runs whose work is in their parts and that have begun, in order of id.
pub async fn run_list_parents_live(tx: &mut Tx, limit: u32) -> Result<Vec<Run>, Error> {
    list(tx.fetch_all(RUN_LIST_PARENTS_LIVE, &values![limit]).await?)
}

/// Runs that are with an agent although none of their attempts may still act.
pub async fn run_list_without_attempt(tx: &mut Tx, limit: u32) -> Result<Vec<Run>, Error> {
    list(
        tx.fetch_all(RUN_LIST_WITHOUT_ATTEMPT, &values![limit])
            .await?,
    )
}

/// Runs past their deadline that have not ended.
pub async fn run_list_overdue(tx: &mut Tx, now: Timestamp, limit: u32) -> Result<Vec<Run>, Error> {
    list(tx.fetch_all(RUN_LIST_OVERDUE, &values![now, limit]).await?)
}

/// How many parts of a run are in which state.
pub async fn run_children_count(tx: &mut Tx, parent: RunId) -> Result<Vec<(RunState, u64)>, Error> {
    let rows = tx.fetch_all(RUN_CHILDREN_COUNT, &values![parent]).await?;
    rows.iter()
        .map(|row| Ok((row.parse("state")?, row.size("run_count")?)))
        .collect()
}

/// The run with this exclusive key that is with an agent, if there is one.
pub async fn run_exclusive_holder(tx: &mut Tx, key: &str) -> Result<Option<RunId>, Error> {
    tx.fetch_optional(RUN_EXCLUSIVE_HOLDER, &values![key])
        .await?
        .map(|row| row.parse("id"))
        .transpose()
}

fn list(rows: Vec<Row>) -> Result<Vec<Run>, Error> {
    rows.iter().map(run_of).collect()
}

fn run_of(row: &Row) -> Result<Run, Error> {
    Ok(Run {
        id: row.parse("id")?,
        kind: row.parse("kind")?,
        state: row.parse("state")?,
        version: row.size("version")?,
        requester_id: row.text("requester_id")?,
        requester_name: row.text("requester_name")?,
        spec: row.json("spec_json")?,
        labels: row.json("labels_json")?,
        binding: RunBinding {
            agent_id: row.parse_opt("agent_id")?,
            instance_id: row.parse_opt("instance_id")?,
            database_id: row.parse_opt("database_id")?,
            database_name: row.text_opt("database_name")?,
            repository_id: row.parse_opt("repository_id")?,
            backup_id: row.parse_opt("backup_id")?,
            exclusive_key: row.text_opt("exclusive_key")?,
        },
        parent_run_id: row.parse_opt("parent_run_id")?,
        priority: row.number("priority")?,
        attempts_max: row.number("attempts_max")?,
        attempt_number: row.number("attempt_number")?,
        cancel_requested: row.flag("cancel_requested")?,
        not_before_time: row.time("not_before_time")?,
        deadline_time: row.time_opt("deadline_time")?,
        request_time: row.time("request_time")?,
        queue_time: row.time_opt("queue_time")?,
        start_time: row.time_opt("start_time")?,
        end_time: row.time_opt("end_time")?,
        failure: Failure::of(row)?,
        outcome: row.json_opt("outcome_json")?,
    })
}
