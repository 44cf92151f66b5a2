//! Before a restore changes anything: the backup opened, the target looked at, everything that
//! stands in the way told at once.

use super::room;
use crate::jobs::place::{self, Reached};
use crate::jobs::precheck::Prechecks;
use crate::jobs::source::OpenBackup;
use crate::jobs::work::Work;
use crate::postgres::connection::PgError;
use crate::postgres::database::oid_of;
use crate::postgres::extensions;
use crate::postgres::globals::missing_roles;
use crate::postgres::sql::ReadRow as _;
use crate::postgres::tools::{Purpose, ToolSet, Tools as _, choose};
use provado_archive::{Content, DumpId, Pattern, SelectedEntries, Selection};
use provado_model::{Error, Reason};
use provado_proto::agent::v1::RestoreJob;
use provado_proto::common::v1::Scope;
use sqlx::PgConnection;
use std::collections::{BTreeSet, HashMap};

/// Everything a restore needs.
pub(super) struct Ready {
    pub(super) backup: OpenBackup,
    pub(super) selected: SelectedEntries,
    pub(super) content: Content,
    /// Whether something of the source database is not brought back.
    pub(super) is_partial: bool,
    pub(super) reached: Reached,
    pub(super) connection: PgConnection,
    pub(super) tools: ToolSet,
    pub(super) jobs_count: u32,
    pub(super) lacks_tablespaces: bool,
    /// Versions of extensions that are not the target's default.
    pub(super) versions: HashMap<DumpId, String>,
}

/// What the target has and lacks.
struct Found {
    lacks_tablespaces: bool,
    versions: HashMap<DumpId, String>,
}

const RIGHTS: &str = "\
    SELECT r.rolsuper AS superuser, r.rolcreatedb AS create_database \
    FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";

const TABLESPACES: &str = "SELECT spcname::text AS name FROM pg_catalog.pg_tablespace";

/// Opens the backup and looks at the target.
pub(super) async fn prepare(job: &RestoreJob, work: &mut Work<'_>) -> Result<Ready, Error> {
    let context = work.context;
    let target = job.backup.as_ref();
    let target = target.ok_or_else(|| place::missing_field("backup"))?;
    let instance = job.instance.as_ref();
    let instance = instance.ok_or_else(|| place::missing_field("instance"))?;
    if job.database_name.is_empty() || job.database_name.len() > 63 {
        return Err(Error::new(
            Reason::InvalidArgument,
            format!(
                "{:?} is no name for a database: 1 to 63 bytes",
                job.database_name
            ),
        ));
    }
    let jobs_count = jobs_count(job.jobs_count);
    let name = work.hands.application_name.clone();
    let mut checks = Prechecks::default();
    let backup = checks.take(OpenBackup::open(target, threads(jobs_count), work).await);
    let reached = checks.take(place::reach(&context.config, instance, &name).await);
    let (Some(backup), Some((reached, mut connection))) = (backup, reached) else {
        checks.finish()?;
        return Err(Error::internal("a pre-check failed without a problem"));
    };
    let selection = checks.take(selection(job));
    let selected = selection
        .as_ref()
        .and_then(|selection| checks.take(resolve(selection, &backup, work)));
    let tools = choose(&work.hands.tools.sets(), reached.major(), Purpose::Client);
    let tools = checks.take(tools.map_err(|error| crate::jobs::backup::tool_error(&error)));
    check_major(&backup, &reached, &mut checks);
    let wanted = selected.as_ref().map_or(&[][..], |s| s.dump_ids.as_slice());
    let of_backup = (&backup, wanted);
    let found = check_target(job, of_backup, &mut connection, &mut checks, work).await?;
    if selected.is_some() {
        room::check(&backup, wanted, &mut connection, &mut checks, work)
            .await
            .map_err(|error| place::query_failed(&error))?;
    }
    checks.finish()?;
    let (Some(selection), Some(selected), Some(tools)) = (selection, selected, tools) else {
        return Err(Error::internal("a pre-check failed without a problem"));
    };
    let header = backup.reader.header();
    let is_partial = !selection.tables.is_empty()
        || !header.table_patterns.is_empty()
        || Scope::try_from(header.scope) == Ok(Scope::SchemaOnly);
    Ok(Ready {
        content: if Scope::try_from(header.scope) == Ok(Scope::SchemaOnly) {
            Content::SchemaOnly
        } else {
            selection.content
        },
        is_partial,
        backup,
        selected,
        reached,
        connection,
        tools,
        jobs_count,
        lacks_tablespaces: found.lacks_tablespaces,
        versions: found.versions,
    })
}

/// Jobs of `pg_restore`: as asked for, else one a processor, at most 64.
pub(in crate::jobs) fn jobs_count(asked: i32) -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    match u32::try_from(asked) {
        Ok(0) | Err(_) => u32::try_from(processors).unwrap_or(1),
        Ok(count) => count,
    }
    .clamp(1, 64)
}

/// Threads that decode one entry, given that so many entries are decoded at once.
pub(in crate::jobs) fn threads(jobs_count: u32) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = usize::try_from(jobs_count).unwrap_or(1).max(1);
    (processors / jobs).clamp(1, 4)
}

fn selection(job: &RestoreJob) -> Result<Selection, Error> {
    let wanted = job.selection.clone().unwrap_or_default();
    let tables = wanted
        .table_patterns
        .iter()
        .map(|text| text.parse::<Pattern>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::new(Reason::InvalidArgument, error.to_string()))?;
    let content = match wanted.scope() {
        Scope::Unspecified | Scope::Everything => Content::All,
        Scope::SchemaOnly => Content::SchemaOnly,
        Scope::DataOnly => {
            return Err(Error::new(
                Reason::InvalidArgument,
                "data alone cannot go into a new database, which has no tables yet; leave \
                 --data-only out",
            ));
        }
    };
    Ok(Selection { content, tables })
}

fn resolve(
    selection: &Selection,
    backup: &OpenBackup,
    work: &mut Work<'_>,
) -> Result<SelectedEntries, Error> {
    if Scope::try_from(backup.reader.header().scope) == Ok(Scope::DataOnly) {
        return Err(Error::new(
            Reason::BackupUnusable,
            "the backup holds data only, so no database can be made from it alone",
        ));
    }
    let selected = selection
        .resolve(&backup.toc)
        .map_err(|error| Error::new(Reason::PatternMatchesNothing, error.to_string()))?;
    for left in &selected.left_out {
        work.warn(format!(
            "{} {} is left out: it needs {}, which is not selected",
            left.desc.to_lowercase(),
            left.name,
            left.needs.join(", ")
        ));
    }
    Ok(selected)
}

fn check_major(backup: &OpenBackup, reached: &Reached, checks: &mut Prechecks) {
    if backup.major() > reached.major() {
        checks.add(Error::new(
            Reason::TargetTooOld,
            format!(
                "the backup is from PostgreSQL {}, the target is PostgreSQL {}: a newer dump does \
                 not restore into an older server; choose an instance of version {} or newer",
                backup.major(),
                reached.major(),
                backup.major()
            ),
        ));
    }
}

async fn check_target(
    job: &RestoreJob,
    (backup, selected): (&OpenBackup, &[DumpId]),
    connection: &mut PgConnection,
    checks: &mut Prechecks,
    work: &mut Work<'_>,
) -> Result<Found, Error> {
    let query = |error: PgError| place::query_failed(&error);
    if oid_of(connection, &job.database_name)
        .await
        .map_err(query)?
        .is_some()
    {
        checks.add(Error::new(
            Reason::TargetExists,
            format!(
                "there is a database {:?} already; restore under another name",
                job.database_name
            ),
        ));
    }
    check_rights(connection, checks, work)
        .await
        .map_err(query)?;
    let inventory = &backup.inventory;
    let roles_matter = !job.no_owner || !job.no_acl;
    if roles_matter && !job.create_roles {
        let missing = missing_roles(connection, &inventory.roles)
            .await
            .map_err(query)?;
        let names: Vec<String> = missing
            .iter()
            .map(|r| format!("{:?}", r.role_name))
            .collect();
        if !names.is_empty() {
            checks.add(Error::new(
                Reason::RolesMissing,
                format!(
                    "the instance lacks roles that own or are granted things of the backup: {}; \
                     make them, or restore with --create-roles or with --no-owner --no-acl",
                    names.join(", ")
                ),
            ));
        }
    }
    let versions = check_extensions(backup, selected, connection, checks, work)
        .await
        .map_err(query)?;
    let there = names(connection, TABLESPACES).await.map_err(query)?;
    let relations = inventory.relations.iter().map(|r| &r.tablespace_name);
    let indexes = inventory.indexes.iter().map(|i| &i.tablespace_name);
    let missing: BTreeSet<&String> = relations
        .chain(indexes)
        .filter(|name| !name.is_empty() && !there.contains(*name))
        .collect();
    if !missing.is_empty() {
        work.warn(format!(
            "tablespaces {missing:?} are not on this instance; everything goes to the default one"
        ));
    }
    Ok(Found {
        lacks_tablespaces: !missing.is_empty(),
        versions,
    })
}

/// Extensions must be there; one in another version than recorded is made as the server has it,
/// and the comparison tells.
async fn check_extensions(
    backup: &OpenBackup,
    selected: &[DumpId],
    connection: &mut PgConnection,
    checks: &mut Prechecks,
    work: &mut Work<'_>,
) -> Result<HashMap<DumpId, String>, PgError> {
    let there = extensions::of_server(connection).await?;
    let recorded = &backup.inventory.extensions;
    let needs = extensions::needs(&backup.toc, selected, recorded, &there);
    if !needs.missing.is_empty() {
        checks.add(Error::new(
            Reason::ExtensionsMissing,
            format!(
                "the server does not have the extensions {}; install their packages",
                needs.missing.join(", ")
            ),
        ));
    }
    if !needs.other_version.is_empty() {
        work.warn(format!(
            "the server does not have extensions in the backup's versions: {}; its own are made",
            needs.other_version.join(", ")
        ));
    }
    Ok(needs.versions)
}

async fn names(
    connection: &mut PgConnection,
    sql: &'static str,
) -> Result<BTreeSet<String>, PgError> {
    sqlx::query(sql)
        .fetch_all(connection)
        .await
        .map_err(|source| PgError::query("look at what the server has", source))?
        .iter()
        .map(|row| row.read("name"))
        .collect()
}

/// Rights to make a database.
async fn check_rights(
    connection: &mut PgConnection,
    checks: &mut Prechecks,
    work: &mut Work<'_>,
) -> Result<(), PgError> {
    let row = sqlx::query(RIGHTS)
        .fetch_one(connection)
        .await
        .map_err(|source| PgError::query("look at the role's rights", source))?;
    let is_superuser: bool = row.read("superuser")?;
    if is_superuser {
        work.context.info(
            "the restoring role is a superuser: code in the backup (checks, defaults, functions) \
             runs with its rights; a role with CREATEDB that is a member of the owners is enough",
        );
    } else if !row.read::<bool>("create_database")? {
        checks.add(Error::new(
            Reason::PostgresRights,
            "the agent's role may not make databases: ALTER ROLE ... CREATEDB",
        ));
    }
    Ok(())
}
