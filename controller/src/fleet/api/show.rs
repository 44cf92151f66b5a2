//! Agents, instances and databases as operators see them.

use crate::fleet::model::{Agent, AgentCertificate, AgentState, Database, Instance};
use crate::lifecycle::backup::Backup;
use crate::request::wire::{count_out, size_out, time_out};
use data_encoding::BASE64;
use jiff::Timestamp;
use provado_proto::operator::v1 as wire;

/// Facts about an agent that stand in other tables or in memory.
pub(super) struct AgentFacts {
    pub connected: bool,
    pub last_heard: Option<Timestamp>,
    pub instance_count: u64,
    pub live_attempt_count: u64,
    pub certificate: Option<AgentCertificate>,
}

/// An agent.
pub(super) fn agent(agent: &Agent, facts: &AgentFacts) -> wire::Agent {
    let state = match agent.state {
        AgentState::Active => wire::AgentState::Active,
        AgentState::Locked => wire::AgentState::Locked,
        AgentState::Revoked => wire::AgentState::Revoked,
        AgentState::Pending => wire::AgentState::Unspecified,
    };
    wire::Agent {
        name: agent_name(&agent.name),
        uid: agent.id.to_string(),
        state: state.into(),
        connected: facts.connected,
        labels: agent.labels.clone(),
        hostname: agent.host.hostname.clone(),
        os: agent.host.os.clone(),
        agent_version: agent.host.agent_version.clone(),
        create_time: Some(time_out(agent.create_time)),
        last_seen_time: facts.last_heard.or(agent.last_seen_time).map(time_out),
        certificate_expire_time: facts.certificate.as_ref().map(|it| time_out(it.not_after)),
        certificate_generation: size_out(agent.certificate_generation),
        sealing_recipient: agent.sealing_recipient.clone().unwrap_or_default(),
        signing_public_key: BASE64
            .decode(agent.signing_public_key.as_bytes())
            .unwrap_or_default(),
        instance_count: small(facts.instance_count),
        live_attempt_count: small(facts.live_attempt_count),
        message: agent.state_reason.clone().unwrap_or_default(),
    }
}

/// `agents/{agent}`.
pub(super) fn agent_name(name: &str) -> String {
    format!("agents/{name}")
}

/// An instance, without its databases.
pub(super) fn instance(
    instance: &Instance,
    agent: &str,
    database_count: u64,
    connected: bool,
) -> wire::Instance {
    wire::Instance {
        name: format!("instances/{}", instance.name),
        uid: instance.id.to_string(),
        agent: agent_name(agent),
        system_identifier: instance.system_identifier.clone(),
        server_version: instance.facts.server_version.clone(),
        server_version_number: count_out(instance.server_version_number),
        host: instance.host.clone(),
        port: i32::from(instance.port),
        data_directory: instance.data_directory.clone(),
        in_recovery: instance.in_recovery,
        size_bytes: size_out(instance.size_bytes),
        database_count: small(database_count),
        databases: Vec::new(),
        last_seen_time: Some(time_out(instance.last_seen_time)),
        warnings: instance.facts.warnings.clone(),
        tool_version: instance.facts.tool_version.clone(),
        unreachable_message: unreachable_message(instance),
        settings: instance.facts.settings.clone(),
        connected,
    }
}

fn unreachable_message(instance: &Instance) -> String {
    use crate::fleet::model::InstanceState::{Down, Gone, Unknown, Up};
    match instance.state {
        Up => String::new(),
        Down | Unknown => instance.facts.unreachable_message.clone(),
        Gone => "its agent no longer finds it".to_owned(),
    }
}

/// A database, with what is known of its backups.
pub(super) fn database(
    database: &Database,
    instance: &str,
    latest: Option<&Backup>,
    proof_time: Option<Timestamp>,
) -> wire::Database {
    wire::Database {
        name: format!("instances/{instance}/databases/{}", database.name),
        database_name: database.name.clone(),
        oid: i64::from(database.oid),
        owner: database.owner.clone(),
        size_bytes: size_out(database.size_bytes),
        encoding: database.encoding.clone(),
        collate: database.collate.clone(),
        ctype: database.ctype.clone(),
        locale_provider: database.locale_provider.clone(),
        collation_version: database.collation_version.clone().unwrap_or_default(),
        actual_collation_version: database
            .actual_collation_version
            .clone()
            .unwrap_or_default(),
        extensions: database
            .extensions
            .iter()
            .map(|(name, version)| format!("{name} {version}"))
            .collect(),
        allow_connections: database.allows_connections,
        latest_backup: latest
            .map(|it| format!("backups/{}", it.facts.id))
            .unwrap_or_default(),
        latest_backup_time: latest.map(|it| time_out(it.facts.snapshot_time)),
        latest_proof_time: proof_time.map(time_out),
    }
}

fn small(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
