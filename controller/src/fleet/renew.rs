//! The next generation of an agent's certificate, and what an old one gives away.

use super::Fleet;
use super::allow::replaced;
use super::enroll::{allowed, certificate_record};
use super::model::{Agent, AgentState};
use super::plan::{self, Generation};
use super::store::{agent, certificate};
use crate::db::Tx;
use crate::events::{AuditEntry, AuditOutcome, Context, Event, audit_append};
use crate::request::{Told, answer_get, answer_put};
use data_encoding::HEXLOWER;
use provado_model::id::AgentId;
use provado_model::{Error, Reason};
use provado_proto::agent::v1::RenewCertificateResponse;

/// The method under which answers are kept.
const METHOD: &str = "RenewCertificate";

/// The peer of a call, as the allow-list knows it.
#[derive(Debug, Clone)]
pub struct AgentPeer {
    /// Who it is.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// SHA-256 of the certificate it came with.
    pub sha256: [u8; 32],
}

impl Fleet {
    /// Signs the next generation of the peer's certificate. The certificate in use counts until
    /// the new one was used, since the answer may be lost; the same request (`ctx.request_id`
    /// with `digest`) gets the same answer.
    ///
    /// Errors: `AGENT_CLONED` (and the agent is locked) when a newer certificate was used already,
    /// `INVALID_ARGUMENT` for a request that cannot be signed or another generation than the
    /// certificate's, `CERTIFICATE_REVOKED` when it is not known, `BUSY` when it was renewed too
    /// often.
    pub async fn renew(
        &self,
        ctx: &Context,
        peer: &AgentPeer,
        stated_generation: u64,
        certificate_request: &[u8],
        digest: &str,
    ) -> Result<RenewCertificateResponse, Error> {
        let mut tx = self.core.db.begin().await?;
        if let Some(before) = answer_get(&mut tx, ctx, METHOD, digest).await? {
            tx.rollback().await?;
            return Ok(before);
        }
        if let Some(why) = clone_sign(&mut tx, peer, stated_generation).await? {
            tx.rollback().await?;
            return Err(self.lock(ctx, peer, &why).await?);
        }
        self.told
            .check(peer.id, Told::Certificate, self.core.clock.monotonic())?;
        let answer = self
            .renew_in(&mut tx, ctx, peer, stated_generation, certificate_request)
            .await?;
        answer_put(&mut tx, ctx, METHOD, digest, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    async fn renew_in(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        peer: &AgentPeer,
        used: u64,
        certificate_request: &[u8],
    ) -> Result<RenewCertificateResponse, Error> {
        let row = agent::agent_by_id(tx, peer.id)
            .await?
            .ok_or_else(|| unknown(peer))?;
        let next = row.certificate_generation.saturating_add(1);
        if !agent::agent_renew(tx, peer.id, row.certificate_generation, used).await? {
            return Err(Error::new(
                Reason::VersionStale,
                "the certificate was renewed at the same time; try again",
            ));
        }
        let issued = self.issue(certificate_request, peer.id)?;
        let record = certificate_record(&issued, peer.id, next);
        certificate::certificate_insert(tx, &record).await?;
        // What had been issued from the same certificate before was never used, or this one would
        // be superseded. Should it be used now, it shows a copy.
        self.supersede_newer(tx, ctx, peer.id, used, next).await?;
        let entry = AuditEntry::done("agent.renew-certificate", "agent", peer.id)
            .agent(peer.id)
            .with("generation", next)
            .with("certificate_sha256", record.sha256.as_str());
        audit_append(tx, ctx, entry).await?;
        let allow = self.allow.clone();
        let renewed = Agent {
            certificate_generation: next,
            ..row
        };
        let (sha256, allowed) = (issued.sha256, allowed(&issued, &renewed));
        tx.on_commit(move || allow.insert(sha256, allowed));
        Ok(RenewCertificateResponse {
            certificate_pem: issued.pem,
            authority_pem: self.authorities.agents.certificate_pem(),
            generation: i64::try_from(next).unwrap_or(i64::MAX),
        })
    }

    async fn supersede_newer(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        id: AgentId,
        used: u64,
        next: u64,
    ) -> Result<(), Error> {
        let changed =
            certificate::certificate_supersede_between(tx, id, (used, next), ctx.now).await?;
        if changed > 0 {
            let (allow, now) = (self.allow.clone(), ctx.now);
            tx.on_commit(move || {
                allow.supersede(id, |generation| generation > used && generation < next, now);
            });
        }
        Ok(())
    }

    /// Judges the certificate that the peer came with; locks the agent if it shows a clone.
    pub(super) async fn judge_certificate(
        &self,
        ctx: &Context,
        peer: &AgentPeer,
        stated_generation: u64,
    ) -> Result<(), Error> {
        let mut tx = self.core.db.read().await?;
        let sign = clone_sign(&mut tx, peer, stated_generation).await?;
        tx.rollback().await?;
        match sign {
            Some(why) => Err(self.lock(ctx, peer, &why).await?),
            None => Ok(()),
        }
    }

    /// Locks an agent that showed itself cloned and cuts its stream; the error for the caller.
    pub(super) async fn lock(
        &self,
        ctx: &Context,
        peer: &AgentPeer,
        why: &str,
    ) -> Result<Error, Error> {
        let mut tx = self.core.db.begin().await?;
        let row = agent::agent_by_id(&mut tx, peer.id)
            .await?
            .ok_or_else(|| unknown(peer))?;
        let sha256 = HEXLOWER.encode(&peer.sha256);
        let shown = certificate::certificate_get(&mut tx, peer.id, &sha256).await?;
        if shown.is_some_and(|shown| shown.is_replaced) {
            // The agent came back while this stream was judged; its copy locks it no more.
            tx.rollback().await?;
            return Ok(replaced(&peer.name));
        }
        if row.state == AgentState::Active {
            agent::agent_set_state(&mut tx, &row, AgentState::Locked, why).await?;
            let entry = AuditEntry::done("agent.lock", "agent", peer.id)
                .agent(peer.id)
                .outcome(AuditOutcome::Done)
                .with("reason", Reason::AgentCloned.as_str())
                .with("name", row.name.as_str())
                .with("why", why);
            audit_append(&mut tx, ctx, entry).await?;
            self.forbid_on_commit(&mut tx, ctx, peer.id, AgentState::Locked);
        }
        tx.commit().await?;
        tracing::error!(
            agent.id = %peer.id,
            agent.name = row.name,
            peer.address = ctx.actor.peer.as_deref().unwrap_or("unknown"),
            "the agent {} showed itself cloned and is locked: {why}",
            row.name
        );
        Ok(Error::new(
            Reason::AgentCloned,
            format!(
                "two hold the identity of the agent `{}`: {why}; it is locked until an operator \
                 has removed the copy and runs `provado agent unlock {}`",
                row.name, row.name
            ),
        )
        .with("agent", row.name))
    }

    /// Makes a lock or revocation count at once: no further call, and the open stream is cut.
    pub(super) fn forbid_on_commit(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        id: AgentId,
        state: AgentState,
    ) {
        let (allow, sessions) = (self.allow.clone(), self.sessions.clone());
        let cut = match state {
            AgentState::Locked => super::sessions::Cut::Cloned,
            AgentState::Revoked | AgentState::Pending | AgentState::Active => {
                super::sessions::Cut::Revoked
            }
        };
        tx.on_commit(move || {
            allow.set_state(id, state);
            sessions.cut(id, cut);
        });
        ctx.bus.publish_on_commit(tx, Event::Agent { id });
    }
}

/// Why the certificate that the peer came with shows a clone, if it does. Errors:
/// `INVALID_ARGUMENT` for another generation than the certificate's, `CERTIFICATE_REVOKED` for an
/// unknown one and for one that ended when the agent came back.
async fn clone_sign(
    tx: &mut Tx,
    peer: &AgentPeer,
    stated_generation: u64,
) -> Result<Option<String>, Error> {
    let sha256 = HEXLOWER.encode(&peer.sha256);
    let found = certificate::certificate_get(tx, peer.id, &sha256)
        .await?
        .ok_or_else(|| unknown(peer))?;
    match plan::generation(&found, stated_generation) {
        Generation::Current => Ok(None),
        Generation::Replaced => Err(replaced(&peer.name)),
        Generation::Mismatch => Err(Error::new(
            Reason::InvalidArgument,
            format!(
                "the certificate in use is of generation {}, not {stated_generation}",
                found.generation
            ),
        )
        .with("generation", found.generation)),
        Generation::Superseded => Ok(Some(format!(
            "generation {} of its certificate was shown after a newer one was used",
            found.generation
        ))),
    }
}

fn unknown(peer: &AgentPeer) -> Error {
    Error::new(
        Reason::CertificateRevoked,
        format!(
            "the certificate of the agent `{}` is not known here",
            peer.name
        ),
    )
    .with("agent", &peer.name)
}
