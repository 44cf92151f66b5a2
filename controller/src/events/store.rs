//! The SQL of `audit_event`, `audit_head`, `audit_checkpoint` and `run_log`.

use super::model::{AuditEntry, AuditFilter, LogLine, StoredCheckpoint};
use super::{Context, Event};
use crate::db::{Row, Tx, statements, values};
use provado_model::audit_chain::{AuditRecord, ChainHead};
use provado_model::id::RunId;
use provado_model::{Error, Reason, limits, time};

macro_rules! event_columns {
    () => {
        "sequence, event_time, caller_kind, caller_id, caller_name, agent_id, peer_address, \
         action, resource_kind, resource_name, outcome, request_id, detail_json, previous_hash, \
         hash"
    };
}

statements! {
    // On SQLite the writer has its turn already; on PostgreSQL two transactions that append wait
    // for one another here, so that each builds on what the other has committed.
    AUDIT_HEAD_LOCK = pair(
        "SELECT sequence, hash FROM audit_head WHERE id = 1",
        "SELECT sequence, hash FROM audit_head WHERE id = 1 FOR UPDATE",
    );
    AUDIT_HEAD = both("SELECT sequence, hash FROM audit_head WHERE id = 1");
    AUDIT_HEAD_MOVE = both(
        "UPDATE audit_head SET sequence = $1, hash = $2 \
         WHERE id = 1 AND sequence = $3 AND hash = $4",
    );
    AUDIT_INSERT = both(concat!(
        "INSERT INTO audit_event (", event_columns!(), ") \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
    ));
    AUDIT_GET = both(concat!(
        "SELECT ", event_columns!(), " FROM audit_event WHERE sequence = $1"
    ));
    AUDIT_LIST = both(concat!(
        "SELECT ", event_columns!(), " FROM audit_event \
         WHERE sequence > $1 \
         AND ($2 = '' OR action = $2) \
         AND ($3 = '' OR resource_kind = $3) \
         AND ($4 = '' OR resource_name = $4) \
         AND ($5 = '' OR caller_id = $5 OR caller_name = $5) \
         AND event_time >= $6 AND event_time < $7 \
         ORDER BY sequence LIMIT $8"
    ));
    CHECKPOINT_INSERT = both(
        "INSERT INTO audit_checkpoint (sequence, epoch, hash, checkpoint_time, note) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (sequence) DO NOTHING",
    );
    CHECKPOINT_LATEST = both(
        "SELECT sequence, epoch, hash, checkpoint_time, note FROM audit_checkpoint \
         ORDER BY sequence DESC LIMIT 1",
    );
    CHECKPOINT_LIST = both(
        "SELECT sequence, epoch, hash, checkpoint_time, note FROM audit_checkpoint \
         WHERE sequence > $1 ORDER BY sequence LIMIT $2",
    );
    RUN_LOG_INSERT = both(
        "INSERT INTO run_log (run_id, attempt_number, sequence, line_time, level, message) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (run_id, attempt_number, sequence) DO NOTHING",
    );
    RUN_LOG_LIST = both(
        "SELECT attempt_number, sequence, line_time, level, message FROM run_log \
         WHERE run_id = $1 \
         AND (attempt_number > $2 OR (attempt_number = $2 AND sequence > $3)) \
         ORDER BY attempt_number, sequence LIMIT $4",
    );
}

/// Appends one event within the caller's transaction: if it cannot be written, neither can what it
/// tells of. Returns its sequence.
pub async fn audit_append(tx: &mut Tx, ctx: &Context, entry: AuditEntry) -> Result<u64, Error> {
    let row = tx.fetch_one(AUDIT_HEAD_LOCK, &[]).await?;
    let head = head_of(&row)?;
    let mut record = AuditRecord {
        sequence: head.sequence.saturating_add(1),
        time_micros: time::to_micros(ctx.now),
        caller_kind: ctx.actor.kind.to_string(),
        caller_id: ctx.actor.id.clone(),
        caller_name: ctx.actor.name.clone(),
        agent_id: entry.agent_id,
        peer_address: ctx.actor.peer.clone(),
        action: entry.action.to_owned(),
        resource_kind: entry.resource_kind.to_owned(),
        resource_name: entry.resource_name,
        outcome: entry.outcome.as_str().to_owned(),
        request_id: ctx.request_id.map(|id| id.to_string()),
        detail_json: serde_json::Value::Object(entry.detail).to_string(),
        previous_hash: head.hash.clone(),
        hash: String::new(),
    };
    record.hash = record.computed_hash();
    event_insert(tx, &record).await?;
    // The head moves only from where it was read: a stale head is an error, never overwritten.
    let moved = tx
        .execute(
            AUDIT_HEAD_MOVE,
            &values![record.sequence, record.hash, head.sequence, head.hash],
        )
        .await?;
    if moved != 1 {
        return Err(Error::new(
            Reason::VersionStale,
            "the audit chain grew at the same time; nothing was done, try again",
        ));
    }
    let sequence = record.sequence;
    ctx.bus.publish_on_commit(tx, Event::Audit { sequence });
    Ok(sequence)
}

async fn event_insert(tx: &mut Tx, record: &AuditRecord) -> Result<(), Error> {
    tx.execute_one(
        AUDIT_INSERT,
        &values![
            record.sequence,
            record.time_micros,
            record.caller_kind,
            record.caller_id,
            record.caller_name,
            record.agent_id,
            record.peer_address,
            record.action,
            record.resource_kind,
            record.resource_name,
            record.outcome,
            record.request_id,
            record.detail_json,
            record.previous_hash,
            record.hash,
        ],
    )
    .await
}

/// The newest event's sequence and hash.
pub async fn audit_head(tx: &mut Tx) -> Result<ChainHead, Error> {
    head_of(&tx.fetch_one(AUDIT_HEAD, &[]).await?)
}

/// The event with this sequence, if there is one.
pub async fn audit_get(tx: &mut Tx, sequence: u64) -> Result<Option<AuditRecord>, Error> {
    tx.fetch_optional(AUDIT_GET, &values![sequence])
        .await?
        .map(|row| record_of(&row))
        .transpose()
}

/// Events after `after` in order of sequence, at most `limit`.
pub async fn audit_list(
    tx: &mut Tx,
    filter: &AuditFilter,
    after: u64,
    limit: u32,
) -> Result<Vec<AuditRecord>, Error> {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let rows = tx
        .fetch_all(
            AUDIT_LIST,
            &values![
                after,
                text(&filter.action),
                text(&filter.resource_kind),
                text(&filter.resource_name),
                text(&filter.caller),
                filter.from_time.map_or(i64::MIN, time::to_micros),
                filter.until_time.map_or(i64::MAX, time::to_micros),
                limit,
            ],
        )
        .await?;
    rows.iter().map(record_of).collect()
}

/// Keeps a checkpoint; one over the same event is kept already and stays.
pub async fn checkpoint_insert(tx: &mut Tx, checkpoint: &StoredCheckpoint) -> Result<(), Error> {
    tx.execute(
        CHECKPOINT_INSERT,
        &values![
            checkpoint.head.sequence,
            checkpoint.epoch,
            checkpoint.head.hash,
            checkpoint.time,
            checkpoint.note,
        ],
    )
    .await
    .map(drop)
}

/// The checkpoint over the most events.
pub async fn checkpoint_latest(tx: &mut Tx) -> Result<Option<StoredCheckpoint>, Error> {
    tx.fetch_optional(CHECKPOINT_LATEST, &[])
        .await?
        .map(|row| checkpoint_of(&row))
        .transpose()
}

/// Checkpoints over more than `after` events, in that order, at most `limit`.
pub async fn checkpoint_list(
    tx: &mut Tx,
    after: u64,
    limit: u32,
) -> Result<Vec<StoredCheckpoint>, Error> {
    let rows = tx
        .fetch_all(CHECKPOINT_LIST, &values![after, limit])
        .await?;
    rows.iter().map(checkpoint_of).collect()
}

/// Adds lines to a run's log. A line that is there already stays; lines past
/// [`limits::LOG_LINES_MAX`] of an attempt are dropped, longer ones are cut.
pub async fn run_log_append(
    tx: &mut Tx,
    ctx: &Context,
    run: RunId,
    lines: &[LogLine],
) -> Result<(), Error> {
    let bound = u64::try_from(limits::LOG_LINES_MAX).unwrap_or(u64::MAX);
    for line in lines.iter().filter(|line| line.sequence <= bound) {
        tx.execute(
            RUN_LOG_INSERT,
            &values![
                run,
                line.attempt_number,
                line.sequence,
                line.time,
                line.level.as_str(),
                cut(&line.message),
            ],
        )
        .await?;
    }
    ctx.bus.publish_on_commit(tx, Event::Log { run });
    Ok(())
}

/// Lines of a run's log after (attempt number, sequence), at most `limit`.
pub async fn run_log_list(
    tx: &mut Tx,
    run: RunId,
    after: (u32, u64),
    limit: u32,
) -> Result<Vec<LogLine>, Error> {
    let rows = tx
        .fetch_all(RUN_LOG_LIST, &values![run, after.0, after.1, limit])
        .await?;
    rows.iter()
        .map(|row| {
            Ok(LogLine {
                attempt_number: row.number("attempt_number")?,
                sequence: row.size("sequence")?,
                time: row.time("line_time")?,
                level: row.parse("level")?,
                message: row.text("message")?,
            })
        })
        .collect()
}

/// At most [`limits::LOG_LINE_BYTES_MAX`] bytes, ending on a character; NUL, which PostgreSQL
/// cannot hold in a text, becomes the replacement character.
fn cut(message: &str) -> String {
    let mut end = message.len().min(limits::LOG_LINE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    message
        .get(..end)
        .unwrap_or_default()
        .replace('\0', "\u{fffd}")
}

fn head_of(row: &Row) -> Result<ChainHead, Error> {
    Ok(ChainHead {
        sequence: row.size("sequence")?,
        hash: row.text("hash")?,
    })
}

fn checkpoint_of(row: &Row) -> Result<StoredCheckpoint, Error> {
    Ok(StoredCheckpoint {
        head: head_of(row)?,
        epoch: row.size("epoch")?,
        time: row.time("checkpoint_time")?,
        note: row.text("note")?,
    })
}

fn record_of(row: &Row) -> Result<AuditRecord, Error> {
    Ok(AuditRecord {
        sequence: row.size("sequence")?,
        time_micros: row.int("event_time")?,
        caller_kind: row.text("caller_kind")?,
        caller_id: row.text("caller_id")?,
        caller_name: row.text("caller_name")?,
        agent_id: row.text_opt("agent_id")?,
        peer_address: row.text_opt("peer_address")?,
        action: row.text("action")?,
        resource_kind: row.text("resource_kind")?,
        resource_name: row.text("resource_name")?,
        outcome: row.text("outcome")?,
        request_id: row.text_opt("request_id")?,
        detail_json: row.text("detail_json")?,
        previous_hash: row.text("previous_hash")?,
        hash: row.text("hash")?,
    })
}
