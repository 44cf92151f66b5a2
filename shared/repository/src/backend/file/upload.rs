//! One object on its way into a file system, and what dead writers left of theirs.

use super::tree::Root;
use super::{blocking, tree};
use crate::backend::{
    BackendError, BackendErrorKind, BackendResult, PutOutcome, Upload, short_body,
};
use crate::hash::to_hex;
use crate::key::Key;
use async_trait::async_trait;
use bytes::Bytes;
use provado_model::random::{Entropy, bytes};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How often another name is tried for a temporary file.
const NAME_TRIES_MAX: usize = 16;

/// A file under `tmp/` that becomes an object when it is finished and is removed when dropped.
pub(super) struct FileUpload {
    temporary: Temporary,
    root: Arc<Root>,
    target: PathBuf,
    key: Key,
    file: Arc<File>,
    length: u64,
}

/// The path of a temporary file, removed with this value.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Nothing to tell: what stays behind is unlocked and goes with the next sweep.
        let _ = fs::remove_file(&self.0);
    }
}

impl FileUpload {
    pub(super) fn begin(
        root: Arc<Root>,
        target: PathBuf,
        key: Key,
        entropy: &dyn Entropy,
    ) -> BackendResult<Self> {
        let folder = root.path.join(tree::TEMPORARY);
        tree::make_directories(&root.path, &folder)?;
        for _ in 0..NAME_TRIES_MAX {
            let path = folder.join(format!("{}.part", to_hex(&bytes::<16>(entropy))));
            let failed = |e| {
                let shown = path.display();
                BackendError::io(format!("the temporary file {shown} cannot be made"), e)
            };
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o600);
            let file = match options.open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(failed(error)),
            };
            let temporary = Temporary(path.clone());
            flock(&file, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
            // A sweep may have taken the file for a dead writer's before it was locked.
            if file.metadata().map_err(failed)?.nlink() == 0 {
                continue;
            }
            return Ok(Self {
                temporary,
                root,
                target,
                key,
                file: Arc::new(file),
                length: 0,
            });
        }
        Err(BackendError::new(
            BackendErrorKind::Other,
            format!("no temporary file could be made in {}", folder.display()),
        ))
    }

    /// Syncs and links; runs where waiting for a disk is allowed.
    fn commit(&self, length: u64) -> BackendResult<PutOutcome> {
        let key = &self.key;
        let failed = |what: &str| {
            let message = format!("{key} cannot be {what}");
            move |e: io::Error| BackendError::not_durable(message, e)
        };
        if self.length != length {
            return Err(short_body(length, self.length));
        }
        // After a failed sync the kernel may have dropped the pages: the upload is lost (F26).
        self.file.sync_all().map_err(failed("synced"))?;
        let stored = self.file.metadata().map_err(failed("looked at"))?.len();
        if stored != length {
            return Err(short_body(length, stored));
        }
        self.root.is_the_same()?;
        if let Some(folder) = self.target.parent() {
            tree::make_directories(&self.root.path, folder)?;
        }
        match link(&self.temporary.0, &self.target) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Ok(PutOutcome::AlreadyThere);
            }
            Err(error) => return Err(failed("linked into place")(error)),
        }
        tree::sync_parent(&self.target)?;
        self.root.is_the_same()?;
        Ok(PutOutcome::Created)
    }
}

/// Gives the file its name, unless the name is taken. Where the file system knows no hard links,
/// it is renamed, which the kernel refuses just the same if the name is taken.
fn link(temporary: &Path, target: &Path) -> io::Result<()> {
    match fs::hard_link(temporary, target) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported
            ) =>
        {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            renameat_with(CWD, temporary, CWD, target, RenameFlags::NOREPLACE)?;
            Ok(())
        }
        other => other,
    }
}

#[async_trait]
impl Upload for FileUpload {
    async fn part(&mut self, bytes: Bytes) -> BackendResult<()> {
        let (file, key) = (Arc::clone(&self.file), self.key.clone());
        let length = bytes.len() as u64;
        blocking(move || {
            (&*file)
                .write_all(&bytes)
                .map_err(|e| BackendError::io(format!("{key} cannot be written"), e))
        })
        .await?;
        self.length += length;
        Ok(())
    }

    async fn finish(self: Box<Self>, _sha256: [u8; 32], length: u64) -> BackendResult<PutOutcome> {
        blocking(move || self.commit(length)).await
    }

    async fn abort(self: Box<Self>) -> BackendResult<()> {
        drop(self);
        Ok(())
    }
}

/// Removes temporary files whose writers are gone: nobody holds their lock.
pub(super) fn sweep(root: &Path) -> BackendResult<u64> {
    let folder = root.join(tree::TEMPORARY);
    let failed = |e| BackendError::io(format!("{} cannot be swept", folder.display()), e);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(failed(error)),
    };
    let mut count = 0;
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_none_or(|extension| extension != "part") {
            continue;
        }
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => continue,
            Err(error) => return Err(failed(error.into())),
        }
        match fs::remove_file(&path) {
            Ok(()) => count += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(count)
}
