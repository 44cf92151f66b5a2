//! A row of `run`, read.

use super::model::{Run, RunBinding};
use crate::db::Row;
use crate::lifecycle::Failure;
use provado_model::Error;

macro_rules! run_columns {
    () => {
        "id, kind, state, version, requester_id, requester_name, spec_json, labels_json, agent_id, \
         instance_id, database_id, database_name, repository_id, backup_id, parent_run_id, \
         priority, attempts_max, attempt_number, exclusive_key, cancel_requested, \
         not_before_time, deadline_time, request_time, queue_time, start_time, end_time, \
         failure_kind, failure_reason, failure_message, failure_context_json, outcome_json"
    };
}
pub(super) use run_columns;

/// The run in a row that has every column of `run_columns`.
pub(super) fn run_of(row: &Row) -> Result<Run, Error> {
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
