//! The layer that says who calls: the certificate of the connection, held against the live list on
//! every call, since one may be revoked while its connection is open.

use super::connection::PeerInfo;
use crate::access::CallerAllowList;
use crate::fleet::{AgentAllowList, AgentPeer};
use crate::request::{Caller, Identity, to_status};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, Ready, pending, ready};
use http::Extensions;
use provado_identity::{PeerCertificate, PeerIdentity};
use provado_model::{Error, Reason};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{Layer, Service};

/// Tells who a peer is, for one listener.
pub trait Door: Send + Sync + fmt::Debug {
    /// The caller of a method, and what else its handler wants to know of it in the extensions.
    fn admit(
        &self,
        peer: &PeerInfo,
        method: &str,
        extensions: &mut Extensions,
    ) -> Result<Caller, Error>;

    /// Completes when the peer's connection is to be cut off, streams and all.
    fn end(&self, peer: &PeerInfo) -> BoxFuture<'static, ()>;
}

/// How long someone without a certificate may stay: joining takes one call.
const ANONYMOUS_WAIT: Duration = Duration::from_mins(1);

/// The door for agents, and for hosts that want to become one.
#[derive(Debug)]
pub struct AgentDoor(pub Arc<AgentAllowList>);

/// Where a superseded certificate is judged rather than turned away: it may show a clone.
const JUDGED: &[&str] = &[
    "/provado.agent.v1.SessionService/Session",
    "/provado.agent.v1.SessionService/RenewCertificate",
];

impl Door for AgentDoor {
    fn admit(
        &self,
        peer: &PeerInfo,
        method: &str,
        extensions: &mut Extensions,
    ) -> Result<Caller, Error> {
        let address = Some(peer.address.to_string());
        let Some(certificate) = &peer.certificate else {
            return Ok(Caller {
                identity: Identity::Anonymous,
                peer: address,
            });
        };
        let known = if JUDGED.contains(&method) {
            self.0.check_standing(&certificate.sha256)?
        } else {
            self.0.check(&certificate.sha256)?
        };
        if certificate.identity != PeerIdentity::Agent(known.id) {
            return Err(foreign(certificate));
        }
        extensions.insert(AgentPeer {
            id: known.id,
            name: known.name.clone(),
            sha256: certificate.sha256,
        });
        Ok(Caller {
            identity: Identity::Agent {
                id: known.id,
                name: known.name,
            },
            peer: address,
        })
    }

    fn end(&self, peer: &PeerInfo) -> BoxFuture<'static, ()> {
        // An agent's stream is cut by itself, with words that it understands.
        match peer.certificate {
            Some(_) => pending().boxed(),
            None => tokio::time::timeout(ANONYMOUS_WAIT, pending::<()>())
                .map(drop)
                .boxed(),
        }
    }
}

/// The door for operators.
#[derive(Debug)]
pub struct OperatorDoor(pub Arc<CallerAllowList>);

impl Door for OperatorDoor {
    fn admit(
        &self,
        peer: &PeerInfo,
        _method: &str,
        _extensions: &mut Extensions,
    ) -> Result<Caller, Error> {
        let certificate = peer.certificate.as_ref().ok_or_else(|| {
            Error::new(
                Reason::CertificateInvalid,
                "this listener needs an operator's certificate",
            )
        })?;
        let known = self.0.get(&certificate.sha256).ok_or_else(|| {
            Error::new(
                Reason::CertificateRevoked,
                "the certificate was revoked or has ended; ask a dba for a new one",
            )
        })?;
        if certificate.identity != PeerIdentity::Operator(known.id) {
            return Err(foreign(certificate));
        }
        Ok(Caller {
            identity: Identity::Operator {
                id: known.id,
                name: known.name,
                role: known.role,
            },
            peer: Some(peer.address.to_string()),
        })
    }

    fn end(&self, peer: &PeerInfo) -> BoxFuture<'static, ()> {
        // Streams that show runs have no end of their own; a revoked caller must not go on reading.
        match &peer.certificate {
            Some(certificate) => self
                .0
                .when_unwanted(&certificate.sha256)
                .cancelled_owned()
                .boxed(),
            None => ready(()).boxed(),
        }
    }
}

/// A fingerprint that is listed for someone else than the certificate says.
fn foreign(certificate: &PeerCertificate) -> Error {
    Error::new(
        Reason::CertificateInvalid,
        "the certificate is not that of the one it is listed for",
    )
    .detail(format!("serial {}", certificate.serial_hex))
}

/// Puts the [`Caller`] into each request, or refuses it.
#[derive(Debug, Clone)]
pub(super) struct IdentifyLayer {
    door: Arc<dyn Door>,
}

impl IdentifyLayer {
    /// A layer that asks this door.
    pub(super) fn new(door: Arc<dyn Door>) -> Self {
        Self { door }
    }
}

impl<S> Layer<S> for IdentifyLayer {
    type Service = Identified<S>;

    fn layer(&self, inner: S) -> Identified<S> {
        Identified {
            inner,
            door: Arc::clone(&self.door),
        }
    }
}

/// The service of [`IdentifyLayer`].
#[derive(Debug, Clone)]
pub(super) struct Identified<S> {
    inner: S,
    door: Arc<dyn Door>,
}

impl<S, B, R> Service<http::Request<B>> for Identified<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    R: Default,
{
    type Response = http::Response<R>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Self::Response, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        let method = request.uri().path().to_owned();
        let peer = request.extensions().get::<PeerInfo>().cloned();
        let admitted = peer
            .ok_or_else(|| Error::internal("a connection came without its peer"))
            .and_then(|peer| {
                let caller = self.door.admit(&peer, &method, request.extensions_mut());
                caller.inspect_err(|error| {
                    tracing::info!(
                        peer.address = %peer.address,
                        rpc.method = method,
                        error.reason = error.reason.as_str(),
                        "{} was refused {method}: {}",
                        peer.address,
                        error.message
                    );
                })
            });
        match admitted {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                Either::Left(self.inner.call(request))
            }
            Err(error) => Either::Right(ready(Ok(to_status(&error).into_http()))),
        }
    }
}
