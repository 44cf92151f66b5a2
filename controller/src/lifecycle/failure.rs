//! Why work that was accepted did not succeed: the stored twin of an error.

use crate::db::{Row, Value, values};
use provado_model::{Error, Kind, Reason};
use std::collections::BTreeMap;

/// Why a run or an attempt failed. Texts, because an agent may know reasons that we do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The error's kind, such as `corrupt`.
    pub kind: String,
    /// The error's reason, such as `CHECK_FOUND_DAMAGE`.
    pub reason: String,
    /// What happened, to what, and what to do next; safe to show.
    pub message: String,
    /// The dynamic parts of the message, by name.
    pub context: BTreeMap<String, String>,
}

/// Why a run was never started; it has the same shape.
pub type SkipReason = Failure;

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            kind: error.kind.as_str().to_owned(),
            reason: error.reason.as_str().to_owned(),
            message: error.message.clone(),
            context: error
                .context
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        }
    }
}

impl Failure {
    /// A failure of this reason.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self::from(&Error::new(reason, message))
    }

    /// The kind, if it is one that we know.
    pub fn known_kind(&self) -> Option<Kind> {
        Kind::ALL
            .iter()
            .copied()
            .find(|kind| kind.as_str() == self.kind)
    }

    /// The four columns `failure_kind`, `failure_reason`, `failure_message`,
    /// `failure_context_json`.
    pub(super) fn values(failure: Option<&Self>) -> Result<[Value; 4], Error> {
        let context = failure
            .map(|failure| serde_json::to_string(&failure.context))
            .transpose()
            .map_err(|source| {
                Error::internal("a failure's context is no JSON").caused_by(source)
            })?;
        Ok(values![
            failure.map(|failure| &failure.kind),
            failure.map(|failure| &failure.reason),
            failure.map(|failure| &failure.message),
            context,
        ])
    }

    /// The failure in the four columns, if there is one.
    pub(super) fn of(row: &Row) -> Result<Option<Self>, Error> {
        let Some(kind) = row.text_opt("failure_kind")? else {
            return Ok(None);
        };
        Ok(Some(Self {
            kind,
            reason: row.text("failure_reason")?,
            message: row.text("failure_message")?,
            context: row.json("failure_context_json")?,
        }))
    }
}
