//! A backup as the catalogue knows it.

use jiff::Timestamp;
use provado_model::id::{
    AgentId, AttemptId, BackupId, DatabaseId, InstanceId, RepositoryId, RunId,
};
use provado_model::label::Labels;
use provado_model::state::{BackupCheck, BackupKeep};

provado_model::names! {
    /// How much of the database a backup holds.
    Selection, "selection" {
        /// Everything.
        Full = "full",
        /// Definitions only.
        Schema = "schema",
        /// Rows only.
        Data = "data",
        /// Tables chosen by pattern.
        Tables = "tables",
    }
}

/// How long a backup is to be kept by its own wish, whatever the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// No wish.
    ByPolicy,
    /// At least until this instant.
    Until(Timestamp),
    /// For good.
    Forever,
}

/// A backup that is about to enter the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBackup {
    /// Its id, as it stands in the repository.
    pub id: BackupId,
    /// The run that made it.
    pub run_id: RunId,
    /// The attempt that made it; unknown when it was found by its manifest.
    pub attempt_id: Option<AttemptId>,
    /// The agent that made it.
    pub agent_id: AgentId,
    /// The key its record is signed with, base64.
    pub agent_public_key: String,
    /// The instance it came from.
    pub instance_id: InstanceId,
    /// The instance's name at that time.
    pub instance_name: String,
    /// The instance's system identifier.
    pub system_identifier: String,
    /// The database's id, if it is known.
    pub database_id: Option<DatabaseId>,
    /// The database's name at that time.
    pub database_name: String,
    /// The database's oid.
    pub database_oid: u32,
    /// Where it is kept.
    pub repository_id: RepositoryId,
    /// The backup it was compared with.
    pub parent_backup_id: Option<BackupId>,
    /// How much of the database it holds.
    pub selection: Selection,
    /// The instant of its snapshot.
    pub snapshot_time: Timestamp,
    /// How long it is to be kept by its own wish.
    pub keep: Keep,
    /// The server's version, such as 150018.
    pub server_version_num: u32,
    /// The version of `pg_dump`.
    pub tool_version: String,
    /// Bytes before compression.
    pub plain_bytes: u64,
    /// Stored bytes it needs in all.
    pub stored_bytes: u64,
    /// Stored bytes that it added.
    pub new_bytes: u64,
    /// Segments it needs in all.
    pub segment_count: u64,
    /// Segments that it added.
    pub new_segment_count: u64,
    /// Tables with data.
    pub table_count: u64,
    /// Rows in them.
    pub row_count: u64,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// To which public keys.
    pub recipients: Vec<String>,
    /// SHA-256 of the stored manifest, lower-case hex.
    pub manifest_sha256: String,
    /// SHA-256 of the stored record (the `.json` object), lower-case hex.
    pub record_sha256: String,
    /// The agent's signature, base64.
    pub signature: String,
    /// The controller's signature, base64, once it has given it.
    pub countersignature: Option<String>,
    /// Labels.
    pub labels: Labels,
    /// Further facts for people: warnings, phases, what was not included.
    pub summary: serde_json::Value,
}

/// A backup as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Backup {
    /// What was known when it entered the catalogue.
    pub facts: NewBackup,
    /// When it entered the catalogue, by the controller's clock; of one that was found by a scan,
    /// when it was made, by its agent's.
    pub create_time: Timestamp,
    /// How far it was verified.
    pub check_state: BackupCheck,
    /// Whether it is kept.
    pub keep_state: BackupKeep,
    /// Rises by one with every move.
    pub version: u64,
    /// When it was last checked.
    pub last_check_time: Option<Timestamp>,
    /// The level that check reached: `present`, `intact`, `readable` or `proven`.
    pub last_check_level: Option<String>,
}

impl Backup {
    /// Whether it can be restored as far as is known.
    pub const fn is_usable(&self) -> bool {
        let sound = match self.check_state {
            BackupCheck::Unchecked
            | BackupCheck::Intact
            | BackupCheck::Readable
            | BackupCheck::Proven => true,
            BackupCheck::Corrupt => false,
        };
        let there = match self.keep_state {
            BackupKeep::Active | BackupKeep::Expired => true,
            BackupKeep::Pruning | BackupKeep::Pruned => false,
        };
        sound && there
    }
}

/// Which backups a list shows. Empty fields do not restrict.
#[derive(Debug, Clone, Default)]
pub struct BackupFilter {
    /// Of this instance.
    pub instance_id: Option<InstanceId>,
    /// Of the database of this name.
    pub database_name: Option<String>,
    /// In this repository.
    pub repository_id: Option<RepositoryId>,
    /// Made by this run.
    pub run_id: Option<RunId>,
    /// In one of these check states.
    pub check_states: Vec<BackupCheck>,
    /// In one of these keep states.
    pub keep_states: Vec<BackupKeep>,
    /// Entered at or after this instant.
    pub from_time: Option<Timestamp>,
    /// Entered before this instant.
    pub until_time: Option<Timestamp>,
}
