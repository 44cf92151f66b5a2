//! Audit entries, log lines and checkpoints as the rest of the controller sees them.

use jiff::Timestamp;
use provado_model::audit_chain::ChainHead;
use std::fmt;

/// How an audited action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It was done, in this very transaction.
    Done,
    /// It was refused.
    Refused,
    /// It was tried and failed.
    Failed,
    /// It is about to be done; a later event tells how it ended.
    Intended,
}

impl AuditOutcome {
    /// The outcome as stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Intended => "intended",
        }
    }
}

/// What to add to the chain; who, when and which request come from the context.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// `<noun>.<verb>`, such as `agent.revoke`.
    pub action: &'static str,
    /// The kind of thing it was done to, such as `agent`.
    pub resource_kind: &'static str,
    /// Which one: its id, or its name where it has one.
    pub resource_name: String,
    /// The agent it concerns, if any.
    pub agent_id: Option<String>,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// Further facts; never a secret, never data of a database.
    pub detail: serde_json::Map<String, serde_json::Value>,
}

impl AuditEntry {
    /// An action that was done to one thing.
    pub fn done(
        action: &'static str,
        resource_kind: &'static str,
        resource_name: impl fmt::Display,
    ) -> Self {
        Self {
            action,
            resource_kind,
            resource_name: resource_name.to_string(),
            agent_id: None,
            outcome: AuditOutcome::Done,
            detail: serde_json::Map::new(),
        }
    }

    /// The same with another outcome.
    #[must_use]
    pub const fn outcome(mut self, outcome: AuditOutcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// The same about an agent.
    #[must_use]
    pub fn agent(mut self, agent: impl fmt::Display) -> Self {
        self.agent_id = Some(agent.to_string());
        self
    }

    /// The same with one more fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }
}

/// Which events a list shows. Empty fields do not restrict.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only this action.
    pub action: Option<String>,
    /// Only things of this kind.
    pub resource_kind: Option<String>,
    /// Only this thing.
    pub resource_name: Option<String>,
    /// Only this caller, by id or name.
    pub caller: Option<String>,
    /// Not before this instant.
    pub from_time: Option<Timestamp>,
    /// Before this instant.
    pub until_time: Option<Timestamp>,
}

provado_model::names! {
    /// How loud a line of a run's log is.
    LogLevel, "log level" {
        /// Of use to someone who looks for a cause.
        Debug = "debug",
        /// A step of the work.
        Info = "info",
        /// Something was odd and went on.
        Warn = "warn",
        /// Something went wrong.
        Error = "error",
    }
}

/// One line of an attempt's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The attempt's number.
    pub attempt_number: u32,
    /// Position within the attempt, from 1.
    pub sequence: u64,
    /// When the agent wrote it.
    pub time: Timestamp,
    /// How loud it is.
    pub level: LogLevel,
    /// The line, already redacted by the agent.
    pub message: String,
}

/// A checkpoint as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// The newest event it covers.
    pub head: ChainHead,
    /// The epoch it was made in.
    pub epoch: u64,
    /// When.
    pub time: Timestamp,
    /// The signed note, as it is given to agents.
    pub note: String,
}
