//! What went wrong, in words an operator can act on, and the exit code that goes with it.

use crate::output;
use provado_model::{Kind, Reason};
use std::process::ExitCode;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// How a command that did its work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, and all is well.
    Done,
    /// The run failed.
    RunFailed,
    /// A check, drill or verification found a difference.
    Difference,
}

impl Exit {
    /// The process's exit code.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Done => 0,
            Self::RunFailed => 1,
            Self::Difference => 9,
        })
    }
}

/// A command that could not do its work.
#[derive(Debug)]
pub(crate) struct CliError {
    kind: Kind,
    reason: Option<String>,
    message: String,
    details: Vec<String>,
}

/// What commands return.
pub(crate) type Result<T> = std::result::Result<T, CliError>;

impl CliError {
    /// An error of this kind found on this side.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            reason: None,
            message: message.into(),
            details: Vec::new(),
        }
    }

    /// Wrong input.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// A broken expectation about the controller's answer.
    pub(crate) fn answer(what: &str) -> Self {
        Self::new(
            Kind::Internal,
            format!("the controller's answer lacks {what}; its version may not fit this program"),
        )
    }

    /// The exit code of STYLE's table.
    pub(crate) fn exit_code(&self) -> u8 {
        self.kind.exit_code()
    }

    /// Prints the error to stderr.
    pub(crate) fn print(&self) {
        output::problem(&self.message);
        for detail in &self.details {
            output::note(&format!("  {detail}"));
        }
        if let Some(reason) = &self.reason {
            output::note(&format!(
                "  reason {reason}; see {}",
                provado_model::error::help_url(reason)
            ));
        }
    }
}

impl From<Status> for CliError {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone());
        let known: Option<Reason> = reason.as_deref().and_then(|text| text.parse().ok());
        let mut lines = Vec::new();
        if let Some(bad) = details.bad_request() {
            for violation in &bad.field_violations {
                lines.push(format!("{}: {}", violation.field, violation.description));
            }
        }
        if let Some(precondition) = details.precondition_failure() {
            for violation in &precondition.violations {
                lines.push(format!("{}: {}", violation.subject, violation.description));
            }
        }
        Self {
            kind: known.map_or_else(|| kind_of(status.code()), Reason::kind),
            reason,
            message: status.message().to_owned(),
            details: lines,
        }
    }
}

fn kind_of(code: Code) -> Kind {
    match code {
        Code::InvalidArgument | Code::OutOfRange => Kind::Invalid,
        Code::Unauthenticated => Kind::Unauthenticated,
        Code::PermissionDenied => Kind::Forbidden,
        Code::NotFound => Kind::NotFound,
        Code::AlreadyExists => Kind::AlreadyExists,
        Code::Aborted => Kind::Stale,
        Code::FailedPrecondition => Kind::NotAllowedNow,
        Code::Unimplemented => Kind::Unsupported,
        Code::ResourceExhausted => Kind::Exhausted,
        Code::Unavailable => Kind::Unavailable,
        Code::DeadlineExceeded => Kind::TimedOut,
        Code::Cancelled => Kind::Cancelled,
        Code::DataLoss => Kind::Corrupt,
        Code::Ok | Code::Unknown | Code::Internal => Kind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use tonic_types::ErrorDetails;

    #[test]
    fn the_reason_decides_the_exit_code_and_violations_are_listed() {
        let mut details = ErrorDetails::with_error_info("TARGET_EXISTS", "provado", HashMap::new());
        details.add_bad_request_violation("database_name", "`shop` exists");
        let status = Status::with_error_details(Code::AlreadyExists, "no", details);
        let error = CliError::from(status);
        assert_eq!(error.exit_code(), 5);
        assert_eq!(error.details, ["database_name: `shop` exists"]);
        assert_eq!(CliError::from(Status::unavailable("away")).exit_code(), 8);
    }
}
