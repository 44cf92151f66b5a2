//! A small world for handshakes: authorities, credentials, an allow-list, two clocks.

use jiff::SignedDuration;
use provado_identity::ca::ServerNames;
use provado_identity::tls::{self, ClientCertAllow, ListenerTls, LiveCertificate, Refusal};
use provado_identity::{Authorities, PeerIdentity, ServerCredential, TlsKey, TrustDomain};
use provado_model::id::{AgentId, CallerId};
use provado_model::random::{Entropy, OsEntropy};
use provado_model::time::{Clock, ManualClock};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, HandshakeKind, ServerConfig};
use rustls_pki_types::{CertificateDer, ServerName};
use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub(crate) const DAY: SignedDuration = SignedDuration::from_hours(24);
pub(crate) const MONTH: SignedDuration = SignedDuration::from_hours(24 * 30);
const START: i64 = 1_800_000_000;

/// The list that a controller would keep: nobody, until added.
#[derive(Debug, Default)]
pub(crate) struct AllowList(Mutex<HashSet<(PeerIdentity, [u8; 32])>>);

impl AllowList {
    pub(crate) fn add(&self, identity: PeerIdentity, sha256: [u8; 32]) {
        self.0.lock().unwrap().insert((identity, sha256));
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl ClientCertAllow for AllowList {
    fn allowed(&self, identity: &PeerIdentity, cert_sha256: [u8; 32]) -> bool {
        self.0.lock().unwrap().contains(&(*identity, cert_sha256))
    }
}

pub(crate) struct World {
    /// The clock of the controller.
    pub(crate) server_clock: Arc<ManualClock>,
    /// The clock of agents and operators.
    pub(crate) client_clock: Arc<ManualClock>,
    pub(crate) trust_domain: TrustDomain,
    pub(crate) authorities: Authorities,
    pub(crate) allow: Arc<AllowList>,
}

/// How a handshake and one byte each way went, on both sides.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) server: io::Result<Connection>,
    pub(crate) client: io::Result<Connection>,
}

/// What a side saw of the other.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) peer: Option<CertificateDer<'static>>,
    pub(crate) kind: Option<HandshakeKind>,
    pub(crate) alpn: Option<Vec<u8>>,
}

impl Outcome {
    pub(crate) fn expect_open(self) -> (Connection, Connection) {
        (self.server.unwrap(), self.client.unwrap())
    }

    /// Both sides failed, and the side that refused said this.
    pub(crate) fn expect_refused_by_server(self, words: &str) {
        assert!(self.client.is_err(), "the client got through");
        let said = chain(&self.server.unwrap_err());
        assert!(said.contains(words), "`{said}` without `{words}`");
    }

    pub(crate) fn expect_refused_by_client(self, words: &str) {
        assert!(self.server.is_err(), "the server went on");
        let said = chain(&self.client.unwrap_err());
        assert!(said.contains(words), "`{said}` without `{words}`");
    }
}

fn chain(error: &io::Error) -> String {
    let refusal = Refusal::find(error).map(|refusal| format!("{refusal} {refusal:?}"));
    format!("{error} {error:?} {}", refusal.unwrap_or_default())
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_domain("test.example")
    }

    pub(crate) fn with_domain(name: &str) -> Self {
        let server_clock = Arc::new(ManualClock::at_second(START));
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&server_clock);
        let entropy: Arc<dyn Entropy> = OsEntropy::shared();
        let trust_domain: TrustDomain = name.parse().unwrap();
        let authorities = Authorities::create(&trust_domain, &clock, &entropy).unwrap();
        Self {
            server_clock,
            client_clock: Arc::new(ManualClock::at_second(START)),
            trust_domain,
            authorities,
            allow: Arc::default(),
        }
    }

    pub(crate) fn advance(&self, span: SignedDuration) {
        self.server_clock.advance(span);
        self.client_clock.advance(span);
    }

    pub(crate) fn server_credential(&self) -> ServerCredential {
        let names = ServerNames::from_hosts(["localhost", "127.0.0.1"]);
        self.authorities.agents.issue_server(&names, MONTH).unwrap()
    }

    pub(crate) fn live(&self, made: &ServerCredential) -> Arc<LiveCertificate> {
        let clock = Arc::<ManualClock>::clone(&self.server_clock);
        LiveCertificate::new(made.chain.clone(), &made.key, clock).unwrap()
    }

    pub(crate) fn listener(&self, live: Arc<LiveCertificate>) -> ListenerTls {
        ListenerTls {
            certificate: live,
            client_roots: vec![self.authorities.agents.certificate().clone()],
            trust_domain: self.trust_domain.clone(),
            allow: Arc::<AllowList>::clone(&self.allow),
            clock: Arc::<ManualClock>::clone(&self.server_clock),
        }
    }

    pub(crate) fn agent_server(&self) -> Arc<ServerConfig> {
        let live = self.live(&self.server_credential());
        tls::agent_listener(&self.listener(live)).unwrap()
    }

    pub(crate) fn operator_server(&self) -> Arc<ServerConfig> {
        let names = ServerNames::from_hosts(["localhost"]);
        let operators = &self.authorities.operators;
        let made = operators.issue_server(&names, MONTH).unwrap();
        let mut listener = self.listener(self.live(&made));
        listener.client_roots = vec![operators.certificate().clone()];
        tls::operator_listener(&listener).unwrap()
    }

    /// A new agent's key and certificate, on the allow-list.
    pub(crate) fn agent(&self) -> (PeerIdentity, Arc<LiveCertificate>) {
        let key = TlsKey::generate().unwrap();
        let id = AgentId::new(self.server_clock.as_ref(), &OsEntropy);
        let request = key.request().unwrap();
        let agents = &self.authorities.agents;
        let issued = agents.issue_agent(&request, id, DAY).unwrap();
        let identity = PeerIdentity::Agent(id);
        self.allow.add(identity, issued.sha256);
        (identity, self.client_live(vec![issued.der], &key))
    }

    pub(crate) fn operator(&self) -> (PeerIdentity, Arc<LiveCertificate>) {
        let key = TlsKey::generate().unwrap();
        let id = CallerId::new(self.server_clock.as_ref(), &OsEntropy);
        let request = key.request().unwrap();
        let operators = &self.authorities.operators;
        let issued = operators.issue_operator(&request, id, DAY).unwrap();
        let identity = PeerIdentity::Operator(id);
        self.allow.add(identity, issued.sha256);
        (identity, self.client_live(vec![issued.der], &key))
    }

    pub(crate) fn client_live(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: &TlsKey,
    ) -> Arc<LiveCertificate> {
        let clock = Arc::<ManualClock>::clone(&self.client_clock);
        LiveCertificate::new(chain, key, clock).unwrap()
    }

    pub(crate) fn agent_client(&self, live: Arc<LiveCertificate>) -> Arc<ClientConfig> {
        let roots = [self.authorities.agents.certificate().clone()];
        self.client_of(&roots, live)
    }

    pub(crate) fn operator_client(&self, live: Arc<LiveCertificate>) -> Arc<ClientConfig> {
        let roots = [self.authorities.operators.certificate().clone()];
        self.client_of(&roots, live)
    }

    pub(crate) fn client_of(
        &self,
        roots: &[CertificateDer<'static>],
        live: Arc<LiveCertificate>,
    ) -> Arc<ClientConfig> {
        let clock = Arc::<ManualClock>::clone(&self.client_clock);
        tls::authenticated_client(roots, live, clock).unwrap()
    }

    pub(crate) fn pinned_client(&self, pin: provado_identity::Pin) -> Arc<ClientConfig> {
        let clock = Arc::<ManualClock>::clone(&self.client_clock);
        tls::pinned_client(pin, clock).unwrap()
    }
}

/// One handshake over a pipe in memory, then a byte each way: with TLS 1.3 a client learns of the
/// server's refusal only after its own half of the handshake is done.
pub(crate) async fn handshake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Outcome {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let acceptor = TlsAcceptor::from(Arc::clone(server));
    let connector = TlsConnector::from(Arc::clone(client));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let server = async {
        let mut stream = acceptor.accept(far).await?;
        let byte = stream.read_u8().await?;
        stream.write_u8(byte).await?;
        stream.flush().await?;
        let state = stream.get_ref().1;
        io::Result::Ok(Connection {
            peer: first(state.peer_certificates()),
            kind: state.handshake_kind(),
            alpn: state.alpn_protocol().map(<[u8]>::to_vec),
        })
    };
    let client = async {
        let mut stream = connector.connect(name, near).await?;
        stream.write_u8(42).await?;
        stream.flush().await?;
        assert_eq!(stream.read_u8().await?, 42);
        let state = stream.get_ref().1;
        io::Result::Ok(Connection {
            peer: first(state.peer_certificates()),
            kind: state.handshake_kind(),
            alpn: state.alpn_protocol().map(<[u8]>::to_vec),
        })
    };
    let (server, client) = tokio::join!(server, client);
    // Nothing may have leaned on the process-wide default, which would be whatever was built in.
    assert!(CryptoProvider::get_default().is_none());
    Outcome { server, client }
}

fn first(chain: Option<&[CertificateDer<'static>]>) -> Option<CertificateDer<'static>> {
    chain.and_then(<[_]>::first).cloned()
}
