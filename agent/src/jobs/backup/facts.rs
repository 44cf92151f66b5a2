//! What goes into the manifest's header, into `pg_dump`'s arguments, and into the outcome.

use super::choice::Choice;
use super::dump::Archive;
use super::snapshot::Snapshot;
use super::{LOCK_WAIT_MILLIS, Ready};
use crate::jobs::place;
use crate::jobs::work::Work;
use crate::postgres::connection::TEXT_SETTINGS;
use crate::postgres::tools::{Invocation, Output};
use provado_model::{Error, Reason, statement};
use provado_proto::agent::v1::{BackupEvidence, BackupJob, BackupOutcome, PackFact};
use provado_proto::common::v1::Scope;
use provado_repository::manifest::{BackupKind, ManifestHeader, Source, Tool};
use provado_repository::writer::{Origin, WriterOptions, WrittenBackup};
use provado_repository::{Recipient, SegmentKey};
use std::sync::Arc;

/// Names the fingerprints of tables: see `provado_archive::rows`.
pub(in crate::jobs) const FINGERPRINT_ALGORITHM: &str = "rows-xxh3-128-v1";

/// `pg_dump` with every option as a word of its own; the database goes by the environment.
pub(super) fn invocation(
    job: &BackupJob,
    ready: &Ready,
    snapshot: &Snapshot,
    choice: Option<&Choice>,
    work: &Work<'_>,
) -> Result<Invocation, Error> {
    let millis = lock_wait_millis(job);
    let environment = ready.reached.address.child_environment(
        &job.database_name,
        &work.hands.application_name,
        TEXT_SETTINGS,
    );
    let mut invocation = Invocation::new(ready.tools.program("pg_dump"))
        .argument("--format=custom")
        .argument("--compress=0")
        .argument("--no-password")
        .argument("--no-sync")
        .argument(format!("--snapshot={}", snapshot.name))
        .argument(format!("--lock-wait-timeout={millis}"))
        .environment(environment);
    let selection = job.selection.clone().unwrap_or_default();
    match selection.scope() {
        Scope::Unspecified | Scope::Everything => {}
        Scope::SchemaOnly => invocation = invocation.argument("--schema-only"),
        Scope::DataOnly => invocation = invocation.argument("--data-only"),
    }
    if let Some(choice) = choice {
        for argument in choice.arguments(&snapshot.encoding)? {
            invocation = invocation.argument(argument);
        }
    }
    invocation.output = Output::Pipe;
    Ok(invocation)
}

/// Milliseconds that the inventory and `pg_dump` wait for one lock.
pub(super) fn lock_wait_millis(job: &BackupJob) -> u64 {
    job.lock_wait_timeout
        .and_then(|d| u64::try_from(d.seconds * 1000 + i64::from(d.nanos) / 1_000_000).ok())
        .filter(|millis| *millis > 0)
        .unwrap_or(LOCK_WAIT_MILLIS)
}

/// How the backup is written.
pub(super) fn writer_options(
    job: &BackupJob,
    ready: &Ready,
    snapshot: &Snapshot,
    work: &Work<'_>,
) -> Result<WriterOptions, Error> {
    let context = work.context;
    let target = place::repository_of(job.repository.as_ref())?;
    let recipients = target
        .recipients
        .iter()
        .map(|text| text.parse::<Recipient>())
        .collect::<Result<Vec<_>, _>>()?;
    if recipients.is_empty() {
        return Err(Error::new(
            Reason::EncryptionKeyMissing,
            "the job names no recipient to encrypt to; declare the repository with at least one",
        ));
    }
    // The same for every backup of an instance in a repository, so that equal rows are cut and
    // fingerprinted equally; derived from a secret, so that it tells nothing.
    let key = SegmentKey::from_hex(&target.segment_key)?.instance_key(ready.backup.instance_id);
    let id = key.segment_id(b"provado fingerprint seed v1");
    let seed =
        id.0.first_chunk::<8>()
            .map_or(0, |b| u64::from_le_bytes(*b));
    let level = match job.compression_level {
        0 => WriterOptions::COMPRESSION_LEVEL,
        level => level,
    };
    Ok(WriterOptions {
        backup: ready.backup,
        parent: ready.parent,
        origin: Origin {
            run_id: context.name.run,
            attempt_id: context.name.attempt,
            agent_id: context.agent,
            fence: u64::try_from(context.name.fence).unwrap_or(0),
            epoch: context.epoch,
        },
        start_time: context.clock.now(),
        snapshot_time: snapshot.time,
        header: header(job, ready, snapshot, seed),
        recipients: Some(recipients),
        compression_level: level,
        threads: context.config.backup_threads,
        pack_bytes_target: WriterOptions::PACK_BYTES_TARGET,
        copy_forward_percent: WriterOptions::COPY_FORWARD_PERCENT,
        own_segments_max: WriterOptions::OWN_SEGMENTS_MAX,
        avoid_packs: Vec::new(),
        signer: work.signer(),
        spool: work.spool()?,
        clock: Arc::clone(&context.clock),
        entropy: Arc::clone(&context.entropy),
        cancel: context.cancel.clone(),
    })
}

fn header(job: &BackupJob, ready: &Ready, snapshot: &Snapshot, seed: u64) -> ManifestHeader {
    let database = snapshot.inventory.database.clone().unwrap_or_default();
    let selection = job.selection.clone().unwrap_or_default();
    let instance = job.instance.clone().unwrap_or_default();
    let tool = |name: &str, version: String| Tool {
        tool_name: name.to_owned(),
        version,
    };
    let mut settings: std::collections::BTreeMap<String, String> = TEXT_SETTINGS
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    settings.insert("client_encoding".to_owned(), snapshot.encoding.clone());
    let scope = match selection.scope() {
        Scope::Unspecified | Scope::Everything => Scope::Everything,
        other => other,
    };
    ManifestHeader {
        kind: BackupKind::Logical.into(),
        source: Some(Source {
            system_identifier: ready.reached.identifier.clone(),
            server_version: snapshot.server_version.clone(),
            server_version_number: version_number(ready),
            instance_name: instance.instance_name,
            database_oid: database.oid,
            database_name: job.database_name.clone(),
            host_name: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            in_recovery: snapshot.in_recovery,
        }),
        tools: vec![
            tool("pg_dump", ready.tools.version.to_string()),
            tool("provado-agent", env!("CARGO_PKG_VERSION").to_owned()),
        ],
        scope: scope.into(),
        table_patterns: selection.table_patterns,
        labels: job.labels.clone(),
        fingerprint_seed: seed,
        fingerprint_algorithm: FINGERPRINT_ALGORITHM.to_owned(),
        session_settings: settings,
        ..ManifestHeader::default()
    }
}

fn version_number(ready: &Ready) -> i32 {
    i32::try_from(ready.reached.version_number).unwrap_or(0)
}

/// The outcome's facts: what exists, and what shows that it is whole.
pub(super) fn outcome(
    job: &BackupJob,
    ready: &Ready,
    snapshot: &Snapshot,
    written: &WrittenBackup,
    archive: &Archive,
    work: &Work<'_>,
) -> Result<BackupOutcome, Error> {
    let document = &written.document.document;
    let backup_id = ready.backup.backup_id;
    let message = statement::description(backup_id, &written.document.sha256);
    let signature = work
        .signer()
        .sign(&message)
        .map_err(|error| Error::internal("the description was not signed").caused_by(error))?;
    let wire = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let packs = document.packs.iter().map(|pack| {
        Ok(PackFact {
            pack_id: pack.pack_id.to_string(),
            pack_sha256: hex(&pack.sha256)?,
            stored_bytes: wire(pack.bytes),
            referred_bytes: wire(pack.referenced_bytes),
        })
    });
    Ok(BackupOutcome {
        backup_id: backup_id.to_string(),
        evidence: Some(BackupEvidence {
            tools: work.tool_exits(),
            produced_bytes: wire(archive.produced_bytes),
            parsed_bytes: wire(archive.parsed_bytes),
            segmented_bytes: wire(archive.counts.segmented_bytes),
            manifest_bytes: wire(document.plain_bytes),
            written_bytes: wire(ready.counts.written_bytes()),
            read_back_bytes: wire(ready.counts.read_bytes()),
            archive_complete: archive.version.is_some(),
            opaque: archive.version.is_none(),
            read_back_equal: ready.counts.all_equal(),
        }),
        consistent_time: Some(crate::jobs::wire_time(snapshot.time)),
        server_version_number: version_number(ready),
        tool_version: ready.tools.version.to_string(),
        archive_version: archive.version.clone().unwrap_or_default(),
        plain_bytes: wire(document.plain_bytes),
        stored_bytes: wire(document.stored_bytes),
        added_bytes: wire(document.new_bytes),
        segment_count: wire(document.segment_count),
        reused_segment_count: wire(written.reused_segment_count),
        table_count: wire(archive.counts.table_count),
        row_count: wire(archive.counts.row_count),
        large_object_count: wire(archive.counts.large_object_count),
        packs: packs.collect::<Result<_, Error>>()?,
        manifest_sha256: hex(&document.manifest.sha256)?,
        description_sha256: written.document.sha256.to_vec(),
        description_signature: signature.to_vec(),
        parent_backup_id: document
            .parent_backup_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        recipients: document.recipients.clone(),
        selection: Some(job.selection.clone().unwrap_or_default()),
    })
}

fn hex(text: &str) -> Result<Vec<u8>, Error> {
    data_encoding::HEXLOWER
        .decode(text.as_bytes())
        .map_err(|_| Error::internal("a digest of the backup's document is no hex"))
}
