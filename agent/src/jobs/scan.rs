//! The scan job: looks through a repository for backups that the controller does not know, such as
//! after its database came back from an older copy. Changes nothing, and decides nothing: what is
//! told of a backup stands in its signed document and, where an identity opens it, its manifest.

use super::context::JobContext;
use super::place;
use super::work::{NoWatch, Work};
use prost::Message as _;
use provado_model::id::BackupId;
use provado_model::{Error, Reason, statement};
use provado_proto::agent::v1::{
    FoundBackup, FoundContents, Outcome, PackFact, ScanJob, ScanOutcome, outcome::Detail,
};
use provado_proto::common::v1::{Phase, Selection};
use provado_repository::document::{BackupDocument, SignedDocument};
use provado_repository::manifest::EntryKind;
use provado_repository::reader::{BackupReader, ReadOptions};
use provado_repository::signature::{Signer, Trust};
use provado_repository::{BackupRef, Identity, Repository};
use std::collections::HashSet;

/// Backups in one report at most.
const BACKUPS_MAX: usize = 500;
/// Bytes of a report after which the next scan goes on; one backup more may follow.
const REPORT_BYTES: usize = 2 * 1024 * 1024;

/// Carries the job out.
pub(super) async fn run(job: ScanJob, context: &JobContext) -> Result<Outcome, Error> {
    let mut work = Work::begin(context).await?;
    let target = place::repository_of(job.repository.as_ref())?;
    let backend = place::backend(context, target, place::Create::Never)?;
    let repository = place::open(backend, target).await?;
    let identity = match context.identity(&job.sealed_identity) {
        Ok(identity) => identity,
        // One that was given must be right; without one much can be told as well.
        Err(error) if job.sealed_identity.is_empty() => {
            work.warn(error.message);
            None
        }
        Err(error) => return Err(error),
    };
    let start = context.clock.monotonic();
    work.phase(Phase::Reading, "looking for backups");
    let all = work.watched(NoWatch, repository.all_backups()).await??;
    let mut detail = ScanOutcome {
        backup_count: i64::try_from(all.len()).unwrap_or(i64::MAX),
        ..ScanOutcome::default()
    };
    let mut told_bytes = 0_usize;
    for backup in wanted(&job, &all)? {
        if detail.backups.len() >= BACKUPS_MAX || told_bytes >= REPORT_BYTES {
            let last = detail.backups.last();
            detail.next_after_backup_id = last.map(|it| it.backup_id.clone()).unwrap_or_default();
            break;
        }
        work.check_canceled()?;
        let found = look(&repository, backup, identity.as_ref(), &mut work).await?;
        told_bytes = told_bytes.saturating_add(found.encoded_len());
        detail.backups.push(found);
        work.hands.meter.one();
    }
    work.step("scan", start);
    Ok(work.outcome(Detail::Scan(detail), None))
}

/// What the controller does not know, from where it wants to go on.
fn wanted(job: &ScanJob, all: &[BackupRef]) -> Result<Vec<BackupRef>, Error> {
    let after: Option<BackupId> = match job.after_backup_id.as_str() {
        "" => None,
        text => Some(place::parse_id(text)?),
    };
    let known: HashSet<&str> = job.known_backup_ids.iter().map(String::as_str).collect();
    Ok(all
        .iter()
        .copied()
        .filter(|it| after.is_none_or(|after| it.backup_id > after))
        .filter(|it| !known.contains(it.backup_id.to_string().as_str()))
        .collect())
}

/// One backup. What is wrong with it is told; that the repository does not answer is an error.
async fn look(
    repository: &Repository,
    backup: BackupRef,
    identity: Option<&Identity>,
    work: &mut Work<'_>,
) -> Result<FoundBackup, Error> {
    let reading = repository.document(backup, Trust::AnyKey);
    let signed = match work.watched(NoWatch, reading).await? {
        Ok(signed) => signed,
        Err(error @ provado_repository::Error::Backend { .. }) => return Err(error.into()),
        Err(error) => {
            return Ok(FoundBackup {
                backup_id: backup.backup_id.to_string(),
                instance_id: backup.instance_id.to_string(),
                message: error.to_string(),
                ..FoundBackup::default()
            });
        }
    };
    let mut found = told(&signed, &*work.signer())?;
    let reading = repository.countersignature(&signed, Trust::AnyKey);
    match work.watched(NoWatch, reading).await? {
        Ok(Some((_, key))) => found.countersigner_public_key = key.0.to_vec(),
        Ok(None) => {}
        Err(error) => work.warn(format!(
            "the controller's word on backup {} cannot be read: {error}",
            backup.backup_id
        )),
    }
    if let Some(identity) = identity {
        found.contents = contents(repository, backup, identity, work).await?;
    }
    Ok(found)
}

/// What the manifest tells; nothing where the identity does not open it, or it is damaged.
async fn contents(
    repository: &Repository,
    backup: BackupRef,
    identity: &Identity,
    work: &mut Work<'_>,
) -> Result<Option<FoundContents>, Error> {
    let options = ReadOptions {
        trust: Trust::AnyKey,
        threads: work.context.config.backup_threads,
        spool: work.spool()?,
        cancel: work.context.cancel.clone(),
    };
    let reading = repository.read_backup(backup, identity, options);
    match work.watched(NoWatch, reading).await? {
        Ok(reader) => Ok(Some(contents_of(&reader))),
        Err(error @ provado_repository::Error::Backend { .. }) => Err(error.into()),
        Err(error) => {
            work.warn(format!(
                "the manifest of backup {} cannot be read: {error}",
                backup.backup_id
            ));
            Ok(None)
        }
    }
}

fn contents_of(reader: &BackupReader) -> FoundContents {
    let header = reader.header();
    let source = header.source.clone().unwrap_or_default();
    let count = |kind: EntryKind| {
        let entries = reader.entries().iter();
        wire(entries.filter(|entry| entry.head.kind() == kind).count() as u64)
    };
    let dumped_by = header.tools.iter().find(|it| it.tool_name == "pg_dump");
    FoundContents {
        system_identifier: source.system_identifier,
        database_name: source.database_name,
        database_oid: i64::from(source.database_oid),
        tool_version: dumped_by.map(|it| it.version.clone()).unwrap_or_default(),
        opaque: count(EntryKind::OpaqueArchive) > 0,
        table_count: count(EntryKind::TableData),
        row_count: wire(reader.trailer().row_count),
        large_object_count: count(EntryKind::LargeObject),
        selection: Some(Selection {
            scope: header.scope,
            table_patterns: header.table_patterns.clone(),
        }),
        labels: header.labels.clone(),
    }
}

/// What the document tells. One of this agent's own is vouched for once more, as in the report
/// that the controller has lost.
fn told(found: &SignedDocument, signer: &dyn Signer) -> Result<FoundBackup, Error> {
    let document = &found.document;
    let description_signature = if found.signer == signer.public_key() {
        let message = statement::description(document.backup_id, &found.sha256);
        let signature = signer.sign(&message);
        signature
            .map_err(|error| Error::internal("a description was not signed").caused_by(error))?
            .to_vec()
    } else {
        Vec::new()
    };
    Ok(FoundBackup {
        backup_id: document.backup_id.to_string(),
        instance_id: document.instance_id.to_string(),
        description_sha256: found.sha256.to_vec(),
        signer_public_key: found.signer.0.to_vec(),
        description_signature,
        run_id: document.run_id.to_string(),
        attempt_id: document.attempt_id.to_string(),
        agent_id: document.agent_id.to_string(),
        parent_backup_id: document
            .parent_backup_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        start_time: Some(super::wire_time(document.start_time)),
        consistent_time: Some(super::wire_time(document.snapshot_time)),
        end_time: Some(super::wire_time(document.end_time)),
        server_version_number: document.server_version_number,
        recipients: document.recipients.clone(),
        plain_bytes: wire(document.plain_bytes),
        stored_bytes: wire(document.stored_bytes),
        added_bytes: wire(document.new_bytes),
        segment_count: wire(document.segment_count),
        packs: packs(document)?,
        manifest_sha256: digest(&document.manifest.sha256)?,
        ..FoundBackup::default()
    })
}

fn packs(document: &BackupDocument) -> Result<Vec<PackFact>, Error> {
    let packs = document.packs.iter().map(|pack| {
        Ok(PackFact {
            pack_id: pack.pack_id.to_string(),
            pack_sha256: digest(&pack.sha256)?,
            stored_bytes: wire(pack.bytes),
            referred_bytes: wire(pack.referenced_bytes),
        })
    });
    packs.collect()
}

fn digest(text: &str) -> Result<Vec<u8>, Error> {
    data_encoding::HEXLOWER
        .decode(text.as_bytes())
        .map_err(|_| Error::new(Reason::CheckFoundDamage, "a digest of a document is no hex"))
}

fn wire(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
