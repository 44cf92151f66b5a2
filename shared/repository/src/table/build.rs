//! Sorts the records of a backup with bounded memory and writes its table.

use super::{HEADER_BYTES, MAGIC, RECORD_BYTES, Record, TablePack, VERSION, put};
use crate::error::{Error, Result};
use crate::limits::SORT_RECORDS_MAX;
use crate::spool::{Spool, SpoolPlace, SpoolReader};
use provado_model::id::BackupId;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufReader, Read as _, Write as _};

/// Bytes read ahead from each sorted run while they are merged.
const MERGE_BUFFER_BYTES: usize = 16 << 10;

/// Takes records in any order; equal ones are kept once.
pub(crate) struct TableBuilder {
    place: SpoolPlace,
    pending: Vec<Record>,
    pending_max: usize,
    runs: Spool,
    run_lengths: Vec<u64>,
}

impl TableBuilder {
    pub(crate) fn new(place: SpoolPlace) -> Self {
        Self::with_memory(place, SORT_RECORDS_MAX)
    }

    /// As [`TableBuilder::new`], sorting at most `pending_max` records in memory.
    pub(crate) fn with_memory(place: SpoolPlace, pending_max: usize) -> Self {
        Self {
            runs: Spool::with_memory(place.clone(), 0),
            place,
            pending: Vec::new(),
            pending_max: pending_max.max(1),
            run_lengths: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, record: Record) -> Result<()> {
        self.pending.push(record);
        if self.pending.len() >= self.pending_max {
            self.spill()?;
        }
        Ok(())
    }

    /// Writes the table of `backup`, whose packs are `packs` in the order of their positions, and
    /// tells how many stored bytes of each it refers to.
    pub(crate) fn finish(
        mut self,
        backup: BackupId,
        packs: &[TablePack],
    ) -> Result<(Spool, Vec<u64>)> {
        // The number of records stands at the front, so they are merged once to count them. Both
        // passes read the same spool, and a table is 56 bytes a segment.
        if !self.run_lengths.is_empty() {
            self.spill()?;
        }
        self.sort_pending();
        let mut count = 0_u64;
        let mut referenced = vec![0_u64; packs.len()];
        self.merge(|record| {
            count += 1;
            let index = usize::try_from(record.pack_index).unwrap_or(usize::MAX);
            let bytes = referenced
                .get_mut(index)
                .ok_or(Error::Misuse("a segment record is in no pack"))?;
            *bytes = bytes.saturating_add(u64::from(record.stored_bytes));
            Ok(())
        })?;
        let mut out = Spool::new(self.place.clone());
        let mut header = [0; HEADER_BYTES];
        put(&mut header, 0, &MAGIC);
        put(&mut header, 8, &VERSION.to_le_bytes());
        let record_bytes = u32::try_from(RECORD_BYTES).unwrap_or(u32::MAX);
        put(&mut header, 12, &record_bytes.to_le_bytes());
        put(&mut header, 16, &count.to_le_bytes());
        let pack_count = u32::try_from(packs.len()).unwrap_or(u32::MAX);
        put(&mut header, 24, &pack_count.to_le_bytes());
        put(&mut header, 32, backup.uuid().as_bytes());
        let mut buffer = std::io::BufWriter::with_capacity(1 << 16, &mut out);
        buffer.write_all(&header).map_err(writing)?;
        for pack in packs {
            buffer.write_all(&pack.to_bytes()).map_err(writing)?;
        }
        self.merge(|record| buffer.write_all(&record.to_bytes()).map_err(writing))?;
        buffer.flush().map_err(writing)?;
        drop(buffer);
        Ok((out, referenced))
    }

    fn sort_pending(&mut self) {
        self.pending.sort_unstable();
        self.pending.dedup();
    }

    fn spill(&mut self) -> Result<()> {
        self.sort_pending();
        for record in &self.pending {
            self.runs.write_all(&record.to_bytes()).map_err(writing)?;
        }
        if !self.pending.is_empty() {
            self.run_lengths.push(self.pending.len() as u64);
            self.pending.clear();
        }
        Ok(())
    }

    /// Hands every record to `take`, in order, each once.
    fn merge(&self, mut take: impl FnMut(&Record) -> Result<()>) -> Result<()> {
        if self.run_lengths.is_empty() {
            return self.pending.iter().try_for_each(take);
        }
        let mut readers = Vec::new();
        let mut start = 0;
        for length in &self.run_lengths {
            let bytes = length * RECORD_BYTES as u64;
            let reader = self.runs.reader_of(start, bytes);
            readers.push((
                BufReader::with_capacity(MERGE_BUFFER_BYTES, reader),
                *length,
            ));
            start += bytes;
        }
        let mut heap = BinaryHeap::new();
        for (index, run) in readers.iter_mut().enumerate() {
            if let Some(record) = next(run)? {
                heap.push(Reverse((record, index)));
            }
        }
        let mut last = None;
        while let Some(Reverse((record, index))) = heap.pop() {
            if last != Some(record) {
                take(&record)?;
                last = Some(record);
            }
            if let Some(run) = readers.get_mut(index)
                && let Some(record) = next(run)?
            {
                heap.push(Reverse((record, index)));
            }
        }
        Ok(())
    }
}

fn next(run: &mut (BufReader<SpoolReader<'_>>, u64)) -> Result<Option<Record>> {
    let (reader, left) = run;
    if *left == 0 {
        return Ok(None);
    }
    *left -= 1;
    let mut bytes = [0; RECORD_BYTES];
    reader
        .read_exact(&mut bytes)
        .map_err(|source| Error::Spool {
            doing: "merging segment records",
            source,
        })?;
    Record::from_bytes(&bytes)
        .map(Some)
        .ok_or(Error::Misuse("a spooled record is not what was written"))
}

fn writing(source: std::io::Error) -> Error {
    Error::Spool {
        doing: "writing segment records",
        source,
    }
}
