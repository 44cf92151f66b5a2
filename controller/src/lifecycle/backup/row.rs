//! A row of `backup` as the rest of the controller sees it.

use super::model::{Backup, Keep, NewBackup};
use crate::db::Row;
use provado_model::Error;

/// The backup of a row.
pub(super) fn backup_of(row: &Row) -> Result<Backup, Error> {
    let keep = match (row.flag("keep_forever")?, row.time_opt("keep_until_time")?) {
        (true, _) => Keep::Forever,
        (false, Some(time)) => Keep::Until(time),
        (false, None) => Keep::ByPolicy,
    };
    Ok(Backup {
        create_time: row.time("create_time")?,
        check_state: row.parse("check_state")?,
        keep_state: row.parse("keep_state")?,
        version: row.size("version")?,
        last_check_time: row.time_opt("last_check_time")?,
        last_check_level: row.text_opt("last_check_level")?,
        facts: facts_of(row, keep)?,
    })
}

fn facts_of(row: &Row, keep: Keep) -> Result<NewBackup, Error> {
    Ok(NewBackup {
        id: row.parse("id")?,
        run_id: row.parse("run_id")?,
        attempt_id: row.parse_opt("attempt_id")?,
        agent_id: row.parse("agent_id")?,
        agent_public_key: row.text("agent_public_key")?,
        instance_id: row.parse("instance_id")?,
        instance_name: row.text("instance_name")?,
        system_identifier: row.text("system_identifier")?,
        database_id: row.parse_opt("database_id")?,
        database_name: row.text("database_name")?,
        database_oid: row.number("database_oid")?,
        repository_id: row.parse("repository_id")?,
        parent_backup_id: row.parse_opt("parent_backup_id")?,
        selection: row.parse("selection")?,
        snapshot_time: row.time("snapshot_time")?,
        keep,
        server_version_num: row.number("server_version_num")?,
        tool_version: row.text("tool_version")?,
        plain_bytes: row.size("plain_bytes")?,
        stored_bytes: row.size("stored_bytes")?,
        new_bytes: row.size("new_bytes")?,
        segment_count: row.size("segment_count")?,
        new_segment_count: row.size("new_segment_count")?,
        table_count: row.size("table_count")?,
        row_count: row.size("row_count")?,
        encrypted: row.flag("encrypted")?,
        recipients: row.json("recipients_json")?,
        manifest_sha256: row.text("manifest_sha256")?,
        record_sha256: row.text("record_sha256")?,
        signature: row.text("signature")?,
        countersignature: row.text_opt("countersignature")?,
        labels: row.json("labels_json")?,
        summary: row.json("summary_json")?,
    })
}
