//! The one error that crosses a boundary: kind, retry class, reason, message, context.
//!
//! Libraries define small enums of their own; where a call or a run ends, their error becomes an
//! [`Error`]. It turns into a gRPC status in exactly one function (`request::status`) and into a
//! run's failure in exactly one (`wire`).

mod reason;

pub use reason::Reason;

use std::fmt;

/// The header by which an answer of the operator API tells of a [`Reason`] that stands for the
/// whole controller, whatever was asked for.
pub const WARNING_HEADER: &str = "provado-warning";

/// What sort of thing went wrong; decides the gRPC code and the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Malformed or out-of-range input.
    Invalid,
    /// No or bad certificate or token.
    Unauthenticated,
    /// The caller may not; also where existence must not leak.
    Forbidden,
    /// The caller may look, nothing is there.
    NotFound,
    /// A create clashes with a different thing.
    AlreadyExists,
    /// A version mismatch: re-read and try again.
    Stale,
    /// A legal request in the wrong state.
    NotAllowedNow,
    /// This build or agent lacks the feature.
    Unsupported,
    /// Quota, concurrency, disk or rate.
    Exhausted,
    /// A dependency or this program is away for now.
    Unavailable,
    /// The deadline passed; the effect is unknown.
    TimedOut,
    /// The caller gave up.
    Cancelled,
    /// A digest mismatch, an unreadable manifest, a broken audit chain.
    Corrupt,
    /// A bug or a violated invariant.
    Internal,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same request fails again.
    Never,
    /// The same request may pass a little later.
    AfterDelay,
    /// Something must be changed or read again first.
    AfterChange,
}

impl Kind {
    /// Every kind, in the order of the table.
    pub const ALL: &'static [Self] = &[
        Self::Invalid,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Stale,
        Self::NotAllowedNow,
        Self::Unsupported,
        Self::Exhausted,
        Self::Unavailable,
        Self::TimedOut,
        Self::Cancelled,
        Self::Corrupt,
        Self::Internal,
    ];

    /// The kind's name as stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Stale => "stale",
            Self::NotAllowedNow => "not_allowed_now",
            Self::Unsupported => "unsupported",
            Self::Exhausted => "exhausted",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal",
        }
    }

    /// The retry class that goes with the kind.
    pub const fn retry(self) -> Retry {
        match self {
            Self::Invalid
            | Self::Unauthenticated
            | Self::Forbidden
            | Self::NotFound
            | Self::AlreadyExists
            | Self::Unsupported
            | Self::Cancelled
            | Self::Corrupt
            | Self::Internal => Retry::Never,
            Self::Stale | Self::NotAllowedNow | Self::TimedOut => Retry::AfterChange,
            Self::Exhausted | Self::Unavailable => Retry::AfterDelay,
        }
    }

    /// The exit code of `provado` for a call that ended so.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Invalid => 2,
            Self::NotFound => 3,
            Self::Unauthenticated | Self::Forbidden => 4,
            Self::AlreadyExists | Self::Stale | Self::NotAllowedNow => 5,
            Self::Unsupported => 6,
            Self::Exhausted => 7,
            Self::Unavailable | Self::TimedOut => 8,
            Self::Corrupt => 9,
            Self::Internal => 70,
            Self::Cancelled => 130,
        }
    }
}

/// An error on its way to whoever must act on it.
#[derive(Debug)]
pub struct Error {
    /// What sort of thing went wrong.
    pub kind: Kind,
    /// The machine-readable identifier; its page is `docs/errors/<REASON>.md`.
    pub reason: Reason,
    /// Safe to show: what happened, to what, what to do next. It reads alone.
    pub message: String,
    /// For the log only; may hold what must not leave this program.
    pub detail: Option<String>,
    /// The dynamic parts of the message, by name.
    pub context: Vec<(&'static str, String)>,
    /// What caused it.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this reason (which fixes the kind) with a message that can be shown.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            kind: reason.kind(),
            reason,
            message: message.into(),
            detail: None,
            context: Vec::new(),
            source: None,
        }
    }

    /// A bug or a violated invariant; the message goes to the log, callers see a fixed text.
    pub fn internal(detail: impl Into<String>) -> Self {
        let mut error = Self::new(
            Reason::Internal,
            "an internal error happened; see the log of the program",
        );
        error.detail = Some(detail.into());
        error
    }

    /// Adds what caused it.
    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds one dynamic part of the message by name.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.context.push((name, value.to_string()));
        self
    }

    /// Adds a detail for the log.
    #[must_use]
    pub fn detail(mut self, detail: impl fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// The whole chain on one line, for the log.
    pub fn chain(&self) -> String {
        let mut out = format!("{}: {}", self.reason.as_str(), self.message);
        if let Some(detail) = &self.detail {
            out.push_str(" | ");
            out.push_str(detail);
        }
        let mut next = self.source.as_deref().map(|e| e as &dyn std::error::Error);
        while let Some(error) = next {
            out.push_str(": ");
            out.push_str(&error.to_string());
            next = error.source();
        }
        out
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

/// The address of a reason's page, shown with every error.
pub fn help_url(reason: &str) -> String {
    format!("docs/errors/{reason}.md")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_holds_every_cause_once() {
        let error = Error::new(Reason::BackupNotFound, "no backup `x`")
            .with("backup", "x")
            .detail("looked in 2 repositories")
            .caused_by(std::io::Error::other("disk on fire"));
        assert_eq!(error.to_string(), "no backup `x`");
        assert_eq!(
            error.chain(),
            "BACKUP_NOT_FOUND: no backup `x` | looked in 2 repositories: disk on fire"
        );
        assert_eq!(error.kind.exit_code(), 3);
    }
}
