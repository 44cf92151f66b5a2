//! A backup on its way out: its document, its manifest, and the content of its entries.
//!
//! Everything is held against what vouches for it: the manifest against the signed document, every
//! segment against its id. Entries are read by range, ahead of the consumer, by several threads
//! with bounded memory; a table costs its own stored bytes and the manifest. The content's API
//! blocks: use it from a thread of your own or from `spawn_blocking`.

mod entry;
mod index;

use crate::cancel::Cancel;
use crate::document::SignedDocument;
use crate::error::{Error, Result};
use crate::inventory::{self, Inventory};
use crate::key::{BackupObject, BackupRef, Key};
use crate::keys::{Identity, InstanceKey};
use crate::limits::THREADS_MAX;
use crate::manifest::{
    EntryHead, EntryTail, ManifestHeader, ManifestReader, ManifestTrailer, Section, Visitor,
};
use crate::repository::Repository;
use crate::signature::Trust;
use crate::spool::{Spool, SpoolPlace};
use crate::table::{RECORD_BYTES, Record};
use provado_model::id::PackId;
use std::io::{BufReader, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use entry::EntryReader;

/// How a backup is read.
#[derive(Debug, Clone)]
pub struct ReadOptions<'a> {
    /// Who may have signed it.
    pub trust: Trust<'a>,
    /// Threads that fetch and decode one entry, 1 to [`THREADS_MAX`].
    pub threads: usize,
    /// Where temporary bytes go.
    pub spool: SpoolPlace,
    /// Ends the work early.
    pub cancel: Cancel,
}

/// One entry of a backup.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it is.
    pub head: EntryHead,
    /// What it came to.
    pub tail: EntryTail,
    /// Stored bytes of its segments, repetitions counted.
    pub stored_bytes: u64,
    /// Number of its first segment in the backup.
    pub(crate) first_segment: u64,
}

/// An open backup. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BackupReader {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) repository: Repository,
    pub(crate) document: SignedDocument,
    pub(crate) identity: Identity,
    pub(crate) key: InstanceKey,
    header: ManifestHeader,
    trailer: ManifestTrailer,
    entries: Vec<Entry>,
    /// One [`crate::table::Record`] a segment, in the order of the entries.
    pub(crate) places: Spool,
    pub(crate) packs: Vec<PackId>,
    manifest: Spool,
    manifest_key: String,
    pub(crate) threads: usize,
    pub(crate) cancel: Cancel,
    pub(crate) bytes_read: AtomicU64,
}

impl Repository {
    /// Opens a backup for reading: verifies its document, reads its manifest, and holds one
    /// against the other. Needs the identity of one of the backup's recipients.
    pub async fn read_backup(
        &self,
        backup: BackupRef,
        identity: &Identity,
        options: ReadOptions<'_>,
    ) -> Result<BackupReader> {
        if !(1..=THREADS_MAX).contains(&options.threads) {
            return Err(Error::Misuse("a reader needs 1 to 64 threads"));
        }
        let document = self.document(backup, options.trust).await?;
        let key = Key::backup(backup, BackupObject::Manifest);
        let digest = &document.document.manifest;
        let manifest = self
            .read_checked(&key, digest, options.spool.clone())
            .await?;
        let index = index::build(&manifest, identity, &document, key.as_str(), options.spool)?;
        let manifest_bytes = manifest.length();
        Ok(BackupReader {
            inner: Arc::new(Inner {
                repository: self.clone(),
                identity: identity.clone(),
                key: index.key,
                header: index.header,
                trailer: index.trailer,
                entries: index.entries,
                places: index.places,
                packs: document.document.packs.iter().map(|p| p.pack_id).collect(),
                document,
                manifest,
                manifest_key: key.to_string(),
                threads: options.threads,
                cancel: options.cancel,
                bytes_read: AtomicU64::new(manifest_bytes),
            }),
        })
    }
}

impl BackupReader {
    /// The backup's document.
    pub fn document(&self) -> &SignedDocument {
        &self.inner.document
    }

    /// Where the backup comes from and how to read it.
    pub fn header(&self) -> &ManifestHeader {
        &self.inner.header
    }

    /// How the backup ended.
    pub fn trailer(&self) -> &ManifestTrailer {
        &self.inner.trailer
    }

    /// The entries, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.inner.entries
    }

    /// The sections whose name starts with `prefix`, in order. Reads the manifest once more.
    pub fn sections(&self, prefix: &str) -> Result<Vec<Section>> {
        let mut wanted = Sections {
            prefix,
            found: Vec::new(),
        };
        let Inner {
            manifest,
            identity,
            manifest_key,
            ..
        } = &*self.inner;
        ManifestReader::new(manifest, identity, manifest_key).walk(&mut wanted)?;
        Ok(wanted.found)
    }

    /// The inventory, put together from its sections.
    pub fn inventory(&self) -> Result<Inventory> {
        let mut out = Inventory::default();
        for section in self.sections(inventory::SECTION_PREFIX)? {
            inventory::add_section(&mut out, &section)?;
        }
        Ok(out)
    }

    /// The content of an entry, by its position.
    pub fn entry_reader(&self, index: u64) -> Result<EntryReader> {
        let entry = usize::try_from(index)
            .ok()
            .and_then(|index| self.inner.entries.get(index))
            .ok_or(Error::Misuse("there is no entry of this position"))?;
        EntryReader::start(Arc::clone(&self.inner), entry)
    }

    /// Shows every segment with its entry, in order.
    pub(crate) fn for_each_place(
        &self,
        mut take: impl FnMut(&Entry, &Record) -> Result<()>,
    ) -> Result<()> {
        let mut reader = BufReader::with_capacity(1 << 16, self.inner.places.reader());
        for entry in &self.inner.entries {
            for _ in 0..entry.tail.segment_count {
                let mut bytes = [0; RECORD_BYTES];
                reader
                    .read_exact(&mut bytes)
                    .map_err(|source| Error::Spool {
                        doing: "reading",
                        source,
                    })?;
                let record = Record::from_bytes(&bytes)
                    .ok_or(Error::Misuse("a spooled place is not what was written"))?;
                take(entry, &record)?;
            }
        }
        Ok(())
    }

    /// Bytes read from the repository so far, the manifest included.
    pub fn bytes_read(&self) -> u64 {
        self.inner.bytes_read.load(Ordering::Relaxed)
    }
}

struct Sections<'a> {
    prefix: &'a str,
    found: Vec<Section>,
}

impl Visitor for Sections<'_> {
    fn section(&mut self, section: Section) -> Result<()> {
        if section.section_name.starts_with(self.prefix) {
            self.found.push(section);
        }
        Ok(())
    }
}
