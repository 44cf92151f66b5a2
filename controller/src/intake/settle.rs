//! Ends an attempt and its run with what was judged, in one transaction.

use super::expect::{backup_id_of, repository_of, signer_of};
use super::judge::Verdict;
use super::{found, wire};
use crate::db::Tx;
use crate::events::Context;
use crate::fleet::store::database::database_by_id;
use crate::fleet::store::instance::instance_by_id;
use crate::lifecycle::Failure;
use crate::lifecycle::attempt::{Attempt, AttemptEvent, Report, attempt_apply};
use crate::lifecycle::backup::{Backup, NewBackup, backup_insert, backup_pack_insert};
use crate::lifecycle::facts::{BackupSummary, Detail as FactsDetail, Facts};
use crate::lifecycle::run::{Run, RunEvent, run_apply};
use crate::lifecycle::spec::{BackupSpec, RunSpec};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER;
use jiff::SignedDuration;
use provado_identity::SigningKey;
use provado_model::{Error, Kind, Reason, statement, time};
use provado_proto::agent::v1::outcome::Detail;
use provado_proto::agent::v1::{BackupOutcome, Outcome};

/// How long to wait before another attempt after an agent stopped one by itself.
const STOPPED_WAIT: SignedDuration = SignedDuration::from_secs(5);

/// A judged report, ready to be written.
pub(super) struct Settled<'a> {
    pub(super) run: &'a Run,
    pub(super) attempt: &'a Attempt,
    pub(super) outcome: &'a Outcome,
    pub(super) sha256: String,
    pub(super) verdict: Verdict,
}

/// Ends attempt and run; the backup, if one entered the catalogue.
pub(super) async fn settle(
    tx: &mut Tx,
    ctx: &Context,
    key: &SigningKey,
    settled: Settled<'_>,
) -> Result<Option<Backup>, Error> {
    let mut facts = wire::facts(settled.outcome);
    if let (Verdict::Good, Some(Detail::Scan(found))) = (&settled.verdict, &settled.outcome.detail)
    {
        let scanned = found::enter(tx, ctx, key.public_key(), (settled.run, found)).await?;
        facts.detail = Some(FactsDetail::Scan(scanned));
    }
    let json = facts.to_json()?;
    let report = Report {
        sha256: Some(settled.sha256.clone()),
        outcome: Some(json.clone()),
    };
    match &settled.verdict {
        Verdict::Good => good(tx, ctx, key, &settled, (facts, report)).await,
        Verdict::Failed(failure) => {
            let event = AttemptEvent::Fail {
                failure: failure.clone(),
                report,
            };
            attempt_apply(tx, ctx, settled.attempt, event).await?;
            let event = failed(settled.run, ctx, failure.clone(), json);
            run_apply(tx, ctx, settled.run, event).await?;
            Ok(None)
        }
        Verdict::Canceled => {
            let event = AttemptEvent::Cancel(report);
            attempt_apply(tx, ctx, settled.attempt, event).await?;
            let event = stopped(settled.run, ctx, json);
            run_apply(tx, ctx, settled.run, event).await?;
            Ok(None)
        }
    }
}

async fn good(
    tx: &mut Tx,
    ctx: &Context,
    key: &SigningKey,
    settled: &Settled<'_>,
    (facts, report): (Facts, Report),
) -> Result<Option<Backup>, Error> {
    let json = facts.to_json()?;
    let backup = match &settled.outcome.detail {
        Some(Detail::Backup(detail)) => Some(enter(tx, ctx, key, settled, (&facts, detail)).await?),
        Some(_) | None => None,
    };
    attempt_apply(tx, ctx, settled.attempt, AttemptEvent::Succeed(report)).await?;
    let event = RunEvent::Succeed {
        outcome: json,
        backup: backup.as_ref().map(|backup| backup.facts.id),
    };
    run_apply(tx, ctx, settled.run, event).await?;
    Ok(backup)
}

/// What becomes of a run whose attempt failed. One that was asked to end and failed of being
/// stopped is canceled; one whose agent went down under it is left to another attempt; else it
/// fails.
fn failed(run: &Run, ctx: &Context, failure: Failure, outcome: serde_json::Value) -> RunEvent {
    // How an agent says that it restarted while the attempt was at work.
    let interrupted = failure.reason == Reason::ServiceUnavailable.as_str();
    if interrupted {
        return again(run, ctx, failure, outcome);
    }
    let outcome = Some(outcome);
    if run.cancel_requested && failure.known_kind() == Some(Kind::Cancelled) {
        RunEvent::Cancel { outcome }
    } else {
        RunEvent::Fail { failure, outcome }
    }
}

/// An agent that stopped by itself (it was shut down) leaves the run to another attempt.
fn stopped(run: &Run, ctx: &Context, outcome: serde_json::Value) -> RunEvent {
    let cause = Failure::new(
        Reason::Canceled,
        "the agent stopped the attempt although nobody had asked for it: it was shut down",
    );
    again(run, ctx, cause, outcome)
}

/// Another attempt, where one is wanted and allowed.
fn again(run: &Run, ctx: &Context, cause: Failure, outcome: serde_json::Value) -> RunEvent {
    let outcome = Some(outcome);
    if run.cancel_requested {
        RunEvent::Cancel { outcome }
    } else if run.has_attempts_left() {
        RunEvent::Requeue {
            not_before: ctx.now.saturating_add(STOPPED_WAIT).unwrap_or(ctx.now),
            cause,
        }
    } else {
        RunEvent::Fail {
            failure: cause,
            outcome,
        }
    }
}

/// Enters a backup that was judged good, with its packs and the controller's signature.
async fn enter(
    tx: &mut Tx,
    ctx: &Context,
    key: &SigningKey,
    settled: &Settled<'_>,
    (facts, detail): (&Facts, &BackupOutcome),
) -> Result<Backup, Error> {
    let new = describe(tx, ctx, key, settled, (facts, detail)).await?;
    let backup = backup_insert(tx, ctx, &new).await?.into_inner();
    backup_pack_insert(tx, backup.facts.id, &wire::packs(&detail.packs)).await?;
    Ok(backup)
}

async fn describe(
    tx: &mut Tx,
    ctx: &Context,
    key: &SigningKey,
    settled: &Settled<'_>,
    (facts, detail): (&Facts, &BackupOutcome),
) -> Result<NewBackup, Error> {
    let (run, attempt) = (settled.run, settled.attempt);
    let missing = |what: &str| Error::internal(format!("run {} has no {what}", run.id));
    let instance_id = run.binding.instance_id.ok_or_else(|| missing("instance"))?;
    let instance = instance_by_id(tx, instance_id).await?;
    let instance = instance.ok_or_else(|| missing("instance row"))?;
    let database_id = run.binding.database_id.ok_or_else(|| missing("database"))?;
    let database = database_by_id(tx, database_id).await?;
    let database = database.ok_or_else(|| missing("database row"))?;
    let repository = repository_of(tx, run).await?;
    let spec = spec_of(run)?;
    let digest: [u8; 32] = detail
        .description_sha256
        .as_slice()
        .try_into()
        .map_err(|_| Error::internal("a digest was judged good and is none"))?;
    let id = backup_id_of(attempt);
    // The row keeps microseconds; what is signed must be what it gives back.
    let sign_time = time::from_micros(time::to_micros(ctx.now));
    let message = statement::countersignature(instance.id, id, &digest, sign_time);
    let countersignature = key
        .sign(&message)
        .map_err(|source| Error::internal("the controller cannot sign").caused_by(source))?;
    let count = |value: i64| u64::try_from(value).unwrap_or(0);
    let snapshot = detail
        .consistent_time
        .as_ref()
        .and_then(crate::request::wire::time_in)
        .unwrap_or(ctx.now);
    Ok(NewBackup {
        id,
        run_id: run.id,
        attempt_id: Some(attempt.id),
        agent_id: attempt.agent_id,
        agent_public_key: signer_of(tx, attempt.agent_id).await?.to_string(),
        instance_id: instance.id,
        instance_name: instance.name,
        system_identifier: instance.system_identifier,
        database_id: Some(database.id),
        database_name: database.name,
        database_oid: database.oid,
        repository_id: repository.facts.id,
        parent_backup_id: detail.parent_backup_id.parse().ok(),
        selection: spec.selection.class(),
        snapshot_time: snapshot,
        keep: spec.keep.from(ctx.now),
        server_version_num: u32::try_from(detail.server_version_number).unwrap_or(0),
        tool_version: detail.tool_version.clone(),
        plain_bytes: count(detail.plain_bytes),
        stored_bytes: count(detail.stored_bytes),
        new_bytes: count(detail.added_bytes),
        segment_count: count(detail.segment_count),
        new_segment_count: count(
            detail
                .segment_count
                .saturating_sub(detail.reused_segment_count),
        ),
        table_count: count(detail.table_count),
        row_count: count(detail.row_count),
        encrypted: !detail.recipients.is_empty(),
        recipients: detail.recipients.clone(),
        manifest_sha256: HEXLOWER.encode(&detail.manifest_sha256),
        record_sha256: HEXLOWER.encode(&digest),
        signature: STANDARD.encode(&detail.description_signature),
        countersignature: Some(STANDARD.encode(countersignature.0)),
        labels: run.labels.clone(),
        summary: summary(facts, detail).to_json()?,
    })
}

fn spec_of(run: &Run) -> Result<BackupSpec, Error> {
    match RunSpec::from_json(&run.spec)? {
        RunSpec::Backup(spec) => Ok(spec),
        RunSpec::Restore(_)
        | RunSpec::Check(_)
        | RunSpec::Drill(_)
        | RunSpec::Prune(_)
        | RunSpec::Inspect
        | RunSpec::Init
        | RunSpec::Scan(_) => Err(Error::internal(format!("run {} is no backup", run.id))),
    }
}

fn summary(facts: &Facts, detail: &BackupOutcome) -> BackupSummary {
    let span = match (facts.start_time, facts.end_time) {
        (Some(start), Some(end)) => end.duration_since(start).as_millis(),
        (None, _) | (_, None) => 0,
    };
    BackupSummary {
        selection: detail
            .selection
            .as_ref()
            .map(crate::lifecycle::wire::selection_in)
            .unwrap_or_default(),
        large_object_count: u64::try_from(detail.large_object_count).unwrap_or(0),
        opaque: detail
            .evidence
            .as_ref()
            .is_some_and(|evidence| evidence.opaque),
        archive_version: detail.archive_version.clone(),
        duration_millis: u64::try_from(span).unwrap_or(0),
        warnings: facts.warnings.clone(),
    }
}
