//! What came of a run, as it is stored with the attempt and the run.
//!
//! The agent's report in our own words: `intake` writes it, later stages read it. Stored as JSON;
//! fields are added with a default and never change their meaning. Lists are cut by whoever writes.

use super::spec::{CheckLevel, SelectionSpec};
use jiff::Timestamp;
use provado_model::Error;
use provado_model::id::{BackupId, PackId, ProofId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The final facts of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// When work started, by the agent's clock.
    pub start_time: Option<Timestamp>,
    /// When work ended, by the agent's clock.
    pub end_time: Option<Timestamp>,
    /// Sentences an operator should read although the run succeeded.
    pub warnings: Vec<String>,
    /// How long each step took.
    pub steps: Vec<StepFact>,
    /// What is known beside, by kind.
    pub detail: Option<Detail>,
}

/// One step and its time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepFact {
    /// Its name.
    pub name: String,
    /// How long it took.
    pub duration_millis: u64,
}

/// What is known of a kind of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Detail {
    /// Of a backup.
    Backup(BackupFacts),
    /// Of a restore.
    Restore(RestoreFacts),
    /// Of a check.
    Check(CheckFacts),
    /// Of a drill.
    Drill(DrillFacts),
    /// Of a sweep.
    Prune(PruneFacts),
    /// Of an inspection.
    Inspect(InspectFacts),
    /// Of making a repository.
    Init(InitFacts),
    /// Of a scan.
    Scan(ScanFacts),
}

/// Of a backup: what the catalogue's row does not hold, or needs before there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupFacts {
    /// The backup's id, as it was given to the attempt.
    pub backup_id: Option<BackupId>,
    /// Plain bytes of the whole backup.
    pub plain_bytes: u64,
    /// Stored bytes it needs.
    pub stored_bytes: u64,
    /// Stored bytes this attempt added.
    pub added_bytes: u64,
    /// Segments.
    pub segment_count: u64,
    /// Segments that were there already.
    pub reused_segment_count: u64,
    /// Tables with data.
    pub table_count: u64,
    /// Rows.
    pub row_count: u64,
    /// Large objects.
    pub large_object_count: u64,
    /// Whether the archive was stored as one opaque stream.
    pub opaque: bool,
    /// What was dumped, with patterns as resolved.
    pub selection: SelectionSpec,
}

/// What the catalogue tells of a backup beside its columns, as it stands in `summary_json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupSummary {
    /// What it holds, with patterns as resolved.
    pub selection: SelectionSpec,
    /// Large objects.
    pub large_object_count: u64,
    /// Whether the archive was stored as one opaque stream.
    pub opaque: bool,
    /// Archive format version; empty when opaque.
    pub archive_version: String,
    /// How long the attempt took.
    pub duration_millis: u64,
    /// Sentences an operator should read.
    pub warnings: Vec<String>,
}

impl BackupSummary {
    /// The stored form.
    pub fn to_json(&self) -> Result<serde_json::Value, Error> {
        serde_json::to_value(self)
            .map_err(|source| Error::internal("a backup's summary is no JSON").caused_by(source))
    }

    /// Reads the stored form; what it does not have is empty.
    pub fn from_json(value: &serde_json::Value) -> Self {
        Deserialize::deserialize(value).unwrap_or_default()
    }
}

/// One pack a backup needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackFact {
    /// The pack.
    pub id: PackId,
    /// SHA-256 of the stored object, lower-case hex.
    pub sha256: String,
    /// Its stored bytes.
    pub stored_bytes: u64,
    /// Stored bytes of it that the backup refers to.
    pub referred_bytes: u64,
}

/// Of a restore.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestoreFacts {
    /// Where the database differs from the backup.
    pub differences: Vec<DifferenceFact>,
    /// The oid of the database made.
    pub database_oid: u32,
    /// Tables that got data.
    pub table_count: u64,
    /// Rows loaded.
    pub row_count: u64,
    /// Plain bytes loaded.
    pub plain_bytes: u64,
    /// Bytes read from the repository.
    pub read_bytes: u64,
}

/// One way in which found is not expected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DifferenceFact {
    /// The object.
    pub object: String,
    /// What differs.
    pub aspect: String,
    /// What the backup has.
    pub expected: String,
    /// What was found.
    pub found: String,
}

/// Of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckFacts {
    /// How far it read; none when it does not say.
    pub level: Option<CheckLevel>,
    /// Objects looked at.
    pub object_count: u64,
    /// Stored bytes read.
    pub read_bytes: u64,
    /// What is damaged or missing.
    pub damages: Vec<DamageFact>,
}

/// One damaged or missing object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DamageFact {
    /// The object's key in the repository.
    pub object_key: String,
    /// What is wrong.
    pub message: String,
    /// What of the backup is hit, where that is known.
    pub entries: Vec<String>,
}

/// Of a drill.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DrillFacts {
    /// The proof's id, as it was given to the attempt.
    pub proof_id: Option<ProofId>,
    /// The document as the agent signed it; empty without equality.
    pub proof_document: String,
    /// The agent's signature over it, base64.
    pub proof_signature: String,
    /// Tables compared.
    pub table_count: u64,
    /// Rows compared.
    pub row_count: u64,
    /// Large objects compared.
    pub large_object_count: u64,
    /// Plain bytes compared.
    pub plain_bytes: u64,
    /// From the start of the throw-away instance to a usable database.
    pub recovery_millis: u64,
    /// Where the restored database is not equal.
    pub differences: Vec<DifferenceFact>,
    /// What could not be compared exactly.
    pub remarks: Vec<String>,
    /// Server version of the throw-away instance.
    pub server_version: String,
}

/// Of a sweep.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PruneFacts {
    /// What was, or would be, deleted: key, size and why, one line each.
    pub objects: Vec<String>,
    /// How many objects that were; the list may be cut.
    pub object_count: u64,
    /// Bytes freed.
    pub freed_bytes: u64,
    /// Orphans that were left.
    pub kept_count: u64,
}

/// Of an inspection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InspectFacts {
    /// Instances found.
    pub instance_count: u32,
}

/// Of making a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InitFacts {
    /// What the backend was seen to do.
    pub capabilities: BTreeMap<String, String>,
    /// Free bytes where that is known.
    pub free_bytes: Option<u64>,
    /// Whether the descriptor was there already.
    pub already_there: bool,
}

/// Of a scan: what the catalogue made of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScanFacts {
    /// Backups in the repository.
    pub backup_count: u64,
    /// Backups that were taken into the catalogue, one line each.
    pub entered: Vec<String>,
    /// Backups that were not, and why, one line each.
    pub left_out: Vec<String>,
    /// After which backup the next scan goes on; none at the end.
    pub next_after: Option<BackupId>,
}

impl Facts {
    /// The stored form.
    pub fn to_json(&self) -> Result<serde_json::Value, Error> {
        serde_json::to_value(self)
            .map_err(|source| Error::internal("a run's facts are no JSON").caused_by(source))
    }

    /// Reads the stored form.
    pub fn from_json(value: &serde_json::Value) -> Result<Self, Error> {
        Deserialize::deserialize(value).map_err(|source: serde_json::Error| {
            Error::internal("a stored run's facts cannot be understood").caused_by(source)
        })
    }
}
