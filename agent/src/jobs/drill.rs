//! The drill job: restores a backup into a throw-away PostgreSQL and holds every table, large
//! object and definition against what was recorded when it was dumped.
//!
//! Three ends, never mixed: equal (a signed proof), a difference (the backup is bad:
//! `DRILL_FOUND_DIFFERENCE`), or a drill that could not be carried out and says nothing about the
//! backup (`DRILL_BROKEN`). Whatever happens, the throw-away instance is removed.

mod contents;
mod large_objects;
mod parts;
mod proof;
mod stage;
mod verdict;

use super::context::JobContext;
use super::load::ground::{self, Extent};
use super::load::{LoadOrder, WorkWatch, load};
use super::place;
use super::restore::prepare::{jobs_count, threads};
use super::source::{self, OpenBackup};
use super::work::{NoWatch, Work};
use crate::postgres::extensions;
use crate::postgres::inspect::error_text;
use crate::postgres::inventory::{
    self, CompareOptions, Created, Owners, Privileges, Scope as CompareScope, compare,
};
use crate::postgres::tools::{Purpose, ToolSet, Tools as _, choose};
use contents::Compared;
use proof::ProofFacts;
use provado_archive::{Content, DumpId, SelectedEntries, Selection};
use provado_model::{Error, Reason};
use provado_proto::agent::v1::{Difference, DrillJob, DrillOutcome, Outcome, outcome::Detail};
use provado_proto::common::v1::{Phase, Scope};
use sqlx::PgConnection;
use stage::Stage;
use std::collections::HashMap;
use verdict::{blame, broken, difference_error, said, unreadable};

/// What a drill found.
struct Findings {
    differences: Vec<Difference>,
    compared: Compared,
    remarks: Vec<String>,
    recovery_millis: i64,
    /// Whether it is stored data that could not be read back, whatever the server says.
    is_unreadable: bool,
}

/// Carries the job out.
pub(super) async fn run(job: DrillJob, context: &JobContext) -> Result<Outcome, Error> {
    let mut work = Work::begin(context).await?;
    let start = context.clock.monotonic();
    work.phase(Phase::Checking, "opening the backup, pre-checks");
    let jobs = jobs_count(job.jobs_count);
    let target = job.backup.as_ref();
    let target = target.ok_or_else(|| place::missing_field("backup"))?;
    let backup = OpenBackup::open(target, threads(jobs), &mut work).await?;
    check_scope(&backup)?;
    let sets = work.hands.tools.sets();
    let tools = choose(&sets, backup.major(), Purpose::Server)
        .map_err(|error| broken(crate::jobs::backup::tool_error(&error)))?;
    check_space(&backup, context).map_err(broken)?;
    let plan = plan(&backup, &tools, &mut work).await.map_err(broken)?;
    work.step("pre-checks", start);

    let start = context.clock.monotonic();
    work.phase(Phase::StartingInstance, "starting a throw-away instance");
    let version = tools.version;
    let stage = Stage::start(tools, jobs, &mut work).await.map_err(broken)?;
    let found = on_stage((&job, &backup), (&stage, plan), jobs, start, &mut work).await;
    work.phase(Phase::CleaningUp, "removing the throw-away instance");
    let troubles = stage.end(&mut work).await;
    let findings = blame(found?, &troubles)?;
    let mut remarks = findings.remarks;
    remarks.extend(findings.compared.skipped.iter().cloned());
    remarks.extend(proof::standing_remarks(&backup));
    let is_equal = findings.differences.is_empty();
    let facts = ProofFacts {
        job: &job,
        backup: &backup,
        compared: &findings.compared,
        remarks: &remarks,
        recovery_millis: findings.recovery_millis,
        server_version: version.to_string(),
        is_equal,
    };
    let document = proof::document(&facts, &work)?;
    let signature = if is_equal {
        let signed = work.signer().sign(document.as_bytes());
        let signed =
            signed.map_err(|e| Error::internal("the proof was not signed").caused_by(e))?;
        signed.to_vec()
    } else {
        Vec::new()
    };
    let failure = (!is_equal).then(|| difference_error(&findings.differences));
    let wire = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let detail = DrillOutcome {
        proof_document: document,
        proof_signature: signature,
        proof_id: job.proof_id.clone(),
        table_count: wire(findings.compared.table_count()),
        row_count: wire(findings.compared.row_count()),
        plain_bytes: wire(findings.compared.byte_count()),
        recovery_millis: findings.recovery_millis,
        differences: findings.differences,
        remarks,
        server_version: version.to_string(),
        tools: work.tool_exits(),
        large_object_count: wire(findings.compared.large_objects.len() as u64),
    };
    Ok(work.outcome(Detail::Drill(detail), failure.as_ref()))
}

fn check_scope(backup: &OpenBackup) -> Result<(), Error> {
    if Scope::try_from(backup.reader.header().scope) == Ok(Scope::DataOnly) {
        return Err(broken(Error::new(
            Reason::BackupUnusable,
            "it holds data only, so no database can be made from it alone",
        )));
    }
    Ok(())
}

/// Room for the database and half as much again, for indexes being built.
fn check_space(backup: &OpenBackup, context: &JobContext) -> Result<(), Error> {
    let directory = &context.config.drill_directory;
    let Ok(found) = rustix::fs::statvfs(directory) else {
        return Ok(());
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let facts = backup.inventory.database.as_ref();
    let size = facts.map_or(0, |facts| u64::try_from(facts.size_bytes).unwrap_or(0));
    let needed = (size + size / 2).saturating_add(context.config.disk_reserve_bytes);
    if free >= needed {
        return Ok(());
    }
    Err(Error::new(
        Reason::DiskFull,
        format!(
            "{} has {free} bytes free, {needed} are needed for a database of {size}; free space \
             or set drill_directory elsewhere",
            directory.display()
        ),
    ))
}

/// What is restored, decided before anything is started.
struct Plan {
    selected: SelectedEntries,
    /// Versions of extensions that are not this host's default.
    versions: HashMap<DumpId, String>,
}

/// Everything of the backup, if this host has the extensions for it. An extension whose package
/// is missing here says nothing about the backup.
async fn plan(backup: &OpenBackup, tools: &ToolSet, work: &mut Work<'_>) -> Result<Plan, Error> {
    let selection = Selection {
        content: Content::All,
        tables: Vec::new(),
    };
    let selected = selection
        .resolve(&backup.toc)
        .map_err(|error| Error::new(Reason::Internal, error.to_string()))?;
    let is_root = rustix::process::geteuid().is_root();
    let user = is_root.then(|| work.context.config.drill_user.clone());
    let set = tools.clone();
    let there = work
        .blocking(NoWatch, move |hands| {
            extensions::of_tools(&*hands.tools, &set, user.as_deref())
                .map_err(|error| Error::new(Reason::ToolFailed, error_text(&error)))
        })
        .await?;
    let recorded = &backup.inventory.extensions;
    let needs = extensions::needs(&backup.toc, &selected.dump_ids, recorded, &there);
    let lacking: Vec<String> = [needs.missing, needs.other_version].concat();
    if lacking.is_empty() {
        let versions = needs.versions;
        return Ok(Plan { selected, versions });
    }
    Err(Error::new(
        Reason::ExtensionsMissing,
        format!(
            "PostgreSQL {} in {} lacks extensions of the backup: {}; install their packages for \
             PostgreSQL {} in these versions (postgresql-contrib has those of PostgreSQL itself)",
            tools.version,
            tools.directory.display(),
            lacking.join(", "),
            tools.version.major
        ),
    ))
}

async fn on_stage(
    (job, backup): (&DrillJob, &OpenBackup),
    (stage, plan): (&Stage, Plan),
    jobs: u32,
    start: provado_model::time::Monotonic,
    work: &mut Work<'_>,
) -> Result<Findings, Error> {
    let context = work.context;
    let mut remarks = stage.prepare(backup, work).await.map_err(broken)?;
    let is_part = !backup.reader.header().table_patterns.is_empty();
    let extent = if is_part { Extent::Part } else { Extent::Whole };
    let to = (stage::DATABASE, work.hands.application_name.as_str());
    let selected = &plan.selected.dump_ids;
    ground::lay(&stage.address, to, backup, selected, extent)
        .await
        .map_err(broken)?;
    work.phase(Phase::Restoring, "restoring");
    let order = LoadOrder {
        backup: backup.clone(),
        selected: plan.selected.clone(),
        versions: plan.versions,
        address: stage.address.clone(),
        database: stage::DATABASE.to_owned(),
        tools: stage.tools.clone(),
        jobs_count: jobs,
        options: vec!["--no-tablespaces"],
        spool: work.spool()?.directory,
        attempt: context.name.attempt.to_string(),
        cancel: context.cancel.clone(),
    };
    let watch = WorkWatch::new(&stage.address, &work.hands);
    let loaded = work
        .blocking(watch, move |hands| load(&order, &hands))
        .await;
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) if error.reason == Reason::CheckFoundDamage => {
            // A repository that went away looks like one whose objects are all missing.
            if let Some(target) = &job.backup {
                source::repository(context, target).await.map_err(broken)?;
            }
            return Ok(unreadable(&error));
        }
        Err(error) => return Err(broken(error)),
    };
    for ended in &loaded.ended {
        work.tool_ended(ended, stage.tools.version);
    }
    work.step("restore", start);
    let span = context.clock.monotonic().since(start);
    let recovery_millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX).max(1);

    let start = context.clock.monotonic();
    work.phase(
        Phase::Comparing,
        "comparing rows, fingerprints and definitions",
    );
    let mut differences = said(&loaded, is_part, &mut remarks).map_err(broken)?;
    let selected = &plan.selected.dump_ids;
    let (compared, found) = compare_all(backup, stage, (jobs, selected), work)
        .await
        .map_err(broken)?;
    differences.extend(found);
    work.step("compare", start);
    Ok(Findings {
        differences,
        compared,
        remarks,
        recovery_millis,
        is_unreadable: false,
    })
}

/// Rows, large objects and definitions, against what the backup recorded.
async fn compare_all(
    backup: &OpenBackup,
    stage: &Stage,
    (jobs, selected): (u32, &[DumpId]),
    work: &mut Work<'_>,
) -> Result<(Compared, Vec<Difference>), Error> {
    let compared = contents::compare(backup, stage, jobs, work).await?;
    let mut differences = compared.differences();
    // Connected before the database gets its own settings, which would reach the session.
    let mut connection = stage.connect().await?;
    stage.properties(backup, work).await?;
    differences.extend(definitions(backup, (stage, &mut connection), selected, work).await?);
    Ok((compared, differences))
}

async fn definitions(
    backup: &OpenBackup,
    (stage, connection): (&Stage, &mut PgConnection),
    selected: &[DumpId],
    work: &mut Work<'_>,
) -> Result<Vec<Difference>, Error> {
    let reading = inventory::read(connection);
    let found = work.watched(NoWatch, reading).await?;
    let found = found.map_err(|error| place::query_failed(&error))?;
    let header = backup.reader.header();
    let scope = match Scope::try_from(header.scope) {
        Ok(Scope::SchemaOnly) => CompareScope::SchemaOnly,
        _ => CompareScope::All,
    };
    let options = CompareOptions {
        owners: Owners::Compare,
        privileges: Privileges::Compare,
        scope,
        expected_major: backup.major(),
        found_major: stage.tools.version.major,
    };
    let expected = backup.inventory.as_ref().clone();
    if header.table_patterns.is_empty() {
        return Ok(compare(&expected, &found, options));
    }
    let created = Created::of(&backup.toc, selected);
    Ok(compare(
        &created.keep(expected),
        &created.keep(found),
        options,
    ))
}
