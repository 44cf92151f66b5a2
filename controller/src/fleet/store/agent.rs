//! The SQL of `agent`.

use crate::db::{Row, Tx, statements, values};
use crate::fleet::model::{Agent, AgentState, Host, Witness};
use jiff::Timestamp;
use provado_model::id::AgentId;
use provado_model::{Error, Reason};

macro_rules! columns {
    () => {
        "id, name, state, state_reason, version, labels_json, os_json, capabilities_json, \
         protocol_version, signing_public_key, sealing_recipient, certificate_generation, \
         machine_id, draining, create_time, last_seen_time, witness_sequence, witness_hash, \
         witness_epoch"
    };
}

statements! {
    AGENT_INSERT = both(
        "INSERT INTO agent (id, name, state, version, labels_json, os_json, tools_json, \
         capabilities_json, agent_version, protocol_version, signing_public_key, \
         sealing_recipient, certificate_generation, machine_id, boot_id, create_time) \
         VALUES ($1, $2, $3, 1, $4, $5, '{}', '[]', $6, 0, $7, $8, 1, $9, $10, $11)",
    );
    AGENT_BY_ID = both(concat!("SELECT ", columns!(), " FROM agent WHERE id = $1"));
    AGENT_BY_NAME = both(concat!("SELECT ", columns!(), " FROM agent WHERE name = $1"));
    AGENT_BY_PREFIX = both(concat!(
        "SELECT ", columns!(), " FROM agent WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 2"
    ));
    AGENT_LIST = both(concat!(
        "SELECT ", columns!(), " FROM agent WHERE name > $1 ORDER BY name LIMIT $2"
    ));
    AGENT_SET_STATE = both(
        "UPDATE agent SET state = $3, state_reason = $4, version = version + 1 \
         WHERE id = $1 AND version = $2",
    );
    AGENT_FORGET_MACHINE = both("UPDATE agent SET machine_id = NULL WHERE id = $1");
    AGENT_GREET = both(
        "UPDATE agent SET os_json = $2, capabilities_json = $3, agent_version = $4, \
         protocol_version = $5, machine_id = $6, boot_id = $7, session_id = $8, \
         session_start_time = $9, last_seen_time = $9 WHERE id = $1 AND state = 'active'",
    );
    // Compared and incremented in one statement: of two that renew from the same generation, one
    // finds that it has moved. One that was let back in meanwhile renews from no older one.
    AGENT_RENEW = both(
        "UPDATE agent SET certificate_generation = certificate_generation + 1 \
         WHERE id = $1 AND certificate_generation = $2 AND first_certificate_generation <= $3 \
         AND state = 'active'",
    );
    // Only an agent that was let in once comes back; the lock is taken off, a revocation stays.
    AGENT_COME_BACK = both(
        "UPDATE agent SET state = 'active', state_reason = NULL, version = version + 1, \
         certificate_generation = $4, first_certificate_generation = $4, sealing_recipient = $5, \
         os_json = $6, agent_version = $7, machine_id = $8, boot_id = $9 \
         WHERE id = $1 AND version = $2 AND certificate_generation = $3 \
         AND state IN ('active', 'locked')",
    );
    AGENT_SEEN = both(
        "UPDATE agent SET last_seen_time = $2 \
         WHERE id = $1 AND (last_seen_time IS NULL OR last_seen_time < $2)",
    );
    AGENT_WITNESS = both(
        "UPDATE agent SET witness_sequence = $2, witness_hash = $3, witness_epoch = $4 \
         WHERE id = $1 AND (witness_sequence IS NULL OR witness_sequence <= $2)",
    );
}

/// Adds an agent that has just joined, with the first generation of its certificate. Error:
/// `NAME_TAKEN`.
pub async fn agent_insert(tx: &mut Tx, agent: &Agent) -> Result<(), Error> {
    tx.execute_one(
        AGENT_INSERT,
        &values![
            agent.id,
            agent.name,
            agent.state.as_str(),
            serde_json::json!(agent.labels).to_string(),
            serde_json::json!(agent.host).to_string(),
            agent.host.agent_version,
            agent.signing_public_key,
            agent.sealing_recipient,
            agent.machine_id,
            agent.host.boot_id,
            agent.create_time,
        ],
    )
    .await
    .map_err(|error| match error.reason {
        Reason::NameTaken => Error::new(
            Reason::NameTaken,
            format!(
                "an agent named `{}` is in the fleet already; join with another name",
                agent.name
            ),
        )
        .with("name", &agent.name),
        _ => error,
    })
}

/// The agent of this id.
pub async fn agent_by_id(tx: &mut Tx, id: AgentId) -> Result<Option<Agent>, Error> {
    let row = tx.fetch_optional(AGENT_BY_ID, &values![id]).await?;
    row.map(|row| agent_of(&row)).transpose()
}

/// The agent of this name.
pub async fn agent_by_name(tx: &mut Tx, name: &str) -> Result<Option<Agent>, Error> {
    let row = tx.fetch_optional(AGENT_BY_NAME, &values![name]).await?;
    row.map(|row| agent_of(&row)).transpose()
}

/// Agents whose id begins so, at most two: enough to know whether it is unique.
pub async fn agent_by_prefix(tx: &mut Tx, prefix: &str) -> Result<Vec<Agent>, Error> {
    let rows = tx
        .fetch_all(AGENT_BY_PREFIX, &values![prefix, past(prefix)])
        .await?;
    rows.iter().map(agent_of).collect()
}

/// Agents whose name comes after `after`, by name, at most `limit`.
pub async fn agent_list(tx: &mut Tx, after: &str, limit: u32) -> Result<Vec<Agent>, Error> {
    let rows = tx.fetch_all(AGENT_LIST, &values![after, limit]).await?;
    rows.iter().map(agent_of).collect()
}

/// Moves an agent to another state. Error: `VERSION_STALE` when the row changed since it was read.
pub async fn agent_set_state(
    tx: &mut Tx,
    agent: &Agent,
    state: AgentState,
    reason: &str,
) -> Result<(), Error> {
    let changed = tx
        .execute(
            AGENT_SET_STATE,
            &values![agent.id, agent.version, state.as_str(), reason],
        )
        .await?;
    if changed == 1 {
        return Ok(());
    }
    Err(stale(agent))
}

fn stale(agent: &Agent) -> Error {
    Error::new(
        Reason::VersionStale,
        format!(
            "the agent `{}` changed at the same time; try again",
            agent.name
        ),
    )
}

/// Forgets the machine id, so that the next hello sets it anew.
pub async fn agent_forget_machine(tx: &mut Tx, id: AgentId) -> Result<(), Error> {
    tx.execute_one(AGENT_FORGET_MACHINE, &values![id]).await
}

/// What a hello changes in the agent's row.
#[derive(Debug)]
pub struct Greeting<'a> {
    /// Facts of its host.
    pub host: &'a Host,
    /// The job kinds it knows.
    pub capabilities: &'a [String],
    /// Version of the agent protocol.
    pub protocol_version: u32,
    /// The machine id.
    pub machine_id: &'a str,
    /// The agent's process.
    pub process_id: &'a str,
}

/// Notes that an agent opened its stream; false when it is no longer active.
pub async fn agent_greet(
    tx: &mut Tx,
    id: AgentId,
    greeting: &Greeting<'_>,
    now: Timestamp,
) -> Result<bool, Error> {
    let changed = tx
        .execute(
            AGENT_GREET,
            &values![
                id,
                serde_json::json!(greeting.host).to_string(),
                serde_json::json!(greeting.capabilities).to_string(),
                greeting.host.agent_version,
                greeting.protocol_version,
                greeting.machine_id,
                greeting.host.boot_id,
                greeting.process_id,
                now,
            ],
        )
        .await?;
    Ok(changed == 1)
}

/// Moves the certificate's generation on from `generation`, for whoever shows that of generation
/// `used`; false when the first is another by now, or the agent came back and the second ended.
pub async fn agent_renew(
    tx: &mut Tx,
    id: AgentId,
    generation: u64,
    used: u64,
) -> Result<bool, Error> {
    let changed = tx
        .execute(AGENT_RENEW, &values![id, generation, used])
        .await?;
    Ok(changed == 1)
}

/// Makes `now` the agent, of whom nothing was changed since it was read as `before`: a generation
/// above, in good standing, on the host told of. Certificates of lower generations are over. Error:
/// `VERSION_STALE`.
pub async fn agent_come_back(tx: &mut Tx, before: &Agent, now: &Agent) -> Result<(), Error> {
    let changed = tx
        .execute(
            AGENT_COME_BACK,
            &values![
                before.id,
                before.version,
                before.certificate_generation,
                now.certificate_generation,
                now.sealing_recipient,
                serde_json::json!(now.host).to_string(),
                now.host.agent_version,
                now.machine_id,
                now.host.boot_id,
            ],
        )
        .await?;
    if changed == 1 {
        return Ok(());
    }
    Err(stale(before))
}

/// Notes when an agent was last heard; never moves back.
pub async fn agent_seen(tx: &mut Tx, id: AgentId, time: Timestamp) -> Result<(), Error> {
    tx.execute(AGENT_SEEN, &values![id, time]).await.map(drop)
}

/// Notes which audit checkpoint an agent has shown; never moves back.
pub async fn agent_witness(tx: &mut Tx, id: AgentId, witness: &Witness) -> Result<(), Error> {
    tx.execute(
        AGENT_WITNESS,
        &values![id, witness.sequence, witness.hash, witness.epoch],
    )
    .await
    .map(drop)
}

/// The text just past every id that begins with `prefix`. Ids are hex digits and hyphens, all of
/// which come before `g`.
pub(super) fn past(prefix: &str) -> String {
    format!("{prefix}g")
}

fn agent_of(row: &Row) -> Result<Agent, Error> {
    let sequence = row.int_opt("witness_sequence")?;
    let witness = match sequence {
        Some(_) => Some(Witness {
            sequence: row.size("witness_sequence")?,
            hash: row.text("witness_hash")?,
            epoch: row.size("witness_epoch")?,
        }),
        None => None,
    };
    Ok(Agent {
        id: row.parse("id")?,
        name: row.text("name")?,
        state: row.parse("state")?,
        state_reason: row.text_opt("state_reason")?,
        version: row.size("version")?,
        labels: row.json("labels_json")?,
        host: row.json("os_json")?,
        capabilities: row.json("capabilities_json")?,
        protocol_version: row.number("protocol_version")?,
        signing_public_key: row.text("signing_public_key")?,
        sealing_recipient: row.text_opt("sealing_recipient")?,
        certificate_generation: row.size("certificate_generation")?,
        machine_id: row.text_opt("machine_id")?,
        draining: row.flag("draining")?,
        create_time: row.time("create_time")?,
        last_seen_time: row.time_opt("last_seen_time")?,
        witness,
    })
}
