//! Errors: what happened, to what, what to do next, the reason and its page, and the exit code.

use super::fixtures::now;
use crate::connect::{unreachable, unusable};
use crate::error::{CliError, Result};
use crate::names::InstanceAndDatabase;
use crate::profile::Profile;
use jiff::SignedDuration;
use provado_identity::tls::TlsError;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::{ErrorDetails, StatusExt as _};

fn check(name: &str, errors: impl IntoIterator<Item = CliError>) {
    let mut text = String::new();
    for error in errors {
        writeln!(text, "{}exit {}\n", error.report(), error.exit_code()).unwrap();
    }
    insta::assert_snapshot!(format!("errors_{name}"), text);
}

fn profile() -> Profile {
    Profile {
        file: PathBuf::from("/p/profile.toml"),
        endpoint: "provado.example.org:7444".into(),
        server_name: None,
        authority_file: PathBuf::from("/p/authority.crt"),
        certificate_file: PathBuf::from("/p/operator.crt"),
        key_file: PathBuf::from("/p/operator.key"),
    }
}

fn wrong<T>(answer: Result<T>) -> CliError {
    answer.err().unwrap()
}

#[test]
fn no_controller() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profile.toml");
    std::fs::write(&file, "endpoint = 1\n").unwrap();
    let malformed = Profile::load(Some(&file)).unwrap_err();
    assert_eq!(malformed.exit_code(), 2);
    let tls = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
    check(
        "no_controller",
        [
            wrong(Profile::load(Some(Path::new("/nowhere/profile.toml")))),
            unreachable(
                &profile(),
                &io::Error::from(io::ErrorKind::ConnectionRefused),
            ),
            unreachable(
                &profile(),
                &tls(rustls::Error::AlertReceived(
                    rustls::AlertDescription::CertificateExpired,
                )),
            ),
            unreachable(
                &profile(),
                &tls(rustls::Error::InvalidCertificate(
                    rustls::CertificateError::UnknownIssuer,
                )),
            ),
            unreachable(
                &profile(),
                &tls(rustls::Error::InvalidCertificate(
                    rustls::CertificateError::NotValidForName,
                )),
            ),
            CliError::from(Status::from_error(Box::new(TimeoutExpired(())))),
            CliError::from(Status::from_error(Box::new(io::Error::from(
                io::ErrorKind::BrokenPipe,
            )))),
        ],
    );
}

#[test]
fn a_certificate_of_no_use() {
    let now = now();
    let at = |hours: i64| now.time + SignedDuration::from_hours(hours);
    let valid = |from: i64, until: i64| TlsError::NotValidNow {
        not_before: at(from),
        not_after: at(until),
        now: now.time,
    };
    check(
        "certificate",
        [
            unusable(&profile(), &valid(-800, -3), &now),
            unusable(&profile(), &valid(1, 700), &now),
            unusable(&profile(), &TlsError::Certificate, &now),
        ],
    );
}

/// An answer of the controller, with the details that it sends along.
fn told(reason: &str, code: Code, message: &str, field: Option<(&str, &str)>) -> CliError {
    let mut details = ErrorDetails::with_error_info(reason, "provado", HashMap::new());
    match (code, field) {
        (Code::InvalidArgument, Some((field, problem))) => {
            details.add_bad_request_violation(field, problem);
        }
        (Code::FailedPrecondition, _) => {
            details.add_precondition_failure_violation(reason, "main", message);
        }
        _ => {}
    }
    CliError::from(Status::with_error_details(code, message, details))
}

#[test]
fn answers_of_the_controller() {
    check(
        "controller",
        [
            told(
                "ROLE_FORBIDS",
                Code::PermissionDenied,
                "ana has the role devops, which does not allow RunBackup; ask a caller with the \
                 role dba or lead to do it, or for a caller of your own that may",
                None,
            ),
            told(
                "INSTANCE_NOT_FOUND",
                Code::NotFound,
                "there is no instance `db9`; `provado instance list` shows all",
                None,
            ),
            told(
                "INVALID_ARGUMENT",
                Code::InvalidArgument,
                "the request is not valid",
                Some(("selection.table_patterns", "is longer than 1000 characters")),
            ),
            told(
                "AGENT_LOCKED",
                Code::FailedPrecondition,
                "the agent db1 is locked; see `provado agent show db1`",
                None,
            ),
            told(
                "A_REASON_OF_A_LATER_VERSION",
                Code::ResourceExhausted,
                "too much of something new",
                None,
            ),
            CliError::from(Status::unimplemented("")),
            CliError::answer("the run"),
        ],
    );
}

#[test]
fn wrong_input() {
    let denied = io::Error::from(io::ErrorKind::PermissionDenied);
    let exists = io::Error::from(io::ErrorKind::AlreadyExists);
    let missing = io::Error::from(io::ErrorKind::NotFound);
    check(
        "input",
        [
            wrong(InstanceAndDatabase::parse("/shop")),
            wrong(crate::commands::backup::parse_span("7y")),
            CliError::unwritable(Path::new("/root/offline.key"), &exists),
            CliError::unwritable(Path::new("/root/offline.key"), &denied),
            CliError::unreadable("the identity file", Path::new("offline.key"), &missing),
        ],
    );
}
