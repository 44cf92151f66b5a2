//! One pack, segment by segment, in the same pass that hashes it.

use super::object::intact;
use super::work::{State, Task, TaskKind};
use super::{CheckOptions, Damage, DamageKind, DamagedSegment, Level};
use crate::document::SignedDocument;
use crate::error::{Error, Result};
use crate::keys::{Identity, InstanceKey};
use crate::reader::{BackupReader, ReadOptions};
use crate::segment::Decoder;
use crate::table::Record;
use std::collections::BTreeSet;

/// What the segments of a backup are decoded with; there only when an identity is at hand.
pub(super) struct Wanted {
    identity: Identity,
    key: InstanceKey,
    /// The segments of each pack, in the order of their offsets.
    segments: Vec<BTreeSet<(u64, Record)>>,
}

impl Wanted {
    /// At level readable: everything the manifest names. A manifest that cannot be read is damage,
    /// and then packs are only hashed.
    pub(super) fn load(state: &State<'_>, document: &SignedDocument) -> Result<Option<Self>> {
        let (Level::Readable, Some(identity)) = (state.options.level, state.options.identity)
        else {
            return Ok(None);
        };
        let reader = match open(state, document, identity) {
            Ok(reader) => reader,
            Err(error) => {
                let manifest = crate::key::BackupObject::Manifest;
                let key = crate::key::Key::backup(document.document.backup(), manifest);
                state.add_error(&key, error)?;
                return Ok(None);
            }
        };
        let mut segments = vec![BTreeSet::new(); document.document.packs.len()];
        reader.for_each_place(|_, record| {
            let index = usize::try_from(record.pack_index).unwrap_or(usize::MAX);
            if let Some(set) = segments.get_mut(index) {
                set.insert((record.offset_bytes, *record));
            }
            Ok(())
        })?;
        super::names::listing(state, document, identity)?;
        super::names::table(state, document, &segments)?;
        Ok(Some(Self {
            identity: identity.clone(),
            key: reader.inner.key.clone(),
            segments,
        }))
    }
}

/// Opens the backup for reading, whoever signed it: that was checked before.
pub(super) fn open(
    state: &State<'_>,
    document: &SignedDocument,
    identity: &Identity,
) -> Result<BackupReader> {
    let options = ReadOptions {
        trust: state.options.trust,
        threads: 1,
        spool: state.options.spool.clone(),
        cancel: state.options.cancel.clone(),
    };
    let backup = document.document.backup();
    let read = state.repository.read_backup(backup, identity, options);
    match state.block_on(read) {
        Err(Error::NoBackup { .. }) => Err(Error::Missing {
            object: "the manifest".to_owned(),
        }),
        other => other,
    }
}

/// Hashes a pack and decodes every segment the backup needs of it.
pub(super) fn check(state: &State<'_>, task: &Task, index: u32, wanted: &Wanted) -> Result<()> {
    let decoder = Decoder::new(wanted.identity.clone(), Some(wanted.key.clone()))?;
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    let segments = wanted.segments.get(index);
    let mut walk = Walk {
        state,
        task,
        decoder,
        segments: segments.into_iter().flatten().map(|(_, record)| *record),
        next: None,
        buffer: Vec::new(),
        start: 0,
    };
    walk.next = walk.segments.next();
    intact(state, task, |chunk| walk.take(chunk))?;
    let whole = walk.start + walk.buffer.len() as u64 == task.bytes;
    if let Some(record) = walk.next
        && whole
    {
        walk.damage(&record, "it lies across another".to_owned());
    }
    Ok(())
}

/// Finds the damaged segments of packs whose bytes are known to be others, without telling of it.
pub(super) fn locate(
    state: &State<'_>,
    document: &SignedDocument,
    tasks: &[Task],
) -> Result<Vec<Damage>> {
    let options = CheckOptions {
        level: Level::Readable,
        identity: state.options.identity,
        trust: state.options.trust,
        threads: 1,
        spool: state.options.spool.clone(),
        cancel: state.options.cancel.clone(),
        progress: &|_| {},
    };
    let quiet = State::new(state.repository, &options);
    let Some(wanted) = Wanted::load(&quiet, document)? else {
        return Ok(Vec::new());
    };
    for task in tasks {
        if let TaskKind::Pack(index) = task.kind {
            check(&quiet, task, index, &wanted)?;
        }
    }
    let mut found = quiet.damage_list();
    found.retain(|damage| damage.segment.is_some());
    Ok(found)
}

/// Goes through a pack from front to back, keeping no more than the segment at hand.
struct Walk<'a, I> {
    state: &'a State<'a>,
    task: &'a Task,
    decoder: Decoder,
    segments: I,
    next: Option<Record>,
    /// Bytes of the pack from `start` on.
    buffer: Vec<u8>,
    start: u64,
}

impl<I: Iterator<Item = Record>> Walk<'_, I> {
    fn take(&mut self, chunk: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(chunk);
        while let Some(record) = self.next {
            let skip = record.offset_bytes.saturating_sub(self.start);
            self.forget(skip);
            let length = usize::try_from(record.stored_bytes).unwrap_or(usize::MAX);
            let Some(stored) = self.buffer.get(..length) else {
                return Ok(());
            };
            if record.offset_bytes != self.start {
                return Ok(());
            }
            let decoded = self
                .decoder
                .decode(stored, record.plain_bytes, record.id, String::new);
            self.state.add_segment();
            match decoded {
                Ok(_) => {}
                Err(Error::Damaged { what, .. }) => self.damage(&record, what),
                Err(Error::WrongIdentity { .. }) => {
                    let what = "it is encrypted to others than the backup's recipients";
                    self.damage(&record, what.to_owned());
                }
                Err(error) => return Err(error),
            }
            self.next = self.segments.next();
        }
        self.forget(u64::MAX);
        Ok(())
    }

    /// Drops up to `count` bytes from the front of the buffer.
    fn forget(&mut self, count: u64) {
        let count = usize::try_from(count)
            .unwrap_or(usize::MAX)
            .min(self.buffer.len());
        self.buffer.drain(..count);
        self.start += count as u64;
    }

    fn damage(&self, record: &Record, what: String) {
        let mut damage = Damage::of(DamageKind::Unreadable, &self.task.key, what);
        damage.segment = Some(DamagedSegment {
            id: record.id,
            offset_bytes: record.offset_bytes,
            stored_bytes: record.stored_bytes,
        });
        self.state.add_damage(damage);
    }
}
