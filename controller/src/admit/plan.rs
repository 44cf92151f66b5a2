//! Pure decisions: what a request must be, whether a backup can go where it is wanted, how runs
//! exclude each other, what a run of many parts came to.

use crate::fleet::model::{Agent, AgentState, Instance, InstanceState};
use crate::lifecycle::Failure;
use crate::lifecycle::backup::{Backup, BackupKeep, Selection};
use crate::lifecycle::facts::BackupSummary;
use crate::lifecycle::run::{Run, RunState};
use crate::lifecycle::spec::{Scope, SelectionSpec};
use crate::request::Violations;
use provado_model::id::{AgentId, DatabaseId, InstanceId, RepositoryId, RunId, uuid_v5};
use provado_model::label::{self, Labels};
use provado_model::limits::{LABELS_MAX, PATTERNS_MAX};
use provado_model::{Error, Reason};

/// Longest name of a database: NAMEDATALEN - 1 (PostgreSQL manual, "Identifiers and Key Words").
const DATABASE_NAME_BYTES_MAX: usize = 63;
/// Longest table pattern: two quoted identifiers and a dot, and room for wildcards.
const PATTERN_BYTES_MAX: usize = 512;
/// Parallel jobs of pg_restore at most.
const JOBS_MAX: i32 = 64;
/// Highest zstd level that is worth its time.
const COMPRESSION_LEVEL_MAX: i32 = 19;
/// Parts of a run that are named when they failed; more are counted.
const PARTS_NAMED_MAX: usize = 5;

/// The exclusive key of backups of a database: one at a time.
pub(super) fn backup_key(database: DatabaseId) -> String {
    format!("backup/{database}")
}

/// The exclusive key of restores into a database that is to be made.
pub(super) fn restore_key(instance: InstanceId, database_name: &str) -> String {
    format!("restore/{instance}/{database_name}")
}

/// The exclusive key of what changes a repository itself.
pub(super) fn repository_key(repository: RepositoryId) -> String {
    format!("repository/{repository}")
}

/// The exclusive key of inspections.
pub(super) fn inspect_key(agent: AgentId) -> String {
    format!("inspect/{agent}")
}

/// The id of the part of a run that is about one database: the same run has the same parts.
pub(super) fn part_id(parent: RunId, database: DatabaseId) -> RunId {
    RunId::from_uuid(uuid_v5(parent.uuid(), database.uuid().as_bytes()))
}

/// Notes what is wrong with a selection.
pub(super) fn check_selection(selection: &SelectionSpec, violations: &mut Violations) {
    let patterns = &selection.table_patterns;
    if patterns.len() > PATTERNS_MAX {
        violations.add(
            "selection.table_patterns",
            format!("must be at most {PATTERNS_MAX}"),
        );
    }
    let is_bad = |pattern: &String| {
        pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX || pattern.contains('\0')
    };
    if patterns.iter().any(is_bad) {
        violations.add(
            "selection.table_patterns",
            format!("must each be 1 to {PATTERN_BYTES_MAX} bytes long without NUL"),
        );
    }
}

/// Notes that a restore cannot bring data alone: it makes a new database, which has no tables.
pub(super) fn check_brings_tables(selection: &SelectionSpec, violations: &mut Violations) {
    match selection.scope {
        Scope::Everything | Scope::SchemaOnly => {}
        Scope::DataOnly => violations.add(
            "selection.scope",
            "cannot be data alone: a restore makes a new database, which has no tables. Restore \
             everything; to load rows into a database that is there, see \"Data alone\" in \
             docs/manual/restores.md",
        ),
    }
}

/// Notes what is wrong with labels.
pub(super) fn check_labels(labels: &Labels, violations: &mut Violations) {
    if labels.len() > LABELS_MAX {
        violations.add("labels", format!("must be at most {LABELS_MAX}"));
    }
    for (key, value) in labels {
        if let Err(problem) = label::check(key, value) {
            violations.add("labels", problem.to_string());
        }
    }
}

/// A number of parallel jobs, if it is one.
pub(super) fn check_jobs(jobs: i32, violations: &mut Violations) -> u32 {
    if !(0..=JOBS_MAX).contains(&jobs) {
        violations.add("jobs_count", format!("must be 0 to {JOBS_MAX}"));
    }
    u32::try_from(jobs).unwrap_or(0)
}

/// A compression level, if it is one.
pub(super) fn check_compression(level: i32, violations: &mut Violations) -> u8 {
    if !(0..=COMPRESSION_LEVEL_MAX).contains(&level) {
        violations.add(
            "compression_level",
            format!("must be 0 to {COMPRESSION_LEVEL_MAX}"),
        );
    }
    u8::try_from(level).unwrap_or(0)
}

/// Notes what is wrong with the name of a database that is to be made. PostgreSQL allows nearly
/// everything; how it is passed on safely is the agent's part.
pub(super) fn check_new_database(name: &str, violations: &mut Violations) {
    if name.is_empty() || name.len() > DATABASE_NAME_BYTES_MAX || name.contains('\0') {
        violations.add(
            "database_name",
            format!("must be 1 to {DATABASE_NAME_BYTES_MAX} bytes long without NUL"),
        );
    } else if matches!(name, "template0" | "template1") {
        violations.add("database_name", "must not be one of PostgreSQL's templates");
    }
}

/// Whether an agent may be given work. Error: `AGENT_LOCKED`.
pub(super) fn check_agent(agent: &Agent) -> Result<(), Error> {
    let problem = match agent.state {
        AgentState::Active => return Ok(()),
        AgentState::Pending => "waits for approval",
        AgentState::Locked => {
            "is locked because a clone of it was seen; look at it, then unlock it"
        }
        AgentState::Revoked => "is revoked",
    };
    Err(Error::new(
        Reason::AgentLocked,
        format!("the agent {} {problem}", agent.name),
    )
    .with("agent", &agent.name))
}

/// Whether an instance is still told of. Error: `INSTANCE_NOT_FOUND`.
pub(super) fn check_instance(instance: &Instance) -> Result<(), Error> {
    match instance.state {
        InstanceState::Up | InstanceState::Down | InstanceState::Unknown => Ok(()),
        InstanceState::Gone => Err(Error::new(
            Reason::InstanceNotFound,
            format!(
                "the instance {} is gone: its agent no longer finds it",
                instance.name
            ),
        )
        .with("instance", &instance.name)),
    }
}

/// Whether a backup's objects are there to be read. Error: `BACKUP_UNUSABLE`.
pub(super) fn check_there(backup: &Backup) -> Result<(), Error> {
    match backup.keep_state {
        BackupKeep::Active | BackupKeep::Expired => Ok(()),
        BackupKeep::Pruning | BackupKeep::Pruned => Err(unusable(
            backup,
            &format!("is deleted ({})", backup.keep_state),
        )),
    }
}

/// Whether a backup may be restored. Error: `BACKUP_UNUSABLE`.
pub(super) fn check_restorable(backup: &Backup) -> Result<(), Error> {
    check_there(backup)?;
    if !backup.is_usable() {
        return Err(unusable(
            backup,
            "is corrupt: a check or drill found damage. Restore another one, or check this one at \
             the level readable; if that passes it can be used again",
        ));
    }
    Ok(())
}

/// Whether a database can be made from a backup. Error: `BACKUP_UNUSABLE`.
pub(super) fn check_has_tables(backup: &Backup) -> Result<(), Error> {
    let summary = BackupSummary::from_json(&backup.facts.summary);
    let data_alone =
        backup.facts.selection == Selection::Data || summary.selection.scope == Scope::DataOnly;
    if data_alone {
        return Err(unusable(
            backup,
            "holds data alone (--data-only), and no database can be made from that. It is loaded \
             by hand into one that has the tables: see \"Data alone\" in docs/manual/restores.md",
        ));
    }
    Ok(())
}

fn unusable(backup: &Backup, problem: &str) -> Error {
    let id = backup.facts.id;
    Error::new(Reason::BackupUnusable, format!("the backup {id} {problem}")).with("backup", id)
}

/// Whether a server is new enough for a backup; majors count. Error: `TARGET_TOO_OLD`.
pub(super) fn check_version(backup: &Backup, instance: &Instance) -> Result<(), Error> {
    let from = major(backup.facts.server_version_num);
    let into = major(instance.server_version_number);
    if into >= from {
        return Ok(());
    }
    Err(Error::new(
        Reason::TargetTooOld,
        format!(
            "the backup comes from PostgreSQL {from}, and {} is PostgreSQL {into}: a dump cannot \
             go back to an older major. Restore into an instance of {from} or newer",
            instance.name
        ),
    )
    .with("instance", &instance.name)
    .with("backup_version", from)
    .with("instance_version", into))
}

/// From 10 on the number is major * 10000 + minor (PostgreSQL manual, server_version_num).
const fn major(version: u32) -> u32 {
    version / 10_000
}

/// Notes where a restore asks for what the backup does not hold.
pub(super) fn check_holds(backup: &Backup, wanted: &SelectionSpec, violations: &mut Violations) {
    let missing = match (backup.facts.selection, wanted.scope) {
        (Selection::Schema, Scope::Everything | Scope::DataOnly) => Some("data"),
        // A backup of data alone was refused before.
        (Selection::Schema, Scope::SchemaOnly)
        | (Selection::Full | Selection::Tables | Selection::Data, _) => None,
    };
    if let Some(missing) = missing {
        violations.add(
            "selection.scope",
            format!("asks for {missing}, which this backup does not hold"),
        );
    }
}

/// What a run of many parts came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PartsVerdict {
    /// Some parts have not ended.
    Waits,
    /// Every part did what it was for.
    Succeeded,
    /// It was asked to end, and nothing of it is left.
    Canceled,
    /// A part did not do what it was for.
    Failed(Failure),
}

/// Judges a run by its parts.
pub(super) fn judge_parts(parent: &Run, parts: &[Run]) -> PartsVerdict {
    if parts.iter().any(|part| !part.state.is_final()) {
        return PartsVerdict::Waits;
    }
    let bad: Vec<&Run> = parts
        .iter()
        .filter(|part| part.state != RunState::Succeeded)
        .collect();
    let Some(first) = bad.first() else {
        return PartsVerdict::Succeeded;
    };
    if parent.cancel_requested {
        return PartsVerdict::Canceled;
    }
    let named: Vec<String> = bad
        .iter()
        .take(PARTS_NAMED_MAX)
        .map(|run| why(run))
        .collect();
    let more = match bad.len().saturating_sub(PARTS_NAMED_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let message = format!(
        "{} of {} databases were not backed up: {}{more}. The others were; see `provado run list`",
        bad.len(),
        parts.len(),
        named.join("; "),
    );
    let mut failure = Failure::new(Reason::Canceled, message.clone());
    if let Some(cause) = &first.failure {
        failure.kind.clone_from(&cause.kind);
        failure.reason.clone_from(&cause.reason);
    }
    PartsVerdict::Failed(failure)
}

fn why(part: &Run) -> String {
    let database = part.binding.database_name.as_deref().unwrap_or("?");
    match &part.failure {
        Some(failure) => format!("{database} ({}: {})", failure.reason, failure.message),
        None => format!("{database} ({})", part.state),
    }
}
