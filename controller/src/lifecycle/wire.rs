//! What several services say of runs and backups alike, one conversion per type.

use super::Failure;
use super::spec::{CheckLevel, Scope, SelectionSpec};
use provado_model::Kind;
use provado_model::error::help_url;
use provado_model::state::{RunKind, RunState};
use provado_proto::common::v1 as wire;
use provado_proto::operator::v1 as operator;

/// Longest reason of a failure that is kept, in characters.
const REASON_CHARS_MAX: usize = 64;
/// Longest message of a failure that is kept, in characters.
const MESSAGE_CHARS_MAX: usize = 4_096;
/// Dynamic parts of a failure that are kept.
const CONTEXT_MAX: usize = 64;

/// A text from an agent, cut, without NUL, which PostgreSQL cannot hold in a text.
pub fn plain(text: &str, chars_max: usize) -> String {
    text.chars()
        .take(chars_max)
        .map(|char| if char == '\0' { '\u{fffd}' } else { char })
        .collect()
}

/// A selection as it came; an unknown scope is none at all.
pub fn selection_in(selection: &wire::Selection) -> SelectionSpec {
    SelectionSpec {
        scope: match selection.scope() {
            wire::Scope::Unspecified | wire::Scope::Everything => Scope::Everything,
            wire::Scope::SchemaOnly => Scope::SchemaOnly,
            wire::Scope::DataOnly => Scope::DataOnly,
        },
        table_patterns: selection.table_patterns.clone(),
    }
}

/// A selection as it is sent.
pub fn selection_out(selection: &SelectionSpec) -> wire::Selection {
    let scope = match selection.scope {
        Scope::Everything => wire::Scope::Everything,
        Scope::SchemaOnly => wire::Scope::SchemaOnly,
        Scope::DataOnly => wire::Scope::DataOnly,
    };
    wire::Selection {
        scope: scope.into(),
        table_patterns: selection.table_patterns.clone(),
    }
}

/// A level as it came; none where it was left out.
pub const fn level_in(level: wire::CheckLevel) -> Option<CheckLevel> {
    match level {
        wire::CheckLevel::Unspecified => None,
        wire::CheckLevel::Present => Some(CheckLevel::Present),
        wire::CheckLevel::Intact => Some(CheckLevel::Intact),
        wire::CheckLevel::Readable => Some(CheckLevel::Readable),
    }
}

/// A level as it is sent.
pub const fn level_out(level: CheckLevel) -> wire::CheckLevel {
    match level {
        CheckLevel::Present => wire::CheckLevel::Present,
        CheckLevel::Intact => wire::CheckLevel::Intact,
        CheckLevel::Readable => wire::CheckLevel::Readable,
    }
}

/// A failure as an agent told it. Its reason may be one that this controller does not know.
pub fn failure_in(failure: &wire::Failure) -> Failure {
    Failure {
        kind: kind_in(failure.kind()).as_str().to_owned(),
        reason: plain(&failure.reason, REASON_CHARS_MAX),
        message: plain(&failure.message, MESSAGE_CHARS_MAX),
        context: failure
            .metadata
            .iter()
            .take(CONTEXT_MAX)
            .map(|(name, value)| (name.clone(), plain(value, MESSAGE_CHARS_MAX)))
            .collect(),
    }
}

/// A failure as it is sent.
pub fn failure_out(failure: &Failure) -> wire::Failure {
    let kind = failure
        .known_kind()
        .map_or(wire::FailureKind::Unspecified, kind_out);
    wire::Failure {
        kind: kind.into(),
        reason: failure.reason.clone(),
        message: failure.message.clone(),
        metadata: failure.context.clone(),
        help_url: help_url(&failure.reason),
    }
}

const fn kind_in(kind: wire::FailureKind) -> Kind {
    match kind {
        wire::FailureKind::Invalid => Kind::Invalid,
        wire::FailureKind::Unauthenticated => Kind::Unauthenticated,
        wire::FailureKind::Forbidden => Kind::Forbidden,
        wire::FailureKind::NotFound => Kind::NotFound,
        wire::FailureKind::AlreadyExists => Kind::AlreadyExists,
        wire::FailureKind::Stale => Kind::Stale,
        wire::FailureKind::NotAllowedNow => Kind::NotAllowedNow,
        wire::FailureKind::Unsupported => Kind::Unsupported,
        wire::FailureKind::Exhausted => Kind::Exhausted,
        wire::FailureKind::Unavailable => Kind::Unavailable,
        wire::FailureKind::TimedOut => Kind::TimedOut,
        wire::FailureKind::Cancelled => Kind::Cancelled,
        wire::FailureKind::Corrupt => Kind::Corrupt,
        wire::FailureKind::Internal | wire::FailureKind::Unspecified => Kind::Internal,
    }
}

const fn kind_out(kind: Kind) -> wire::FailureKind {
    match kind {
        Kind::Invalid => wire::FailureKind::Invalid,
        Kind::Unauthenticated => wire::FailureKind::Unauthenticated,
        Kind::Forbidden => wire::FailureKind::Forbidden,
        Kind::NotFound => wire::FailureKind::NotFound,
        Kind::AlreadyExists => wire::FailureKind::AlreadyExists,
        Kind::Stale => wire::FailureKind::Stale,
        Kind::NotAllowedNow => wire::FailureKind::NotAllowedNow,
        Kind::Unsupported => wire::FailureKind::Unsupported,
        Kind::Exhausted => wire::FailureKind::Exhausted,
        Kind::Unavailable => wire::FailureKind::Unavailable,
        Kind::TimedOut => wire::FailureKind::TimedOut,
        Kind::Cancelled => wire::FailureKind::Cancelled,
        Kind::Corrupt => wire::FailureKind::Corrupt,
        Kind::Internal => wire::FailureKind::Internal,
    }
}

/// A run's kind as it is sent.
pub const fn run_kind_out(kind: RunKind) -> operator::RunKind {
    match kind {
        RunKind::Backup => operator::RunKind::Backup,
        RunKind::Restore => operator::RunKind::Restore,
        RunKind::Check => operator::RunKind::Check,
        RunKind::Drill => operator::RunKind::Drill,
        RunKind::Prune => operator::RunKind::Prune,
        RunKind::Inspect => operator::RunKind::Inspect,
        RunKind::Init => operator::RunKind::Init,
    }
}

/// A run's kind as it came; none where it was left out.
pub const fn run_kind_in(kind: operator::RunKind) -> Option<RunKind> {
    match kind {
        operator::RunKind::Unspecified => None,
        operator::RunKind::Backup => Some(RunKind::Backup),
        operator::RunKind::Restore => Some(RunKind::Restore),
        operator::RunKind::Check => Some(RunKind::Check),
        operator::RunKind::Drill => Some(RunKind::Drill),
        operator::RunKind::Prune => Some(RunKind::Prune),
        operator::RunKind::Inspect => Some(RunKind::Inspect),
        operator::RunKind::Init => Some(RunKind::Init),
    }
}

/// A run's state as it is sent.
pub const fn run_state_out(state: RunState) -> operator::RunState {
    match state {
        RunState::Requested => operator::RunState::Requested,
        RunState::Queued => operator::RunState::Queued,
        RunState::Dispatched => operator::RunState::Dispatched,
        RunState::Running => operator::RunState::Running,
        RunState::Succeeded => operator::RunState::Succeeded,
        RunState::Failed => operator::RunState::Failed,
        RunState::Canceled => operator::RunState::Canceled,
        RunState::Skipped => operator::RunState::Skipped,
    }
}

/// A run's state as it came; none where it was left out.
pub const fn run_state_in(state: operator::RunState) -> Option<RunState> {
    match state {
        operator::RunState::Unspecified => None,
        operator::RunState::Requested => Some(RunState::Requested),
        operator::RunState::Queued => Some(RunState::Queued),
        operator::RunState::Dispatched => Some(RunState::Dispatched),
        operator::RunState::Running => Some(RunState::Running),
        operator::RunState::Succeeded => Some(RunState::Succeeded),
        operator::RunState::Failed => Some(RunState::Failed),
        operator::RunState::Canceled => Some(RunState::Canceled),
        operator::RunState::Skipped => Some(RunState::Skipped),
    }
}
