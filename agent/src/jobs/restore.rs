//! The restore job: a backup into a new database of an existing instance.
//!
//! The database is made under a name of our own (`provado-restore-<attempt>`), loaded, compared
//! with the inventory of the backup, and only then given the name that was asked for: whatever
//! goes wrong before, nothing half-made stands under a name that people use (INV-TARGET), and
//! what is left of a dead agent is known by its name. The result is the comparison, not an exit
//! status (INV-RESTORE-TRUTH).

mod journal;
pub(super) mod prepare;
mod room;

use super::context::JobContext;
use super::load::ground::{self, Extent};
use super::load::words::Class;
use super::load::{LoadOrder, Loaded, WorkWatch, load};
use super::place;
use super::work::Work;
use crate::postgres::activity::HOUSEKEEPING;
use crate::postgres::connection::{PgError, ServerAddress};
use crate::postgres::database::{self, Properties};
use crate::postgres::globals::{RoleRights, create_roles};
use crate::postgres::inspect::error_text;
use crate::postgres::inventory::{
    self, CompareOptions, Created, Owners, Privileges, Scope, compare, extension_versions,
};
use prepare::Ready;
use provado_archive::Content;
use provado_model::{Error, Reason};
use provado_proto::agent::v1::{
    Difference, Outcome, RestoreJob, RestoreOutcome, RestoreVerdict, outcome::Detail,
};
use provado_proto::common::v1::Phase;
use provado_proto::repository::v1::{DatabaseFacts, Inventory};
use sqlx::Connection as _;
use std::collections::BTreeMap;

pub(super) use journal::sweep;

/// How often a name is tried while a session in the database ends; the server waits up to 5 s each
/// time by itself (`CountOtherDBBackends` in PostgreSQL's `procarray.c`).
const RENAMES_MAX: u32 = 6;

/// Carries the job out.
pub(super) async fn run(job: RestoreJob, context: &JobContext) -> Result<Outcome, Error> {
    let mut work = Work::begin(context).await?;
    let start = context.clock.monotonic();
    work.phase(Phase::Checking, "opening the backup, pre-checks");
    let mut ready = prepare::prepare(&job, &mut work).await?;
    work.step("pre-checks", start);
    let name = format!("provado-restore-{}", context.name.attempt);
    let entry = journal::write(&context.config, &ready.reached.address, &name)?;
    let result = into_new(&job, &mut ready, &name, &mut work).await;
    // Where the server is gone the entry stays, and the database is removed once it is back.
    if result.is_ok() || remove(&mut ready, &name, &mut work).await {
        entry.settled();
    }
    let detail = result?;
    let failure = (!detail.differences.is_empty()).then(|| {
        Error::new(
            Reason::RestoreDiffers,
            format!(
                "database {:?} was restored, but {} things are not as in the backup; each is \
                 listed",
                job.database_name,
                detail.differences.len()
            ),
        )
    });
    Ok(work.outcome(Detail::Restore(detail), failure.as_ref()))
}

/// Takes the unfinished database away again; whether that went well.
async fn remove(ready: &mut Ready, name: &str, work: &mut Work<'_>) -> bool {
    work.phase(Phase::CleaningUp, "removing the unfinished database");
    if database::drop_ours(&mut ready.connection, name)
        .await
        .is_ok()
    {
        return true;
    }
    // What failed may have been the connection.
    match remove_anew(&ready.reached.address, name).await {
        Ok(()) => true,
        Err(error) => {
            work.warn(format!(
                "the unfinished database {name} could not be removed: {}; the agent tries again \
                 every few minutes",
                error_text(&error)
            ));
            false
        }
    }
}

async fn remove_anew(address: &ServerAddress, name: &str) -> Result<(), PgError> {
    let database = &address.maintenance_database;
    let mut connection = address.connect(database, HOUSEKEEPING).await?;
    database::drop_ours(&mut connection, name).await
}

/// Makes the database under its provisional name, empty and closed to others. Returns what the
/// backup says of its own.
async fn make(ready: &mut Ready, name: &str, work: &Work<'_>) -> Result<DatabaseFacts, Error> {
    let query = |error| place::query_failed(&error);
    let facts = ready.backup.inventory.database.clone().unwrap_or_default();
    let major = ready.reached.major();
    database::create(&mut ready.connection, name, &facts, major)
        .await
        .map_err(query)?;
    database::close_to_public(&mut ready.connection, name)
        .await
        .map_err(query)?;
    let extent = if ready.is_partial {
        Extent::Part
    } else {
        Extent::Whole
    };
    let to = (name, work.hands.application_name.as_str());
    let selected = &ready.selected.dump_ids;
    ground::lay(&ready.reached.address, to, &ready.backup, selected, extent).await?;
    Ok(facts)
}

async fn into_new(
    job: &RestoreJob,
    ready: &mut Ready,
    name: &str,
    work: &mut Work<'_>,
) -> Result<RestoreOutcome, Error> {
    let context = work.context;
    let query = |error| place::query_failed(&error);
    if job.create_roles {
        let roles = &ready.backup.inventory.roles;
        let made = create_roles(&mut ready.connection, roles, RoleRights::Harmless)
            .await
            .map_err(query)?;
        for remark in made.remarks {
            work.warn(remark);
        }
        context.info(format!("roles made: {}", made.created.join(", ")));
    }
    let facts = make(ready, name, work).await?;

    let start = context.clock.monotonic();
    work.phase(Phase::Restoring, "restoring");
    let order = order(job, ready, name, work)?;
    let watch = WorkWatch::new(&ready.reached.address, &work.hands);
    let loaded = work
        .blocking(watch, move |hands| load(&order, &hands))
        .await?;
    for ended in &loaded.ended {
        work.tool_ended(ended, ready.tools.version);
    }
    work.step("restore", start);

    let start = context.clock.monotonic();
    work.phase(Phase::Comparing, "comparing with the backup's inventory");
    let mut differences = said(&loaded);
    let properties = Properties {
        owner: !job.no_owner,
        privileges: !job.no_acl,
    };
    if ready.is_partial || !properties.privileges {
        database::open_to_public(&mut ready.connection, name)
            .await
            .map_err(query)?;
    }
    if !ready.is_partial {
        let connection = &mut ready.connection;
        for remark in database::apply_properties(connection, name, &facts, properties).await {
            work.warn(remark);
        }
    }
    let (found, remarks) = compared(job, ready, name).await?;
    differences.extend(found);
    for remark in remarks {
        work.warn(remark);
    }
    work.step("compare", start);
    work.check_canceled()?;
    let named = finish(job, ready, name).await?;
    differences.extend(named.difference);
    Ok(outcome(
        ready,
        work,
        &loaded,
        differences,
        (named.name, named.oid),
    ))
}

/// The restored database as it stands in the end.
struct Named {
    name: String,
    oid: i64,
    /// Told where it could not get the name that was asked for.
    difference: Option<Difference>,
}

/// Gives the database its name; from here on it is the operator's. What was restored is kept in
/// any case: under the name of the making, where somebody made a database of that name meanwhile
/// or holds on to a session that is not ours to end.
async fn finish(job: &RestoreJob, ready: &mut Ready, name: &str) -> Result<Named, Error> {
    let connection = &mut ready.connection;
    let target = &job.database_name;
    let query = |error| place::query_failed(&error);
    let mut tries = 1_u32;
    let refused = loop {
        match database::rename(connection, name, target).await {
            Ok(()) => break None,
            // 55006: a session in it is on its way out, or is not ours to end.
            Err(error) if error.sqlstate().as_deref() == Some("55006") && tries < RENAMES_MAX => {
                tries += 1;
            }
            Err(error) if error.sqlstate().is_some() => break Some(error),
            Err(error) => return Err(query(error)),
        }
    };
    let name = if refused.is_some() { name } else { target };
    let oid = database::oid_of(connection, name).await.map_err(query)?;
    Ok(Named {
        name: name.to_owned(),
        oid: oid.unwrap_or(0),
        difference: refused.map(|error| Difference {
            object: "the database".to_owned(),
            aspect: "name".to_owned(),
            expected: target.clone(),
            found: format!("{name}; rename it by hand: {}", error_text(&error)),
        }),
    })
}

fn order(job: &RestoreJob, ready: &Ready, name: &str, work: &Work<'_>) -> Result<LoadOrder, Error> {
    let mut options = Vec::new();
    if job.no_owner {
        options.push("--no-owner");
    }
    if job.no_acl {
        options.push("--no-privileges");
    }
    if ready.lacks_tablespaces {
        options.push("--no-tablespaces");
    }
    Ok(LoadOrder {
        backup: ready.backup.clone(),
        selected: ready.selected.clone(),
        versions: ready.versions.clone(),
        address: ready.reached.address.clone(),
        database: name.to_owned(),
        tools: ready.tools.clone(),
        jobs_count: ready.jobs_count,
        options,
        spool: work.spool()?.directory,
        attempt: work.context.name.attempt.to_string(),
        cancel: work.context.cancel.clone(),
    })
}

/// What `pg_restore` said that is a difference.
fn said(loaded: &Loaded) -> Vec<Difference> {
    loaded
        .messages
        .iter()
        .filter(|message| message.class >= Class::Difference)
        .map(|message| Difference {
            object: "pg_restore".to_owned(),
            aspect: "error".to_owned(),
            expected: String::new(),
            found: message.text.clone(),
        })
        .collect()
}

/// What differs from the inventory of the backup, and what is worth a word.
async fn compared(
    job: &RestoreJob,
    ready: &Ready,
    name: &str,
) -> Result<(Vec<Difference>, Vec<String>), Error> {
    let address = &ready.reached.address;
    let mut connection = address
        .connect(name, HOUSEKEEPING)
        .await
        .map_err(|error| place::unreachable(address, &error))?;
    let found = inventory::read(&mut connection)
        .await
        .map_err(|error| place::query_failed(&error))?;
    // The database is renamed next, which nobody may be connected for.
    let _ = connection.close().await;
    let expected = ready.backup.inventory.as_ref().clone();
    let options = CompareOptions {
        owners: if job.no_owner {
            Owners::Ignore
        } else {
            Owners::Compare
        },
        privileges: if job.no_acl {
            Privileges::Ignore
        } else {
            Privileges::Compare
        },
        scope: match ready.content {
            Content::All | Content::DataOnly => Scope::All,
            Content::SchemaOnly => Scope::SchemaOnly,
        },
        expected_major: ready.backup.major(),
        found_major: ready.reached.major(),
    };
    let (expected, found) = narrowed(ready, expected, found);
    let versions = extension_versions(&expected, &found);
    Ok((compare(&expected, &found, options), versions))
}

/// Both sides cut to what was selected, where something was.
fn narrowed(ready: &Ready, expected: Inventory, found: Inventory) -> (Inventory, Inventory) {
    if !ready.is_partial {
        return (expected, found);
    }
    let created = Created::of(&ready.backup.toc, &ready.selected.dump_ids);
    (created.keep(expected), created.keep(found))
}

fn outcome(
    ready: &Ready,
    work: &Work<'_>,
    loaded: &Loaded,
    differences: Vec<Difference>,
    (database_name, database_oid): (String, i64),
) -> RestoreOutcome {
    let wire = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let mut classes: BTreeMap<String, i64> = BTreeMap::new();
    for message in &loaded.messages {
        *classes
            .entry(message.class.as_str().to_owned())
            .or_default() += 1;
    }
    let verdict = if differences.is_empty() {
        RestoreVerdict::Restored
    } else {
        RestoreVerdict::WithDifferences
    };
    RestoreOutcome {
        verdict: verdict.into(),
        differences,
        database_name,
        database_oid,
        table_count: wire(loaded.served.table_count),
        row_count: wire(loaded.served.row_count),
        plain_bytes: wire(loaded.served.byte_count),
        read_bytes: wire(ready.backup.reader.bytes_read()),
        tools: work.tool_exits(),
        stderr_classes: classes,
    }
}
