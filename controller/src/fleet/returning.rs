//! The way back of an agent that no certificate lets in any more: it was off for too long, or it is
//! locked and an operator says which host is the true one.
//!
//! It takes a join token that an operator bound to the agent, and the agent's own signing key: a
//! token alone makes nobody an agent that is there already. Every older certificate is over from
//! the same transaction on; who still shows one is refused and locks nobody, since the operator has
//! said who the agent is. A revoked agent never comes back.

use super::Fleet;
use super::api::resolve_agent;
use super::enroll::{Enroll, allowed, certificate_record};
use super::model::{Agent, AgentState};
use super::sessions::{Cut, Sessions as _};
use super::store::{agent, certificate};
use crate::access::{Agents, JoinTokenRecord};
use crate::db::Tx;
use crate::events::{AuditEntry, Context, Event, audit_append};
use async_trait::async_trait;
use provado_model::id::AgentId;
use provado_model::{Error, Reason};
use provado_proto::agent::v1::EnrollResponse;

#[async_trait]
impl Agents for Fleet {
    async fn returning(&self, tx: &mut Tx, name: &str) -> Result<(AgentId, String), Error> {
        let found = resolve_agent(tx, "agent", name).await?;
        refuse_revoked(&found)?;
        Ok((found.id, found.name))
    }
}

impl Fleet {
    /// Gives the agent that the token is bound to its next certificate and ends all before.
    ///
    /// Errors: `AGENT_LOCKED` when it was revoked, `INVALID_ARGUMENT` when the request is not
    /// signed with its key.
    pub(super) async fn come_back(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        request: &Enroll,
        (token, id): (&JoinTokenRecord, AgentId),
    ) -> Result<EnrollResponse, Error> {
        let before = agent::agent_by_id(tx, id)
            .await?
            .ok_or_else(|| Error::internal(format!("agent {id} of a join token is not there")))?;
        refuse_revoked(&before)?;
        refuse_other_key(&before, request)?;
        let now = Agent {
            state: AgentState::Active,
            state_reason: None,
            host: request.host.clone(),
            sealing_recipient: Some(request.sealing_recipient.clone()),
            certificate_generation: before.certificate_generation.saturating_add(1),
            machine_id: Some(request.machine_id.clone()).filter(|id| !id.is_empty()),
            ..before.clone()
        };
        agent::agent_come_back(tx, &before, &now).await?;
        let issued = self.issue(&request.certificate_request, id)?;
        let record = certificate_record(&issued, id, now.certificate_generation);
        certificate::certificate_insert(tx, &record).await?;
        let entry = AuditEntry::done("agent.come-back", "agent", id)
            .agent(id)
            .with("name", now.name.as_str())
            .with("join_token", token.id.to_string())
            .with("generation", now.certificate_generation)
            .with("certificate_sha256", record.sha256.as_str())
            .with("state_before", before.state.as_str())
            .with("state_reason_before", before.state_reason)
            .with("other_machine", before.machine_id != now.machine_id)
            .with("stream_cut", self.sessions.is_connected(id));
        audit_append(tx, ctx, entry).await?;
        let (allow, sessions) = (self.allow.clone(), self.sessions.clone());
        let (sha256, allowed) = (issued.sha256, allowed(&issued, &now));
        tx.on_commit(move || {
            allow.come_back(id, allowed.generation);
            allow.insert(sha256, allowed);
            sessions.cut(id, Cut::CameBack);
        });
        ctx.bus.publish_on_commit(tx, Event::Agent { id });
        Ok(self.answer(&now, issued))
    }
}

fn refuse_revoked(agent: &Agent) -> Result<(), Error> {
    if agent.state != AgentState::Revoked {
        return Ok(());
    }
    Err(Error::new(
        Reason::AgentLocked,
        format!(
            "the agent `{}` is revoked, which is for good; let its host join as a new agent, with \
             another name and an empty data directory",
            agent.name
        ),
    )
    .with("agent", &agent.name))
}

/// Manifests and proofs are signed with the key that the agent joined with, for as long as it is.
fn refuse_other_key(agent: &Agent, request: &Enroll) -> Result<(), Error> {
    if request.is_signed && request.signing_key.to_string() == agent.signing_public_key {
        return Ok(());
    }
    Err(Error::new(
        Reason::InvalidArgument,
        format!(
            "this host does not hold the keys of the agent `{name}`, which the join token lets \
             come back; use the token where the data directory of `{name}` is",
            name = agent.name
        ),
    )
    .with("agent", &agent.name))
}
