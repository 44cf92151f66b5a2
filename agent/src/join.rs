//! Joining a fleet: keys are made here, the one-time token buys a certificate for them. An agent
//! that no certificate lets in any more comes back the same way, with a token that is bound to it,
//! as the one it was: keys, journals and what it witnessed stay.
//!
//! The request is on disk before it is sent and is repeated as it was, so that an answer that was
//! lost on its way is got by joining again with the same join string. The agent is a member only
//! once the whole answer is on disk in one record; until then it is what it was before.

use crate::config::Config;
use crate::host;
use crate::link::{self, CallError, LinkError};
use crate::membership::{Home, HomeError, Membership};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use prost::Message as _;
use provado_identity::keys::KeysError;
use provado_identity::tls::{LiveCertificate, TlsError, pinned_client};
use provado_identity::token::TokenError;
use provado_identity::{Address, AgentKeys, JoinToken, PublicKey, pem};
use provado_model::id::{AgentId, RequestId};
use provado_model::random::Entropy;
use provado_model::time::Clock;
use provado_model::{Reason, label};
use provado_proto::agent::v1::enrollment_service_client::EnrollmentServiceClient;
use provado_proto::agent::v1::{EnrollRequest, EnrollResponse};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const PENDING: &str = "join";

/// Who the agent has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Its id.
    pub agent_id: AgentId,
    /// Its name.
    pub agent_name: String,
    /// `host:port` of its controller.
    pub controller: String,
}

/// The host did not become an agent. Nothing is left that would hinder another try.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The join string.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The data directory.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// It is an agent of another controller.
    #[error(
        "this host is already the agent `{name}` of the controller {controller}, and the join \
         string is another controller's; nothing was changed. To make it an agent there, revoke \
         that with `provado agent revoke {name}` and move {directory} away"
    )]
    OtherFleet {
        /// Its name.
        name: String,
        /// Its controller.
        controller: String,
        /// The data directory.
        directory: String,
    },
    /// The name wanted.
    #[error(
        "`{name}` cannot be an agent's name: 2 to 63 characters of a-z, 0-9 and `-`, starting \
         with a letter; give another with --name"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// No connection.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The controller refused.
    #[error("the controller {controller} refused: {message}{}", hint(*reason))]
    Refused {
        /// Its address.
        controller: String,
        /// Its reason.
        reason: Option<Reason>,
        /// Its sentence.
        message: String,
    },
    /// The answer is not what it should be.
    #[error("the controller's answer cannot be used: {what}")]
    Answer {
        /// What is wrong with it.
        what: String,
    },
    /// Keys or TLS.
    #[error("the agent's keys cannot be used")]
    Keys(#[from] KeysError),
    /// TLS configuration.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
}

fn hint(reason: Option<Reason>) -> &'static str {
    match reason {
        Some(Reason::JoinTokenInvalid) => {
            "; make a new one with `provado join-token create` and use it within its time"
        }
        Some(Reason::NameTaken) => {
            "; give another name with --name, or, if this host is that agent, use a token from \
             `provado join-token create --agent` with its name"
        }
        _ => "",
    }
}

/// A request that may have been answered already.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending {
    /// Of which token: SHA-256 of its secret, hex.
    token_sha256: String,
    /// The request without its token, as protobuf in base64.
    request: String,
}

/// Makes this host an agent of the controller that the join string names, or lets the agent that
/// it is come back.
///
/// `name` is the name wanted by a new agent; without one the host's name is used. Safe to repeat.
pub async fn join(
    config: &Config,
    join_string: &str,
    name: Option<&str>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<Joined, JoinError> {
    let token: JoinToken = join_string.parse()?;
    let address: Address = match &config.controller {
        Some(address) => address.parse()?,
        None => token.address.clone(),
    };
    let home = Home::open(&config.data_dir)?;
    let member = home.membership()?;
    if let Some(member) = &member {
        refuse_other_fleet(member, &token, config)?;
    }
    let keys = home.keys(clock.as_ref(), entropy.as_ref())?;
    let who = Who::new(member.as_ref(), name)?;
    let mut request = pending_request(&home, &keys, &token, &who, &*clock, &*entropy)?;
    request.token = BASE64URL_NOPAD.encode(token.secret());
    let channel = link::dial(&address, pinned_client(token.pin, Arc::clone(&clock))?).await?;
    let mut client = EnrollmentServiceClient::new(channel);
    let answer = link::call(client.enroll(link::request(request))).await;
    let answer = answer.map_err(|error| refused(&home, &address, error))?;
    let membership = accept(&answer, &token, &keys, &address, &clock)?;
    if member.is_some_and(|member| member.agent_id != membership.agent_id) {
        let what = "it makes this host another agent than it is; nothing was changed".to_owned();
        return Err(JoinError::Answer { what });
    }
    home.set_membership(&membership)?;
    home.state().remove(PENDING).map_err(HomeError::from)?;
    Ok(Joined {
        agent_id: membership.agent_id,
        agent_name: membership.agent_name,
        controller: membership.controller,
    })
}

/// Who joins, as the request says it.
struct Who {
    name: String,
    /// Empty for a host that is no agent yet.
    agent_id: String,
}

impl Who {
    /// An agent keeps its name; a new one gets the name wanted, or the host's.
    fn new(member: Option<&Membership>, wanted: Option<&str>) -> Result<Self, JoinError> {
        if let Some(member) = member {
            return Ok(Self {
                name: member.agent_name.clone(),
                agent_id: member.agent_id.to_string(),
            });
        }
        let name = wanted.map_or_else(|| host::suggested_name(&host::hostname()), str::to_owned);
        if !label::name_is_valid(&name) {
            return Err(JoinError::Name { name });
        }
        Ok(Self {
            name,
            agent_id: String::new(),
        })
    }
}

/// An agent belongs to one fleet: that of the authority it trusts. Which agent a token of that
/// fleet is for, only the controller knows.
fn refuse_other_fleet(
    member: &Membership,
    token: &JoinToken,
    config: &Config,
) -> Result<(), JoinError> {
    let roots = pem::certificates(&member.authority_pem).unwrap_or_default();
    if roots.iter().any(|root| token.pin.matches(root)) {
        return Ok(());
    }
    Err(JoinError::OtherFleet {
        name: member.agent_name.clone(),
        controller: member.controller.clone(),
        directory: config.data_dir.display().to_string(),
    })
}

fn pending_request(
    home: &Home,
    keys: &AgentKeys,
    token: &JoinToken,
    who: &Who,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<EnrollRequest, JoinError> {
    let token_hash = token.hash_secret();
    let token_sha256 = HEXLOWER.encode(&token_hash.0);
    let pending: Option<Pending> = home.state().read(PENDING).map_err(HomeError::from)?;
    let earlier = pending
        .filter(|pending| pending.token_sha256 == token_sha256)
        .and_then(|pending| STANDARD.decode(pending.request).ok())
        .and_then(|bytes| EnrollRequest::decode(bytes.as_slice()).ok())
        .filter(|request| request.agent_name == who.name && request.agent_id == who.agent_id);
    if let Some(request) = earlier {
        return Ok(request);
    }
    let der = keys.tls.request().map_err(KeysError::from)?;
    let signed = keys.signing.sign(&token_hash.join_message(&der));
    let request = EnrollRequest {
        request_id: RequestId::new(clock, entropy).to_string(),
        token: String::new(),
        agent_name: who.name.clone(),
        certificate_request_pem: pem::encode_request(&der),
        signing_public_key: keys.signing.public_key().as_bytes().to_vec(),
        sealing_recipient: crate::membership::unsealer(keys)?.recipient().to_string(),
        host: Some(host::facts()),
        agent_id: who.agent_id.clone(),
        signature: signed.map_err(KeysError::from)?.0.to_vec(),
    };
    let pending = Pending {
        token_sha256,
        request: STANDARD.encode(request.encode_to_vec()),
    };
    home.state()
        .write(PENDING, &pending)
        .map_err(HomeError::from)?;
    Ok(request)
}

fn refused(home: &Home, address: &Address, error: CallError) -> JoinError {
    let is_final = matches!(
        error.reason,
        Some(
            Reason::JoinTokenInvalid
                | Reason::NameTaken
                | Reason::InvalidArgument
                | Reason::AgentLocked
        )
    );
    if is_final && let Err(trouble) = home.state().remove(PENDING) {
        tracing::warn!("the request to join could not be removed: {trouble}");
    }
    JoinError::Refused {
        controller: address.to_string(),
        reason: error.reason,
        message: error.message,
    }
}

/// Checks the whole answer before anything of it is stored.
fn accept(
    answer: &EnrollResponse,
    token: &JoinToken,
    keys: &AgentKeys,
    address: &Address,
    clock: &Arc<dyn Clock>,
) -> Result<Membership, JoinError> {
    let wrong = |what: &str| JoinError::Answer {
        what: what.to_owned(),
    };
    let agent_id = answer
        .agent_id
        .parse()
        .map_err(|_| wrong("it holds no agent id"))?;
    let key = PublicKey::from_slice(&answer.controller_public_key)
        .map_err(|_| wrong("it holds no public key of the controller"))?;
    let unreadable = |_| wrong("its certificates cannot be read");
    let roots = pem::certificates(&answer.authority_pem).map_err(unreadable)?;
    if !roots.iter().any(|root| token.pin.matches(root)) {
        return Err(wrong(
            "none of its authorities has the fingerprint of the join string",
        ));
    }
    let chain = pem::certificates(&answer.certificate_pem).map_err(unreadable)?;
    LiveCertificate::new(chain, &keys.tls, Arc::clone(clock))
        .map_err(|error| wrong(&format!("the certificate does not serve: {error}")))?;
    Ok(Membership {
        format_version: 1,
        agent_id,
        agent_name: answer.agent_name.clone(),
        controller: address.to_string(),
        controller_public_key: key.to_string(),
        generation: answer.generation,
        certificate_time: clock.now(),
        certificate_pem: answer.certificate_pem.clone(),
        authority_pem: answer.authority_pem.clone(),
    })
}
