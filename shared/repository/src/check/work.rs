//! The course of a check: documents first, then every object they name, side by side.

use super::{CheckOptions, CheckProgress, CheckReport, Damage, DamageKind, Level};
use super::{names, object, pack};
use crate::backend::{BackendError, BackendErrorKind};
use crate::descriptor::Descriptor;
use crate::document::{Countersignature, SignedDocument};
use crate::error::{Error, Result};
use crate::hash::from_hex;
use crate::key::{BackupObject, BackupRef, Key};
use crate::limits::{DAMAGE_MAX, DESCRIPTOR_BYTES_MAX, DOCUMENT_BYTES_MAX};
use crate::repository::Repository;
use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// An object that a check is to hold against its document.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) key: Key,
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
    pub(super) kind: TaskKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TaskKind {
    /// A pack, by its position.
    Pack(u32),
    Table,
    Listing,
    Manifest,
}

/// What the threads of a check share.
pub(super) struct State<'a> {
    pub(super) repository: &'a Repository,
    pub(super) options: &'a CheckOptions<'a>,
    bytes_total: u64,
    bytes: AtomicU64,
    segments: AtomicU64,
    objects: AtomicU64,
    damage_count: AtomicU64,
    damage: Mutex<Vec<Damage>>,
}

impl<'a> State<'a> {
    pub(super) fn new(repository: &'a Repository, options: &'a CheckOptions<'a>) -> Self {
        Self {
            repository,
            options,
            bytes_total: 0,
            bytes: AtomicU64::new(0),
            segments: AtomicU64::new(0),
            objects: AtomicU64::new(0),
            damage_count: AtomicU64::new(0),
            damage: Mutex::default(),
        }
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.tell();
    }

    pub(super) fn add_segment(&self) {
        self.segments.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_damage(&self, damage: Damage) {
        self.damage_count.fetch_add(1, Ordering::Relaxed);
        let mut list = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() < DAMAGE_MAX {
            list.push(damage);
        }
        drop(list);
        self.tell();
    }

    /// The damage found so far.
    pub(super) fn damage_list(&self) -> Vec<Damage> {
        self.damage
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Puts the same damage back, told more closely.
    pub(super) fn set_damage_list(&self, list: Vec<Damage>) {
        *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = list;
    }

    /// Notes what an error tells of an object; an error that tells nothing of it ends the check.
    pub(super) fn add_error(&self, key: &Key, error: Error) -> Result<()> {
        self.add_damage(Damage::from_error(key, error)?);
        Ok(())
    }

    fn tell(&self) {
        (self.options.progress)(CheckProgress {
            bytes: self.bytes.load(Ordering::Relaxed),
            bytes_total: self.bytes_total,
            damage_count: self.damage_count.load(Ordering::Relaxed),
        });
    }

    pub(super) fn block_on<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let cancel = &self.options.cancel;
        self.repository.runtime.block_on(async {
            tokio::select! {
                biased;
                () = cancel.canceled() => Err(crate::cancel::Canceled.into()),
                value = call => value,
            }
        })
    }
}

/// Checks a backup.
pub(super) fn run(
    repository: &Repository,
    backup: BackupRef,
    options: &CheckOptions<'_>,
) -> Result<CheckReport> {
    let mut state = State::new(repository, options);
    descriptor(&state)?;
    if let Some(document) = document(&state, backup)? {
        let tasks = tasks(&document);
        if options.level != Level::Present {
            state.bytes_total = tasks.iter().map(|task| task.bytes).sum();
        }
        countersignature(&state, &document)?;
        side_by_side(&state, &document, &tasks)?;
        names::locate(&state, &document, &tasks)?;
        names::add(&state, &document)?;
    }
    confirm(&state)?;
    let mut damage = state
        .damage
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let offset = |damage: &Damage| damage.segment.map(|segment| segment.offset_bytes);
    damage.sort_by(|a, b| (&a.object, offset(a)).cmp(&(&b.object, offset(b))));
    Ok(CheckReport {
        backup,
        level: options.level,
        object_count: state.objects.into_inner(),
        bytes_read: state.bytes.into_inner(),
        segment_count: state.segments.into_inner(),
        damage,
        damage_count: state.damage_count.into_inner(),
    })
}

/// Whether the descriptor still is what it was when the repository was opened. One that is not to
/// be had tells that the repository is not, and nothing of a backup.
fn descriptor(state: &State<'_>) -> Result<()> {
    let key = Key::descriptor();
    state.objects.fetch_add(1, Ordering::Relaxed);
    match Descriptor::from_bytes(&descriptor_bytes(state)?, key.as_str()) {
        Ok(found) if found == *state.repository.descriptor => Ok(()),
        Ok(_) => {
            let what = "it is not the descriptor that the repository was opened with";
            state.add_damage(Damage::of(DamageKind::Content, &key, what));
            Ok(())
        }
        Err(error) => state.add_error(&key, error),
    }
}

fn descriptor_bytes(state: &State<'_>) -> Result<Vec<u8>> {
    let key = Key::descriptor();
    let read = state.repository.read_small(&key, DESCRIPTOR_BYTES_MAX);
    match state.block_on(read) {
        Err(Error::Missing { .. }) => Err(Error::NoRepository {
            place: state.repository.backend.place(),
        }),
        other => other,
    }
}

/// Looks again before damage is told: a file system that went away while it was checked has no
/// descriptor either, and one that came back has what was missing.
fn confirm(state: &State<'_>) -> Result<()> {
    let list = state.damage_list();
    if list.is_empty() {
        return Ok(());
    }
    descriptor_bytes(state)?;
    for damage in list.iter().filter(|d| d.kind == DamageKind::Missing) {
        // The names are keys of this backup's own objects.
        let Ok(key) = damage.object.parse::<Key>() else {
            continue;
        };
        let looking = format!("looking for {key} again");
        let head = async {
            let found = state.repository.backend.head(&key).await;
            found.map_err(Error::backend(looking.clone()))
        };
        if state.block_on(head)?.is_some() {
            let what = format!("{key} was not there a moment ago and is now; check again");
            let source = BackendError::new(BackendErrorKind::Transient, what);
            return Err(Error::backend(looking.clone())(source));
        }
    }
    Ok(())
}

/// The backup's document; without it nothing more can be said.
fn document(state: &State<'_>, backup: BackupRef) -> Result<Option<SignedDocument>> {
    let key = Key::backup(backup, BackupObject::Document);
    state.objects.fetch_add(1, Ordering::Relaxed);
    let read = state.repository.any_document(backup, state.options.trust);
    let error = match state.block_on(read) {
        Ok(document) => return Ok(Some(document)),
        Err(error) => error,
    };
    let manifest = Key::backup(backup, BackupObject::Manifest);
    let head = async {
        let found = state.repository.backend.head(&manifest).await;
        found.map_err(Error::backend(format!("looking for {manifest}")))
    };
    if matches!(error, Error::Missing { .. }) && state.block_on(head)?.is_none() {
        return Err(Error::NoBackup {
            backup: backup.backup_id.to_string(),
        });
    }
    state.add_error(&key, error)?;
    Ok(None)
}

/// The countersignature, if there is one.
fn countersignature(state: &State<'_>, document: &SignedDocument) -> Result<()> {
    let key = Key::backup(document.document.backup(), BackupObject::Countersignature);
    let read = state.repository.read_small(&key, DOCUMENT_BYTES_MAX);
    let bytes = match state.block_on(read) {
        Ok(bytes) => bytes,
        Err(Error::Missing { .. }) => return Ok(()),
        Err(error) => return state.add_error(&key, error),
    };
    state.objects.fetch_add(1, Ordering::Relaxed);
    // Whose key the controller's is, is for the caller to judge; here its word must hold together.
    let trust = crate::signature::Trust::AnyKey;
    match Countersignature::from_bytes(&bytes, document, trust, key.as_str()) {
        Ok(_) => Ok(()),
        Err(error) => state.add_error(&key, error),
    }
}

fn tasks(signed: &SignedDocument) -> Vec<Task> {
    let document = &signed.document;
    let of = |object, digest: &crate::document::ObjectDigest, kind| Task {
        key: Key::backup(document.backup(), object),
        bytes: digest.bytes,
        // A document whose digests are none is refused when it is read.
        sha256: from_hex(&digest.sha256).unwrap_or_default(),
        kind,
    };
    let mut out = vec![
        of(
            BackupObject::Manifest,
            &document.manifest,
            TaskKind::Manifest,
        ),
        of(BackupObject::Segments, &document.segments, TaskKind::Table),
        of(BackupObject::Listing, &document.listing, TaskKind::Listing),
    ];
    for (index, pack) in (0_u32..).zip(&document.packs) {
        out.push(Task {
            key: Key::pack(document.instance_id, pack.pack_id),
            bytes: pack.bytes,
            sha256: from_hex(&pack.sha256).unwrap_or_default(),
            kind: TaskKind::Pack(index),
        });
    }
    out
}

/// Does every task, on as many threads as wanted. The first error that is not damage ends it.
fn side_by_side(state: &State<'_>, document: &SignedDocument, tasks: &[Task]) -> Result<()> {
    let wanted = pack::Wanted::load(state, document)?;
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            state.options.cancel.check()?;
            state.objects.fetch_add(1, Ordering::Relaxed);
            let done = match (state.options.level, task.kind, &wanted) {
                (Level::Present, _, _) => object::present(state, task),
                (_, TaskKind::Pack(index), Some(wanted)) => pack::check(state, task, index, wanted),
                (Level::Intact | Level::Readable, _, _) => object::intact(state, task, |_| Ok(())),
            };
            if let Err(error) = done {
                state.add_error(&task.key, error)?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..state.options.threads)
            .map(|_| scope.spawn(work))
            .collect();
        let mut result = Ok(());
        for thread in threads {
            let ended = thread
                .join()
                .unwrap_or(Err(Error::Misuse("a thread of the check panicked")));
            result = result.and(ended);
        }
        result
    })
}
