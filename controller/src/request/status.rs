//! The one place where an [`Error`] becomes a gRPC status.

use provado_model::error::help_url;
use provado_model::{Error, Kind, Reason};
use std::collections::HashMap;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Names this program in `ErrorInfo.domain`.
const DOMAIN: &str = "provado";
/// How long a caller is asked to wait before it tries again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The status of an error that ends here: a bug or damage is logged with its whole chain, since
/// the caller sees only that there was one.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the error ends here, and `.map_err(status)` reads well"
)]
pub fn status(error: Error) -> Status {
    match error.kind {
        Kind::Internal | Kind::Corrupt => {
            tracing::error!(
                error.reason = error.reason.as_str(),
                "a call failed: {}",
                error.chain()
            );
        }
        Kind::Unavailable | Kind::Exhausted | Kind::TimedOut => {
            tracing::warn!(
                error.reason = error.reason.as_str(),
                "a call failed: {}",
                error.chain()
            );
        }
        Kind::Invalid
        | Kind::Unauthenticated
        | Kind::Forbidden
        | Kind::NotFound
        | Kind::AlreadyExists
        | Kind::Stale
        | Kind::NotAllowedNow
        | Kind::Unsupported
        | Kind::Cancelled => {
            tracing::debug!(
                error.reason = error.reason.as_str(),
                "a call was refused: {}",
                error.chain()
            );
        }
    }
    to_status(&error)
}

/// The status of an error, without logging it.
pub fn to_status(error: &Error) -> Status {
    Status::with_error_details(code(error.kind), error.message.clone(), details(error))
}

/// The gRPC code of a kind (the table is in the manual under "errors").
const fn code(kind: Kind) -> Code {
    match kind {
        Kind::Invalid => Code::InvalidArgument,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::Forbidden => Code::PermissionDenied,
        Kind::NotFound => Code::NotFound,
        Kind::AlreadyExists => Code::AlreadyExists,
        Kind::Stale => Code::Aborted,
        Kind::NotAllowedNow => Code::FailedPrecondition,
        Kind::Unsupported => Code::Unimplemented,
        Kind::Exhausted => Code::ResourceExhausted,
        Kind::Unavailable => Code::Unavailable,
        Kind::TimedOut => Code::DeadlineExceeded,
        Kind::Cancelled => Code::Cancelled,
        Kind::Corrupt => Code::DataLoss,
        Kind::Internal => Code::Internal,
    }
}

fn details(error: &Error) -> ErrorDetails {
    let reason = error.reason.as_str();
    let metadata: HashMap<String, String> = error
        .context
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
    details.add_help_link(
        "what happened, what is at risk, what to do",
        help_url(reason),
    );
    match error.kind {
        Kind::Invalid => {
            if error.reason == Reason::InvalidArgument {
                for (field, problem) in &error.context {
                    details.add_bad_request_violation(*field, problem.clone());
                }
            }
        }
        Kind::NotFound | Kind::AlreadyExists | Kind::Stale => {
            let (kind, name) = subject(error);
            details.set_resource_info(kind, name, "", error.message.clone());
        }
        Kind::NotAllowedNow => {
            let (_, name) = subject(error);
            details.add_precondition_failure_violation(reason, name, error.message.clone());
        }
        Kind::Exhausted => {
            let (_, name) = subject(error);
            details.add_quota_failure_violation(name, error.message.clone());
            details.set_retry_info(Some(RETRY_AFTER));
        }
        Kind::Unavailable => {
            details.set_retry_info(Some(RETRY_AFTER));
        }
        Kind::Unauthenticated
        | Kind::Forbidden
        | Kind::Unsupported
        | Kind::TimedOut
        | Kind::Cancelled
        | Kind::Corrupt
        | Kind::Internal => {}
    }
    details
}

/// What the error is about: by custom the first part of its context.
fn subject(error: &Error) -> (&str, &str) {
    error
        .context
        .first()
        .map_or(("", ""), |(kind, name)| (*kind, name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_code_error_info_and_a_page() {
        for reason in Reason::ALL {
            let status = to_status(&Error::new(*reason, "m").with("run", "r1"));
            assert_eq!(status.code(), code(reason.kind()));
            assert_eq!(status.message(), "m");
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!(info.reason, reason.as_str());
            assert_eq!(info.domain, "provado");
            assert_eq!(info.metadata["run"], "r1");
            let link = &details.help().unwrap().links[0];
            assert_eq!(link.url, format!("docs/errors/{reason}.md"));
            let retries = matches!(reason.kind(), Kind::Exhausted | Kind::Unavailable);
            assert_eq!(details.retry_info().is_some(), retries, "{reason}");
        }
    }

    #[test]
    fn what_is_inside_stays_inside() {
        let error = Error::internal("row 7 of table x").caused_by(std::io::Error::other("y"));
        let status = to_status(&error);
        let shown = format!("{} {:?}", status.message(), status.get_error_details());
        assert!(
            !shown.contains("row 7")
                && !shown.contains('y'.to_string().as_str().repeat(2).as_str())
        );
        assert_eq!(status.code(), Code::Internal);
    }

    #[test]
    fn each_wrong_field_is_told() {
        let mut violations = crate::request::Violations::default();
        violations.add("page_size", "must not be negative");
        violations.add("name", "is missing");
        let status = to_status(&violations.finish().unwrap_err());
        let details = status.get_error_details();
        let fields: Vec<_> = details
            .bad_request()
            .unwrap()
            .field_violations
            .iter()
            .map(|violation| violation.field.as_str())
            .collect();
        assert_eq!(fields, ["page_size", "name"]);
    }
}
