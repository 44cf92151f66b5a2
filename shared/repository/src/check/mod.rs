//! Reading stored data back without a restore, at one of three levels (DESIGN.md section 5).
//!
//! A check tells damage; it never repairs and never writes. Damage is what the stored bytes show.
//! That a backend does not answer is an error of the check, not damage of the backup. Blocks: call
//! it from a thread of your own or from `spawn_blocking`.

mod names;
mod object;
mod pack;
mod work;

use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::key::{BackupRef, Key};
use crate::keys::{Identity, SegmentId};
use crate::repository::Repository;
use crate::signature::Trust;
use crate::spool::SpoolPlace;
use std::fmt;

/// How far stored data is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every object is there with the right size; documents verify. Needs no key.
    Present,
    /// Every stored byte equals its SHA-256. Needs no key.
    Intact,
    /// Everything decrypts and decompresses, and every segment is the one its id names. Needs an
    /// identity.
    Readable,
}

/// How a backup is checked.
pub struct CheckOptions<'a> {
    /// How far.
    pub level: Level,
    /// The identity of a recipient. Needed for [`Level::Readable`]; at the other levels it lets
    /// damage be told by the names of the tables it hits.
    pub identity: Option<&'a Identity>,
    /// Who may have signed the documents.
    pub trust: Trust<'a>,
    /// Threads, 1 to [`crate::limits::THREADS_MAX`].
    pub threads: usize,
    /// Where temporary bytes go.
    pub spool: SpoolPlace,
    /// Ends the work early.
    pub cancel: Cancel,
    /// Is told how far the check is, from any of its threads.
    pub progress: &'a (dyn Fn(CheckProgress) + Sync),
}

impl fmt::Debug for CheckOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckOptions")
            .field("level", &self.level)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// How far a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckProgress {
    /// Bytes read.
    pub bytes: u64,
    /// Bytes there are to read at this level.
    pub bytes_total: u64,
    /// Damages found.
    pub damage_count: u64,
}

/// What sort of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamageKind {
    /// The object is not there.
    Missing,
    /// It has another size.
    Size,
    /// Its bytes are not those that were written.
    Bytes,
    /// It does not decrypt, decompress or parse.
    Unreadable,
    /// It is readable and is not what it should be.
    Content,
}

/// One thing found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What sort.
    pub kind: DamageKind,
    /// The object's key.
    pub object: String,
    /// The segment, where the damage could be told so closely.
    pub segment: Option<DamagedSegment>,
    /// What is wrong, a sentence part that follows the object's name.
    pub what: String,
    /// Entries that need what is damaged, at most
    /// [`crate::limits::DAMAGE_ENTRIES_MAX`]; empty if no identity was given.
    pub entries: Vec<String>,
    /// Entries that need what is damaged, all of them.
    pub entry_count: u64,
}

/// A segment that is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DamagedSegment {
    /// Its id.
    pub id: SegmentId,
    /// Offset of its first stored byte in the pack.
    pub offset_bytes: u64,
    /// Stored bytes.
    pub stored_bytes: u32,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.what)?;
        if let Some(segment) = &self.segment {
            write!(f, " (segment at byte {})", segment.offset_bytes)?;
        }
        if !self.entries.is_empty() {
            write!(f, "; needed by {}", self.entries.join(", "))?;
            let more = self.entry_count.saturating_sub(self.entries.len() as u64);
            if more > 0 {
                write!(f, " and {more} more")?;
            }
        }
        Ok(())
    }
}

/// What a check came to.
#[derive(Debug, Clone)]
pub struct CheckReport {
    /// The backup.
    pub backup: BackupRef,
    /// The level it was checked at.
    pub level: Level,
    /// Objects looked at.
    pub object_count: u64,
    /// Stored bytes read.
    pub bytes_read: u64,
    /// Segments decoded and held against their ids.
    pub segment_count: u64,
    /// What is wrong, at most [`crate::limits::DAMAGE_MAX`].
    pub damage: Vec<Damage>,
    /// How many things are wrong, all of them.
    pub damage_count: u64,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.damage_count == 0
    }
}

impl Repository {
    /// Checks one backup and everything it needs, the repository's descriptor included. Fails
    /// only if the check could not be carried out; so it is where the repository itself is not to
    /// be had, at the beginning or when damage was found.
    pub fn check(&self, backup: BackupRef, options: &CheckOptions<'_>) -> Result<CheckReport> {
        if options.level == Level::Readable && options.identity.is_none() {
            return Err(Error::Misuse("a check at level readable needs an identity"));
        }
        if !(1..=crate::limits::THREADS_MAX).contains(&options.threads) {
            return Err(Error::Misuse("a check needs 1 to 64 threads"));
        }
        work::run(self, backup, options)
    }
}

impl Damage {
    /// Damage of a whole object.
    fn of(kind: DamageKind, key: &Key, what: impl Into<String>) -> Self {
        Self {
            kind,
            object: key.to_string(),
            segment: None,
            what: what.into(),
            entries: Vec::new(),
            entry_count: 0,
        }
    }

    /// What an error tells of an object; errors that tell nothing of it come back.
    fn from_error(key: &Key, error: Error) -> Result<Self> {
        use crate::backend::BackendErrorKind as Kind;
        match error {
            Error::Missing { .. } => Ok(Self::of(DamageKind::Missing, key, "it is missing")),
            Error::Damaged { what, .. } => Ok(Self::of(DamageKind::Content, key, what)),
            Error::TooNew { found, .. } => {
                let what = format!("it claims to be of format version {found}");
                Ok(Self::of(DamageKind::Content, key, what))
            }
            // A bad sector shows so. Every other error is the host's or the mount's.
            Error::Backend { source, .. } if source.kind == Kind::Unreadable => {
                let what = format!("it cannot be read ({source})");
                Ok(Self::of(DamageKind::Unreadable, key, what))
            }
            Error::Backend { source, .. } if source.kind == Kind::Corrupt => {
                Ok(Self::of(DamageKind::Size, key, source.to_string()))
            }
            other => Err(other),
        }
    }
}
