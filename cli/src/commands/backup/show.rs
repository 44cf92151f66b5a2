//! How backups are shown: one a line, or one with a fact a line.

use super::version;
use crate::output::human::{self, Now};
use crate::output::{Column, Report, Table};
use provado_proto::common::v1::Scope;
use provado_proto::operator::v1::{Backup, BackupKeepState, ListBackupsResponse};

/// The backups, one a line.
pub(crate) fn table(answer: &ListBackupsResponse, now: &Now) -> Report {
    let mut table = Table::new(&[
        Column::Left("BACKUP"),
        Column::Left("DATABASE"),
        Column::Left("TAKEN"),
        Column::Left("HOLDS"),
        Column::Right("SIZE"),
        Column::Right("ADDED"),
        Column::Right("ROWS"),
        Column::Left("CHECKED"),
        Column::Left("KEPT"),
    ]);
    let chars = human::short_chars(answer.backups.iter().map(|it| it.name.as_str()));
    for backup in &answer.backups {
        table.row([
            human::cut(&backup.name, chars).to_owned(),
            format!("{}/{}", human::last(&backup.instance), backup.database_name),
            now.show(backup.consistent_time.as_ref()),
            holds(backup),
            human::bytes(backup.plain_bytes),
            human::bytes(backup.added_bytes),
            human::count(backup.row_count),
            checked(backup),
            kept(backup, now),
        ]);
    }
    let mut report = Report::new();
    report.table(
        &table,
        "No backups here. Take one with `provado backup run INSTANCE/DATABASE`.",
    );
    report
}

/// What the catalogue knows of a backup.
pub(crate) fn facts(backup: &Backup, now: &Now) -> Report {
    let mut report = Report::new();
    let instance = human::last(&backup.instance);
    report.fact("backup", human::last(&backup.name));
    report.fact("of", format!("{instance}/{}", backup.database_name));
    report.fact("taken", now.show(backup.consistent_time.as_ref()));
    report.fact("took", human::millis(backup.duration_millis));
    report.fact("holds", holds(backup));
    report.fact(
        "contents",
        format!(
            "{} tables, {} rows, {} large objects, {}",
            human::count(backup.table_count),
            human::count(backup.row_count),
            human::count(backup.large_object_count),
            human::bytes(backup.plain_bytes)
        ),
    );
    report.fact(
        "stored",
        format!(
            "{} needed, {} of it added by this backup",
            human::bytes(backup.stored_bytes),
            human::bytes(backup.added_bytes)
        ),
    );
    report.fact(
        "segments",
        format!(
            "{}, {} of them were there before",
            human::count(backup.segment_count),
            human::count(backup.reused_segment_count)
        ),
    );
    found(&mut report, backup, now);
    report.fact("kept", kept(backup, now));
    report.fact("repository", human::last(&backup.repository));
    report.fact(
        "server",
        format!(
            "PostgreSQL {}, dumped by pg_dump {}",
            version(backup.server_version_number),
            human::or_dash(&backup.tool_version)
        ),
    );
    form(&mut report, backup);
    report.fact_if_any("parent", human::short(&backup.parent_backup));
    report.fact("labels", human::labels(&backup.labels));
    report.fact("run", human::short(&backup.run));
    report.fact("packs", backup.packs.len());
    report
}

/// What checks and drills have found.
fn found(report: &mut Report, backup: &Backup, now: &Now) {
    let state = checked(backup);
    let when = backup.check_time.as_ref();
    report.fact(
        "checked",
        when.map_or_else(
            || state.clone(),
            |when| format!("{state}, {}", now.show(Some(when))),
        ),
    );
    for damage in &backup.damages {
        report.fact("damage", damage);
    }
    report.fact_if_any("proof", human::short(&backup.proof));
}

/// How it is stored, and who can read it.
fn form(report: &mut Report, backup: &Backup) {
    if backup.opaque {
        report.fact(
            "note",
            "the archive's version is unknown here; it is stored as one stream",
        );
    }
    report.fact(
        "encrypted to",
        match backup.recipients.as_slice() {
            [] => "nobody: it is stored in the clear".to_owned(),
            recipients => recipients.join(", "),
        },
    );
}

/// What was chosen, in words.
fn holds(backup: &Backup) -> String {
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
        patterns => format!("{scope} of {}", patterns.join(", ")),
    }
}

fn checked(backup: &Backup) -> String {
    human::word(backup.check_state().as_str_name(), "BACKUP_CHECK_STATE_")
}

/// Until when it is kept.
fn kept(backup: &Backup, now: &Now) -> String {
    let until = match &backup.keep_until_time {
        _ if backup.keep_forever => Some("forever".to_owned()),
        Some(until) => Some(format!("until {}", now.show(Some(until)))),
        None => None,
    };
    let state = human::word(backup.keep_state().as_str_name(), "BACKUP_KEEP_STATE_");
    match until {
        None => state,
        Some(until) if backup.keep_state() == BackupKeepState::Active => until,
        Some(until) => format!("{state}, {until}"),
    }
}
