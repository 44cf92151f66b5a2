//! A running controller, operators and agents that dial it.

use crate::agents::{EnrollKeys, TestAgent};
use crate::moved_clock::MovedClock;
use crate::support::postgres::Server;
use hyper_util::rt::TokioIo;
use jiff::SignedDuration;
use provado_controller::app::{Controller, Ground, Running};
use provado_controller::config::Config;
use provado_controller::fleet::SessionTimes;
use provado_identity::tls::{LiveCertificate, authenticated_client, pinned_client};
use provado_identity::{JoinToken, TlsKey, files, pem};
use provado_model::id::RequestId;
use provado_model::random::{self, Entropy, OsEntropy};
use provado_model::time::{Clock, Monotonic, SystemClock};
use provado_proto::operator::v1 as operator;
use provado_proto::operator::v1::access_service_client::AccessServiceClient;
use provado_proto::operator::v1::audit_service_client::AuditServiceClient;
use provado_proto::operator::v1::fleet_service_client::FleetServiceClient;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// How long a test waits for a condition.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Which database the controller has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// A running controller.
pub(crate) struct World {
    pub(crate) running: Running,
    pub(crate) clock: Arc<MovedClock>,
    pub(crate) directory: TempDir,
    url: Option<String>,
    server: Option<Arc<Server>>,
}

/// Short waits, so that a contest between two streams is over soon.
fn times() -> SessionTimes {
    SessionTimes {
        hello: Duration::from_secs(5),
        contest: Duration::from_millis(600),
        settle: Duration::from_millis(200),
        ..SessionTimes::default()
    }
}

fn config(directory: &TempDir, url: Option<&String>) -> Config {
    let mut config = Config {
        data_dir: directory.path().join("data"),
        ..Config::default()
    };
    config.store.url = url.cloned();
    config.agents.listen.set_port(0);
    config.operators.listen.set_port(0);
    config
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_on(Engine::Sqlite).await
    }

    pub(crate) async fn start_on(engine: Engine) -> Self {
        Self::start_as(engine, |_| ()).await
    }

    /// The same with another configuration.
    pub(crate) async fn start_as(engine: Engine, change: impl FnOnce(&mut Config)) -> Self {
        let server = (engine == Engine::Postgres).then(Server::shared);
        let url = server.as_ref().map(|server| server.create_database());
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(MovedClock {
            system: SystemClock::shared(),
            moved_seconds: AtomicI64::new(0),
        });
        let mut configured = config(&directory, url.as_ref());
        change(&mut configured);
        let running = run(configured, &clock).await;
        Self {
            running,
            clock,
            directory,
            url,
            server,
        }
    }

    /// Does something to the controller's database behind its back; on PostgreSQL only.
    pub(crate) fn psql(&self, sql: &str) {
        let (server, url) = (self.server.as_ref().unwrap(), self.url.as_ref().unwrap());
        server.psql(url, sql);
    }

    /// Stops the controller and starts it again on the same data.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(SignedDuration::ZERO, |_| {}).await
    }

    /// The same after it was away for a while.
    pub(crate) async fn restart_later(self, away: SignedDuration) -> Self {
        self.restart_with(away, |_| {}).await
    }

    /// The same, with something done to the data in between.
    pub(crate) async fn restart_after(self, between: impl FnOnce(&Path)) -> Self {
        self.restart_with(SignedDuration::ZERO, between).await
    }

    async fn restart_with(self, away: SignedDuration, between: impl FnOnce(&Path)) -> Self {
        self.running.shutdown().await;
        self.clock
            .moved_seconds
            .fetch_add(away.as_secs(), Ordering::SeqCst);
        between(&self.directory.path().join("data"));
        let running = run(config(&self.directory, self.url.as_ref()), &self.clock).await;
        Self { running, ..self }
    }

    pub(crate) fn config(&self) -> Config {
        config(&self.directory, self.url.as_ref())
    }

    pub(crate) fn advance(&self, span: SignedDuration) {
        self.clock
            .moved_seconds
            .fetch_add(span.as_secs(), Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::<MovedClock>::clone(&self.clock)
    }

    /// The first caller, with the profile that the controller wrote.
    pub(crate) async fn admin(&self) -> Operator {
        let directory = self.directory.path().join("data/operator");
        let read = |name: &str| {
            let bytes = files::read_private(&directory.join(name)).unwrap();
            String::from_utf8(bytes.to_vec()).unwrap()
        };
        let key = TlsKey::from_pem(&read("admin.key")).unwrap();
        let chain = pem::certificates(&read("admin.crt")).unwrap();
        let roots = pem::certificates(&read("operator-ca.crt")).unwrap();
        Operator::dial(self, key, chain, roots).await
    }

    /// Makes a caller with this role and dials as it.
    pub(crate) async fn operator(&self, name: &str, role: operator::CallerRole) -> Operator {
        let key = TlsKey::generate().unwrap();
        let mut admin = self.admin().await;
        let made = admin
            .access
            .create_caller(create_caller(name, role, &key))
            .await;
        let made = made.unwrap().into_inner();
        let chain = pem::certificates(&made.certificate_pem).unwrap();
        let roots = pem::certificates(&made.authority_pem).unwrap();
        Operator::dial(self, key, chain, roots).await
    }

    /// Makes a join token as the first caller.
    pub(crate) async fn token(&self) -> JoinToken {
        let request = operator::CreateJoinTokenRequest {
            request_id: request_id(),
            labels: [("env".to_owned(), "test".to_owned())].into(),
            ..Default::default()
        };
        let made = self.admin().await.access.create_join_token(request).await;
        made.unwrap().into_inner().join_string.parse().unwrap()
    }

    /// Lets a host join under this name.
    pub(crate) async fn join(&self, name: &str) -> TestAgent {
        let token = self.token().await;
        let request = EnrollKeys::new().request(name, &token);
        TestAgent::join(self, &token, request).await.unwrap()
    }

    /// A connection to the agents' listener without a certificate.
    pub(crate) async fn stranger(&self, token: &JoinToken) -> Channel {
        let tls = pinned_client(token.pin, self.clock()).unwrap();
        dial(self.running.agent_address(), tls).await.unwrap()
    }

    /// Actions of the audit chain on one thing, with their outcome.
    pub(crate) async fn audit(&self, action: &str) -> Vec<operator::AuditEvent> {
        let mut admin = self.admin().await;
        let mut found = Vec::new();
        let mut after_sequence = 0;
        loop {
            let request = operator::ListAuditEventsRequest {
                page_size: 1000,
                after_sequence,
                ..Default::default()
            };
            let page = admin
                .audit
                .list_audit_events(request)
                .await
                .unwrap()
                .into_inner();
            let Some(last) = page.events.last() else {
                return found;
            };
            after_sequence = last.sequence;
            found.extend(
                page.events
                    .into_iter()
                    .filter(|event| event.action == action),
            );
        }
    }

    /// The agent as operators see it.
    pub(crate) async fn shown(&self, name: &str) -> operator::Agent {
        let name = format!("agents/{name}");
        let request = operator::GetAgentRequest { name };
        let answer = self.admin().await.fleet.get_agent(request).await;
        answer.unwrap().into_inner().agent.unwrap()
    }
}

async fn run(config: Config, clock: &Arc<MovedClock>) -> Running {
    let ground = Ground {
        clock: Arc::<MovedClock>::clone(clock),
        entropy: OsEntropy::shared(),
        times: times(),
    };
    Box::pin(Controller::start_on(config, ground))
        .await
        .unwrap()
}

/// A request to make a caller.
pub(crate) fn create_caller(
    name: &str,
    role: operator::CallerRole,
    key: &TlsKey,
) -> operator::CreateCallerRequest {
    operator::CreateCallerRequest {
        request_id: request_id(),
        caller_id: name.to_owned(),
        role: role.into(),
        certificate_request_pem: request_pem(key),
        ..Default::default()
    }
}

/// One who calls the operator API.
#[derive(Clone)]
pub(crate) struct Operator {
    pub(crate) channel: Channel,
    pub(crate) access: AccessServiceClient<Channel>,
    pub(crate) fleet: FleetServiceClient<Channel>,
    pub(crate) audit: AuditServiceClient<Channel>,
}

impl Operator {
    pub(crate) async fn dial(
        world: &World,
        key: TlsKey,
        chain: Vec<CertificateDer<'static>>,
        roots: Vec<CertificateDer<'static>>,
    ) -> Self {
        let live = LiveCertificate::new(chain, &key, world.clock()).unwrap();
        let tls = authenticated_client(&roots, live, world.clock()).unwrap();
        let channel = dial(world.running.operator_address(), tls).await.unwrap();
        Self {
            access: AccessServiceClient::new(channel.clone()),
            fleet: FleetServiceClient::new(channel.clone()),
            audit: AuditServiceClient::new(channel.clone()),
            channel,
        }
    }
}

/// A connection over TLS. The handshake's last word from the server comes with the first call.
pub(crate) async fn dial(address: SocketAddr, tls: Arc<ClientConfig>) -> Result<Channel, Status> {
    dial_as(Endpoint::from_static("http://localhost"), address, tls).await
}

/// The same with other settings of HTTP/2.
pub(crate) async fn dial_as(
    endpoint: Endpoint,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
) -> Result<Channel, Status> {
    let connector = tower::service_fn(move |_: Uri| {
        let connector = TlsConnector::from(Arc::clone(&tls));
        async move {
            let tcp = TcpStream::connect(address).await?;
            let name = ServerName::try_from("localhost").unwrap();
            let io = connector.connect(name, tcp).await?;
            Ok::<_, std::io::Error>(TokioIo::new(io))
        }
    });
    endpoint
        .connect_with_connector(connector)
        .await
        .map_err(|error| Status::unavailable(format!("{error:?}")))
}

pub(crate) fn request_id() -> String {
    let bytes: [u8; 16] = random::bytes(&OsEntropy as &dyn Entropy);
    let id = RequestId::from_uuid(uuid::Builder::from_random_bytes(bytes).into_uuid());
    id.to_string()
}

/// A PKCS#10 request of this key in PEM.
pub(crate) fn request_pem(key: &TlsKey) -> String {
    let encoded = data_encoding::BASE64.encode(&key.request().unwrap());
    let lines: Vec<&str> = encoded
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        lines.join("\n")
    )
}

/// The machine-readable reason of a refusal.
pub(crate) fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    match details.error_info() {
        Some(info) => info.reason.clone(),
        None => panic!("a status without a reason: {status:?}"),
    }
}

/// Whether a call ended because the connection was refused.
pub(crate) fn is_cut_off(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled
    ) && status.get_error_details().error_info().is_none()
}

/// Waits until a condition holds, and says which one did not.
pub(crate) async fn until<F, Fut>(what: &str, mut holds: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let began = SystemClock::shared();
    while !holds().await {
        let waited = began.monotonic().since(Monotonic::default_start());
        assert!(
            waited < PATIENCE,
            "not within {} s: {what}",
            PATIENCE.as_secs()
        );
        let _ = tokio::time::timeout(Duration::from_millis(10), std::future::pending::<()>()).await;
    }
}

/// The reading of a clock that was just made.
trait Start {
    fn default_start() -> Self;
}

impl Start for Monotonic {
    fn default_start() -> Self {
        provado_model::time::ManualClock::at_second(0).monotonic()
    }
}

/// The result of something that must come in time.
pub(crate) async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, work).await;
    outcome.unwrap_or_else(|_| panic!("not within {} s: {what}", PATIENCE.as_secs()))
}
