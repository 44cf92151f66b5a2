//! `backup show`: one backup, a fact a line.

use super::version;
use crate::context::Context;
use crate::output::{self, human};
use provado_proto::common::v1::Scope;
use provado_proto::operator::v1::Backup;

/// Prints what the catalogue knows of a backup.
pub(super) fn print(context: &Context, backup: &Backup) {
    let instance = human::last(&backup.instance);
    let database = output::human_line(&backup.database_name);
    let now = context.now();
    field("backup", human::last(&backup.name).to_owned());
    field("of", format!("{instance}/{database}"));
    field(
        "taken",
        human::instant(backup.consistent_time.as_ref(), now),
    );
    field("took", human::millis(backup.duration_millis));
    field("holds", holds(backup));
    field(
        "contents",
        format!(
            "{} tables, {} rows, {} large objects, {}",
            human::count(backup.table_count),
            human::count(backup.row_count),
            human::count(backup.large_object_count),
            human::bytes(backup.plain_bytes)
        ),
    );
    field(
        "stored",
        format!(
            "{} needed, {} of it added by this backup",
            human::bytes(backup.stored_bytes),
            human::bytes(backup.added_bytes)
        ),
    );
    field(
        "segments",
        format!(
            "{}, {} of them were there before",
            human::count(backup.segment_count),
            human::count(backup.reused_segment_count)
        ),
    );
    print_checked(context, backup);
    field("kept", kept(context, backup));
    field("repository", human::last(&backup.repository).to_owned());
    field(
        "server",
        format!(
            "PostgreSQL {}, dumped by pg_dump {}",
            version(backup.server_version_number),
            human::or_dash(&backup.tool_version)
        ),
    );
    print_form(backup);
    if !backup.parent_backup.is_empty() {
        field("parent", human::last(&backup.parent_backup).to_owned());
    }
    field("labels", human::labels(&backup.labels));
    field("run", human::last(&backup.run).to_owned());
    field("packs", backup.packs.len().to_string());
}

/// What checks and drills have found.
fn print_checked(context: &Context, backup: &Backup) {
    let now = context.now();
    let state = human::word(backup.check_state().as_str_name(), "BACKUP_CHECK_STATE_");
    let when = backup
        .check_time
        .as_ref()
        .map(|t| human::instant(Some(t), now));
    field(
        "checked",
        when.map_or_else(|| state.clone(), |when| format!("{state}, {when}")),
    );
    for damage in &backup.damages {
        field("damage", output::human_line(damage));
    }
    if !backup.proof.is_empty() {
        field("proof", human::last(&backup.proof).to_owned());
    }
}

/// How it is stored, and who can read it.
fn print_form(backup: &Backup) {
    if backup.opaque {
        field(
            "note",
            "the archive's version is unknown here; it is stored as one stream",
        );
    }
    field(
        "encrypted to",
        match backup.recipients.as_slice() {
            [] => "nobody: it is stored in the clear".to_owned(),
            recipients => recipients.join(", "),
        },
    );
}

fn field(name: &str, value: impl std::fmt::Display) {
    output::line(&format!("{name:<16}{value}"));
}
/// What was chosen, in words.
pub(super) fn holds(backup: &Backup) -> String {
    let Some(selection) = &backup.selection else {
        return "everything".to_owned();
    };
    let scope = match selection.scope() {
        Scope::Unspecified | Scope::Everything => "everything",
        Scope::SchemaOnly => "schema",
        Scope::DataOnly => "data",
    };
    match selection.table_patterns.as_slice() {
        [] => scope.to_owned(),
        patterns => output::human_line(&format!("{scope} of {}", patterns.join(", "))),
    }
}

/// Until when it is kept.
pub(super) fn kept(context: &Context, backup: &Backup) -> String {
    let state = human::word(backup.keep_state().as_str_name(), "BACKUP_KEEP_STATE_");
    if backup.keep_forever {
        return format!("{state}, forever");
    }
    match backup.keep_until_time.as_ref().and_then(human::timestamp) {
        Some(until) => format!("{state}, ends {}", human::age(until, context.now())),
        None => state,
    }
}
