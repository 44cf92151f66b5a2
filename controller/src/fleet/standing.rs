//! An operator's word about an agent: revoked for good, or unlocked after a clone was removed.

use super::Fleet;
use super::model::{Agent, AgentState};
use super::store::{agent, certificate};
use crate::db::Tx;
use crate::events::{AuditEntry, Context, Event, audit_append};
use provado_model::{Error, Reason};

/// Longest explanation that is kept, in characters.
const MESSAGE_CHARS_MAX: usize = 500;

impl Fleet {
    /// Ends an agent's access for good. Once committed, its next call is refused and its open
    /// stream is cut. Said twice, it changes nothing.
    pub(super) async fn revoke_agent(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        found: &Agent,
        message: &str,
    ) -> Result<(), Error> {
        if found.state == AgentState::Revoked {
            return Ok(());
        }
        let message = bounded(message, "revoked by an operator");
        agent::agent_set_state(tx, found, AgentState::Revoked, &message).await?;
        let entry = AuditEntry::done("agent.revoke", "agent", found.id)
            .agent(found.id)
            .with("name", found.name.as_str())
            .with("message", message);
        audit_append(tx, ctx, entry).await?;
        self.forbid_on_commit(tx, ctx, found.id, AgentState::Revoked);
        Ok(())
    }

    /// Takes the lock off an agent. Which of its certificates the true agent holds is not known,
    /// so each that has not ended counts until one is used; a copy that is still there shows
    /// itself again. Its host may be another one now.
    ///
    /// Errors: `AGENT_LOCKED` when it is revoked: that is for good.
    pub(super) async fn unlock_agent(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        found: &Agent,
        message: &str,
    ) -> Result<(), Error> {
        match found.state {
            AgentState::Active | AgentState::Pending => return Ok(()),
            AgentState::Revoked => {
                return Err(Error::new(
                    Reason::AgentLocked,
                    format!(
                        "the agent `{}` is revoked, which is for good; let it join anew",
                        found.name
                    ),
                )
                .with("agent", &found.name));
            }
            AgentState::Locked => {}
        }
        agent::agent_set_state(tx, found, AgentState::Active, "").await?;
        agent::agent_forget_machine(tx, found.id).await?;
        certificate::certificate_reinstate(tx, found.id, ctx.now).await?;
        let message = bounded(message, "unlocked by an operator");
        let entry = AuditEntry::done("agent.unlock", "agent", found.id)
            .agent(found.id)
            .with("name", found.name.as_str())
            .with("message", message);
        audit_append(tx, ctx, entry).await?;
        let (allow, id) = (self.allow.clone(), found.id);
        tx.on_commit(move || allow.reinstate(id));
        ctx.bus.publish_on_commit(tx, Event::Agent { id });
        Ok(())
    }
}

fn bounded(message: &str, default: &str) -> String {
    let message = message.trim();
    if message.is_empty() {
        return default.to_owned();
    }
    message
        .chars()
        .take(MESSAGE_CHARS_MAX)
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect()
}
