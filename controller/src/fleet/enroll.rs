//! How a host becomes an agent: a one-time token and a certificate request against an identity.
//!
//! Of the request's names nothing is believed; the identity is made here, or is that of the agent
//! the token is bound to. Agent, certificate, the spent token and their audit events are one
//! transaction. A repeated request with the same id gets the same answer, since the first one may
//! have been lost on its way.

use super::Fleet;
use super::model::{Agent, AgentCertificate, AgentState, AllowedAgent, Host};
use super::store::{agent, certificate};
use super::wire;
use crate::access::{JoinTokenRecord, token};
use crate::db::Tx;
use crate::events::{AuditEntry, Context, Event, audit_append};
use crate::request::{
    Violations, answer_get, answer_or, answer_put, request_digest, request_id_of,
};
use data_encoding::HEXLOWER;
use jiff::SignedDuration;
use provado_identity::{IssuedCertificate, PublicKey, TokenHash};
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
    /// The agent that the host says it is already.
    pub agent: Option<AgentId>,
    /// The certificate request, DER.
    pub certificate_request: Vec<u8>,
    /// The key that signs manifests and proofs.
    pub signing_key: PublicKey,
    /// Whether the request is signed by that key.
    pub is_signed: bool,
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
        if !is_recipient(&request.sealing_recipient) {
            wrong.add(
                "sealing_recipient",
                "must be an age recipient, which begins with age1",
            );
        }
        let agent = match request.agent_id.as_str() {
            "" => None,
            id => id.parse().ok(),
        };
        if agent.is_none() && !request.agent_id.is_empty() {
            wrong.add("agent_id", "must be the id of an agent, or empty");
        }
        wrong.finish()?;
        let (Some(request_id), Some(secret), Some(der), Some(signing_key)) =
            (request_id, secret, der, signing_key)
        else {
            let what = "a request to join was parsed without its parts";
            return Err(Error::internal(what));
        };
        let facts = request.host.clone().unwrap_or_default();
        let hash = TokenHash::of(&secret);
        let signed = signing_key.verify(&hash.join_message(&der), &request.signature);
        Ok(Self {
            request_id,
            digest: request_digest(request),
            secret_sha256: token::stored(&hash),
            name: request.agent_name.clone(),
            agent,
            certificate_request: der,
            signing_key,
            is_signed: signed.is_ok(),
            sealing_recipient: request.sealing_recipient.clone(),
            machine_id: wire::bounded(&facts.machine_id),
            host: wire::host(&facts),
        })
    }

    /// The context under which the answer is kept: whoever holds the token's secret.
    fn answer_context(&self, ctx: &Context) -> Context {
        let mut ctx = ctx.clone();
        ctx.actor.id = format!("join:{}", self.secret_sha256);
        ctx.request_id = Some(self.request_id);
        ctx
    }
}

fn is_recipient(text: &str) -> bool {
    text.starts_with("age1")
        && text.len() <= RECIPIENT_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl Fleet {
    /// Makes an agent, or lets the one come back that the token is bound to.
    ///
    /// Errors: `JOIN_TOKEN_INVALID`, `NAME_TAKEN`, `INVALID_ARGUMENT` for a certificate request
    /// that cannot be signed or a name or agent that the token is not bound to, `AGENT_LOCKED` for
    /// an agent that was revoked.
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
        let guest = token::Guest {
            name: &request.name,
            agent: request.agent,
            new_agent: AgentId::new(self.core.clock.as_ref(), self.core.entropy.as_ref()),
        };
        let token = token::redeem(tx, ctx, &request.secret_sha256, guest).await?;
        match token.bound_agent {
            Some(id) => self.come_back(tx, ctx, request, (&token, id)).await,
            None => {
                self.join_new(tx, ctx, request, (token, guest.new_agent))
                    .await
            }
        }
    }

    async fn join_new(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        request: &Enroll,
        (token, id): (JoinTokenRecord, AgentId),
    ) -> Result<EnrollResponse, Error> {
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
        let allow = self.allow.clone();
        let (sha256, allowed) = (issued.sha256, allowed(&issued, &made));
        tx.on_commit(move || allow.insert(sha256, allowed));
        ctx.bus.publish_on_commit(tx, Event::Agent { id });
        Ok(self.answer(&made, issued))
    }

    /// What an agent is told that has joined or come back.
    pub(super) fn answer(&self, agent: &Agent, issued: IssuedCertificate) -> EnrollResponse {
        EnrollResponse {
            agent_id: agent.id.to_string(),
            agent_name: agent.name.clone(),
            certificate_pem: issued.pem,
            authority_pem: self.authorities.agents.certificate_pem(),
            generation: i64::try_from(agent.certificate_generation).unwrap_or(i64::MAX),
            controller_public_key: self.authorities.signing.public_key().as_bytes().to_vec(),
        }
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

/// What the allow-list holds of the newest certificate of an agent.
pub(super) fn allowed(issued: &IssuedCertificate, agent: &Agent) -> AllowedAgent {
    AllowedAgent {
        id: agent.id,
        name: agent.name.clone(),
        state: agent.state,
        generation: agent.certificate_generation,
        not_after: issued.not_after,
        supersede_time: None,
        is_replaced: false,
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
        is_replaced: false,
    }
}
