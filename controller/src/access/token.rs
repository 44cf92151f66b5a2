//! Join tokens: how long they live, and how one is spent.
//!
//! The secret is told once and kept nowhere; what is stored is its SHA-256. A token is spent in
//! the transaction that makes the agent, so that a join that fails leaves it unspent.

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

/// The stored form of a secret that came over the wire.
pub fn secret_hash(secret: &[u8]) -> String {
    HEXLOWER.encode(&TokenHash::of(secret).0)
}

/// Spends a token for an agent that is being made in the same transaction.
///
/// Errors: `JOIN_TOKEN_INVALID`, in the same words for an unknown, spent, revoked and ended token;
/// which it was stands in the audit (see [`redeem_refused`]). `INVALID_ARGUMENT` when the token is
/// bound to another name.
pub async fn redeem(
    tx: &mut Tx,
    ctx: &Context,
    secret_sha256: &str,
    agent: AgentId,
    agent_name: &str,
) -> Result<JoinTokenRecord, Error> {
    let Some(token) = store::token_redeem(tx, secret_sha256, agent, ctx.now).await? else {
        return Err(Error::new(
            Reason::JoinTokenInvalid,
            "the join token is unknown, was used before or has ended; make a new one with \
             `provado join-token create`",
        ));
    };
    match &token.agent_name {
        Some(bound) if bound != agent_name => Err(Error::new(
            Reason::InvalidArgument,
            format!("the join token is bound to the name `{bound}`; join as that"),
        )
        .with("agent_name", bound)),
        Some(_) | None => {
            let entry = AuditEntry::done("join-token.use", "join-token", token.id).agent(agent);
            audit_append(tx, ctx, entry).await?;
            Ok(token)
        }
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

/// The token with this secret, whatever became of it; for a repeated request.
pub async fn token_of_secret(
    tx: &mut Tx,
    secret_sha256: &str,
) -> Result<Option<JoinTokenRecord>, Error> {
    store::token_by_hash(tx, secret_sha256).await
}
