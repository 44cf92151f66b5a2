//! Objects as files below one directory of ours.
//!
//! An object is written to `tmp/`, synced, linked to its name and its directory synced: it is
//! there with all its bytes or not at all, and a name that is taken is never written over. Files
//! are 0600 in directories of 0700 (D1), and a root that others may enter is refused. A temporary
//! file is locked by its writer, so that what a dead writer left can be told from what a living
//! one is writing.

mod tree;
mod upload;

use super::{
    Backend, BackendError, BackendErrorKind, BackendResult, Body, DeleteOutcome, Nature,
    ObjectInfo, Page, Space, Upload, not_found, range_outside, short_body,
};
use crate::key::{Key, Prefix};
use crate::limits::CHUNK_BYTES;
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use provado_model::random::Entropy;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whether the root may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateRoot {
    /// Make it (its parent must be there) if it is missing.
    IfMissing,
    /// Fail if it is missing.
    Never,
}

/// How a repository in a file system is opened.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// Whether the root may be made.
    pub create: CreateRoot,
    /// Bytes of the file system that are left free: an upload that would start below is refused.
    pub free_bytes_min: u64,
    /// Names temporary files.
    pub entropy: Arc<dyn Entropy>,
}

/// A repository in a file system.
#[derive(Debug, Clone)]
pub struct FileBackend {
    root: Arc<tree::Root>,
    options: FileOptions,
}

impl FileBackend {
    /// Opens the directory `root`, an absolute path. Refuses one that group or others may read,
    /// write or enter, with what to do about it.
    pub fn open(root: &Path, options: FileOptions) -> BackendResult<Self> {
        if !root.is_absolute() {
            return Err(BackendError::new(
                BackendErrorKind::Other,
                format!("the root {} is not an absolute path", root.display()),
            ));
        }
        tree::prepare_root(root, options.create)?;
        Ok(Self {
            root: Arc::new(tree::Root::of(root)?),
            options,
        })
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.path.join(key.as_str())
    }

    /// Runs work on paths. Before and after it the root must be the directory that was opened:
    /// where a file system was unmounted meanwhile, nothing is "not there" and nothing was stored.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> BackendResult<T> + Send + 'static,
    ) -> BackendResult<T> {
        let root = Arc::clone(&self.root);
        blocking(move || {
            root.is_the_same()?;
            let done = work();
            root.is_the_same()?;
            done
        })
        .await
    }
}

/// Runs work that waits for a disk where waiting is allowed.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> BackendResult<T> + Send + 'static,
) -> BackendResult<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(BackendError {
            kind: BackendErrorKind::Other,
            message: "the file system worker ended early".to_owned(),
            source: Some(Box::new(error)),
        }),
    }
}

#[async_trait]
impl Backend for FileBackend {
    fn nature(&self) -> Nature {
        Nature {
            kind: "file",
            checksums: false,
            object_lock: false,
        }
    }

    fn place(&self) -> String {
        self.root.path.display().to_string()
    }

    async fn begin_put(&self, key: &Key) -> BackendResult<Box<dyn Upload>> {
        let (backend, key) = (self.clone(), key.clone());
        self.run(move || {
            let free = tree::space(&backend.root.path)?.free_bytes;
            let reserve = backend.options.free_bytes_min;
            if free < reserve {
                return Err(BackendError::new(
                    BackendErrorKind::Full,
                    format!(
                        "{} has {free} bytes free, {reserve} are to be left free",
                        backend.root.path.display()
                    ),
                ));
            }
            let target = backend.path(&key);
            let entropy = &*backend.options.entropy;
            let upload =
                upload::FileUpload::begin(Arc::clone(&backend.root), target, key, entropy)?;
            Ok(Box::new(upload) as Box<dyn Upload>)
        })
        .await
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> BackendResult<Box<dyn Body>> {
        let (path, key) = (self.path(key), key.clone());
        self.run(move || {
            let file = open_object(&path, &key)?;
            let size = metadata(&file, &key)?.len();
            let range = range.unwrap_or(0..size);
            if range.start > range.end || range.end > size {
                return Err(range_outside(&key, &range, size));
            }
            Ok(Box::new(FileBody {
                file: Arc::new(file),
                key,
                length: range.end - range.start,
                rest: range,
            }) as Box<dyn Body>)
        })
        .await
    }

    async fn head(&self, key: &Key) -> BackendResult<Option<ObjectInfo>> {
        let (path, key) = (self.path(key), key.clone());
        self.run(move || match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => Ok(Some(info(&found))),
            Ok(_) => Err(not_a_file(&key)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(BackendError::io(
                format!("{key} cannot be looked at"),
                error,
            )),
        })
        .await
    }

    async fn list(&self, prefix: Prefix, after: Option<&Key>) -> BackendResult<Page> {
        let (root, after) = (Arc::clone(&self.root), after.cloned());
        self.run(move || tree::list(&root.path, prefix, after.as_ref()))
            .await
    }

    async fn delete(&self, key: &Key) -> BackendResult<DeleteOutcome> {
        let (path, key) = (self.path(key), key.clone());
        self.run(move || match std::fs::remove_file(&path) {
            Ok(()) => {
                tree::sync_parent(&path)?;
                Ok(DeleteOutcome::Deleted)
            }
            Err(error) if is_absent(&error) => Ok(DeleteOutcome::WasNotThere),
            Err(error) => Err(BackendError::io(format!("{key} cannot be deleted"), error)),
        })
        .await
    }

    async fn space(&self) -> BackendResult<Option<Space>> {
        let root = Arc::clone(&self.root);
        self.run(move || tree::space(&root.path).map(Some)).await
    }

    async fn sweep_uploads(&self) -> BackendResult<u64> {
        let root = Arc::clone(&self.root);
        self.run(move || upload::sweep(&root.path)).await
    }
}

fn open_object(path: &Path, key: &Key) -> BackendResult<File> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match open(path, flags, Mode::empty()).map_err(io::Error::from) {
        Ok(file) => Ok(File::from(file)),
        Err(error) if is_absent(&error) => Err(not_found(key)),
        Err(error) => Err(BackendError::io(format!("{key} cannot be opened"), error)),
    }
}

fn metadata(file: &File, key: &Key) -> BackendResult<Metadata> {
    let found = file
        .metadata()
        .map_err(|e| BackendError::io(format!("{key} cannot be looked at"), e))?;
    if found.is_file() {
        Ok(found)
    } else {
        Err(not_a_file(key))
    }
}

fn not_a_file(key: &Key) -> BackendError {
    BackendError::new(
        BackendErrorKind::Unreadable,
        format!("{key} is not a regular file"),
    )
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn info(found: &Metadata) -> ObjectInfo {
    ObjectInfo {
        size_bytes: found.len(),
        sha256: None,
        stored_time: Timestamp::new(
            found.mtime(),
            i32::try_from(found.mtime_nsec()).unwrap_or(0),
        )
        .ok(),
    }
}

struct FileBody {
    file: Arc<File>,
    key: Key,
    rest: Range<u64>,
    length: u64,
}

#[async_trait]
impl Body for FileBody {
    async fn chunk(&mut self) -> BackendResult<Option<Bytes>> {
        let left = self.rest.end - self.rest.start;
        if left == 0 {
            return Ok(None);
        }
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let (file, offset, length) = (Arc::clone(&self.file), self.rest.start, self.length);
        let key = self.key.clone();
        let bytes = blocking(move || {
            let mut bytes = vec![0; wanted];
            match file.read_exact_at(&mut bytes, offset) {
                Ok(()) => Ok(Bytes::from(bytes)),
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    Err(short_body(length, length - left))
                }
                Err(e) => Err(BackendError::io(format!("{key} cannot be read"), e)),
            }
        })
        .await?;
        self.rest.start += bytes.len() as u64;
        Ok(Some(bytes))
    }

    fn length(&self) -> u64 {
        self.length
    }
}
