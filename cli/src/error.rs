//! What went wrong, in words an operator can act on, and the exit code that goes with it.

use crate::output::Report;
use crate::trust;
use provado_model::error::help_url;
use provado_model::{Kind, Reason};
use std::error::Error;
use std::process::ExitCode;
use tonic::{Code, Status, TimeoutExpired};
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
        ExitCode::from(self.number())
    }

    /// The same as a number.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::RunFailed => 1,
            Self::Difference => 9,
        }
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
    /// An error found on this side: what happened, to what, and what to do next.
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            kind: reason.kind(),
            reason: Some(reason.as_str().to_owned()),
            message: message.into(),
            details: Vec::new(),
        }
    }

    /// Wrong input.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Reason::InvalidArgument, message)
    }

    /// A broken expectation about the controller's answer.
    pub(crate) fn answer(what: &str) -> Self {
        Self::new(
            Reason::Internal,
            format!(
                "the controller's answer lacks {what}; its version may not fit this program: \
                 compare `provado --version` with `provado caller self`"
            ),
        )
    }

    /// A file that cannot be made or written.
    pub(crate) fn unwritable(file: &std::path::Path, error: &std::io::Error) -> Self {
        let file = file.display();
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return Self::new(
                Reason::NameTaken,
                format!("{file} exists already and was not overwritten; name another"),
            );
        }
        Self::new(
            Reason::FileUnwritable,
            format!("cannot write {file}: {error}; name a place that you may write"),
        )
    }

    /// A file that cannot be read. `what` it is has its article.
    pub(crate) fn unreadable(what: &str, file: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(
            Reason::FileUnreadable,
            format!(
                "cannot read {what} {}: {error}; look at the path, and at who may read it",
                file.display()
            ),
        )
    }

    /// The exit code of STYLE's table.
    pub(crate) fn exit_code(&self) -> u8 {
        self.kind.exit_code()
    }

    /// Whether the controller may answer a little later.
    pub(crate) fn is_passing(&self) -> bool {
        self.kind == Kind::Unavailable
    }

    /// The error as an operator reads it.
    pub(crate) fn report(&self) -> Report {
        let mut report = Report::new();
        report.problem(&self.message);
        for detail in &self.details {
            report.note(format!("  {detail}"));
        }
        if let Some(reason) = &self.reason {
            report.note(format!("  reason {reason}; see {}", help_url(reason)));
        }
        report
    }

    /// A status that no service of the controller made: the connection broke, or the time was
    /// over.
    fn on_the_way(status: &Status) -> Option<Self> {
        if status.code() == Code::DeadlineExceeded || is_timeout(status) {
            return Some(Self::new(
                Reason::DeadlineExceeded,
                "the controller did not answer in time, so it is not known whether the request \
                 had an effect; look with `provado run list` before you repeat it",
            ));
        }
        // Only what this side made has a source.
        let source = status.source()?;
        if let Some(refused) = trust::refusal(source) {
            return Some(Self::new(Reason::CertificateInvalid, refused));
        }
        Some(Self::new(
            Reason::ControllerUnreachable,
            format!(
                "the connection to the controller broke: {}. A run that was asked for goes on \
                 without it; try again, and see `systemctl status provado-controller` on its host",
                trust::innermost(source)
            ),
        ))
    }
}

impl From<Status> for CliError {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone());
        if reason.is_none()
            && let Some(error) = Self::on_the_way(&status)
        {
            return error;
        }
        let known: Option<Reason> = reason.as_deref().and_then(|text| text.parse().ok());
        let mut lines = Vec::new();
        if let Some(bad) = details.bad_request() {
            for violation in &bad.field_violations {
                lines.push(format!("{}: {}", violation.field, violation.description));
            }
        }
        if let Some(precondition) = details.precondition_failure() {
            for violation in &precondition.violations {
                // Most often it only says again what the message says.
                if violation.description != status.message() {
                    lines.push(format!("{}: {}", violation.subject, violation.description));
                }
            }
        }
        Self {
            kind: known.map_or_else(|| kind_of(status.code()), Reason::kind),
            reason: reason.or_else(|| usual_reason(status.code()).map(|it| it.to_string())),
            message: match status.message() {
                "" => format!(
                    "the controller answered {:?} and said no more; see its log, and compare \
                     `provado --version` with `provado caller self`",
                    status.code()
                ),
                message => message.to_owned(),
            },
            details: lines,
        }
    }
}

fn is_timeout(status: &Status) -> bool {
    let mut next = status.source();
    while let Some(error) = next {
        if error.is::<TimeoutExpired>() {
            return true;
        }
        next = error.source();
    }
    false
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

/// What most often lies behind a code that came without a reason, where one page helps.
fn usual_reason(code: Code) -> Option<Reason> {
    match code {
        Code::InvalidArgument | Code::OutOfRange => Some(Reason::InvalidArgument),
        Code::Unauthenticated => Some(Reason::CertificateInvalid),
        Code::PermissionDenied => Some(Reason::RoleForbids),
        Code::Unimplemented => Some(Reason::Unimplemented),
        Code::ResourceExhausted => Some(Reason::Busy),
        Code::Unavailable => Some(Reason::ServiceUnavailable),
        Code::Ok | Code::Unknown | Code::Internal => Some(Reason::Internal),
        Code::NotFound
        | Code::AlreadyExists
        | Code::Aborted
        | Code::FailedPrecondition
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::DataLoss => None,
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
        details.add_precondition_failure_violation("TARGET_EXISTS", "shop", "no");
        let status = Status::with_error_details(Code::AlreadyExists, "no", details);
        let error = CliError::from(status);
        assert_eq!(error.exit_code(), 5);
        assert_eq!(error.details, ["database_name: `shop` exists"]);
        assert_eq!(CliError::from(Status::unavailable("away")).exit_code(), 8);
    }

    #[test]
    fn a_call_that_took_too_long_was_not_given_up_by_the_caller() {
        let status = Status::from_error(Box::new(TimeoutExpired(())));
        assert_eq!(status.code(), Code::Cancelled);
        let error = CliError::from(status);
        assert_eq!(error.exit_code(), 8);
        assert_eq!(error.reason.as_deref(), Some("DEADLINE_EXCEEDED"));
        assert!(!error.is_passing());
    }

    #[test]
    fn a_broken_connection_is_passing_whatever_its_code() {
        let broken = std::io::Error::new(std::io::ErrorKind::BrokenPipe, "broken pipe");
        let error = CliError::from(Status::from_error(Box::new(broken)));
        assert_eq!(error.reason.as_deref(), Some("CONTROLLER_UNREACHABLE"));
        assert!(error.is_passing());
    }
}
