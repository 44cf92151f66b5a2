//! The backup job: one database, one snapshot, one backup.
//!
//! Order: pre-checks, all told at once; a snapshot; inventory and globals; `pg_dump` into the
//! repository's writer; then, and only when every piece of evidence fits, the manifest
//! (INV-EVIDENCE, INV-COMMIT). Nothing here decides that the backup is good: the outcome carries
//! the evidence, the controller judges.

mod choice;
mod dump;
mod facts;
mod locks;
mod sink;
mod snapshot;
mod whole;

pub(super) use facts::FINGERPRINT_ALGORITHM;

use super::context::JobContext;
use super::place::{self, Reached};
use super::precheck::Prechecks;
use super::read_back::{ReadBack, ReadBackCounts};
use super::work::{NoWatch, Work, canceled};
use crate::postgres::globals::dump_globals;
use crate::postgres::inspect::error_text;
use crate::postgres::rights::{self, Weight};
use crate::postgres::tools::{Purpose, ToolError, ToolSet, Tools as _, choose};
use choice::Choice;
use dump::{Dumped, Order};
use locks::LockWatch;
use provado_archive::Pattern;
use provado_model::id::{BackupId, InstanceId};
use provado_model::{Error, Reason};
use provado_proto::agent::v1::{BackupJob, InstanceTarget, Outcome, outcome::Detail};
use provado_proto::common::v1::{Phase, Scope};
use provado_repository::{BackupRef, Repository};
use snapshot::Snapshot;
use std::sync::Arc;

/// Milliseconds `pg_dump` waits for a lock when the job does not say.
const LOCK_WAIT_MILLIS: u64 = 60_000;

/// What the pre-checks found.
struct Ready {
    reached: Reached,
    tools: ToolSet,
    repository: Repository,
    counts: Arc<ReadBackCounts>,
    backup: BackupRef,
    parent: Option<BackupId>,
}

/// Carries the job out.
pub(super) async fn run(job: BackupJob, context: &JobContext) -> Result<Outcome, Error> {
    let mut work = Work::begin(context).await?;
    let start = context.clock.monotonic();
    work.phase(Phase::Checking, "pre-checks");
    let ready = pre_check(&job, &mut work).await?;
    work.step("pre-checks", start);

    let start = context.clock.monotonic();
    work.phase(Phase::Inspecting, "taking the snapshot and the inventory");
    let mut snapshot = take_snapshot(&job, &ready, &mut work).await?;
    let choice = Choice::of(&job, &snapshot.inventory, context)?;
    check_rights(&job, &mut snapshot, &mut work).await?;
    let globals = globals(&ready, &mut work).await;
    work.step("inventory", start);

    let start = context.clock.monotonic();
    work.phase(Phase::Dumping, "dumping and storing");
    let order = Order {
        writer: facts::writer_options(&job, &ready, &snapshot, &work)?,
        repository: ready.repository.clone(),
        invocation: facts::invocation(&job, &ready, &snapshot, choice.as_ref(), &work)?,
        expected: whole::Expected::of(
            &snapshot.inventory,
            choice.as_ref(),
            job.selection.clone().unwrap_or_default().scope(),
            snapshot.in_recovery,
        ),
        inventory: snapshot.inventory.clone(),
        globals,
        warnings: work.warnings().to_vec(),
    };
    let seconds = context.config.lock_watch_seconds;
    let watch = LockWatch::new(&ready.reached.address, &work.hands, context, seconds);
    let Dumped {
        written,
        archive,
        ended,
        warnings,
    } = work
        .blocking(watch, move |hands| dump::run(order, &hands))
        .await?;
    work.tool_ended(&ended, ready.tools.version);
    for line in ended
        .stderr
        .tail()
        .filter(|line| line.severity > crate::postgres::tools::Severity::Notice)
    {
        work.warn(format!("pg_dump: {}", line.text));
    }
    for warning in warnings.iter().chain(&written.warnings) {
        work.warn(warning.clone());
    }
    work.step("dump and store", start);
    // Of several threads together, beside the dump: more than the step above on a good day.
    let busy = written.busy;
    work.step_took("threads naming", busy.hash);
    work.step_took("threads compressing", busy.compress);
    work.step_took("threads encrypting", busy.encrypt);
    work.step_took("threads storing", busy.store);
    snapshot.end().await;
    let detail = facts::outcome(&job, &ready, &snapshot, &written, &archive, &work)?;
    context.info(format!(
        "backup {} is stored: {} bytes, {} of them new",
        ready.backup.backup_id, detail.plain_bytes, detail.added_bytes
    ));
    Ok(work.outcome(Detail::Backup(detail), None))
}

/// Everything that can be known before anything is changed.
async fn pre_check(job: &BackupJob, work: &mut Work<'_>) -> Result<Ready, Error> {
    let context = work.context;
    let mut checks = Prechecks::default();
    let instance = job.instance.as_ref();
    let instance = instance.ok_or_else(|| place::missing_field("instance"))?;
    let target = place::repository_of(job.repository.as_ref())?;
    let backup = BackupRef {
        instance_id: place::parse_id::<InstanceId>(&instance.instance_id)?,
        backup_id: place::parse_id(&job.backup_id)?,
    };
    let parent = match job.parent_backup_id.as_str() {
        "" => None,
        text => Some(place::parse_id(text)?),
    };
    check_selection(job, &mut checks);
    let opened = async {
        let backend = place::backend(context, target, place::Create::Never)?;
        let (backend, counts) = ReadBack::over(backend);
        Ok((place::open(backend, target).await?, counts))
    };
    let repository = checks.take(opened.await);
    if let Some((repository, _)) = &repository {
        checks.take(check_space(repository, job, work).await);
    }
    if target.segment_key.is_empty() {
        checks.add(Error::new(
            Reason::EncryptionKeyMissing,
            "the job has no segment key for the repository; declare the repository anew",
        ));
    }
    let reached = checks.take(reach(instance, work).await);
    let sets = work.hands.tools.sets();
    let tools = reached.as_ref().and_then(|reached| {
        let chosen = choose(&sets, reached.major(), Purpose::Client);
        checks.take(chosen.map_err(|error| tool_error(&error)))
    });
    match (reached, tools, repository) {
        (Some(reached), Some(tools), Some((repository, counts))) if checks.passed() => {
            if tools.version.major != reached.major() {
                work.warn(format!(
                    "the server is PostgreSQL {}, dumped by pg_dump {}: the backup may not \
                     restore into {}; install the client package of version {}",
                    reached.major(),
                    tools.version,
                    reached.major(),
                    reached.major()
                ));
            }
            Ok(Ready {
                reached,
                tools,
                repository,
                counts,
                backup,
                parent,
            })
        }
        _ => {
            checks.finish()?;
            Err(Error::internal("a pre-check failed without a problem"))
        }
    }
}

async fn reach(instance: &InstanceTarget, work: &Work<'_>) -> Result<Reached, Error> {
    let name = &work.hands.application_name;
    let (reached, mut connection) = place::reach(&work.context.config, instance, name).await?;
    // A backend of an attempt of this run that died would hold its snapshot and locks.
    crate::postgres::activity::end_backends(&mut connection, name)
        .await
        .map_err(|error| place::unreachable(&reached.address, &error))?;
    Ok(reached)
}

fn check_selection(job: &BackupJob, checks: &mut Prechecks) {
    let selection = job.selection.clone().unwrap_or_default();
    for text in &selection.table_patterns {
        if let Err(error) = text.parse::<Pattern>() {
            checks.add(Error::new(Reason::InvalidArgument, error.to_string()));
        }
    }
    if !(0..=19).contains(&job.compression_level) {
        checks.add(Error::new(
            Reason::InvalidArgument,
            format!(
                "compression level {} is not in 1..19",
                job.compression_level
            ),
        ));
    }
}

/// Room for as much as the newest backup of the same kind took, beyond the reserve.
async fn check_space(
    repository: &Repository,
    job: &BackupJob,
    work: &Work<'_>,
) -> Result<(), Error> {
    let doing = provado_repository::Error::backend("asking for free space");
    let Some(space) = repository.backend().space().await.map_err(doing)? else {
        return Ok(());
    };
    let expected = u64::try_from(job.expected_stored_bytes).unwrap_or(0);
    let needed = expected.saturating_add(work.context.config.disk_reserve_bytes);
    if space.free_bytes >= needed {
        return Ok(());
    }
    Err(Error::new(
        Reason::DiskFull,
        format!(
            "{} has {} bytes free, {needed} are needed: {expected} as the last backup took and a \
             reserve of {} (disk_reserve_bytes); free space or move the repository",
            repository.backend().place(),
            space.free_bytes,
            work.context.config.disk_reserve_bytes
        ),
    )
    .with("free_bytes", space.free_bytes)
    .with("needed_bytes", needed))
}

/// A tool that is not there.
pub(super) fn tool_error(error: &ToolError) -> Error {
    let reason = match error {
        ToolError::TooOld { .. } => Reason::ToolTooOld,
        ToolError::Missing { .. } => Reason::ToolMissing,
        ToolError::Spawn { .. } | ToolError::Stopping { .. } => Reason::ToolFailed,
    };
    Error::new(reason, error_text(error))
}

async fn take_snapshot(
    job: &BackupJob,
    ready: &Ready,
    work: &mut Work<'_>,
) -> Result<Snapshot, Error> {
    let name = work.hands.application_name.clone();
    let cancel = work.context.cancel.clone();
    let taking = async {
        let (address, database) = (&ready.reached.address, &job.database_name);
        let millis = facts::lock_wait_millis(job);
        tokio::select! {
            // A wait for a lock does not hear of a cancel; let go, its connection is closed.
            () = cancel.canceled() => Err(canceled()),
            taken = Snapshot::take(address, database, &name, millis) => taken,
        }
    };
    let seconds = work.context.config.lock_watch_seconds;
    let watch = LockWatch::new(&ready.reached.address, &work.hands, work.context, seconds);
    let snapshot = work.watched(watch, taking).await??;
    if snapshot.system_identifier != ready.reached.identifier {
        return Err(Error::new(
            Reason::TargetChanged,
            format!(
                "the server at {} had system identifier {} at first and {} now: it was replaced \
                 by another; inspect the instance again",
                ready.reached.address.describe(),
                ready.reached.identifier,
                snapshot.system_identifier
            ),
        ));
    }
    let facts = snapshot.inventory.database.clone().unwrap_or_default();
    if job.database_oid != 0 && i64::from(facts.oid) != job.database_oid {
        return Err(Error::new(
            Reason::TargetChanged,
            format!(
                "database {:?} has oid {}, not {}: it was dropped and made anew; inspect the \
                 instance again",
                job.database_name, facts.oid, job.database_oid
            ),
        ));
    }
    Ok(snapshot)
}

async fn check_rights(
    job: &BackupJob,
    snapshot: &mut Snapshot,
    work: &mut Work<'_>,
) -> Result<(), Error> {
    let Some(connection) = snapshot.connection() else {
        return Err(Error::internal("the snapshot was let go before its end"));
    };
    let lacks = rights::check(connection)
        .await
        .map_err(|error| place::query_failed(&error))?;
    let mut blocking = Vec::new();
    for lack in lacks {
        match lack.weight {
            Weight::Blocking => blocking.push(lack.message),
            Weight::Advice => work.context.info(lack.message),
        }
    }
    if blocking.is_empty() || is_partial(job) {
        // With a selection pg_dump reads less than was looked at, and has the last word.
        for message in blocking {
            work.warn(message);
        }
        return Ok(());
    }
    Err(Error::new(Reason::PostgresRights, blocking.join("; ")))
}

/// Roles and settings as text. A backup without them is worth more than none.
async fn globals(ready: &Ready, work: &mut Work<'_>) -> Option<Vec<u8>> {
    let (set, address) = (ready.tools.clone(), ready.reached.address.clone());
    let dumped = work
        .blocking(NoWatch, move |hands| {
            let name = &hands.application_name;
            dump_globals(&hands, &set, &address, name)
                .map_err(|error| Error::new(Reason::ToolFailed, error_text(&error)))
        })
        .await;
    match dumped {
        Ok((text, ended)) => {
            work.tool_ended(&ended, ready.tools.version);
            Some(text)
        }
        Err(error) => {
            work.warn(format!(
                "the text of roles and settings is not in this backup (the roles it names are): {}",
                error.chain()
            ));
            None
        }
    }
}

/// Whether the selection leaves tables out.
fn is_partial(job: &BackupJob) -> bool {
    let selection = job.selection.as_ref();
    selection.is_some_and(|s| !s.table_patterns.is_empty() || s.scope() == Scope::SchemaOnly)
}
