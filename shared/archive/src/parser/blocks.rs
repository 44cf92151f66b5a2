//! Which entries await data, which had it, and which is being read. It never sees payload.

use crate::cursor::Int;
use crate::error::ParseError;
use crate::parser::large_objects::LargeObjects;
use crate::parser::{BlockKind, Summary};
use crate::toc::{DumpId, Toc};

/// The bookkeeping of an archive's data blocks against its table of contents.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    toc: Option<Toc>,
    /// Whether data is still to come, for each entry of the table of contents.
    data: Vec<Data>,
    current: Option<DumpId>,
    large_object: Option<u32>,
    large_objects: LargeObjects,
    data_entry_count: u64,
    large_object_count: u64,
    pub(super) payload_byte_count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Data {
    /// The entry has none.
    Never,
    Awaited,
    Seen,
}

impl Blocks {
    pub(super) fn new(toc: Toc) -> Self {
        let data = |had_dumper: bool| {
            if had_dumper {
                Data::Awaited
            } else {
                Data::Never
            }
        };
        let data = toc
            .entries
            .iter()
            .map(|entry| data(entry.had_dumper))
            .collect();
        let large_objects = LargeObjects::new(&toc);
        Self {
            toc: Some(toc),
            data,
            large_objects,
            ..Self::default()
        }
    }

    pub(super) fn toc(&self) -> Result<&Toc, ParseError> {
        self.toc.as_ref().ok_or(ParseError::AlreadyFailed)
    }

    /// A block starts at `offset`; checks it against its entry.
    pub(super) fn start(
        &mut self,
        kind: BlockKind,
        offset: u64,
        id: Int,
    ) -> Result<DumpId, ParseError> {
        let dump_id = if id.negative { 0 } else { id.magnitude };
        let toc = self.toc.as_ref().ok_or(ParseError::AlreadyFailed)?;
        let index = toc.index.get(&dump_id).copied();
        let data = index.and_then(|index| self.data.get_mut(index));
        let (Some(data), Some(entry)) = (data, toc.entry(dump_id)) else {
            return Err(ParseError::UnknownDumpId { dump_id, offset });
        };
        let name = || entry.display_name();
        match data {
            Data::Awaited => *data = Data::Seen,
            Data::Never => {
                return Err(ParseError::UnexpectedData {
                    dump_id,
                    name: name(),
                    offset,
                });
            }
            Data::Seen => {
                return Err(ParseError::DuplicateData {
                    dump_id,
                    name: name(),
                    offset,
                });
            }
        }
        if entry.is_large_objects() != (kind == BlockKind::LargeObjects) {
            let what = format!(
                "a data block of the wrong type for {} {}",
                entry.desc,
                name()
            );
            return Err(ParseError::Malformed { offset, what });
        }
        if entry.data_offset.is_some_and(|recorded| recorded != offset) {
            let what = format!("the data of {} is not where its entry says", name());
            return Err(ParseError::Malformed { offset, what });
        }
        self.current = Some(dump_id);
        Ok(dump_id)
    }

    pub(super) fn end(&mut self) -> Result<DumpId, ParseError> {
        self.data_entry_count += 1;
        self.current.take().ok_or(ParseError::AlreadyFailed)
    }

    /// The contents of a large object start at `offset`; fails unless they are still to come.
    pub(super) fn large_object_start(&mut self, oid: u32, offset: u64) -> Result<(), ParseError> {
        if !self.large_objects.take(oid) {
            return Err(ParseError::UnexpectedLargeObject { oid, offset });
        }
        self.large_object = Some(oid);
        Ok(())
    }

    /// The large object that ends here; None if it is a table's data that does.
    pub(super) fn large_object_end(&mut self) -> Option<u32> {
        let oid = self.large_object.take()?;
        self.large_object_count += 1;
        Some(oid)
    }

    pub(super) fn into_summary(self, byte_count: u64) -> Result<Summary, ParseError> {
        let toc = self.toc.ok_or(ParseError::AlreadyFailed)?;
        let entries = toc.entries.iter().zip(&self.data);
        let missing = entries.filter(|(_, data)| **data == Data::Awaited);
        let names = missing.map(|(entry, _)| entry.display_name());
        let names: Vec<String> = names.chain(self.large_objects.missing()).collect();
        if !names.is_empty() {
            return Err(ParseError::MissingData { names });
        }
        Ok(Summary {
            toc,
            byte_count,
            payload_byte_count: self.payload_byte_count,
            data_entry_count: self.data_entry_count,
            large_object_count: self.large_object_count,
        })
    }
}
