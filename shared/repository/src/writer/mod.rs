//! A backup on its way in: segments are named, compared with the parent's, compressed, encrypted
//! and packed, and at the end the table, the listing, the document and, last, the manifest are
//! written (INV-COMMIT). Until then nothing of it is a backup; what was stored is an orphan.
//!
//! The work is done by a few threads around bounded channels: workers name, compress and encrypt,
//! one assembler puts their results back in order and stores them. Memory is bounded by threads
//! times segment. The API blocks: call it from a thread of your own or from `spawn_blocking`,
//! never on a thread that drives async tasks.

mod assemble;
mod commit;
mod pack;
mod parent;
mod pipeline;
mod place;

use crate::cancel::Cancel;
use crate::document::SignedDocument;
use crate::error::{Error, Result};
use crate::key::BackupRef;
use crate::keys::{self, Recipient};
use crate::limits::{OWN_SEGMENTS_MAX, PACK_BYTES_TARGET, SEGMENT_BYTES_MAX, THREADS_MAX};
use crate::manifest::{EntryHead, EntryTail, ManifestHeader, Section};
use crate::repository::Repository;
use crate::signature::Signer;
use crate::spool::SpoolPlace;
use jiff::Timestamp;
use pipeline::{Pipeline, Step};
use provado_model::id::{AgentId, AttemptId, BackupId, PackId, RunId};
use provado_model::random::Entropy;
use provado_model::time::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Which attempt of which run writes the backup.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// The run.
    pub run_id: RunId,
    /// The attempt.
    pub attempt_id: AttemptId,
    /// The agent.
    pub agent_id: AgentId,
    /// The attempt's number within its run.
    pub fence: u64,
    /// The controller's epoch when the attempt was dispatched.
    pub epoch: u64,
}

/// How a backup is written.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// The instance and the backup's id, which is new for every attempt.
    pub backup: BackupRef,
    /// The backup of the same instance whose segments are reused where equal. It must be signed
    /// by the same signer and encrypted to the same recipients, else everything is stored anew.
    pub parent: Option<BackupId>,
    /// Which attempt writes it.
    pub origin: Origin,
    /// When the backup began.
    pub start_time: Timestamp,
    /// The moment whose state it holds.
    pub snapshot_time: Timestamp,
    /// What the manifest says of the source. Ids, times and version are filled in by the writer.
    pub header: ManifestHeader,
    /// Who may read it; `None` for the repository's recipients.
    pub recipients: Option<Vec<Recipient>>,
    /// Level of zstd, 1 to 19.
    pub compression_level: i32,
    /// Worker threads, 1 to [`THREADS_MAX`]; the assembler is one more.
    pub threads: usize,
    /// Stored bytes a pack is ended at.
    pub pack_bytes_target: u64,
    /// Packs of which the parent needs less than this share, in percent, are written anew.
    pub copy_forward_percent: u8,
    /// Segments of this backup remembered to find the same content again; what comes again after
    /// so many others is stored, or looked up in the parent, once more.
    pub own_segments_max: usize,
    /// Packs that are known to be damaged: what is in them is written anew.
    pub avoid_packs: Vec<PackId>,
    /// Signs the backup's document.
    pub signer: Arc<dyn Signer>,
    /// Where temporary bytes go.
    pub spool: SpoolPlace,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes pack ids.
    pub entropy: Arc<dyn Entropy>,
    /// Ends the work early.
    pub cancel: Cancel,
}

impl WriterOptions {
    /// Level of zstd unless a policy says otherwise.
    pub const COMPRESSION_LEVEL: i32 = 3;
    /// Worker threads unless the configuration says otherwise.
    pub const THREADS: usize = 2;
    /// Stored bytes a pack is ended at.
    pub const PACK_BYTES_TARGET: u64 = PACK_BYTES_TARGET;
    /// Segments of a backup that are remembered.
    pub const OWN_SEGMENTS_MAX: usize = OWN_SEGMENTS_MAX;
    /// Share below which a pack is copied forward.
    pub const COPY_FORWARD_PERCENT: u8 = 25;
}

/// What ends a backup.
#[derive(Debug, Clone, Default)]
pub struct ManifestTail {
    /// Named bytes beside the entries, such as those of [`crate::inventory::to_sections`].
    pub sections: Vec<Section>,
    /// What is true of this backup but is not a fault, each a sentence.
    pub warnings: Vec<String>,
    /// LSN at the end; physical backups.
    pub end_lsn: String,
}

/// Time spent by all threads together, for seeing where it goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Busy {
    /// Naming segments and looking them up.
    pub hash: Duration,
    /// Compressing.
    pub compress: Duration,
    /// Encrypting.
    pub encrypt: Duration,
    /// Hashing packs and handing them to the backend, waiting included.
    pub store: Duration,
}

/// A backup that exists.
#[derive(Debug, Clone)]
pub struct WrittenBackup {
    /// Its document, as stored; sizes, counts and packs are in it.
    pub document: SignedDocument,
    /// The bytes of the document.
    pub document_bytes: Vec<u8>,
    /// Packs written for it, in order.
    pub new_packs: Vec<PackId>,
    /// Segments written for it.
    pub new_segment_count: u64,
    /// Segments it shares with its parent, repetitions counted.
    pub reused_segment_count: u64,
    /// What the writer noticed, each a sentence: a parent that could not be used, for one.
    pub warnings: Vec<String>,
    /// Where the time went.
    pub busy: Busy,
}

/// How far a writer is, for whoever watches. Sizes in bytes.
#[derive(Debug, Default)]
pub struct Progress {
    plain: AtomicU64,
    new: AtomicU64,
    reused: AtomicU64,
}

impl Progress {
    /// Plain bytes of the segments placed so far.
    pub fn plain_bytes(&self) -> u64 {
        self.plain.load(Ordering::Relaxed)
    }

    /// Stored bytes written so far.
    pub fn new_bytes(&self) -> u64 {
        self.new.load(Ordering::Relaxed)
    }

    /// Stored bytes shared with the parent so far.
    pub fn reused_bytes(&self) -> u64 {
        self.reused.load(Ordering::Relaxed)
    }
}

/// Writes one backup. Entries come one after another: [`BackupWriter::begin_entry`], any number of
/// [`BackupWriter::segment`], [`BackupWriter::end_entry`]. Dropped before
/// [`BackupWriter::finish`] it leaves orphans at most, never a backup.
#[derive(Debug)]
pub struct BackupWriter {
    pipeline: Pipeline,
    entry: Option<OpenEntry>,
    entry_count: u64,
}

#[derive(Debug, Default)]
struct OpenEntry {
    index: u64,
    segment_count: u64,
    plain_bytes: u64,
}

impl Repository {
    /// Starts a backup. Reads the parent's table; a parent that cannot be used is a warning of
    /// the finished backup, never a reason not to take one. Needs the segment key.
    pub async fn backup_writer(&self, options: WriterOptions) -> Result<BackupWriter> {
        let Some(segment_key) = &self.segment_key else {
            return Err(Error::Misuse("a writer needs the repository's segment key"));
        };
        if !(1..=THREADS_MAX).contains(&options.threads) {
            return Err(Error::Misuse("a writer needs 1 to 64 threads"));
        }
        let recipients = match &options.recipients {
            Some(recipients) => recipients.clone(),
            None => self.descriptor.recipients.clone(),
        };
        keys::check_recipients(&recipients)?;
        let parent = parent::Parent::load(self, &options, &recipients).await;
        let key = segment_key.instance_key(options.backup.instance_id);
        let pipeline = Pipeline::start(self.clone(), options, &recipients, parent, key)?;
        Ok(BackupWriter {
            pipeline,
            entry: None,
            entry_count: 0,
        })
    }
}

impl BackupWriter {
    /// Starts an entry and returns its position. `head.entry_index` is filled in.
    pub fn begin_entry(&mut self, mut head: EntryHead) -> Result<u64> {
        if self.entry.is_some() {
            return Err(Error::Misuse("an entry was begun within another"));
        }
        let index = self.entry_count;
        head.entry_index = index;
        self.pipeline.send(Step::Head(Box::new(head)))?;
        self.entry_count += 1;
        self.entry = Some(OpenEntry {
            index,
            ..OpenEntry::default()
        });
        Ok(index)
    }

    /// Takes the next segment of the entry: at least 1 and at most
    /// [`crate::limits::SEGMENT_BYTES_MAX`] plain bytes. Returns as soon as there is room for it.
    pub fn segment(&mut self, plain: Vec<u8>) -> Result<()> {
        let Some(entry) = &mut self.entry else {
            return Err(Error::Misuse("a segment came outside an entry"));
        };
        if plain.is_empty() {
            return Err(Error::Misuse("a segment was empty"));
        }
        if plain.len() > SEGMENT_BYTES_MAX {
            return Err(Error::Limit {
                what: "the length of a segment",
                found: plain.len() as u64,
                limit: SEGMENT_BYTES_MAX as u64,
            });
        }
        entry.segment_count += 1;
        entry.plain_bytes += plain.len() as u64;
        self.pipeline.encode(plain)
    }

    /// A buffer that a segment came in and that is free again, if there is one.
    pub fn recycle(&self) -> Option<Vec<u8>> {
        self.pipeline.recycle()
    }

    /// Ends the entry. `tail.byte_count` must be the plain bytes of its segments: the producer
    /// counted them for itself (INV-EVIDENCE). Position and segment count are filled in.
    pub fn end_entry(&mut self, mut tail: EntryTail) -> Result<()> {
        let Some(entry) = self.entry.take() else {
            return Err(Error::Misuse("an entry was ended that was not begun"));
        };
        if tail.byte_count != entry.plain_bytes {
            return Err(Error::Misuse(
                "an entry's byte count is not that of its segments",
            ));
        }
        tail.entry_index = entry.index;
        tail.segment_count = entry.segment_count;
        self.pipeline.send(Step::Tail(tail))
    }

    /// How far the writer is; may be kept and looked at from another thread.
    pub fn progress(&self) -> Arc<Progress> {
        self.pipeline.progress()
    }

    /// Stores what is left and makes it a backup. When this returns, the backup is durable.
    pub fn finish(self, tail: ManifestTail) -> Result<WrittenBackup> {
        if self.entry.is_some() {
            return Err(Error::Misuse("the backup was finished within an entry"));
        }
        self.pipeline.finish(tail)
    }
}
