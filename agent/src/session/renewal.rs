//! The next certificate: asked for between half and two thirds of the life of the one in use, so
//! that a fleet does not ask all at once and a long outage leaves a third of the life.
//!
//! The request is on disk before it is sent and is repeated as it was; certificate and generation
//! are one record. A crash at any point leaves the old pair or the new one.

use crate::link::{CallError, Link, LinkError, call, request};
use crate::membership::{Home, HomeError, Membership};
use jiff::{SignedDuration, Timestamp};
use provado_identity::csr::RequestError;
use provado_identity::keys::KeysError;
use provado_identity::tls::TlsError;
use provado_identity::{AgentKeys, pem};
use provado_model::Reason;
use provado_model::id::RequestId;
use provado_model::random::{self, Entropy};
use provado_model::time::Clock;
use provado_proto::agent::v1::session_service_client::SessionServiceClient;
use provado_proto::agent::v1::{RenewCertificateRequest, RenewCertificateResponse};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use tonic::transport::Channel;

const PENDING: &str = "renewal";

/// A certificate was not renewed; the old one is still in use.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// The controller refused or did not answer.
    #[error("the controller did not renew the certificate: {0}")]
    Call(CallError),
    /// Records.
    #[error("the renewal cannot be recorded")]
    Home(#[from] HomeError),
    /// The request.
    #[error("the certificate request cannot be made")]
    Request(#[from] RequestError),
    /// The answer.
    #[error("the certificate that came back does not serve")]
    Keys(#[from] KeysError),
    /// The answer, too.
    #[error("the certificate that came back does not serve")]
    Tls(#[from] TlsError),
    /// The roots that came along.
    #[error("the roots of trust that came back do not serve")]
    Link(#[from] LinkError),
    /// The number.
    #[error("the certificate that came back has generation {got}, not one above {had}")]
    Generation {
        /// The generation in use.
        had: i64,
        /// The one that came.
        got: i64,
    },
}

/// A request that may have been answered already.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending {
    request_id: String,
    certificate_request_pem: String,
    generation: i64,
}

/// Renews the agent's certificate.
#[derive(Debug)]
pub struct Renewal {
    home: Arc<Home>,
    keys: Arc<AgentKeys>,
    link: Arc<Link>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    member: Mutex<Membership>,
    due: Mutex<Timestamp>,
}

impl Renewal {
    /// Begins with the certificate in use.
    pub fn new(
        home: Arc<Home>,
        keys: Arc<AgentKeys>,
        link: Arc<Link>,
        member: Membership,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let due = Mutex::new(due(&member, &*entropy));
        Self {
            home,
            keys,
            link,
            clock,
            entropy,
            member: Mutex::new(member),
            due,
        }
    }

    /// The generation of the certificate in use.
    pub fn generation(&self) -> i64 {
        self.member().generation
    }

    /// When the next certificate should be asked for.
    pub fn due(&self) -> Timestamp {
        *self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the certificate in use ends.
    pub fn end(&self) -> Timestamp {
        self.link.certificate().not_after()
    }

    /// When the certificate in use ended and what to do about it; `None` while it is good.
    pub fn ended(&self) -> Option<(Timestamp, String)> {
        let end = self.end();
        (end <= self.clock.now()).then(|| (end, self.member().way_back()))
    }

    /// Asks for the next certificate and takes it into use. The caller dials anew afterwards.
    pub async fn renew(&self, channel: Channel) -> Result<i64, RenewalError> {
        let member = self.member();
        let pending = self.pending(member.generation)?;
        let message = RenewCertificateRequest {
            certificate_request_pem: pending.certificate_request_pem,
            generation: pending.generation,
            request_id: pending.request_id,
        };
        let mut client = SessionServiceClient::new(channel);
        let answer = match call(client.renew_certificate(request(message))).await {
            Ok(answer) => answer,
            Err(error) => {
                if matches!(
                    error.reason,
                    Some(Reason::RequestIdReused | Reason::InvalidArgument)
                ) {
                    // It would be refused for ever; the next one is new.
                    self.forget()?;
                }
                return Err(RenewalError::Call(error));
            }
        };
        let next = self.take(&member, &answer)?;
        let generation = next.generation;
        let due = due(&next, &*self.entropy);
        *self.member.lock().unwrap_or_else(PoisonError::into_inner) = next;
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = due;
        self.forget()?;
        Ok(generation)
    }

    /// Puts the next try off after a failure: a tenth of what is left of the certificate's life.
    pub fn put_off(&self) {
        let now = self.clock.now();
        let left = self.end().duration_since(now);
        let wait = (left / 10).clamp(SignedDuration::from_secs(1), SignedDuration::from_mins(10));
        let next = now.saturating_add(wait).unwrap_or(Timestamp::MAX);
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }

    fn take(
        &self,
        member: &Membership,
        answer: &RenewCertificateResponse,
    ) -> Result<Membership, RenewalError> {
        if answer.generation <= member.generation {
            return Err(RenewalError::Generation {
                had: member.generation,
                got: answer.generation,
            });
        }
        let chain = pem::certificates(&answer.certificate_pem).map_err(KeysError::from)?;
        let next = Membership {
            generation: answer.generation,
            certificate_time: self.clock.now(),
            certificate_pem: answer.certificate_pem.clone(),
            authority_pem: answer.authority_pem.clone(),
            ..member.clone()
        };
        // First whether it serves, then to disk, then into use.
        self.link.trust(&next.authority_pem)?;
        let test = provado_identity::tls::LiveCertificate::new(
            chain.clone(),
            &self.keys.tls,
            Arc::clone(&self.clock),
        );
        test?;
        self.home.set_membership(&next)?;
        self.link.certificate().replace(chain, &self.keys.tls)?;
        Ok(next)
    }

    fn pending(&self, generation: i64) -> Result<Pending, RenewalError> {
        let state = self.home.state();
        let earlier: Option<Pending> = state.read(PENDING).map_err(HomeError::from)?;
        if let Some(earlier) = earlier.filter(|earlier| earlier.generation == generation) {
            return Ok(earlier);
        }
        let pending = Pending {
            request_id: RequestId::new(&*self.clock, &*self.entropy).to_string(),
            certificate_request_pem: pem::encode_request(&self.keys.tls.request()?),
            generation,
        };
        state.write(PENDING, &pending).map_err(HomeError::from)?;
        Ok(pending)
    }

    fn forget(&self) -> Result<(), RenewalError> {
        let removed = self.home.state().remove(PENDING);
        Ok(removed.map_err(HomeError::from)?)
    }

    fn member(&self) -> Membership {
        let member = self.member.lock().unwrap_or_else(PoisonError::into_inner);
        member.clone()
    }
}

/// An instant between 50 and 67 % of the certificate's life.
fn due(member: &Membership, entropy: &dyn Entropy) -> Timestamp {
    let begin = member.certificate_time;
    let Some(end) = member.certificate_end() else {
        return begin;
    };
    let life = end.duration_since(begin).as_secs().max(0);
    let percent = 50_i64.saturating_add(i64::try_from(random::below(entropy, 18)).unwrap_or(0));
    let span = SignedDuration::from_secs(life.saturating_mul(percent) / 100);
    begin.saturating_add(span).unwrap_or(end)
}
