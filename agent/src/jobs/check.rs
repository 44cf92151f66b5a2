//! The check job: stored data read back without a restore. Changes nothing.
//!
//! Damage is a fact about the backup; that a repository does not answer is a failure of the
//! check. The two are never mixed. Where an identity is at hand damage is told by table.

use super::context::JobContext;
use super::work::{NoWatch, Work};
use super::{place, source};
use provado_model::{Error, Reason};
use provado_proto::agent::v1::{CheckJob, CheckOutcome, Damage, Outcome, outcome::Detail};
use provado_proto::common::v1::{CheckLevel, Phase};
use provado_repository::check::{CheckOptions, CheckReport, Level};
use provado_repository::signature::Trust;
use std::sync::Mutex;

/// Carries the job out.
pub(super) async fn run(job: CheckJob, context: &JobContext) -> Result<Outcome, Error> {
    let mut work = Work::begin(context).await?;
    let target = job.backup.as_ref();
    let target = target.ok_or_else(|| place::missing_field("backup"))?;
    let repository = source::repository(context, target).await?;
    let backup = place::backup_ref(target)?;
    let (level, wire_level) = match job.level() {
        CheckLevel::Present => (Level::Present, CheckLevel::Present),
        CheckLevel::Unspecified | CheckLevel::Intact => (Level::Intact, CheckLevel::Intact),
        CheckLevel::Readable => (Level::Readable, CheckLevel::Readable),
    };
    let identity = match level {
        Level::Readable => Some(source::identity(context, target)?),
        // Only names the tables that damage hits, so it may be missing or wrong.
        Level::Present | Level::Intact => context.identity(&target.sealed_identity).ok().flatten(),
    };
    let signers = source::signers(target)?;
    let spool = work.spool()?;
    let (cancel, threads) = (context.cancel.clone(), context.config.backup_threads);
    let start = context.clock.monotonic();
    work.phase(Phase::Reading, "reading stored objects");
    let report = work
        .blocking(NoWatch, move |hands| {
            let last = Mutex::new(0_u64);
            let progress = |now: provado_repository::check::CheckProgress| {
                let mut last = last
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                hands.meter.bytes(now.bytes.saturating_sub(*last));
                *last = (*last).max(now.bytes);
            };
            let options = CheckOptions {
                level,
                identity: identity.as_ref(),
                trust: Trust::Keys(&signers),
                threads,
                spool,
                cancel,
                progress: &progress,
            };
            Ok(repository.check(backup, &options)?)
        })
        .await?;
    work.step("check", start);
    if !report.is_good() {
        // A repository that went away looks like one whose objects are all missing.
        source::repository(context, target).await?;
    }
    let detail = outcome(wire_level, &report);
    let failure = (!report.is_good()).then(|| {
        Error::new(
            Reason::CheckFoundDamage,
            format!(
                "{} objects or parts of backup {} are damaged or missing; do not rely on it, \
                 make a new backup and look at the disk it lies on",
                report.damage_count, backup.backup_id
            ),
        )
    });
    Ok(work.outcome(Detail::Check(detail), failure.as_ref()))
}

fn outcome(level: CheckLevel, report: &CheckReport) -> CheckOutcome {
    let wire = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let damages = report.damage.iter().map(|damage| {
        let mut message = damage.what.clone();
        if let Some(segment) = &damage.segment {
            message = format!("{message} (segment at byte {})", segment.offset_bytes);
        }
        Damage {
            object_key: damage.object.clone(),
            message,
            entries: damage.entries.clone(),
        }
    });
    CheckOutcome {
        level: level.into(),
        object_count: wire(report.object_count),
        read_bytes: wire(report.bytes_read),
        damages: damages.collect(),
    }
}
