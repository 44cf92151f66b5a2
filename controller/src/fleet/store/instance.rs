//! The SQL of `instance`.

use super::agent::past;
use crate::db::{Row, Tx, statements, values};
use crate::fleet::model::Instance;
use jiff::Timestamp;
use provado_model::Error;
use provado_model::id::{AgentId, InstanceId};

macro_rules! columns {
    () => {
        "id, agent_id, name, version, state, system_identifier, data_directory, \
         socket_directory, port, server_version_num, in_recovery, size_bytes, labels_json, \
         inventory_json, create_time, last_seen_time"
    };
}

statements! {
    INSTANCE_INSERT = both(concat!(
        "INSERT INTO instance (", columns!(), ") \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
    ));
    INSTANCE_UPDATE = both(
        "UPDATE instance SET version = version + 1, name = $3, state = $4, \
         system_identifier = $5, data_directory = $6, socket_directory = $7, port = $8, \
         server_version_num = $9, in_recovery = $10, size_bytes = $11, inventory_json = $12, \
         last_seen_time = $13 WHERE id = $1 AND agent_id = $2",
    );
    INSTANCE_RENAME = both(
        "UPDATE instance SET name = $2, version = version + 1 WHERE id = $1",
    );
    INSTANCE_SET_GONE = both(
        "UPDATE instance SET state = 'gone', version = version + 1 \
         WHERE id = $1 AND state <> 'gone'",
    );
    INSTANCE_BY_ID = both(concat!("SELECT ", columns!(), " FROM instance WHERE id = $1"));
    INSTANCE_BY_NAME = both(concat!("SELECT ", columns!(), " FROM instance WHERE name = $1"));
    INSTANCE_BY_PREFIX = both(concat!(
        "SELECT ", columns!(), " FROM instance WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 2"
    ));
    INSTANCE_OF_AGENT = both(concat!(
        "SELECT ", columns!(), " FROM instance WHERE agent_id = $1 \
         ORDER BY CASE state WHEN 'gone' THEN 1 ELSE 0 END, last_seen_time DESC, id LIMIT $2"
    ));
    INSTANCE_LIST = both(concat!(
        "SELECT ", columns!(), " FROM instance \
         WHERE name > $1 AND ($2 = '' OR agent_id = $2) ORDER BY name LIMIT $3"
    ));
    INSTANCE_COUNT_OF_AGENT = both(
        "SELECT COUNT(*) AS count FROM instance WHERE agent_id = $1 AND state <> 'gone'",
    );
    INSTANCE_ELSEWHERE = both(
        "SELECT id FROM instance WHERE system_identifier = $1 AND agent_id <> $2 \
         AND in_recovery = 0 AND state = 'up' AND last_seen_time > $3 LIMIT 1",
    );
}

/// Adds an instance. Error: `NAME_TAKEN`.
pub async fn instance_insert(tx: &mut Tx, instance: &Instance) -> Result<(), Error> {
    tx.execute_one(
        INSTANCE_INSERT,
        &values![
            instance.id,
            instance.agent,
            instance.name,
            instance.version,
            instance.state.as_str(),
            instance.system_identifier,
            instance.data_directory,
            instance.host,
            u32::from(instance.port),
            instance.server_version_number,
            instance.in_recovery,
            instance.size_bytes,
            serde_json::json!(instance.labels).to_string(),
            serde_json::json!(instance.facts).to_string(),
            instance.create_time,
            instance.last_seen_time,
        ],
    )
    .await
}

/// Writes what an agent told of one of its own instances.
pub async fn instance_update(tx: &mut Tx, instance: &Instance) -> Result<(), Error> {
    tx.execute_one(
        INSTANCE_UPDATE,
        &values![
            instance.id,
            instance.agent,
            instance.name,
            instance.state.as_str(),
            instance.system_identifier,
            instance.data_directory,
            instance.host,
            u32::from(instance.port),
            instance.server_version_number,
            instance.in_recovery,
            instance.size_bytes,
            serde_json::json!(instance.facts).to_string(),
            instance.last_seen_time,
        ],
    )
    .await
}

/// Gives an instance another name. Error: `NAME_TAKEN`.
pub async fn instance_rename(tx: &mut Tx, id: InstanceId, name: &str) -> Result<(), Error> {
    tx.execute_one(INSTANCE_RENAME, &values![id, name]).await
}

/// Notes that an instance is no longer told of; true when that is news.
pub async fn instance_set_gone(tx: &mut Tx, id: InstanceId) -> Result<bool, Error> {
    Ok(tx.execute(INSTANCE_SET_GONE, &values![id]).await? == 1)
}

/// The instance of this id.
pub async fn instance_by_id(tx: &mut Tx, id: InstanceId) -> Result<Option<Instance>, Error> {
    let row = tx.fetch_optional(INSTANCE_BY_ID, &values![id]).await?;
    row.map(|row| instance_of(&row)).transpose()
}

/// The instance of this name.
pub async fn instance_by_name(tx: &mut Tx, name: &str) -> Result<Option<Instance>, Error> {
    let row = tx.fetch_optional(INSTANCE_BY_NAME, &values![name]).await?;
    row.map(|row| instance_of(&row)).transpose()
}

/// Instances whose id begins so, at most two: enough to know whether it is unique.
pub async fn instance_by_prefix(tx: &mut Tx, prefix: &str) -> Result<Vec<Instance>, Error> {
    let rows = tx
        .fetch_all(INSTANCE_BY_PREFIX, &values![prefix, past(prefix)])
        .await?;
    rows.iter().map(instance_of).collect()
}

/// An agent's instances, at most `limit`: those that are there, then the gone ones last seen.
pub async fn instance_of_agent(
    tx: &mut Tx,
    agent: AgentId,
    limit: u32,
) -> Result<Vec<Instance>, Error> {
    let rows = tx
        .fetch_all(INSTANCE_OF_AGENT, &values![agent, limit])
        .await?;
    rows.iter().map(instance_of).collect()
}

/// Instances whose name comes after `after`, by name, at most `limit`; of one agent if given.
pub async fn instance_list(
    tx: &mut Tx,
    after: &str,
    agent: Option<AgentId>,
    limit: u32,
) -> Result<Vec<Instance>, Error> {
    let agent = agent.map(|id| id.to_string()).unwrap_or_default();
    let rows = tx
        .fetch_all(INSTANCE_LIST, &values![after, agent, limit])
        .await?;
    rows.iter().map(instance_of).collect()
}

/// How many instances an agent has that are not gone.
pub async fn instance_count_of_agent(tx: &mut Tx, agent: AgentId) -> Result<u64, Error> {
    let row = tx
        .fetch_one(INSTANCE_COUNT_OF_AGENT, &values![agent])
        .await?;
    row.size("count")
}

/// Another agent's running primary with the same system identifier, heard of since `since`: a
/// copied data directory, or an address that moved.
pub async fn instance_elsewhere(
    tx: &mut Tx,
    system_identifier: &str,
    agent: AgentId,
    since: Timestamp,
) -> Result<Option<InstanceId>, Error> {
    tx.fetch_optional(
        INSTANCE_ELSEWHERE,
        &values![system_identifier, agent, since],
    )
    .await?
    .map(|row| row.parse("id"))
    .transpose()
}

fn instance_of(row: &Row) -> Result<Instance, Error> {
    let port = row.number("port")?;
    Ok(Instance {
        id: row.parse("id")?,
        agent: row.parse("agent_id")?,
        name: row.text("name")?,
        state: row.parse("state")?,
        version: row.size("version")?,
        system_identifier: row.text("system_identifier")?,
        data_directory: row.text("data_directory")?,
        host: row.text_opt("socket_directory")?.unwrap_or_default(),
        port: u16::try_from(port).map_err(|source| row.bad("port", source))?,
        server_version_number: row.number("server_version_num")?,
        in_recovery: row.flag("in_recovery")?,
        size_bytes: row.size("size_bytes")?,
        labels: row.json("labels_json")?,
        facts: row.json("inventory_json")?,
        create_time: row.time("create_time")?,
        last_seen_time: row.time("last_seen_time")?,
    })
}
