//! Outcomes and log lines as they come over the wire, and back.

use crate::lifecycle::Failure;
use provado_model::Kind;
use provado_proto::common::v1::{Failure as WireFailure, FailureKind};

/// A failure as an agent told it. Its reason may be one that this controller does not know.
pub(super) fn failure(wire: &WireFailure) -> Failure {
    Failure {
        kind: kind(wire.kind()).as_str().to_owned(),
        reason: wire.reason.clone(),
        message: wire.message.clone(),
        context: wire.metadata.clone(),
    }
}

const fn kind(wire: FailureKind) -> Kind {
    match wire {
        FailureKind::Invalid => Kind::Invalid,
        FailureKind::Unauthenticated => Kind::Unauthenticated,
        FailureKind::Forbidden => Kind::Forbidden,
        FailureKind::NotFound => Kind::NotFound,
        FailureKind::AlreadyExists => Kind::AlreadyExists,
        FailureKind::Stale => Kind::Stale,
        FailureKind::NotAllowedNow => Kind::NotAllowedNow,
        FailureKind::Unsupported => Kind::Unsupported,
        FailureKind::Exhausted => Kind::Exhausted,
        FailureKind::Unavailable => Kind::Unavailable,
        FailureKind::TimedOut => Kind::TimedOut,
        FailureKind::Cancelled => Kind::Cancelled,
        FailureKind::Corrupt => Kind::Corrupt,
        FailureKind::Internal | FailureKind::Unspecified => Kind::Internal,
    }
}
