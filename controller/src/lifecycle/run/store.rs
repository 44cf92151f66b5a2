//! The SQL that makes and moves rows of `run`.

use super::model::{NewRun, Run, RunEvent, RunNames, advance};
use super::row::{run_columns, run_of};
use crate::db::{Tx, statements, values};
use crate::events::{AuditEntry, Context, Event, audit_append};
use crate::lifecycle::Failure;
use crate::lifecycle::run::RunEffect;
use crate::lifecycle::sql::json;
use provado_model::id::RunId;
use provado_model::state::RunKind;
use provado_model::{Error, Reason};

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
}

/// Statements that must not scan the whole table.
pub const HOT: &[&str] = &["RUN_GET"];

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
    audit_append(tx, ctx, requested(&run, &new.names)?).await?;
    publish(tx, ctx, &run);
    Ok(Inserted::New(run))
}

/// The event that tells who asked for what, so that an export answers it without any row: what the
/// run works on, by id and as it is called, and everything that was asked for. A spec holds no
/// secret.
fn requested(run: &Run, names: &RunNames) -> Result<AuditEntry, Error> {
    let binding = &run.binding;
    let database = match run.kind {
        RunKind::Restore => "target_database",
        RunKind::Backup
        | RunKind::Check
        | RunKind::Drill
        | RunKind::Prune
        | RunKind::Inspect
        | RunKind::Init => "database",
    };
    let facts = [
        ("backup", binding.backup_id.map(|id| id.to_string())),
        ("instance", names.instance.clone()),
        ("instance_id", binding.instance_id.map(|id| id.to_string())),
        (database, binding.database_name.clone()),
        ("repository", names.repository.clone()),
        (
            "repository_id",
            binding.repository_id.map(|id| id.to_string()),
        ),
        ("parent_run", run.parent_run_id.map(|id| id.to_string())),
    ];
    let mut entry = AuditEntry::done("run.request", "run", run.id)
        .with("kind", run.kind.as_str())
        .with("spec", run.spec.clone());
    for (name, value) in facts {
        if let Some(value) = value {
            entry = entry.with(name, value);
        }
    }
    if !run.labels.is_empty() {
        let labels = serde_json::to_value(&run.labels)
            .map_err(|source| Error::internal("labels are no JSON").caused_by(source))?;
        entry = entry.with("labels", labels);
    }
    Ok(about(entry, run))
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
