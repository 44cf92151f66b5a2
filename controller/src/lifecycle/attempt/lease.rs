//! The SQL of an attempt's lease: until when it is presumed alive.

use super::model::Attempt;
use crate::db::{Tx, statements, values};
use jiff::Timestamp;
use provado_model::Error;
use provado_model::id::AgentId;

statements! {
    // A lease is no state: it does not raise the version, so that a heartbeat and a report that
    // cross do not make one of them fail.
    ATTEMPT_LEASE_RENEW = both(
        "UPDATE attempt SET lease_until_time = \
         CASE WHEN lease_until_time < $1 THEN $1 ELSE lease_until_time END \
         WHERE id = $2 AND agent_id = $3 AND number = $4 \
         AND state IN ('offered', 'accepted', 'running')",
    );
    ATTEMPT_LEASE_GRACE = both(
        "UPDATE attempt SET lease_until_time = $1 \
         WHERE state IN ('offered', 'accepted', 'running') AND lease_until_time < $1",
    );
}

/// Statements that must not scan the whole table.
pub const HOT: &[&str] = &["ATTEMPT_LEASE_RENEW", "ATTEMPT_LEASE_GRACE"];

/// Prolongs the lease of an agent's attempt; false if it is not that agent's, has another number
/// or has ended. A lease is never shortened.
pub async fn attempt_lease_renew(
    tx: &mut Tx,
    attempt: &Attempt,
    agent: AgentId,
    until: Timestamp,
) -> Result<bool, Error> {
    tx.execute(
        ATTEMPT_LEASE_RENEW,
        &values![until, attempt.id, agent, attempt.number],
    )
    .await
    .map(|count| count == 1)
}

/// Prolongs every lease that would end before `until`; how many. For a controller that starts:
/// while none was there, no agent could renew its own.
pub async fn attempt_lease_grace(tx: &mut Tx, until: Timestamp) -> Result<u64, Error> {
    tx.execute(ATTEMPT_LEASE_GRACE, &values![until]).await
}
