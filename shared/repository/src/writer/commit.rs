//! The end of a backup: table, listing, document and, last, the manifest.

use super::assemble::{Assembler, Pack, Totals};
use super::pipeline::WorkerTimes;
use super::{Busy, ManifestTail, Origin, WriterOptions, WrittenBackup};
use crate::document::{BackupDocument, ObjectDigest, PackDigest};
use crate::error::Result;
use crate::hash::to_hex;
use crate::key::{BackupObject, Key};
use crate::keys::InstanceKey;
use crate::manifest::{
    BackupKind, MANIFEST_VERSION, ManifestHeader, ManifestTrailer, PackReference,
};
use crate::repository::Repository;
use crate::signature::Trust;
use crate::spool::Spool;
use crate::table::TablePack;
use jiff::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Stores what makes the packs, all durable by now, a backup.
pub(super) fn commit(assembler: Assembler, tail: ManifestTail) -> Result<WrittenBackup> {
    let Assembler {
        repository,
        options,
        recipients,
        shared,
        mut storer,
        mut manifest,
        listing,
        table,
        mut packs,
        mut totals,
        store_time,
        ..
    } = assembler;
    let start = options.clock.monotonic();
    let end_time = options.clock.now();
    let parent_warnings = shared.parent.warnings.clone();
    let table_packs: Vec<TablePack> = packs.iter().map(table_pack).collect();
    let (table, referenced) = table.finish(options.backup.backup_id, &table_packs)?;
    count(&referenced, &mut packs, &mut totals);
    let listing = listing.finish()?;
    for section in tail.sections {
        manifest.section(section)?;
    }
    let mut warnings = tail.warnings;
    warnings.extend(parent_warnings.iter().cloned());
    let manifest = manifest.finish(ManifestTrailer {
        end_time: Some(to_proto(end_time)),
        end_lsn: tail.end_lsn,
        warnings,
        ..trailer(&totals, &packs)
    })?;
    let sealed = [&table, &listing, &manifest];
    let document = document(
        &repository,
        &options,
        recipients,
        &packs,
        &totals,
        sealed,
        end_time,
    );
    let document_bytes = document.to_bytes(&*options.signer)?;
    let key = |object| Key::backup(options.backup, object);
    storer.put_spool(key(BackupObject::Segments), &table)?;
    storer.put_spool(key(BackupObject::Listing), &listing)?;
    storer.put_bytes(key(BackupObject::Document), &document_bytes)?;
    storer.are_there(&repository, options.backup.instance_id, &packs)?;
    // INV-COMMIT: only now, and by nothing else, does the backup come to be.
    storer.put_spool(key(BackupObject::Manifest), &manifest)?;
    let object = key(BackupObject::Document);
    let trust = [options.signer.public_key()];
    let document = BackupDocument::from_bytes(
        &document_bytes,
        options.backup,
        Trust::Keys(&trust),
        object.as_str(),
    )?;
    Ok(WrittenBackup {
        document,
        document_bytes,
        new_packs: packs.iter().filter(|p| p.new).map(|p| p.id).collect(),
        new_segment_count: totals.new_segments,
        reused_segment_count: totals.reused_segments,
        warnings: parent_warnings,
        busy: Busy {
            store: options.clock.monotonic().since(start) + store_time,
            ..busy(&shared.times)
        },
    })
}

/// Notes how many bytes of each pack the finished table refers to. What is added up on the way
/// would count a segment again where it was no longer remembered; the table has each once.
fn count(referenced: &[u64], packs: &mut [Pack], totals: &mut Totals) {
    for (pack, bytes) in packs.iter_mut().zip(referenced) {
        pack.referenced = *bytes;
    }
    totals.stored = referenced.iter().sum();
    totals.reused = packs.iter().filter(|p| !p.new).map(|p| p.referenced).sum();
}

fn busy(times: &WorkerTimes) -> Busy {
    Busy {
        hash: nanos(&times.hash),
        compress: nanos(&times.compress),
        encrypt: nanos(&times.encrypt),
        store: Duration::ZERO,
    }
}

/// The header of the manifest: what the caller said of the source, and what is known here.
pub(super) fn header(
    repository: &Repository,
    options: &WriterOptions,
    key: &InstanceKey,
) -> ManifestHeader {
    let Origin {
        run_id,
        attempt_id,
        agent_id,
        fence,
        epoch,
    } = options.origin;
    ManifestHeader {
        format_version: MANIFEST_VERSION,
        repository_id: repository.id().to_string(),
        instance_id: options.backup.instance_id.to_string(),
        backup_id: options.backup.backup_id.to_string(),
        parent_backup_id: options.parent.map(|id| id.to_string()).unwrap_or_default(),
        run_id: run_id.to_string(),
        attempt_id: attempt_id.to_string(),
        agent_id: agent_id.to_string(),
        fence,
        epoch,
        start_time: Some(to_proto(options.start_time)),
        snapshot_time: Some(to_proto(options.snapshot_time)),
        segment_id_key: key.as_bytes().to_vec(),
        ..options.header.clone()
    }
}

/// What the trailer says of entries and packs.
fn trailer(totals: &Totals, packs: &[Pack]) -> ManifestTrailer {
    ManifestTrailer {
        entry_count: totals.entries,
        segment_count: totals.segments,
        plain_bytes: totals.plain,
        row_count: totals.rows,
        packs: packs.iter().map(pack_reference).collect(),
        ..ManifestTrailer::default()
    }
}

fn document(
    repository: &Repository,
    options: &WriterOptions,
    recipients: Vec<String>,
    packs: &[Pack],
    totals: &Totals,
    [table, listing, manifest]: [&Spool; 3],
    end_time: Timestamp,
) -> BackupDocument {
    let Origin {
        run_id,
        attempt_id,
        agent_id,
        fence,
        epoch,
    } = options.origin;
    let packs_bytes: u64 = packs.iter().filter(|p| p.new).map(|p| p.bytes).sum();
    let source = options.header.source.as_ref();
    let digest = |spool: &Spool| ObjectDigest::new(spool.length(), spool.sha256());
    BackupDocument {
        format_version: 1,
        repository_id: repository.id(),
        instance_id: options.backup.instance_id,
        backup_id: options.backup.backup_id,
        parent_backup_id: options.parent,
        run_id,
        attempt_id,
        agent_id,
        fence,
        epoch,
        kind: kind(options.header.kind()).to_owned(),
        start_time: options.start_time,
        snapshot_time: options.snapshot_time,
        end_time,
        server_version_number: source.map_or(0, |source| source.server_version_number),
        recipients,
        entry_count: totals.entries,
        segment_count: totals.segments,
        plain_bytes: totals.plain,
        stored_bytes: totals.stored,
        new_bytes: packs_bytes + table.length() + listing.length() + manifest.length(),
        reused_bytes: totals.reused,
        segments: digest(table),
        listing: digest(listing),
        manifest: digest(manifest),
        packs: packs.iter().map(pack_digest).collect(),
    }
}

fn kind(kind: BackupKind) -> &'static str {
    match kind {
        BackupKind::Physical => "physical",
        BackupKind::Logical | BackupKind::Unspecified => "logical",
    }
}

fn table_pack(pack: &Pack) -> TablePack {
    TablePack {
        pack_id: pack.id,
        stored_bytes: pack.bytes,
    }
}

fn pack_reference(pack: &Pack) -> PackReference {
    PackReference {
        pack_id: pack.id.to_string(),
        stored_bytes: pack.bytes,
        sha256: pack.sha256.to_vec(),
    }
}

fn pack_digest(pack: &Pack) -> PackDigest {
    PackDigest {
        pack_id: pack.id,
        bytes: pack.bytes,
        sha256: to_hex(&pack.sha256),
        referenced_bytes: pack.referenced,
    }
}

fn nanos(total: &AtomicU64) -> Duration {
    Duration::from_nanos(total.load(Ordering::Relaxed))
}

/// An instant in the form of the protocol.
pub(crate) fn to_proto(time: Timestamp) -> prost_types::Timestamp {
    let nanos = time.subsec_nanosecond();
    let second = time.as_second();
    // Before 1970 jiff's fraction is negative, the protocol's never is.
    let (seconds, nanos) = if nanos < 0 {
        (second - 1, nanos + 1_000_000_000)
    } else {
        (second, nanos)
    };
    prost_types::Timestamp { seconds, nanos }
}
