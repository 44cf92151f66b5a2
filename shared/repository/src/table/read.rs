//! Reads a table: one record by its id, or all in order.

use super::{HEADER_BYTES, MAGIC, PACK_BYTES, RECORD_BYTES, Record, TablePack, VERSION, field};
use crate::error::{Error, Result};
use crate::keys::SegmentId;
use crate::limits::PACKS_MAX;
use crate::spool::Spool;
use provado_model::id::BackupId;
use std::io::{BufReader, Read as _};
use uuid::Uuid;

/// A backup's table of segments. Its bytes are in memory if they are few, else in a spool file.
#[derive(Debug)]
pub struct SegmentTable {
    spool: Spool,
    object: String,
    backup_id: BackupId,
    packs: Vec<TablePack>,
    record_count: u64,
    records_start: u64,
}

impl SegmentTable {
    /// Checks the form of a table; `object` names it in errors. That the bytes are those that
    /// were written is for the caller to see from their SHA-256.
    pub(crate) fn open(spool: Spool, object: &str) -> Result<Self> {
        let damaged = |what: &str| Error::damaged(object, what);
        let mut header = [0; HEADER_BYTES];
        if spool.length() < HEADER_BYTES as u64 {
            return Err(damaged("it is shorter than its header"));
        }
        spool.read_exact_at(&mut header, 0)?;
        let number = |at| field(&header, at).map_or(0, u32::from_le_bytes);
        if field::<8>(&header, 0) != Some(MAGIC) {
            return Err(damaged("it is not a table of segments"));
        }
        if number(8) > VERSION {
            return Err(Error::TooNew {
                object: object.to_owned(),
                found: u64::from(number(8)),
                known: u64::from(VERSION),
            });
        }
        let record_count = field(&header, 16).map_or(0, u64::from_le_bytes);
        let pack_count = usize::try_from(number(24)).unwrap_or(usize::MAX);
        let records_start = HEADER_BYTES as u64 + (pack_count as u64) * PACK_BYTES as u64;
        let expected = record_count
            .checked_mul(RECORD_BYTES as u64)
            .and_then(|bytes| bytes.checked_add(records_start));
        let sizes_fit = number(12) == u32::try_from(RECORD_BYTES).unwrap_or(0)
            && pack_count <= PACKS_MAX
            && number(28) == 0
            && expected == Some(spool.length());
        if !sizes_fit {
            return Err(damaged("its length is not what its header says"));
        }
        let mut packs = Vec::with_capacity(pack_count);
        for index in 0..pack_count {
            let mut bytes = [0; PACK_BYTES];
            spool.read_exact_at(&mut bytes, (HEADER_BYTES + index * PACK_BYTES) as u64)?;
            packs.push(TablePack::from_bytes(&bytes).ok_or_else(|| damaged("a pack of it"))?);
        }
        let id = field(&header, 32).unwrap_or_default();
        Ok(Self {
            spool,
            object: object.to_owned(),
            backup_id: BackupId::from_uuid(Uuid::from_bytes(id)),
            packs,
            record_count,
            records_start,
        })
    }

    /// Whose table it is.
    pub fn backup_id(&self) -> BackupId {
        self.backup_id
    }

    /// The packs, in the order of their positions.
    pub fn packs(&self) -> &[TablePack] {
        &self.packs
    }

    /// How many records there are.
    pub fn record_count(&self) -> u64 {
        self.record_count
    }

    /// The first record of this id.
    pub fn find(&self, id: &SegmentId) -> Result<Option<Record>> {
        let (mut low, mut high) = (0, self.record_count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.record(middle)?.id < *id {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if low == self.record_count {
            return Ok(None);
        }
        let record = self.record(low)?;
        Ok((record.id == *id).then_some(record))
    }

    /// Hands every record to `take`, in the order of the table.
    pub fn for_each(&self, mut take: impl FnMut(&Record) -> Result<()>) -> Result<()> {
        let bytes = self.record_count * RECORD_BYTES as u64;
        let mut reader =
            BufReader::with_capacity(1 << 16, self.spool.reader_of(self.records_start, bytes));
        for _ in 0..self.record_count {
            let mut bytes = [0; RECORD_BYTES];
            reader
                .read_exact(&mut bytes)
                .map_err(|source| Error::Spool {
                    doing: "reading segment records",
                    source,
                })?;
            take(&self.checked(&bytes)?)?;
        }
        Ok(())
    }

    /// Stored bytes the backup refers to in each pack, in the order of the packs.
    pub fn referenced_bytes(&self) -> Result<Vec<u64>> {
        let mut out = vec![0_u64; self.packs.len()];
        self.for_each(|record| {
            let index = usize::try_from(record.pack_index).unwrap_or(usize::MAX);
            if let Some(sum) = out.get_mut(index) {
                *sum += u64::from(record.stored_bytes);
            }
            Ok(())
        })?;
        Ok(out)
    }

    fn record(&self, index: u64) -> Result<Record> {
        let mut bytes = [0; RECORD_BYTES];
        let at = self.records_start + index * RECORD_BYTES as u64;
        self.spool.read_exact_at(&mut bytes, at)?;
        self.checked(&bytes)
    }

    fn checked(&self, bytes: &[u8; RECORD_BYTES]) -> Result<Record> {
        let record = Record::from_bytes(bytes).filter(|record| {
            let pack = usize::try_from(record.pack_index)
                .ok()
                .and_then(|index| self.packs.get(index));
            pack.is_some_and(|pack| record.end_bytes() <= pack.stored_bytes)
        });
        record.ok_or_else(|| Error::damaged(&self.object, "a record points outside its pack"))
    }
}
