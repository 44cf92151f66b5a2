//! Reads a manifest from its spool and checks that it is a whole one.

use super::{
    EntryHead, EntryTail, MANIFEST_VERSION, ManifestHeader, ManifestTrailer, Section, SegmentPlace,
};
use crate::error::{Error, Result};
use crate::keys::{Identity, decrypt_error};
use crate::limits::RECORD_BYTES_MAX;
use crate::spool::Spool;
use age::Decryptor;
use prost::Message as _;
use provado_proto::repository::v1::ManifestRecord;
use provado_proto::repository::v1::manifest_record::Record;
use std::io::{BufReader, Read};

/// Is shown a manifest, record by record. What it does not override it does not want.
pub(crate) trait Visitor {
    fn header(&mut self, _header: ManifestHeader) -> Result<()> {
        Ok(())
    }
    fn entry_head(&mut self, _head: EntryHead) -> Result<()> {
        Ok(())
    }
    fn segment(&mut self, _place: SegmentPlace) -> Result<()> {
        Ok(())
    }
    fn entry_tail(&mut self, _tail: EntryTail) -> Result<()> {
        Ok(())
    }
    fn section(&mut self, _section: Section) -> Result<()> {
        Ok(())
    }
    fn trailer(&mut self, _trailer: ManifestTrailer) -> Result<()> {
        Ok(())
    }
}

/// Walks the records of one manifest.
pub(crate) struct ManifestReader<'a> {
    spool: &'a Spool,
    identity: &'a Identity,
    object: &'a str,
}

impl<'a> ManifestReader<'a> {
    /// A reader; `object` names the manifest in errors.
    pub(crate) fn new(spool: &'a Spool, identity: &'a Identity, object: &'a str) -> Self {
        Self {
            spool,
            identity,
            object,
        }
    }

    /// Shows every record to `visitor`, in order. Fails if the manifest is not whole.
    pub(crate) fn walk(&self, visitor: &mut dyn Visitor) -> Result<()> {
        let source = BufReader::with_capacity(1 << 17, self.spool.reader());
        let plain = Decryptor::new_buffered(source)
            .and_then(|d| d.decrypt(std::iter::once(self.identity.as_age())))
            .map_err(|e| decrypt_error(e, self.object))?;
        let mut reader = zstd::stream::read::Decoder::new(plain)
            .map_err(|_| self.damaged("it does not decompress"))?;
        let mut state = State::new(self.object);
        while let Some(record) = self.next(&mut reader)? {
            state.take(record, visitor)?;
        }
        state.end()
    }

    fn next(&self, reader: &mut impl Read) -> Result<Option<Record>> {
        let Some(length) = self.length(reader)? else {
            return Ok(None);
        };
        if length > RECORD_BYTES_MAX {
            return Err(self.damaged("a record is longer than it may be"));
        }
        let mut bytes = vec![0; length];
        reader
            .read_exact(&mut bytes)
            .map_err(|_| self.damaged("it ends within a record"))?;
        let record =
            ManifestRecord::decode(&*bytes).map_err(|_| self.damaged("a record does not parse"))?;
        match record.record {
            Some(record) => Ok(Some(record)),
            None => Err(self.damaged("a record is of no known kind")),
        }
    }

    /// The varint before a record; `None` at a clean end.
    fn length(&self, reader: &mut impl Read) -> Result<Option<usize>> {
        let mut value = 0_usize;
        for shift in (0..35).step_by(7) {
            let mut byte = [0];
            match reader.read(&mut byte) {
                Ok(0) if shift == 0 => return Ok(None),
                Ok(0) => return Err(self.damaged("it ends within a length")),
                Ok(_) => {}
                Err(_) => return Err(self.damaged("it does not decrypt and decompress")),
            }
            value |= usize::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                return Ok(Some(value));
            }
        }
        Err(self.damaged("a length is longer than it may be"))
    }

    fn damaged(&self, what: &str) -> Error {
        Error::damaged(self.object, what)
    }
}

/// What has been seen so far, against which the next record and the trailer are held.
struct State<'a> {
    object: &'a str,
    header: bool,
    trailer: bool,
    entry: Option<Sums>,
    total: Sums,
    entry_count: u64,
    section_count: u64,
}

#[derive(Default)]
struct Sums {
    segments: u64,
    plain: u64,
    rows: u64,
}

impl<'a> State<'a> {
    fn new(object: &'a str) -> Self {
        Self {
            object,
            header: false,
            trailer: false,
            entry: None,
            total: Sums::default(),
            entry_count: 0,
            section_count: 0,
        }
    }

    fn take(&mut self, record: Record, visitor: &mut dyn Visitor) -> Result<()> {
        let first = !self.header;
        if self.trailer || first != matches!(record, Record::Header(_)) {
            return self.refuse("its records are out of order");
        }
        match record {
            Record::Header(header) => {
                if header.format_version > MANIFEST_VERSION {
                    return Err(Error::TooNew {
                        object: self.object.to_owned(),
                        found: u64::from(header.format_version),
                        known: u64::from(MANIFEST_VERSION),
                    });
                }
                self.header = true;
                visitor.header(header)
            }
            Record::EntryHead(head) => {
                if self.entry.is_some() || head.entry_index != self.entry_count {
                    return self.refuse("its entries are out of order");
                }
                self.entry = Some(Sums::default());
                visitor.entry_head(head)
            }
            Record::SegmentRun(run) => {
                let Some(entry) = &mut self.entry else {
                    return self.refuse("segments stand outside an entry");
                };
                for place in run.segments {
                    entry.segments += 1;
                    entry.plain = entry.plain.saturating_add(u64::from(place.plain_bytes));
                    visitor.segment(place)?;
                }
                Ok(())
            }
            Record::EntryTail(tail) => {
                self.end_entry(&tail)?;
                visitor.entry_tail(tail)
            }
            Record::Section(section) => {
                if self.entry.is_some() {
                    return self.refuse("a section stands within an entry");
                }
                self.section_count += 1;
                visitor.section(section)
            }
            Record::Trailer(trailer) => {
                let fits = self.entry.is_none()
                    && trailer.entry_count == self.entry_count
                    && trailer.section_count == self.section_count
                    && trailer.segment_count == self.total.segments
                    && trailer.plain_bytes == self.total.plain
                    && trailer.row_count == self.total.rows;
                if !fits {
                    return self.refuse("its counts do not fit its records");
                }
                self.trailer = true;
                visitor.trailer(trailer)
            }
        }
    }

    fn end_entry(&mut self, tail: &EntryTail) -> Result<()> {
        let entry = match self.entry.take() {
            Some(entry) if tail.entry_index == self.entry_count => entry,
            _ => return self.refuse("its entries are out of order"),
        };
        if tail.segment_count != entry.segments || tail.byte_count != entry.plain {
            return self.refuse("an entry's counts do not fit its segments");
        }
        self.entry_count += 1;
        self.total.segments += entry.segments;
        self.total.plain = self.total.plain.saturating_add(entry.plain);
        self.total.rows = self.total.rows.saturating_add(tail.row_count);
        Ok(())
    }

    fn end(&self) -> Result<()> {
        if self.trailer {
            return Ok(());
        }
        self.refuse("it ends before its trailer")
    }

    fn refuse(&self, what: &str) -> Result<()> {
        Err(Error::damaged(self.object, what))
    }
}
