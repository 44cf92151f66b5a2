//! The one way to the controller: tonic over TLS 1.3 with the agent's certificate, which may be
//! renewed in place. It dials and classifies what went wrong; it decides nothing about attempts.

use hyper_util::rt::TokioIo;
use provado_identity::tls::{LiveCertificate, Refusal, TlsError, authenticated_client};
use provado_identity::{Address, pem};
use provado_model::time::Clock;
use provado_model::{Reason, limits};
use rustls::ClientConfig;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// How long a connection may take to come about, TLS included.
pub const CONNECT_SECONDS_MAX: u64 = 15;
/// How often a silent connection is asked for a sign of life; together with the answer's time
/// limit a dead peer is known within 30 s.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// How long the answer may take.
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(10);
/// How long one unary call may take.
pub const CALL: Duration = Duration::from_secs(limits::CALL_SECONDS_MAX);

/// A connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The certificates cannot be used.
    #[error("the agent's certificate or its roots cannot be used")]
    Tls(#[from] TlsError),
    /// The roots are not certificates.
    #[error("the roots of trust cannot be read")]
    Pem(#[from] pem::PemError),
    /// The address is no server's name.
    #[error("{0}")]
    Address(#[from] provado_identity::token::TokenError),
    /// Somebody answers, but not the controller.
    #[error("the server at {address} is not this agent's controller: {refusal}")]
    Refused {
        /// Who was dialed.
        address: String,
        /// Why it was refused.
        refusal: Refusal,
    },
    /// Nobody answers, or the handshake failed.
    #[error("cannot reach the controller at {address}: {why}")]
    Unreachable {
        /// Who was dialed.
        address: String,
        /// The innermost cause.
        why: String,
    },
}

/// A connection as those who call over it see it.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Calls go over this.
    pub channel: Channel,
    /// Which connection of this process, from 1.
    pub number: u64,
}

/// The agent's way to its controller.
#[derive(Debug)]
pub struct Link {
    address: Address,
    clock: Arc<dyn Clock>,
    certificate: Arc<LiveCertificate>,
    config: RwLock<Arc<ClientConfig>>,
    current: watch::Sender<Option<Connection>>,
}

impl Link {
    /// A way to this address, trusting these roots (PEM).
    pub fn new(
        address: Address,
        certificate: Arc<LiveCertificate>,
        roots_pem: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LinkError> {
        let config = config(&certificate, roots_pem, &clock)?;
        Ok(Self {
            address,
            clock,
            certificate,
            config: RwLock::new(config),
            current: watch::Sender::new(None),
        })
    }

    /// Trusts other roots from the next connection on.
    pub fn trust(&self, roots_pem: &str) -> Result<(), LinkError> {
        let next = config(&self.certificate, roots_pem, &self.clock)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// The certificate in use.
    pub const fn certificate(&self) -> &Arc<LiveCertificate> {
        &self.certificate
    }

    /// Dials anew.
    pub async fn dial(&self) -> Result<Channel, LinkError> {
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        dial(&self.address, config).await
    }

    /// Offers a connection to those who wait for one: the controller has let the agent in.
    pub fn publish(&self, channel: Channel) {
        self.current.send_modify(|current| {
            let number = current.as_ref().map_or(0, |old| old.number);
            *current = Some(Connection {
                channel,
                number: number.saturating_add(1),
            });
        });
    }

    /// Takes the connection back.
    pub fn withdraw(&self) {
        self.current.send_modify(|current| *current = None);
    }

    /// The connection there is, and word of every change.
    pub fn connection(&self) -> watch::Receiver<Option<Connection>> {
        self.current.subscribe()
    }
}

/// Waits for a connection; `None` when the link is gone.
pub async fn connected(current: &mut watch::Receiver<Option<Connection>>) -> Option<Connection> {
    let found = current.wait_for(Option::is_some).await.ok()?;
    found.clone()
}

fn config(
    certificate: &Arc<LiveCertificate>,
    roots_pem: &str,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<ClientConfig>, LinkError> {
    let roots = pem::certificates(roots_pem)?;
    Ok(authenticated_client(
        &roots,
        Arc::clone(certificate),
        Arc::clone(clock),
    )?)
}

/// Dials an address with a TLS configuration, which says whom to trust and who dials.
pub async fn dial(address: &Address, config: Arc<ClientConfig>) -> Result<Channel, LinkError> {
    let name = address.server_name()?;
    let target = address.to_string();
    let unreachable = |why: String| LinkError::Unreachable {
        address: address.to_string(),
        why,
    };
    let endpoint = Endpoint::from_shared(format!("http://{target}"))
        .map_err(|error| unreachable(error.to_string()))?
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_ANSWER)
        .keep_alive_while_idle(true);
    let connector = TlsConnector::from(config);
    let connect = tower::service_fn(move |_: Uri| {
        let (connector, name, target) = (connector.clone(), name.clone(), target.clone());
        async move {
            let stream = TcpStream::connect(&target).await?;
            stream.set_nodelay(true)?;
            Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    // The endpoint's own limit ends with the TCP connection; this one covers the handshake too.
    let span = Duration::from_secs(CONNECT_SECONDS_MAX);
    match tokio::time::timeout(span, endpoint.connect_with_connector(connect)).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(match Refusal::find(&error) {
            Some(refusal) => LinkError::Refused {
                address: address.to_string(),
                refusal: refusal.clone(),
            },
            None => unreachable(innermost(&error)),
        }),
        Err(_) => Err(unreachable(format!(
            "no answer within {CONNECT_SECONDS_MAX} s"
        ))),
    }
}

/// The last cause: the others name layers.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// What the controller said instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// gRPC's code.
    pub code: Code,
    /// The machine-readable reason, where one was sent that is known here.
    pub reason: Option<Reason>,
    /// The sentence that came along.
    pub message: String,
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        let reason = status
            .get_details_error_info()
            .and_then(|info| info.reason.parse().ok());
        let mut message = match status.message() {
            "" => format!("the controller answered with {:?}", status.code()),
            told => told.to_owned(),
        };
        if let Some(source) = std::error::Error::source(&status) {
            message = format!("{message}: {}", innermost(source));
        }
        Self {
            code: status.code(),
            reason,
            message,
        }
    }
}

impl CallError {
    /// Whether an operator must do something before a repeat can succeed.
    pub fn needs_operator(&self) -> bool {
        matches!(
            self.reason,
            Some(
                Reason::CertificateRevoked
                    | Reason::CertificateInvalid
                    | Reason::AgentCloned
                    | Reason::AgentLocked
            )
        ) || self.code == Code::Unimplemented
    }
}

/// A call with its deadline: told to the controller, and held here too, since a half-open
/// connection answers nothing.
pub async fn call<T>(
    answer: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(CALL, answer).await {
        Ok(answered) => Ok(answered?.into_inner()),
        Err(_) => Err(CallError {
            code: Code::DeadlineExceeded,
            reason: Some(Reason::DeadlineExceeded),
            message: format!(
                "the controller did not answer within {} s",
                limits::CALL_SECONDS_MAX
            ),
        }),
    }
}

/// A request that carries its deadline.
pub fn request<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(CALL);
    request
}
