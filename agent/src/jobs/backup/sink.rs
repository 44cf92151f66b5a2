//! Where the parsed archive goes: every entry cut into segments, counted, fingerprinted, and
//! handed to the repository's writer.

use crate::jobs::work::Meter;
use provado_archive::parser::SinkError;
use provado_archive::{
    CutPolicy, DirectoryLayout, DumpId, EntryDigest, SegmentMode, Segmenter, Sink, Toc, Version,
    large_object_list,
};
use provado_repository::manifest::{EntryHead, EntryKind, EntryTail};
use provado_repository::writer::BackupWriter;
use std::collections::HashMap;
use std::sync::Arc;

/// What the archive came to.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub(super) table_count: u64,
    pub(super) row_count: u64,
    pub(super) large_object_count: u64,
    /// Plain bytes given to the writer.
    pub(super) segmented_bytes: u64,
}

/// Writes entries, whether they come from the archive or beside it.
pub(super) struct EntrySink {
    writer: BackupWriter,
    segmenter: Segmenter,
    meter: Arc<Meter>,
    heads: HashMap<DumpId, EntryHead>,
    /// Bytes of the entry at hand.
    entry_bytes: u64,
    /// Bytes not yet counted where others look.
    unreported_bytes: u64,
    /// The archive's, once its table of contents is there.
    version: Option<Version>,
    /// Large objects of the `BLOBS` entry at hand.
    large_objects: Option<(DumpId, Vec<u32>)>,
    pub(super) counts: Counts,
    /// The repository's error, which the parser passes on without knowing it.
    failure: Option<provado_repository::Error>,
}

/// The writer refused; the cause is in [`EntrySink::take_failure`].
#[derive(Debug, thiserror::Error)]
#[error("the repository's writer failed")]
struct WriterFailed;

impl EntrySink {
    pub(super) fn new(writer: BackupWriter, seed: u64, meter: Arc<Meter>) -> Self {
        Self {
            writer,
            segmenter: Segmenter::new(seed, CutPolicy::default()),
            meter,
            heads: HashMap::new(),
            entry_bytes: 0,
            unreported_bytes: 0,
            version: None,
            large_objects: None,
            counts: Counts::default(),
            failure: None,
        }
    }

    /// The repository's error, where it was one that ended the parsing.
    pub(super) fn take_failure(&mut self) -> Option<provado_repository::Error> {
        self.failure.take()
    }

    /// The writer, to finish the backup.
    pub(super) fn into_writer(self) -> BackupWriter {
        self.writer
    }

    /// Starts an entry.
    pub(super) fn begin(&mut self, head: EntryHead, mode: SegmentMode) -> Result<(), SinkError> {
        self.entry_bytes = 0;
        self.segmenter.begin(mode);
        if let Err(error) = self.writer.begin_entry(head) {
            return Err(self.failed(error));
        }
        Ok(())
    }

    /// Adds to the entry. Called for every row of a dump, so it does little.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        let (writer, failure) = (&mut self.writer, &mut self.failure);
        let mut has_emitted = false;
        self.segmenter.push(bytes, |segment| {
            has_emitted = true;
            writer.segment(segment).map_err(|error| {
                *failure = Some(error);
                SinkError::from(WriterFailed)
            })
        })?;
        self.entry_bytes += bytes.len() as u64;
        self.unreported_bytes += bytes.len() as u64;
        if has_emitted {
            if let Some(buffer) = self.writer.recycle() {
                self.segmenter.recycle(buffer);
            }
            self.report();
        }
        Ok(())
    }

    /// A sign of life: bytes came in, even if they fill no segment yet.
    pub(super) fn alive(&self) {
        self.meter.beat();
    }

    /// Tells how far it is; not for every row.
    fn report(&mut self) {
        let bytes = std::mem::take(&mut self.unreported_bytes);
        self.counts.segmented_bytes += bytes;
        self.meter.bytes(bytes);
    }

    /// Ends the entry and returns its rows.
    pub(super) fn end(&mut self) -> Result<u64, SinkError> {
        self.report();
        let (writer, failure) = (&mut self.writer, &mut self.failure);
        let digest = self.segmenter.finish(|segment| {
            writer.segment(segment).map_err(|error| {
                *failure = Some(error);
                SinkError::from(WriterFailed)
            })
        })?;
        let (row_count, fingerprint) = match digest {
            EntryDigest::Rows(digest) => (digest.row_count, digest.fingerprint),
            EntryDigest::Opaque(digest) => (0, digest.fingerprint),
        };
        let tail = EntryTail {
            row_count,
            byte_count: self.entry_bytes,
            fingerprint: fingerprint.to_vec(),
            ..EntryTail::default()
        };
        if let Err(error) = self.writer.end_entry(tail) {
            return Err(self.failed(error));
        }
        Ok(row_count)
    }

    /// A whole entry that is no rows.
    pub(super) fn whole(&mut self, head: EntryHead, content: &[u8]) -> Result<(), SinkError> {
        self.begin(head, SegmentMode::Opaque)?;
        self.push(content)?;
        self.end().map(drop)
    }

    fn failed(&mut self, error: provado_repository::Error) -> SinkError {
        self.failure = Some(error);
        WriterFailed.into()
    }
}

impl Sink for EntrySink {
    fn toc(&mut self, archive: &Toc) -> Result<(), SinkError> {
        let head = EntryHead {
            kind: EntryKind::ArchiveToc.into(),
            entry_name: "table of contents".to_owned(),
            archive_file_name: "toc.dat".to_owned(),
            ..EntryHead::default()
        };
        self.heads = archive
            .entries
            .iter()
            .filter(|entry| entry.had_dumper && !entry.is_large_objects())
            .map(|entry| (entry.dump_id, data_head(entry)))
            .collect();
        self.version = Some(archive.version);
        // What is stored is a directory archive, so that pg_restore takes it without us.
        let layout = DirectoryLayout::from_toc(archive, &[])?;
        self.whole(head, &layout.toc_dat)
    }

    fn entry_start(&mut self, dump_id: DumpId) -> Result<(), SinkError> {
        let Some(head) = self.heads.remove(&dump_id) else {
            self.large_objects = Some((dump_id, Vec::new()));
            return Ok(());
        };
        self.meter.item(&head.entry_name);
        let mode = if head.kind() == EntryKind::TableData {
            SegmentMode::Rows
        } else {
            SegmentMode::Opaque
        };
        self.begin(head, mode)
    }

    fn data(&mut self, payload: &[u8]) -> Result<(), SinkError> {
        self.push(payload)
    }

    fn entry_end(&mut self, dump_id: DumpId) -> Result<(), SinkError> {
        let Some((_, oids)) = self.large_objects.take() else {
            let rows = self.end()?;
            self.counts.table_count += 1;
            self.counts.row_count += rows;
            self.meter.one();
            return Ok(());
        };
        let version = self.version.ok_or("data before the table of contents")?;
        let (name, contents) = large_object_list(version, dump_id, &oids);
        let head = EntryHead {
            kind: EntryKind::LargeObjectList.into(),
            entry_name: "large objects".to_owned(),
            dump_id,
            archive_file_name: name,
            ..EntryHead::default()
        };
        self.whole(head, &contents)
    }

    fn large_object_start(&mut self, oid: u32) -> Result<(), SinkError> {
        let dump_id = match &mut self.large_objects {
            Some((dump_id, oids)) => {
                oids.push(oid);
                *dump_id
            }
            None => 0,
        };
        let head = EntryHead {
            kind: EntryKind::LargeObject.into(),
            entry_name: oid.to_string(),
            dump_id,
            oid,
            archive_file_name: format!("blob_{oid}.dat"),
            ..EntryHead::default()
        };
        self.begin(head, SegmentMode::Opaque)
    }

    fn large_object_end(&mut self, _oid: u32) -> Result<(), SinkError> {
        self.end()?;
        self.counts.large_object_count += 1;
        self.meter.one();
        Ok(())
    }
}

/// The head of an entry with data. COPY text is told by its statement; what has none is kept as
/// it is.
fn data_head(entry: &provado_archive::TocEntry) -> EntryHead {
    let is_rows = entry.is_table_data() && entry.copy_stmt.is_some();
    let kind = if is_rows {
        EntryKind::TableData
    } else {
        EntryKind::OtherData
    };
    let columns = entry.copy_target().and_then(|target| target.columns);
    EntryHead {
        kind: kind.into(),
        entry_name: entry.display_name(),
        dump_id: entry.dump_id,
        schema_name: entry.namespace.clone().unwrap_or_default(),
        table_name: entry.tag.clone(),
        column_names: columns.into_iter().collect(),
        oid: entry.oid,
        archive_file_name: format!("{}.dat", entry.dump_id),
        ..EntryHead::default()
    }
}
