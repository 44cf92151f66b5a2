//! A proof as the controller keeps it.

use jiff::Timestamp;
use provado_model::id::{AgentId, BackupId, InstanceId, ProofId, RunId};

provado_model::names! {
    /// What a proof shows.
    ProofLevel, "level of proof" {
        /// The backup was restored; contents could not be compared.
        Restored = "restored",
        /// Every row, every fingerprint and the inventory are equal.
        Equal = "equal",
        /// Equal, and the operator's assertions hold.
        EqualAndAssertions = "equal_assertions",
    }
}

/// The signed result of a drill that found equality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Its id, the same in the document.
    pub id: ProofId,
    /// The backup it is about.
    pub backup_id: BackupId,
    /// The drill.
    pub run_id: RunId,
    /// Who carried it out and signed.
    pub agent_id: AgentId,
    /// The instance the backup came from.
    pub instance_id: InstanceId,
    /// That instance's name when the backup was made.
    pub instance_name: String,
    /// The database the backup came from.
    pub database_name: String,
    /// What it shows.
    pub level: ProofLevel,
    /// When the controller accepted it.
    pub create_time: Timestamp,
    /// When the drill started, by the agent's clock.
    pub start_time: Timestamp,
    /// When it ended.
    pub end_time: Timestamp,
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
    /// Server version of the throw-away instance.
    pub server_version: String,
    /// What could not be compared exactly.
    pub remarks: Vec<String>,
    /// The document that was signed: JSON text.
    pub document: String,
    /// SHA-256 of the document, lower-case hex.
    pub document_sha256: String,
    /// The agent's public key, base64.
    pub agent_public_key: String,
    /// The agent's signature over the document, base64.
    pub signature: String,
    /// The controller's signature over the document, base64.
    pub countersignature: Option<String>,
}
