//! Writes a manifest into a spool, record by record, compressed and encrypted on the way.

use super::{EntryHead, EntryTail, ManifestHeader, ManifestTrailer, Section, SegmentPlace};
use crate::error::{Error, Result};
use crate::keys::{Recipient, codec, encryptor};
use crate::limits::{RECORD_BYTES_MAX, RUN_SEGMENTS_MAX, SECTION_BYTES_MAX};
use crate::spool::{Spool, SpoolPlace};
use age::stream::StreamWriter;
use prost::Message as _;
use provado_proto::repository::v1::manifest_record::Record;
use provado_proto::repository::v1::{ManifestRecord, SegmentRun};
use std::io::Write as _;

/// Level of compression of what is not content.
const LEVEL: i32 = 3;

/// Bytes on their way through zstd and age into a spool.
pub(crate) struct SealedWriter {
    inner: zstd::stream::write::Encoder<'static, StreamWriter<Spool>>,
    doing: &'static str,
}

impl SealedWriter {
    pub(crate) fn new(
        place: SpoolPlace,
        recipients: &[Recipient],
        doing: &'static str,
    ) -> Result<Self> {
        let failed = |e| codec(doing, e);
        let sealed = encryptor(recipients)?
            .wrap_output(Spool::new(place))
            .map_err(failed)?;
        let inner = zstd::stream::write::Encoder::new(sealed, LEVEL).map_err(failed)?;
        Ok(Self { inner, doing })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.inner
            .write_all(bytes)
            .map_err(|e| codec(self.doing, e))
    }

    pub(crate) fn finish(self) -> Result<Spool> {
        self.inner
            .finish()
            .and_then(StreamWriter::finish)
            .map_err(|e| codec(self.doing, e))
    }
}

/// Writes records in the order they are given; the order itself is kept by the writer above.
pub(crate) struct ManifestWriter {
    out: SealedWriter,
    buffer: Vec<u8>,
    run: Vec<SegmentPlace>,
    section_count: u64,
}

impl ManifestWriter {
    pub(crate) fn new(place: SpoolPlace, recipients: &[Recipient]) -> Result<Self> {
        Ok(Self {
            out: SealedWriter::new(place, recipients, "writing the manifest")?,
            buffer: Vec::new(),
            run: Vec::new(),
            section_count: 0,
        })
    }

    pub(crate) fn header(&mut self, header: ManifestHeader) -> Result<()> {
        self.record(Record::Header(header))
    }

    pub(crate) fn entry_head(&mut self, head: EntryHead) -> Result<()> {
        self.record(Record::EntryHead(head))
    }

    pub(crate) fn segment(&mut self, segment: SegmentPlace) -> Result<()> {
        self.run.push(segment);
        if self.run.len() >= RUN_SEGMENTS_MAX {
            self.flush_run()?;
        }
        Ok(())
    }

    pub(crate) fn entry_tail(&mut self, tail: EntryTail) -> Result<()> {
        self.flush_run()?;
        self.record(Record::EntryTail(tail))
    }

    /// Writes a section, cut into records where its content is text; lists come cut already.
    pub(crate) fn section(&mut self, section: Section) -> Result<()> {
        if section.message_type.is_empty() && section.content.len() > SECTION_BYTES_MAX {
            for part in section.content.chunks(SECTION_BYTES_MAX) {
                self.section(Section {
                    section_name: section.section_name.clone(),
                    message_type: String::new(),
                    content: part.to_vec(),
                })?;
            }
            return Ok(());
        }
        self.section_count += 1;
        self.record(Record::Section(section))
    }

    pub(crate) fn finish(mut self, mut trailer: ManifestTrailer) -> Result<Spool> {
        trailer.section_count = self.section_count;
        self.record(Record::Trailer(trailer))?;
        self.out.finish()
    }

    fn flush_run(&mut self) -> Result<()> {
        if self.run.is_empty() {
            return Ok(());
        }
        let segments = std::mem::take(&mut self.run);
        self.record(Record::SegmentRun(SegmentRun { segments }))
    }

    fn record(&mut self, record: Record) -> Result<()> {
        self.buffer.clear();
        ManifestRecord {
            record: Some(record),
        }
        .encode_length_delimited(&mut self.buffer)
        .map_err(|e| codec("writing the manifest", std::io::Error::other(e)))?;
        if self.buffer.len() > RECORD_BYTES_MAX {
            return Err(Error::Limit {
                what: "the length of a record of the manifest",
                found: self.buffer.len() as u64,
                limit: RECORD_BYTES_MAX as u64,
            });
        }
        self.out.write(&self.buffer)
    }
}
