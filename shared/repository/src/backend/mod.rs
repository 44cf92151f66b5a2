//! Where objects are kept: one trait, one contract suite (`tests/backends.rs`), one fault layer.
//!
//! A backend puts an object if it is absent, reads it whole or in part, tells its size, lists and
//! deletes. It never overwrites, never renames over, and knows nothing of what the bytes mean.
//! The shape fits a multipart upload: an [`Upload`] takes parts in order and is finished once.

pub mod fault;
pub mod file;
pub mod memory;
pub mod probe;

use crate::key::{Key, Prefix};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use std::fmt;
use std::ops::Range;

pub use probe::{Capabilities, probe};

/// Sorts errors of backends by what can be done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendErrorKind {
    /// The object is not there.
    NotFound,
    /// We may not.
    Denied,
    /// The repository's place may be read or written by others, so it is refused.
    Permissions,
    /// There is no room.
    Full,
    /// It may work if tried again.
    Transient,
    /// This backend cannot do it.
    Unsupported,
    /// What came back is not what was asked for: a short body, another size.
    Corrupt,
    /// What was read back right after it was written is not what was written.
    Differs,
    /// The place answers, but what lies under the object's name cannot be read: a bad sector, a
    /// damaged file system, no file at all.
    Unreadable,
    /// Anything else, which says nothing of an object: no memory, no file handles, a stale mount.
    Other,
}

/// Why a backend could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BackendError {
    /// What can be done about it.
    pub kind: BackendErrorKind,
    /// What happened and to what.
    pub message: String,
    /// Why.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl BackendError {
    /// An error without a cause of its own.
    pub fn new(kind: BackendErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// An error of the operating system on the way to durability: a sync or a change of names that
    /// failed is never worth another look, since what can be seen then may be gone with the power.
    pub fn not_durable(message: impl Into<String>, source: std::io::Error) -> Self {
        let error = Self::io(message, source);
        match error.kind {
            BackendErrorKind::Transient => Self {
                kind: BackendErrorKind::Other,
                ..error
            },
            _ => error,
        }
    }

    /// An error of the operating system; the kind follows from it.
    pub fn io(message: impl Into<String>, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match source.kind() {
            Io::NotFound => BackendErrorKind::NotFound,
            Io::PermissionDenied | Io::ReadOnlyFilesystem => BackendErrorKind::Denied,
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => BackendErrorKind::Full,
            Io::TimedOut | Io::Interrupted | Io::ResourceBusy => BackendErrorKind::Transient,
            _ if is_of_the_object(&source) => BackendErrorKind::Unreadable,
            _ => BackendErrorKind::Other,
        };
        Self {
            kind,
            message: message.into(),
            source: Some(Box::new(source)),
        }
    }
}

/// Whether an error tells of what is stored: a bad sector, a file system that finds itself damaged
/// (`EUCLEAN`, `EBADMSG` on Linux), a link in an object's place.
fn is_of_the_object(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let found = error.raw_os_error();
    [Errno::IO, Errno::UCLEAN, Errno::BADMSG, Errno::LOOP]
        .iter()
        .any(|errno| found == Some(errno.raw_os_error()))
}

/// A result of a backend.
pub type BackendResult<T> = Result<T, BackendError>;

/// What a finished upload came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object is there now, durable, with exactly the bytes given.
    Created,
    /// An object of this key was there before; it is untouched and may be another.
    AlreadyThere,
}

/// What a delete came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// The object was there and is gone.
    Deleted,
    /// There was no such object.
    WasNotThere,
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its bytes.
    pub size_bytes: u64,
    /// SHA-256 over its bytes, where the backend keeps one that it checked itself.
    pub sha256: Option<[u8; 32]>,
    /// When it was stored, by the backend's clock.
    pub stored_time: Option<Timestamp>,
}

/// One page of a list, in the order of the keys' bytes.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The objects.
    pub objects: Vec<(Key, ObjectInfo)>,
    /// Names under the prefix that are no keys of the format, as found.
    pub strangers: Vec<String>,
    /// Whether there is more behind the last of these objects.
    pub more: bool,
}

/// Room in a repository of limited size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that can still be written by us.
    pub free_bytes: u64,
    /// Bytes there are in all.
    pub total_bytes: u64,
}

/// Bytes of an object on their way to us.
#[async_trait]
pub trait Body: Send {
    /// The next bytes, never empty; `None` after the last. A body that ends before its length is
    /// an error, never a shorter object.
    async fn chunk(&mut self) -> BackendResult<Option<Bytes>>;

    /// Bytes of the whole body.
    fn length(&self) -> u64;
}

/// An object on its way to the repository. Nothing of it can be seen before [`Upload::finish`];
/// dropped, it is as if it had never been.
#[async_trait]
pub trait Upload: Send {
    /// Takes the next bytes. Any size will do; the backend gathers what it needs.
    async fn part(&mut self, bytes: Bytes) -> BackendResult<()>;

    /// Makes the object durable and then visible, if no object of its key is there. `sha256` and
    /// `length` are of all parts; if the backend took other bytes it fails and stores nothing.
    async fn finish(self: Box<Self>, sha256: [u8; 32], length: u64) -> BackendResult<PutOutcome>;

    /// Gives the upload up and frees what it took.
    async fn abort(self: Box<Self>) -> BackendResult<()>;
}

/// What kind of thing a backend is, known without trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nature {
    /// Short name of the kind: `file`, `memory`, `s3`.
    pub kind: &'static str,
    /// Whether `head` tells a SHA-256 that the backend checked itself.
    pub checksums: bool,
    /// Whether stored objects can be locked against deletion.
    pub object_lock: bool,
}

/// One place where objects are kept.
#[async_trait]
pub trait Backend: Send + Sync + fmt::Debug {
    /// What kind of thing it is.
    fn nature(&self) -> Nature;

    /// Where it is, for people: a path or a URL without secrets.
    fn place(&self) -> String;

    /// Starts an upload.
    async fn begin_put(&self, key: &Key) -> BackendResult<Box<dyn Upload>>;

    /// Stores a small object in one go, if none of its key is there.
    async fn put(&self, key: &Key, bytes: Bytes) -> BackendResult<PutOutcome> {
        let sha256 = crate::hash::sha256(&bytes);
        let length = bytes.len() as u64;
        let mut upload = self.begin_put(key).await?;
        upload.part(bytes).await?;
        upload.finish(sha256, length).await
    }

    /// Reads an object, or the bytes of `range` of it. A range that is not all inside the object
    /// is [`BackendErrorKind::Corrupt`], an object that is not there
    /// [`BackendErrorKind::NotFound`].
    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> BackendResult<Box<dyn Body>>;

    /// What is known of an object; `None` if it is not there.
    async fn head(&self, key: &Key) -> BackendResult<Option<ObjectInfo>>;

    /// At most [`crate::limits::LIST_PAGE_MAX`] objects under a prefix, behind `after` if given.
    async fn list(&self, prefix: Prefix, after: Option<&Key>) -> BackendResult<Page>;

    /// Deletes exactly one object.
    async fn delete(&self, key: &Key) -> BackendResult<DeleteOutcome>;

    /// Room left, where the backend has a limit.
    async fn space(&self) -> BackendResult<Option<Space>>;

    /// Frees what uploads of dead writers left behind and returns how many there were. Uploads
    /// whose writer lives are untouched.
    async fn sweep_uploads(&self) -> BackendResult<u64>;
}

/// Reads a body to its end into memory, at most `limit` bytes.
pub async fn read_all(mut body: Box<dyn Body>, limit: u64) -> BackendResult<Vec<u8>> {
    let length = body.length();
    if length > limit {
        return Err(BackendError::new(
            BackendErrorKind::Corrupt,
            format!("the object has {length} bytes, more than the limit of {limit}"),
        ));
    }
    let mut out = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    while let Some(chunk) = body.chunk().await? {
        out.extend_from_slice(&chunk);
    }
    if out.len() as u64 != length {
        return Err(short_body(length, out.len() as u64));
    }
    Ok(out)
}

/// The error of a body that has another length than promised.
pub(crate) fn short_body(expected: u64, got: u64) -> BackendError {
    BackendError::new(
        BackendErrorKind::Corrupt,
        format!("the body has {got} bytes where {expected} were promised"),
    )
}

/// The error of a range that is not inside the object.
pub(crate) fn range_outside(key: &Key, range: &Range<u64>, size: u64) -> BackendError {
    let Range { start, end } = range;
    BackendError::new(
        BackendErrorKind::Corrupt,
        format!("{key} has {size} bytes, bytes {start} to {end} are not all in it"),
    )
}

/// The error of an object that is not there.
pub(crate) fn not_found(key: &Key) -> BackendError {
    BackendError::new(BackendErrorKind::NotFound, format!("{key} is not there"))
}
