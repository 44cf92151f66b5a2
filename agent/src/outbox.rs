//! Outcomes on disk until the controller has acknowledged them, over any number of reconnects and
//! restarts. Knows nothing of how they are sent.

mod bounds;

use crate::jobs::AttemptName;
use crate::journal::{Journal, JournalError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use provado_model::id::{AttemptId, RequestId};
use provado_model::{Error, Reason};
use provado_proto::agent::v1::job::Kind;
use provado_proto::agent::v1::{AppendLogRequest, Job, LogLine, Outcome};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// One outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Version of this record; 1.
    pub format_version: u32,
    /// Of which attempt.
    pub name: AttemptName,
    /// The epoch it was started under.
    pub epoch: i64,
    /// The id of the report; the same for every repeat.
    pub request_id: String,
    /// The outcome, as protobuf in base64.
    outcome: String,
    /// Lines of the run's log that were not sent before the end, as protobuf in base64.
    lines: String,
    /// Where the controller's word on the backup belongs, when this is a backup.
    pub place: Option<BackupPlace>,
    /// The controller's word, once it was given and until it is stored.
    pub word: Option<ControllerWord>,
}

/// Where a backup is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupPlace {
    /// The repository's directory.
    pub path: String,
    /// The repository's id.
    pub repository_id: String,
    /// The instance the backup is of.
    pub instance_id: String,
    /// The backup's id.
    pub backup_id: String,
}

/// The controller's countersignature of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControllerWord {
    /// Ed25519, 64 bytes as base64.
    pub signature: String,
    /// When it was given; a part of what was signed.
    pub sign_time: jiff::Timestamp,
}

impl BackupPlace {
    /// Where the backup of this job goes; `None` for other jobs.
    pub fn of(job: &Job) -> Option<Self> {
        let Some(Kind::Backup(backup)) = &job.kind else {
            return None;
        };
        let repository = backup.repository.as_ref()?;
        Some(Self {
            path: repository.path.clone(),
            repository_id: repository.repository_id.clone(),
            instance_id: backup.instance.as_ref()?.instance_id.clone(),
            backup_id: backup.backup_id.clone(),
        })
    }
}

impl Ended {
    /// A record of an outcome. What is too large to be sent is cut; see [`bounds`].
    pub fn new(
        (name, epoch): (AttemptName, i64),
        request_id: RequestId,
        outcome: Outcome,
        lines: Vec<LogLine>,
        place: Option<BackupPlace>,
    ) -> Self {
        let outcome = bounds::bounded(outcome);
        let lines = AppendLogRequest {
            lines,
            ..AppendLogRequest::default()
        };
        Self {
            format_version: 1,
            name,
            epoch,
            request_id: request_id.to_string(),
            outcome: STANDARD.encode(outcome.encode_to_vec()),
            lines: STANDARD.encode(lines.encode_to_vec()),
            place,
            word: None,
        }
    }

    /// The outcome; `None` where the record holds none that can be read.
    pub fn outcome(&self) -> Option<Outcome> {
        let bytes = STANDARD.decode(&self.outcome).ok()?;
        Outcome::decode(bytes.as_slice()).ok()
    }

    /// The lines that were not sent before the end.
    pub fn lines(&self) -> Vec<LogLine> {
        let bytes = STANDARD.decode(&self.lines).unwrap_or_default();
        let request = AppendLogRequest::decode(bytes.as_slice());
        request.map(|request| request.lines).unwrap_or_default()
    }
}

/// The journal of outcomes.
#[derive(Debug)]
pub struct Outbox {
    records: Journal,
    waiting: Mutex<BTreeMap<AttemptId, Ended>>,
    news: Notify,
    emptied: Notify,
}

impl Outbox {
    /// Reads the journal; a damaged record is an error, since an outcome would be lost.
    pub fn open(records: Journal) -> Result<Self, JournalError> {
        let waiting = records
            .read_all::<Ended>()?
            .into_iter()
            .map(|(_, record)| (record.name.attempt, record))
            .collect();
        Ok(Self {
            records,
            waiting: Mutex::new(waiting),
            news: Notify::new(),
            emptied: Notify::new(),
        })
    }

    /// Stores or replaces an outcome; when this returns a crash no longer loses it.
    pub fn put(&self, ended: Ended) -> Result<(), JournalError> {
        let attempt = ended.name.attempt;
        self.records.write(&attempt.to_string(), &ended)?;
        self.waiting().insert(attempt, ended);
        self.news.notify_one();
        Ok(())
    }

    /// Removes an outcome that needs no more reports.
    pub fn remove(&self, attempt: AttemptId) -> Result<(), JournalError> {
        self.records.remove(&attempt.to_string())?;
        self.waiting().remove(&attempt);
        self.emptied.notify_waiters();
        Ok(())
    }

    /// Everything that waits for its acknowledgment.
    pub fn pending(&self) -> Vec<Ended> {
        self.waiting().values().cloned().collect()
    }

    /// Whether this attempt's outcome waits here.
    pub fn holds(&self, attempt: AttemptId) -> bool {
        self.waiting().contains_key(&attempt)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    /// Ends when an outcome was put since the last call.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// Ends when nothing waits any more.
    pub async fn drained(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<AttemptId, Ended>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The outcome of an attempt that an end of the agent itself cut short.
pub fn interrupted(message: &str) -> Outcome {
    crate::jobs::failed(&Error::new(Reason::ServiceUnavailable, message))
}

#[cfg(test)]
mod tests;
