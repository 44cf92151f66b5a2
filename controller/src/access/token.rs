//! Join tokens: how long they live, and how one is spent.
//!
//! The secret is told once and kept nowhere; what is stored is its SHA-256. A token is spent in
//! the transaction that makes the agent or lets it come back, so that a join that fails leaves it
//! unspent.

use super::model::JoinTokenRecord;
use super::store;
use crate::db::Tx;
use crate::events::{AuditEntry, AuditOutcome, Context, audit_append};
use crate::lifecycle::controller::Core;
use data_encoding::HEXLOWER;
use jiff::SignedDuration;
use provado_identity::TokenHash;
use provado_model::id::AgentId;
use provado_model::{Error, Reason, limits};

/// How long a token lives when nobody says otherwise.
pub const TOKEN_LIFETIME_DEFAULT: SignedDuration = SignedDuration::from_mins(15);

/// The lifetime of a new token: the default where none is asked for.
///
/// Errors: `INVALID_ARGUMENT` for less than a second and for more than a day.
pub fn token_lifetime(asked: Option<SignedDuration>) -> Result<SignedDuration, Error> {
    let lifetime = asked.unwrap_or(TOKEN_LIFETIME_DEFAULT);
    let longest = i64::try_from(limits::JOIN_TOKEN_SECONDS_MAX).unwrap_or(i64::MAX);
    if lifetime < SignedDuration::from_secs(1) || lifetime > SignedDuration::from_secs(longest) {
        return Err(Error::new(
            Reason::InvalidArgument,
            "a join token lives between 1 second and 24 hours",
        )
        .with("ttl_seconds", lifetime.as_secs()));
    }
    Ok(lifetime)
}

/// The stored form of a secret's hash.
pub fn stored(hash: &TokenHash) -> String {
    HEXLOWER.encode(&hash.0)
}

/// A host that shows a token.
#[derive(Debug, Clone, Copy)]
pub struct Guest<'a> {
    /// The name it wants.
    pub name: &'a str,
    /// The agent that it is already, as it says.
    pub agent: Option<AgentId>,
    /// The agent that it becomes where the token is for a new one.
    pub new_agent: AgentId,
}

/// Spends a token for an agent that is made or comes back in the same transaction.
///
/// Errors: `JOIN_TOKEN_INVALID`, in the same words for an unknown, spent, revoked and ended token;
/// which it was stands in the audit (see [`redeem_refused`]). `INVALID_ARGUMENT` when the token is
/// for another name, another agent, or for a new one where the host is one already.
pub async fn redeem(
    tx: &mut Tx,
    ctx: &Context,
    secret_sha256: &str,
    guest: Guest<'_>,
) -> Result<JoinTokenRecord, Error> {
    let found = store::token_redeem(tx, secret_sha256, guest.new_agent, ctx.now).await?;
    let Some(token) = found else {
        return Err(Error::new(
            Reason::JoinTokenInvalid,
            "the join token is unknown, was used before or has ended; make a new one with \
             `provado join-token create`",
        ));
    };
    refuse_stranger(&token, guest)?;
    let agent = token.bound_agent.unwrap_or(guest.new_agent);
    let entry = AuditEntry::done("join-token.use", "join-token", token.id).agent(agent);
    audit_append(tx, ctx, entry).await?;
    Ok(token)
}

/// A token is good for those only whom it was made for.
fn refuse_stranger(token: &JoinTokenRecord, guest: Guest<'_>) -> Result<(), Error> {
    let bound_name = token.agent_name.as_deref();
    let refusal = match (token.bound_agent, guest.agent) {
        (None, None) => bound_name
            .filter(|bound| *bound != guest.name)
            .map(|bound| format!("the join token is bound to the name `{bound}`; join as that")),
        (None, Some(_)) => Some(format!(
            "the join token is for a new agent, but this host is the agent `{name}` already; let \
             it come back with a token from `provado join-token create --agent {name}`",
            name = guest.name
        )),
        (Some(bound), Some(agent)) if bound != agent => Some(format!(
            "the join token lets the agent `{}` come back, but this host is the agent `{}`",
            bound_name.unwrap_or_default(),
            guest.name
        )),
        (Some(_), _) => None,
    };
    match refusal {
        Some(message) => Err(Error::new(Reason::InvalidArgument, message)
            .with("agent_name", bound_name.unwrap_or_default())),
        None => Ok(()),
    }
}

/// Writes down that a token was refused, in a transaction of its own: the use of a spent token may
/// mean that its secret was stolen before it was used.
pub async fn redeem_refused(
    core: &Core,
    ctx: &Context,
    secret_sha256: &str,
    agent_name: &str,
) -> Result<(), Error> {
    let mut tx = core.db.begin().await?;
    let Some(token) = store::token_by_hash(&mut tx, secret_sha256).await? else {
        // A guess. Writing each one down would let anyone fill the chain.
        return tx.rollback().await;
    };
    let why = if token.use_time.is_some() {
        "it was used before"
    } else if token.revoke_time.is_some() {
        "it was revoked"
    } else {
        "it has ended"
    };
    tracing::warn!(
        token.id = %token.id,
        agent.name = agent_name,
        peer.address = ctx.actor.peer.as_deref().unwrap_or("unknown"),
        "a host that calls itself {agent_name} showed the join token {}, but {why}",
        token.id
    );
    let entry = AuditEntry::done("join-token.use", "join-token", token.id)
        .outcome(AuditOutcome::Refused)
        .with("why", why)
        .with("agent_name", agent_name);
    audit_append(&mut tx, ctx, entry).await?;
    tx.commit().await
}
