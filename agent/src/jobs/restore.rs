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
use super::load::words::Class;
use super::load::{LoadOrder, Loaded, load};
use super::place;
use super::work::{NoWatch, Work};
use crate::postgres::database::{self, Properties};
use crate::postgres::globals::{RoleRights, create_roles};
use crate::postgres::inspect::error_text;
use crate::postgres::inventory::{
    self, CompareOptions, Created, Owners, Privileges, Scope, compare,
};
use prepare::Ready;
use provado_archive::Content;
use provado_model::{Error, Reason};
use provado_proto::agent::v1::{
    Difference, Outcome, RestoreJob, RestoreOutcome, RestoreVerdict, outcome::Detail,
};
use provado_proto::common::v1::Phase;
use provado_proto::repository::v1::Inventory;
use sqlx::{Connection as _, PgConnection};
use std::collections::BTreeMap;

pub(super) use journal::sweep;

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
    if result.is_err() {
        remove(&mut ready.connection, &name, &mut work).await;
    }
    drop(entry);
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

/// Takes the unfinished database away again.
async fn remove(connection: &mut PgConnection, name: &str, work: &mut Work<'_>) {
    work.phase(Phase::CleaningUp, "removing the unfinished database");
    if let Err(error) = database::drop_ours(connection, name).await {
        work.warn(format!(
            "the unfinished database {name} could not be removed: {}; drop it by hand",
            error_text(&error)
        ));
    }
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
    let facts = ready.backup.inventory.database.clone().unwrap_or_default();
    let major = ready.reached.major();
    database::create(&mut ready.connection, name, &facts, major)
        .await
        .map_err(query)?;

    let start = context.clock.monotonic();
    work.phase(Phase::Restoring, "restoring");
    let order = order(job, ready, name, work)?;
    let loaded = work
        .blocking(NoWatch, move |hands| load(&order, &hands))
        .await?;
    for ended in &loaded.ended {
        work.tool_ended(ended, ready.tools.version);
    }
    work.step("restore", start);

    let start = context.clock.monotonic();
    work.phase(Phase::Comparing, "comparing with the backup's inventory");
    let mut differences = said(&loaded);
    if !ready.is_partial {
        let properties = Properties {
            owner: !job.no_owner,
            privileges: !job.no_acl,
        };
        let connection = &mut ready.connection;
        for remark in database::apply_properties(connection, name, &facts, properties).await {
            work.warn(remark);
        }
    }
    differences.extend(compared(job, ready, name).await?);
    work.step("compare", start);
    work.check_canceled()?;
    let database_oid = finish(job, ready, name).await?;
    Ok(outcome(
        job,
        ready,
        work,
        &loaded,
        differences,
        database_oid,
    ))
}

/// Gives the database its name; from here on it is the operator's.
async fn finish(job: &RestoreJob, ready: &mut Ready, name: &str) -> Result<i64, Error> {
    let connection = &mut ready.connection;
    let target = &job.database_name;
    database::rename(connection, name, target)
        .await
        .map_err(|error| match error.sqlstate().as_deref() {
            Some("42P04") => Error::new(
                Reason::TargetExists,
                format!("a database {target:?} was made by somebody else meanwhile"),
            ),
            _ => place::query_failed(&error),
        })?;
    let oid = database::oid_of(connection, target)
        .await
        .map_err(|error| place::query_failed(&error))?;
    Ok(oid.unwrap_or(0))
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

async fn compared(job: &RestoreJob, ready: &Ready, name: &str) -> Result<Vec<Difference>, Error> {
    let address = &ready.reached.address;
    let mut connection = address
        .connect(name, crate::postgres::activity::HOUSEKEEPING)
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
    Ok(compare(&expected, &found, options))
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
    job: &RestoreJob,
    ready: &Ready,
    work: &Work<'_>,
    loaded: &Loaded,
    differences: Vec<Difference>,
    database_oid: i64,
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
        database_name: job.database_name.clone(),
        database_oid,
        table_count: wire(loaded.served.table_count),
        row_count: wire(loaded.served.row_count),
        plain_bytes: wire(loaded.served.byte_count),
        read_bytes: wire(ready.backup.reader.bytes_read()),
        tools: work.tool_exits(),
        stderr_classes: classes,
    }
}
