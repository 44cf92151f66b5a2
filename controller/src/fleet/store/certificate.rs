//! The SQL of `agent_certificate`. Its `revoke_time` says since when a certificate is superseded.

use crate::db::{Row, Tx, statements, values};
use crate::fleet::model::{AgentCertificate, AllowedAgent};
use jiff::Timestamp;
use provado_model::Error;
use provado_model::id::AgentId;

macro_rules! columns {
    () => {
        "sha256, agent_id, generation, not_before_time, not_after_time, revoke_time, \
         (SELECT first_certificate_generation FROM agent WHERE agent.id = agent_id) \
         AS first_certificate_generation"
    };
}

statements! {
    CERTIFICATE_INSERT = both(
        "INSERT INTO agent_certificate (sha256, agent_id, generation, not_before_time, \
         not_after_time) VALUES ($1, $2, $3, $4, $5)",
    );
    CERTIFICATE_GET = both(concat!(
        "SELECT ", columns!(), " FROM agent_certificate WHERE sha256 = $1 AND agent_id = $2"
    ));
    CERTIFICATE_NEWEST = both(concat!(
        "SELECT ", columns!(),
        " FROM agent_certificate WHERE agent_id = $1 ORDER BY generation DESC LIMIT 1"
    ));
    CERTIFICATE_SUPERSEDE_OLDER = both(
        "UPDATE agent_certificate SET revoke_time = $3 \
         WHERE agent_id = $1 AND generation < $2 AND revoke_time IS NULL",
    );
    CERTIFICATE_SUPERSEDE_BETWEEN = both(
        "UPDATE agent_certificate SET revoke_time = $4 \
         WHERE agent_id = $1 AND generation > $2 AND generation < $3 AND revoke_time IS NULL",
    );
    CERTIFICATE_REINSTATE = both(
        "UPDATE agent_certificate SET revoke_time = NULL \
         WHERE agent_id = $1 AND not_after_time > $2",
    );
    CERTIFICATE_ALLOWED = both(
        "SELECT agent_certificate.sha256 AS sha256, agent.id AS id, agent.name AS name, \
         agent.state AS state, agent_certificate.generation AS generation, \
         agent_certificate.not_after_time AS not_after_time, \
         agent_certificate.revoke_time AS revoke_time, \
         agent.first_certificate_generation AS first_certificate_generation \
         FROM agent_certificate JOIN agent ON agent.id = agent_certificate.agent_id \
         WHERE agent_certificate.not_after_time > $1",
    );
}

/// Records a certificate that is about to be handed out.
pub async fn certificate_insert(tx: &mut Tx, certificate: &AgentCertificate) -> Result<(), Error> {
    tx.execute_one(
        CERTIFICATE_INSERT,
        &values![
            certificate.sha256,
            certificate.agent,
            certificate.generation,
            certificate.not_before,
            certificate.not_after,
        ],
    )
    .await
}

/// The agent's certificate with this SHA-256 (hex).
pub async fn certificate_get(
    tx: &mut Tx,
    agent: AgentId,
    sha256: &str,
) -> Result<Option<AgentCertificate>, Error> {
    let row = tx
        .fetch_optional(CERTIFICATE_GET, &values![sha256, agent])
        .await?;
    row.map(|row| certificate_of(&row)).transpose()
}

/// The agent's certificate of the highest generation.
pub async fn certificate_newest(
    tx: &mut Tx,
    agent: AgentId,
) -> Result<Option<AgentCertificate>, Error> {
    let row = tx
        .fetch_optional(CERTIFICATE_NEWEST, &values![agent])
        .await?;
    row.map(|row| certificate_of(&row)).transpose()
}

/// `generation` is in use: all before it are superseded. Returns how many that changed.
pub async fn certificate_supersede_older(
    tx: &mut Tx,
    agent: AgentId,
    generation: u64,
    now: Timestamp,
) -> Result<u64, Error> {
    tx.execute(
        CERTIFICATE_SUPERSEDE_OLDER,
        &values![agent, generation, now],
    )
    .await
}

/// The second of `bounds` was issued from the first: what had been issued from that one before is
/// superseded. Returns how many that changed.
pub async fn certificate_supersede_between(
    tx: &mut Tx,
    agent: AgentId,
    bounds: (u64, u64),
    now: Timestamp,
) -> Result<u64, Error> {
    tx.execute(
        CERTIFICATE_SUPERSEDE_BETWEEN,
        &values![agent, bounds.0, bounds.1, now],
    )
    .await
}

/// After an unlock: every certificate that has not ended may be the true agent's.
pub async fn certificate_reinstate(
    tx: &mut Tx,
    agent: AgentId,
    now: Timestamp,
) -> Result<(), Error> {
    tx.execute(CERTIFICATE_REINSTATE, &values![agent, now])
        .await
        .map(drop)
}

/// Every certificate that has not ended, with where its agent stands.
pub async fn certificate_allowed(
    tx: &mut Tx,
    now: Timestamp,
) -> Result<Vec<(String, AllowedAgent)>, Error> {
    let rows = tx.fetch_all(CERTIFICATE_ALLOWED, &values![now]).await?;
    rows.iter()
        .map(|row| {
            let agent = AllowedAgent {
                id: row.parse("id")?,
                name: row.text("name")?,
                state: row.parse("state")?,
                generation: row.size("generation")?,
                not_after: row.time("not_after_time")?,
                supersede_time: row.time_opt("revoke_time")?,
                is_replaced: is_replaced(row)?,
            };
            Ok((row.text("sha256")?, agent))
        })
        .collect()
}

fn certificate_of(row: &Row) -> Result<AgentCertificate, Error> {
    Ok(AgentCertificate {
        sha256: row.text("sha256")?,
        agent: row.parse("agent_id")?,
        generation: row.size("generation")?,
        not_before: row.time("not_before_time")?,
        not_after: row.time("not_after_time")?,
        supersede_time: row.time_opt("revoke_time")?,
        is_replaced: is_replaced(row)?,
    })
}

fn is_replaced(row: &Row) -> Result<bool, Error> {
    Ok(row.size("generation")? < row.size("first_certificate_generation")?)
}
