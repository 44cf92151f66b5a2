//! Whose fault it is: the backup's, which makes a difference, or this host's, which breaks the
//! drill and says nothing of the backup. Pure.

use super::Findings;
use super::contents::Compared;
use crate::jobs::load::Loaded;
use crate::jobs::load::words::Class;
use crate::postgres::throwaway::Troubles;
use provado_model::{Error, Reason};
use provado_proto::agent::v1::Difference;

pub(super) fn difference_error(differences: &[Difference]) -> Error {
    let first = differences.first().cloned().unwrap_or_default();
    Error::new(
        Reason::DrillFoundDifference,
        format!(
            "the restored database differs from the backup's record in {} places, first {}: {} \
             should be {:?}, is {:?}; do not rely on this backup, make a new one now",
            differences.len(),
            first.object,
            first.aspect,
            first.expected,
            first.found
        ),
    )
}

/// A failure of the drill itself. A cancel stays one.
pub(super) fn broken(error: Error) -> Error {
    match error.reason {
        Reason::Canceled | Reason::DeadlineExceeded => error,
        _ => {
            let text = crate::jobs::failure(&error).message;
            Error::new(
                Reason::DrillBroken,
                format!(
                    "the drill could not be carried out, nothing is known of the backup: {text}"
                ),
            )
            .with("cause", error.reason)
        }
    }
}

/// Differences that came with trouble of this host say nothing of the backup.
pub(super) fn blame(findings: Findings, troubles: &Troubles) -> Result<Findings, Error> {
    match troubles.first() {
        Some(trouble) if !findings.differences.is_empty() && !findings.is_unreadable => {
            Err(broken(Error::new(
                Reason::ToolFailed,
                format!("the throw-away server lacked something on this host: {trouble}"),
            )))
        }
        _ => Ok(findings),
    }
}

/// Stored data that cannot be read back is the backup's fault, not the drill's.
pub(super) fn unreadable(error: &Error) -> Findings {
    Findings {
        differences: vec![Difference {
            object: "stored data".to_owned(),
            aspect: "readability".to_owned(),
            expected: "readable".to_owned(),
            found: crate::jobs::failure(error).message,
        }],
        compared: Compared::default(),
        remarks: Vec::new(),
        recovery_millis: 1,
        is_unreadable: true,
    }
}

/// Errors of `pg_restore` are differences; what it only grumbles about is a remark. An extension
/// that could not be made is the work of its package, which is not in the backup, and what chosen
/// tables need (types, functions) is not in a backup of them (`--table` in pg_dump's manual).
pub(super) fn said(
    loaded: &Loaded,
    is_part: bool,
    remarks: &mut Vec<String>,
) -> Result<Vec<Difference>, Error> {
    let mut out = Vec::new();
    for message in &loaded.messages {
        match message.class {
            Class::Notice => {}
            Class::Difference if message.is_of_an_extension() => {
                let text = format!("an extension could not be made here: {}", message.text);
                return Err(Error::new(Reason::ExtensionsMissing, text));
            }
            Class::Difference if is_part && message.text.contains("does not exist") => {
                let text = format!(
                    "a backup of chosen tables lacks what they need: {}",
                    message.text
                );
                return Err(Error::new(Reason::BackupUnusable, text));
            }
            Class::Ignorable => remarks.push(format!("pg_restore: {}", message.text)),
            Class::Difference | Class::Fatal => out.push(Difference {
                object: "pg_restore".to_owned(),
                aspect: "error".to_owned(),
                expected: String::new(),
                found: message.text.clone(),
            }),
        }
    }
    Ok(out)
}
