//! Agents, instances and databases as the rest of the controller sees them.

use jiff::Timestamp;
use provado_model::id::{AgentId, DatabaseId, InstanceId};
use provado_model::label::Labels;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

provado_model::names! {
    /// Where an agent stands.
    AgentState, "agent state" {
        /// Enrolled, waits for an operator's approval.
        Pending = "pending",
        /// In good standing.
        Active = "active",
        /// Showed itself cloned; refused until unlocked.
        Locked = "locked",
        /// Refused for good.
        Revoked = "revoked",
    }
    /// What is known of an instance.
    InstanceState, "instance state" {
        /// It answered when its agent last told of it.
        Up = "up",
        /// It did not answer.
        Down = "down",
        /// Nobody has told of it yet.
        Unknown = "unknown",
        /// Its agent no longer tells of it.
        Gone = "gone",
    }
    /// Whether a database is still there.
    DatabaseState, "database state" {
        /// It was there when its instance was last looked at.
        Present = "present",
        /// It has vanished; its backups remain.
        Gone = "gone",
    }
}

/// The daemon on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// The id; it stands in the certificate.
    pub id: AgentId,
    /// The name it joined with; unique.
    pub name: String,
    /// Where it stands.
    pub state: AgentState,
    /// Why it is locked or revoked.
    pub state_reason: Option<String>,
    /// Rises with each guarded change of the row.
    pub version: u64,
    /// Labels from its join token.
    pub labels: Labels,
    /// What it told of its host.
    pub host: Host,
    /// The job kinds it knows.
    pub capabilities: Vec<String>,
    /// Version of the agent protocol it speaks; 0 before its first hello.
    pub protocol_version: u32,
    /// Its Ed25519 public key, base64.
    pub signing_public_key: String,
    /// The age recipient to which secrets for it are sealed.
    pub sealing_recipient: Option<String>,
    /// The generation of the certificate issued last.
    pub certificate_generation: u64,
    /// The machine id of its host; none while the next hello may set it.
    pub machine_id: Option<String>,
    /// Whether it is to be given no new attempts.
    pub draining: bool,
    /// When it joined.
    pub create_time: Timestamp,
    /// When it was last heard; at most a minute behind.
    pub last_seen_time: Option<Timestamp>,
    /// The newest audit checkpoint it has shown.
    pub witness: Option<Witness>,
}

/// What an agent told of its host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Host name.
    pub hostname: String,
    /// Operating system.
    pub os: String,
    /// Processor architecture.
    pub architecture: String,
    /// Version of the agent.
    pub agent_version: String,
    /// Processors.
    pub cpu_count: u32,
    /// Memory.
    pub memory_bytes: u64,
    /// Which boot of the host it was.
    pub boot_id: String,
}

/// How much of the audit chain an agent has witnessed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The newest event it knows of.
    pub sequence: u64,
    /// That event's hash.
    pub hash: String,
    /// The epoch of the checkpoint.
    pub epoch: u64,
}

/// A certificate that was issued to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCertificate {
    /// SHA-256 of its DER, in lower-case hex.
    pub sha256: String,
    /// Whose it is.
    pub agent: AgentId,
    /// Its generation, from 1.
    pub generation: u64,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// Since when a newer one is in use, or it was replaced unused.
    pub supersede_time: Option<Timestamp>,
    /// Whether the agent came back with a join token since, which ended it.
    pub is_replaced: bool,
}

/// What the live allow-list holds of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedAgent {
    /// Whose it is.
    pub id: AgentId,
    /// The agent's name.
    pub name: String,
    /// Where the agent stands.
    pub state: AgentState,
    /// The certificate's generation.
    pub generation: u64,
    /// Until when the certificate is valid.
    pub not_after: Timestamp,
    /// Since when a newer one is in use.
    pub supersede_time: Option<Timestamp>,
    /// Whether the agent came back with a join token since, which ended it.
    pub is_replaced: bool,
}

/// A running PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The id.
    pub id: InstanceId,
    /// The agent on its host.
    pub agent: AgentId,
    /// The name operators use; unique.
    pub name: String,
    /// What is known of it.
    pub state: InstanceState,
    /// Rises with each inventory that changed something.
    pub version: u64,
    /// pg_control's system identifier, decimal; empty while it was never read.
    pub system_identifier: String,
    /// Data directory, where known.
    pub data_directory: String,
    /// Socket directory or host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Version number, such as 150018.
    pub server_version_number: u32,
    /// Whether it is a standby.
    pub in_recovery: bool,
    /// Bytes of all databases.
    pub size_bytes: u64,
    /// Labels.
    pub labels: Labels,
    /// What else the agent told.
    pub facts: InstanceFacts,
    /// When it was first told of.
    pub create_time: Timestamp,
    /// When it was last told of.
    pub last_seen_time: Timestamp,
}

/// What an agent told of an instance beyond what is searched by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceFacts {
    /// Full version text.
    pub server_version: String,
    /// Settings that matter for backups and restores.
    pub settings: BTreeMap<String, String>,
    /// Where the client tools are.
    pub tool_directory: String,
    /// Version of the client tools.
    pub tool_version: String,
    /// What the agent could not do or see.
    pub warnings: Vec<String>,
    /// Why it does not answer.
    pub unreachable_message: String,
}

/// A database in an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// The id. A database that is dropped and made anew has another one.
    pub id: DatabaseId,
    /// Its instance.
    pub instance: InstanceId,
    /// Its oid.
    pub oid: u32,
    /// Its name as PostgreSQL has it.
    pub name: String,
    /// Whether it is still there.
    pub state: DatabaseState,
    /// Its size on disk.
    pub size_bytes: u64,
    /// Its owner.
    pub owner: String,
    /// Character set encoding.
    pub encoding: String,
    /// LC_COLLATE.
    pub collate: String,
    /// LC_CTYPE.
    pub ctype: String,
    /// `libc`, `icu` or `builtin`.
    pub locale_provider: String,
    /// Collation version recorded when it was made.
    pub collation_version: Option<String>,
    /// Collation version the operating system has now.
    pub actual_collation_version: Option<String>,
    /// Whether connections are allowed.
    pub allows_connections: bool,
    /// Extensions as (name, version).
    pub extensions: Vec<(String, String)>,
    /// When it was first told of.
    pub create_time: Timestamp,
    /// When it was last told of.
    pub last_seen_time: Timestamp,
}
