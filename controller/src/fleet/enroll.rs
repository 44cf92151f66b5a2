//! How a host becomes an agent: a one-time token and a certificate request against an identity.
//!
//! Of the request's names nothing is believed; the identity is made here. Agent, certificate, the
//! spent token and their audit events are one transaction. A repeated request with the same id
//! gets the same answer, since the first one may have been lost on its way.

use super::Fleet;
use super::model::{Agent, AgentCertificate, AgentState, AllowedAgent, Host};
use super::store::{agent, certificate};
use super::wire;
use crate::access::token;
use crate::db::Tx;
use crate::events::{AuditEntry, Context, Event, audit_append};
use crate::request::{
    Violations, answer_get, answer_or, answer_put, request_digest, request_id_of,
};
use data_encoding::HEXLOWER;
use jiff::SignedDuration;
use provado_identity::{IssuedCertificate, PublicKey};
use provado_model::id::{AgentId, RequestId};
use provado_model::label::{self, Labels};
use provado_model::{Error, Reason, limits};
use provado_proto::agent::v1::{EnrollRequest, EnrollResponse};

/// Longest age recipient that is kept, in bytes; X25519 ones have 62, later kinds more.
const RECIPIENT_BYTES_MAX: usize = 4096;

/// The method under which answers are kept.
const METHOD: &str = "Enroll";

/// A parsed request to join.
#[derive(Debug)]
pub struct Enroll {
    /// The client's id of the request.
    pub request_id: RequestId,
    /// What makes another request with the same id the same request.
    pub digest: String,
    /// The hash of the token's secret.
    pub secret_sha256: String,
    /// The name the host wants.
    pub name: String,
    /// The certificate request, DER.
    pub certificate_request: Vec<u8>,
    /// The key that will sign manifests and proofs.
    pub signing_key: PublicKey,
    /// The recipient to which secrets are sealed.
    pub sealing_recipient: String,
    /// What the host tells of itself.
    pub host: Host,
    /// The host's machine id.
    pub machine_id: String,
}

impl Enroll {
    /// Parses a request; every violation at once. Error: `INVALID_ARGUMENT`.
    pub fn parse(request: &EnrollRequest) -> Result<Self, Error> {
        let mut wrong = Violations::default();
        let request_id = wrong.take(request_id_of(&request.request_id));
        if !label::name_is_valid(&request.agent_name) {
            let rule = "must have 2 to 63 characters of a-z, 0-9 and `-`, from a letter on";
            wrong.add("agent_name", rule);
        }
        let secret = wire::token_secret(&request.token);
        if secret.is_none() {
            wrong.add(
                "token",
                "must be the secret part of the join string, hex or base64url",
            );
        }
        let der = wire::certificate_request(&request.certificate_request_pem);
        if der.is_none() {
            wrong.add(
                "certificate_request_pem",
                "must be a PKCS#10 request in PEM",
            );
        }
        let signing_key = PublicKey::from_slice(&request.signing_public_key).ok();
        if signing_key.is_none() {
            wrong.add(
                "signing_public_key",
                "must be an Ed25519 public key, 32 bytes",
            );
        }
        let recipient = &request.sealing_recipient;
        let is_recipient = recipient.starts_with("age1")
            && recipient.len() <= RECIPIENT_BYTES_MAX
            && recipient.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_recipient {
            wrong.add(
                "sealing_recipient",
                "must be an age recipient, which begins with age1",
            );
        }
        wrong.finish()?;
        let facts = request.host.clone().unwrap_or_default();
        match (request_id, secret, der, signing_key) {
            (Some(request_id), Some(secret), Some(der), Some(signing_key)) => Ok(Self {
                request_id,
                digest: request_digest(request),
                secret_sha256: token::secret_hash(&secret),
                name: request.agent_name.clone(),
                certificate_request: der,
                signing_key,
                sealing_recipient: recipient.clone(),
                machine_id: wire::bounded(&facts.machine_id),
                host: wire::host(&facts),
            }),
            _ => Err(Error::internal(
                "a request to join was parsed without its parts",
            )),
        }
    }

    /// The context under which the answer is kept: whoever holds the token's secret.
    fn answer_context(&self, ctx: &Context) -> Context {
        let mut ctx = ctx.clone();
        ctx.actor.id = format!("join:{}", self.secret_sha256);
        ctx.request_id = Some(self.request_id);
        ctx
    }
}

impl Fleet {
    /// Makes an agent.
    ///
    /// Errors: `JOIN_TOKEN_INVALID`, `NAME_TAKEN`, `INVALID_ARGUMENT` for a certificate request
    /// that cannot be signed or a name that the token is not bound to.
    pub async fn enroll(&self, ctx: &Context, request: Enroll) -> Result<EnrollResponse, Error> {
        let mut tx = self.core.db.begin().await?;
        let kept = request.answer_context(ctx);
        if let Some(answer) = answer_get(&mut tx, &kept, METHOD, &request.digest).await? {
            tx.rollback().await?;
            return Ok(answer);
        }
        match self.enroll_in(&mut tx, ctx, &request).await {
            Ok(answer) => {
                answer_put(&mut tx, &kept, METHOD, &request.digest, &answer).await?;
                tx.commit().await?;
                Ok(answer)
            }
            Err(error) => {
                tx.rollback().await?;
                let (db, digest) = (&self.core.db, &request.digest);
                let error = match answer_or(db, &kept, METHOD, digest, error).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                };
                if error.reason == Reason::JoinTokenInvalid {
                    token::redeem_refused(&self.core, ctx, &request.secret_sha256, &request.name)
                        .await?;
                }
                Err(error)
            }
        }
    }

    async fn enroll_in(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        request: &Enroll,
    ) -> Result<EnrollResponse, Error> {
        let id = AgentId::new(self.core.clock.as_ref(), self.core.entropy.as_ref());
        let token = token::redeem(tx, ctx, &request.secret_sha256, id, &request.name).await?;
        let issued = self.issue(&request.certificate_request, id)?;
        let made = new_agent(id, request, token.labels, ctx);
        agent::agent_insert(tx, &made).await?;
        let record = certificate_record(&issued, id, 1);
        certificate::certificate_insert(tx, &record).await?;
        let entry = AuditEntry::done("agent.join", "agent", id)
            .agent(id)
            .with("name", made.name.as_str())
            .with("join_token", token.id.to_string())
            .with("certificate_sha256", record.sha256.as_str())
            .with("signing_key", made.signing_public_key.as_str());
        audit_append(tx, ctx, entry).await?;
        let answer = EnrollResponse {
            agent_id: id.to_string(),
            agent_name: made.name.clone(),
            certificate_pem: issued.pem.clone(),
            authority_pem: self.authorities.agents.certificate_pem(),
            generation: 1,
            controller_public_key: self.authorities.signing.public_key().as_bytes().to_vec(),
        };
        let allow = self.allow.clone();
        let allowed = AllowedAgent {
            id,
            name: made.name,
            state: AgentState::Active,
            generation: 1,
            not_after: issued.not_after,
            supersede_time: None,
        };
        let sha256 = issued.sha256;
        tx.on_commit(move || allow.insert(sha256, allowed));
        ctx.bus.publish_on_commit(tx, Event::Agent { id });
        Ok(answer)
    }

    /// Signs a certificate for an agent.
    pub(super) fn issue(&self, request: &[u8], id: AgentId) -> Result<IssuedCertificate, Error> {
        let seconds = i64::try_from(limits::CERTIFICATE_SECONDS).unwrap_or(i64::MAX);
        self.authorities
            .agents
            .issue_agent(request, id, SignedDuration::from_secs(seconds))
            .map_err(wire::issue_error)
    }
}

fn new_agent(id: AgentId, request: &Enroll, labels: Labels, ctx: &Context) -> Agent {
    Agent {
        id,
        name: request.name.clone(),
        state: AgentState::Active,
        state_reason: None,
        version: 1,
        labels,
        host: request.host.clone(),
        capabilities: Vec::new(),
        protocol_version: 0,
        signing_public_key: request.signing_key.to_string(),
        sealing_recipient: Some(request.sealing_recipient.clone()),
        certificate_generation: 1,
        machine_id: Some(request.machine_id.clone()).filter(|id| !id.is_empty()),
        draining: false,
        create_time: ctx.now,
        last_seen_time: None,
        witness: None,
    }
}

/// What is stored of a certificate that was just signed.
pub(super) fn certificate_record(
    issued: &IssuedCertificate,
    agent: AgentId,
    generation: u64,
) -> AgentCertificate {
    AgentCertificate {
        sha256: HEXLOWER.encode(&issued.sha256),
        agent,
        generation,
        not_before: issued.not_before,
        not_after: issued.not_after,
        supersede_time: None,
    }
}
