//! The SQL that reads many rows of `run` at a time.

use super::model::{Run, RunFilter};
use super::row::{run_columns, run_of};
use crate::db::{Row, Tx, statements, values};
use crate::lifecycle::sql::{among, text};
use jiff::Timestamp;
use provado_model::id::RunId;
use provado_model::state::RunState;
use provado_model::{Error, time};

statements! {
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
         AND ($14 = '' OR repository_id = $14) \
         ORDER BY request_time DESC, id DESC LIMIT $13"
    ));
    RUN_LIST_REQUESTED = both(concat!(
        "SELECT ", run_columns!(), " FROM run WHERE state = 'requested' ORDER BY id LIMIT $1"
    ));
    RUN_LIST_QUEUED = both(concat!(
        "SELECT ", run_columns!(), " FROM run WHERE state = 'queued' AND not_before_time <= $1 \
         ORDER BY priority, request_time, id LIMIT $2"
    ));
    RUN_LIST_QUEUED_AFTER = both(concat!(
        "SELECT ", run_columns!(), " FROM run WHERE state = 'queued' AND not_before_time <= $1 \
         AND (priority > $2 OR (priority = $2 \
         AND (request_time > $3 OR (request_time = $3 AND id > $4)))) \
         ORDER BY priority, request_time, id LIMIT $5"
    ));
    RUN_LIST_CANCEL_ASKED = both(concat!(
        "SELECT ", run_columns!(), " FROM run \
         WHERE state IN ('dispatched', 'running') AND cancel_requested = 1 \
         ORDER BY id LIMIT $1"
    ));
    RUN_LIST_CHILDREN = both(concat!(
        "SELECT ", run_columns!(), " FROM run WHERE parent_run_id = $1 ORDER BY id LIMIT $2"
    ));
    RUN_LIST_PARENTS_DONE = both(concat!(
        "SELECT ", run_columns!(), " FROM run \
         WHERE state IN ('dispatched', 'running') \
         AND EXISTS (SELECT 1 FROM run AS part WHERE part.parent_run_id = run.id) \
         AND NOT EXISTS (SELECT 1 FROM run AS part WHERE part.parent_run_id = run.id \
         AND part.state IN ('requested', 'queued', 'dispatched', 'running')) \
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
    RUN_EXCLUSIVE_FIRST = both(
        "SELECT id FROM run WHERE exclusive_key = $1 AND id <> $2 \
         AND state IN ('requested', 'queued', 'dispatched', 'running') \
         ORDER BY CASE WHEN state IN ('dispatched', 'running') THEN 0 ELSE 1 END, \
         request_time, id LIMIT 1",
    );
    RUN_EXCLUSIVE_HOLDER = both(
        "SELECT id FROM run WHERE exclusive_key = $1 AND state IN ('dispatched', 'running')",
    );
}

/// Statements that must not scan the whole table.
pub const HOT: &[&str] = &[
    "RUN_LIST_REQUESTED",
    "RUN_LIST_QUEUED",
    "RUN_LIST_QUEUED_AFTER",
    "RUN_LIST_CANCEL_ASKED",
    "RUN_LIST_CHILDREN",
    "RUN_LIST_OVERDUE",
    "RUN_EXCLUSIVE_FIRST",
    "RUN_EXCLUSIVE_HOLDER",
];

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
                text(filter.repository_id),
            ],
        )
        .await?;
    rows.iter().map(run_of).collect()
}

/// Runs that wait to be admitted, oldest id first.
pub async fn run_list_requested(tx: &mut Tx, limit: u32) -> Result<Vec<Run>, Error> {
    list(&tx.fetch_all(RUN_LIST_REQUESTED, &values![limit]).await?)
}

/// Runs that wait for an agent and may go now: by priority, then who was asked for first.
pub async fn run_list_queued(tx: &mut Tx, now: Timestamp, limit: u32) -> Result<Vec<Run>, Error> {
    list(&tx.fetch_all(RUN_LIST_QUEUED, &values![now, limit]).await?)
}

/// The same after a cursor: priority, request time and id of the last one seen.
pub async fn run_list_queued_after(
    tx: &mut Tx,
    now: Timestamp,
    after: (u32, Timestamp, RunId),
    limit: u32,
) -> Result<Vec<Run>, Error> {
    list(
        &tx.fetch_all(
            RUN_LIST_QUEUED_AFTER,
            &values![now, after.0, after.1, after.2, limit],
        )
        .await?,
    )
}

/// Runs that are with an agent although someone asked for their end.
pub async fn run_list_cancel_asked(tx: &mut Tx, limit: u32) -> Result<Vec<Run>, Error> {
    list(&tx.fetch_all(RUN_LIST_CANCEL_ASKED, &values![limit]).await?)
}

/// The parts of a run, in order of id.
pub async fn run_list_children(tx: &mut Tx, parent: RunId, limit: u32) -> Result<Vec<Run>, Error> {
    list(
        &tx.fetch_all(RUN_LIST_CHILDREN, &values![parent, limit])
            .await?,
    )
}

/// Runs that have begun, whose work is in their parts, and whose parts have all ended, in order of
/// id.
pub async fn run_list_parents_done(tx: &mut Tx, limit: u32) -> Result<Vec<Run>, Error> {
    list(&tx.fetch_all(RUN_LIST_PARENTS_DONE, &values![limit]).await?)
}

/// Runs that are with an agent although none of their attempts may still act.
pub async fn run_list_without_attempt(tx: &mut Tx, limit: u32) -> Result<Vec<Run>, Error> {
    list(
        &tx.fetch_all(RUN_LIST_WITHOUT_ATTEMPT, &values![limit])
            .await?,
    )
}

/// Runs past their deadline that have not ended.
pub async fn run_list_overdue(tx: &mut Tx, now: Timestamp, limit: u32) -> Result<Vec<Run>, Error> {
    list(&tx.fetch_all(RUN_LIST_OVERDUE, &values![now, limit]).await?)
}

/// How many parts of a run are in which state.
pub async fn run_children_count(tx: &mut Tx, parent: RunId) -> Result<Vec<(RunState, u64)>, Error> {
    let rows = tx.fetch_all(RUN_CHILDREN_COUNT, &values![parent]).await?;
    rows.iter()
        .map(|row| Ok((row.parse("state")?, row.size("run_count")?)))
        .collect()
}

/// The run, other than this one, that has this exclusive key and goes first: the one that is with
/// an agent, else the one that waits longest.
pub async fn run_exclusive_first(
    tx: &mut Tx,
    key: &str,
    other_than: RunId,
) -> Result<Option<RunId>, Error> {
    tx.fetch_optional(RUN_EXCLUSIVE_FIRST, &values![key, other_than])
        .await?
        .map(|row| row.parse("id"))
        .transpose()
}

/// The run with this exclusive key that is with an agent, if there is one.
pub async fn run_exclusive_holder(tx: &mut Tx, key: &str) -> Result<Option<RunId>, Error> {
    tx.fetch_optional(RUN_EXCLUSIVE_HOLDER, &values![key])
        .await?
        .map(|row| row.parse("id"))
        .transpose()
}

fn list(rows: &[Row]) -> Result<Vec<Run>, Error> {
    rows.iter().map(run_of).collect()
}
