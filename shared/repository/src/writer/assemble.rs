//! The one thread that puts steps in order, fills packs and ends the backup.

use super::pack::{Growing, Storer};
use super::pipeline::{Encoded, EncodedBody, Numbered, Shared, Step};
use super::{WriterOptions, WrittenBackup, commit};
use crate::cancel::{Cancel, Canceled};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::keys::Recipient;
use crate::limits::PACKS_MAX;
use crate::manifest::{EntryTail, ListingWriter, ManifestWriter, SegmentPlace};
use crate::repository::Repository;
use crate::table::{Record, TableBuilder};
use crossbeam_channel::{Receiver, Sender, select};
use provado_model::id::PackId;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A pack this backup refers to.
pub(super) struct Pack {
    pub(super) id: PackId,
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
    pub(super) referenced: u64,
    pub(super) new: bool,
}

#[derive(Default)]
pub(super) struct Totals {
    pub(super) entries: u64,
    pub(super) segments: u64,
    pub(super) rows: u64,
    pub(super) plain: u64,
    pub(super) stored: u64,
    pub(super) reused: u64,
    pub(super) new_segments: u64,
    pub(super) reused_segments: u64,
    /// Segments of the entry at hand.
    pub(super) entry_segments: u64,
}

pub(super) struct Assembler {
    pub(super) repository: Repository,
    pub(super) options: WriterOptions,
    pub(super) recipients: Vec<String>,
    pub(super) shared: Arc<Shared>,
    pub(super) stop: Cancel,
    pub(super) storer: Storer,
    pub(super) manifest: ManifestWriter,
    pub(super) listing: ListingWriter,
    pub(super) table: TableBuilder,
    pub(super) packs: Vec<Pack>,
    pub(super) of_parent: HashMap<u32, u32>,
    pub(super) current: Option<(u32, Growing)>,
    pub(super) totals: Totals,
    pub(super) store_time: Duration,
}

impl Assembler {
    pub(super) fn new(
        repository: Repository,
        options: WriterOptions,
        recipients: &[Recipient],
        shared: Arc<Shared>,
        stop: Cancel,
    ) -> Result<Self> {
        let place = options.spool.clone();
        let mut manifest = ManifestWriter::new(place.clone(), recipients)?;
        manifest.header(commit::header(&repository, &options, &shared.key))?;
        let storer = Storer::new(
            Arc::clone(&repository.backend),
            repository.runtime.clone(),
            options.cancel.clone(),
            stop.clone(),
        );
        Ok(Self {
            listing: ListingWriter::new(place.clone(), recipients)?,
            table: TableBuilder::new(place),
            recipients: recipients.iter().map(ToString::to_string).collect(),
            repository,
            options,
            shared,
            stop,
            storer,
            manifest,
            packs: Vec::new(),
            of_parent: HashMap::new(),
            current: None,
            totals: Totals::default(),
            store_time: Duration::ZERO,
        })
    }

    /// Takes steps until the last one has been done.
    pub(super) fn run(
        mut self,
        steps: &Receiver<Numbered>,
        tokens: &Sender<()>,
    ) -> Result<WrittenBackup> {
        let mut early = BTreeMap::new();
        let mut next = 0_u64;
        let (cancel, given_up) = (self.options.cancel.clone(), self.stop.clone());
        loop {
            let received = select! {
                recv(steps) -> step => step.ok(),
                recv(cancel.closed()) -> _ => None,
                recv(given_up.closed()) -> _ => None,
            };
            let Some((number, step)) = received else {
                // Whoever sends has gone, or was told to: the backup was given up.
                return Err(Canceled.into());
            };
            early.insert(number, step);
            while let Some(step) = early.remove(&next) {
                next += 1;
                match step {
                    Step::Head(head) => {
                        self.totals.entry_segments = 0;
                        self.listing.entry(&head);
                        self.manifest.entry_head(*head)?;
                    }
                    Step::Segment(segment) => self.segment(segment)?,
                    Step::Tail(tail) => self.entry_tail(tail)?,
                    Step::Finish(tail) => {
                        self.end_pack()?;
                        self.storer.settle()?;
                        return commit::commit(self, tail);
                    }
                    Step::Failed(error) => return Err(error),
                }
                // There is room: the token was taken out of this channel.
                let _ = tokens.try_send(());
            }
        }
    }

    fn segment(&mut self, segment: Encoded) -> Result<()> {
        let record = match (self.shared.own.find(&segment.id), segment.body) {
            (Some(record), _) => record,
            (None, EncodedBody::OfParent(record)) => self.reuse(record)?,
            (None, EncodedBody::New(bytes)) => {
                self.store(segment.id, segment.plain_bytes, &bytes)?
            }
            (None, EncodedBody::Own) => {
                return Err(Error::Misuse("a segment that was placed is not there"));
            }
        };
        let place = SegmentPlace {
            segment_id: record.id.0.to_vec(),
            pack_index: record.pack_index,
            offset_bytes: record.offset_bytes,
            stored_bytes: record.stored_bytes,
            plain_bytes: record.plain_bytes,
        };
        let pack = usize::try_from(record.pack_index)
            .ok()
            .and_then(|index| self.packs.get(index))
            .ok_or(Error::Misuse("a segment is in no pack"))?;
        self.totals.segments += 1;
        self.totals.entry_segments += 1;
        self.totals.plain += u64::from(record.plain_bytes);
        if !pack.new {
            self.totals.reused_segments += 1;
        }
        self.listing.segment(pack.id, &place)?;
        self.manifest.segment(place)?;
        let progress = &self.shared.progress;
        let plain = u64::from(record.plain_bytes);
        progress.plain.fetch_add(plain, Ordering::Relaxed);
        Ok(())
    }

    fn entry_tail(&mut self, tail: EntryTail) -> Result<()> {
        self.totals.entries += 1;
        self.totals.rows += tail.row_count;
        if self.totals.entry_segments == 0 {
            self.listing.empty_entry()?;
        }
        self.manifest.entry_tail(tail)
    }

    /// Takes a segment of the parent over.
    fn reuse(&mut self, record: Record) -> Result<Record> {
        let index = self.parent_pack(record.pack_index)?;
        let record = Record {
            pack_index: index,
            ..record
        };
        let bytes = u64::from(record.stored_bytes);
        self.shared
            .progress
            .reused
            .fetch_add(bytes, Ordering::Relaxed);
        self.place(record)
    }

    /// The position here of a pack of the parent.
    fn parent_pack(&mut self, of_parent: u32) -> Result<u32> {
        if let Some(index) = self.of_parent.get(&of_parent) {
            return Ok(*index);
        }
        let (id, bytes, sha256) = self
            .shared
            .parent
            .pack(of_parent)
            .ok_or(Error::Misuse("a segment of the parent is in no pack"))?;
        let index = self.add_pack(Pack {
            id,
            bytes,
            sha256,
            referenced: 0,
            new: false,
        })?;
        self.of_parent.insert(of_parent, index);
        Ok(index)
    }

    /// Appends a new segment to the pack at hand.
    fn store(
        &mut self,
        id: crate::keys::SegmentId,
        plain_bytes: u32,
        bytes: &[u8],
    ) -> Result<Record> {
        let start = self.options.clock.monotonic();
        if self
            .current
            .as_ref()
            .is_some_and(|(_, pack)| pack.length() >= self.options.pack_bytes_target)
        {
            self.end_pack()?;
        }
        if self.current.is_none() {
            let id = PackId::new(&*self.options.clock, &*self.options.entropy);
            let key = Key::pack(self.options.backup.instance_id, id);
            let growing = self.storer.begin(key)?;
            let index = self.add_pack(Pack {
                id,
                bytes: 0,
                sha256: [0; 32],
                referenced: 0,
                new: true,
            })?;
            self.current = Some((index, growing));
        }
        let Some((pack_index, growing)) = &mut self.current else {
            return Err(Error::Misuse("there is no pack to write to"));
        };
        let record = Record {
            id,
            pack_index: *pack_index,
            offset_bytes: growing.length(),
            stored_bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            plain_bytes,
        };
        self.storer.add(growing, bytes)?;
        self.totals.new_segments += 1;
        let written = bytes.len() as u64;
        self.shared
            .progress
            .new
            .fetch_add(written, Ordering::Relaxed);
        self.store_time += self.options.clock.monotonic().since(start);
        self.place(record)
    }

    fn place(&mut self, record: Record) -> Result<Record> {
        self.shared.own.add(record);
        self.table.add(record)?;
        Ok(record)
    }

    fn add_pack(&mut self, pack: Pack) -> Result<u32> {
        let index = self.packs.len();
        if index >= PACKS_MAX {
            return Err(Error::Limit {
                what: "the number of packs of a backup",
                found: index as u64 + 1,
                limit: PACKS_MAX as u64,
            });
        }
        self.packs.push(pack);
        Ok(u32::try_from(index).unwrap_or(u32::MAX))
    }

    fn end_pack(&mut self) -> Result<()> {
        let Some((index, growing)) = self.current.take() else {
            return Ok(());
        };
        let (bytes, sha256) = self.storer.end(growing)?;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if let Some(pack) = self.packs.get_mut(index) {
            pack.bytes = bytes;
            pack.sha256 = sha256;
        }
        Ok(())
    }
}
