//! What can go wrong with a repository, and the reason under which it is reported.

use crate::backend::{BackendError, BackendErrorKind};
use crate::cancel::Canceled;
use provado_model::id::{BackupId, RepositoryId};
use provado_model::{Error as ModelError, Reason};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something with a repository did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The backend could not do what it was asked to.
    #[error("the repository could not be used: {doing}")]
    Backend {
        /// What was being done, with the object's key.
        doing: String,
        /// Why not.
        #[source]
        source: BackendError,
    },
    /// There is no repository at this place.
    #[error(
        "there is no repository at {place}: look first whether its disk is mounted \
         (`findmnt -T {place}`); only one that was never there is made with `provado repository \
         init`"
    )]
    NoRepository {
        /// The place.
        place: String,
    },
    /// There is a repository already.
    #[error("there is a repository at {place} already, with id {found}")]
    RepositoryExists {
        /// The place.
        place: String,
        /// Its id.
        found: RepositoryId,
    },
    /// The place holds another repository than the one wanted.
    #[error(
        "{place} holds repository {found}, not {expected}; correct the root in the configuration"
    )]
    OtherRepository {
        /// The place.
        place: String,
        /// The id wanted.
        expected: RepositoryId,
        /// The id found.
        found: RepositoryId,
    },
    /// Something was written by a newer Provado.
    #[error("{object} has format version {found}, this program knows up to {known}; upgrade it")]
    TooNew {
        /// The object.
        object: String,
        /// Its version.
        found: u64,
        /// The newest version known here.
        known: u64,
    },
    /// Stored data is not what was written.
    #[error("{object} is damaged: {what}")]
    Damaged {
        /// The object's key.
        object: String,
        /// How it shows.
        what: String,
    },
    /// An object that must be there is not.
    #[error("{object} is missing")]
    Missing {
        /// The object's key.
        object: String,
    },
    /// No such backup in this repository.
    #[error("there is no backup {backup} in the repository")]
    NoBackup {
        /// The backup's id.
        backup: String,
    },
    /// A backup is encrypted to others than the next one is to be.
    #[error("backup {backup} is encrypted to other recipients, as after a change of keys")]
    OtherRecipients {
        /// The backup.
        backup: BackupId,
    },
    /// The identity is none of the recipients'.
    #[error("the identity given cannot open {object}: it belongs to none of its recipients")]
    WrongIdentity {
        /// What was to be opened.
        object: String,
    },
    /// A text is no age identity or recipient.
    #[error("{what}")]
    BadKey {
        /// Which text, and what it should be. Never the text of an identity.
        what: String,
    },
    /// There is nobody to encrypt to.
    #[error("there is no recipient to encrypt to; give at least one (two are better)")]
    NoRecipients,
    /// The segment key is not the repository's.
    #[error("the segment key given is not that of repository {repository}")]
    WrongSegmentKey {
        /// The repository.
        repository: RepositoryId,
    },
    /// The signer could not sign.
    #[error("the backup's document could not be signed")]
    Signing(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A local temporary file could not be used.
    #[error("a temporary file could not be used: {doing}")]
    Spool {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Encrypting, decrypting or (de)compressing failed for a reason other than the data.
    #[error("{doing} failed")]
    Codec {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something grew past its bound.
    #[error("{what} is {found}, more than the limit of {limit}")]
    Limit {
        /// What.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much there may be.
        limit: u64,
    },
    /// The caller used the writer or reader out of order: a bug.
    #[error("a bug: {0}")]
    Misuse(&'static str),
    /// Canceled.
    #[error(transparent)]
    Canceled(#[from] Canceled),
}

impl Error {
    /// An error of the backend while `doing` something.
    pub fn backend(doing: impl Into<String>) -> impl FnOnce(BackendError) -> Self {
        let doing = doing.into();
        move |source| Self::Backend { doing, source }
    }

    /// Stored data that is not what was written.
    pub fn damaged(object: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Damaged {
            object: object.into(),
            what: what.into(),
        }
    }

    /// The reason under which it is reported.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Backend { source, .. } => match source.kind {
                BackendErrorKind::Full => Reason::DiskFull,
                BackendErrorKind::Permissions => Reason::RepositoryPermissions,
                BackendErrorKind::Differs => Reason::ReadBackDiffers,
                BackendErrorKind::NotFound
                | BackendErrorKind::Denied
                | BackendErrorKind::Transient
                | BackendErrorKind::Unsupported
                | BackendErrorKind::Corrupt
                | BackendErrorKind::Unreadable
                | BackendErrorKind::Other => Reason::RepositoryIo,
            },
            Self::NoRepository { .. } => Reason::RepositoryMissing,
            Self::RepositoryExists { .. } => Reason::NameTaken,
            Self::OtherRepository { .. } => Reason::RepositoryMismatch,
            Self::TooNew { .. } => Reason::RepositoryTooNew,
            Self::Damaged { .. } | Self::Missing { .. } => Reason::CheckFoundDamage,
            Self::NoBackup { .. } => Reason::BackupNotFound,
            Self::WrongIdentity { .. } => Reason::IdentityWrong,
            Self::BadKey { .. } => Reason::InvalidArgument,
            Self::OtherRecipients { .. } => Reason::BackupUnusable,
            Self::NoRecipients | Self::WrongSegmentKey { .. } => Reason::EncryptionKeyMissing,
            Self::Spool { source, .. } if is_full(source) => Reason::DiskFull,
            Self::Spool { .. } => Reason::RepositoryIo,
            Self::Signing(_) | Self::Codec { .. } | Self::Limit { .. } | Self::Misuse(_) => {
                Reason::Internal
            }
            Self::Canceled(_) => Reason::Canceled,
        }
    }
}

impl From<Error> for ModelError {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error.reason() {
            Reason::Internal => Self::internal(message).caused_by(error),
            reason => Self::new(reason, message).caused_by(error),
        }
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
    )
}
