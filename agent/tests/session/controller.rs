//! A controller whose part a test plays. It lives on a runtime of its own, so that it can vanish
//! in the middle of a sentence as a killed process does.

use crate::services;
use crate::world::BOUND;
use jiff::SignedDuration;
use provado_identity::ca::ServerNames;
use provado_identity::tls::{ClientCertAllow, ListenerTls, LiveCertificate, agent_listener};
use provado_identity::{Address, Authority, AuthorityKind, JoinToken, PeerIdentity, SigningKey};
use provado_model::id::AgentId;
use provado_model::random::OsEntropy;
use provado_model::time::SystemClock;
use provado_proto::agent::v1::session_request::Message as Up;
use provado_proto::agent::v1::session_response::Message as Down;
use provado_proto::agent::v1::{
    AppendLogRequest, EnrollRequest, RenewCertificateRequest, ReportAttemptRequest,
    ReportAttemptResponse, SessionResponse, Welcome,
};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsAcceptor;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

/// Everything the agent has said, and what the script answers.
#[derive(Debug)]
pub struct Part {
    pub enrolls: Vec<EnrollRequest>,
    pub ups: Vec<Up>,
    pub reports: Vec<ReportAttemptRequest>,
    pub lines: Vec<AppendLogRequest>,
    pub renewals: Vec<RenewCertificateRequest>,
    pub inventories: usize,
    pub streams: usize,
    /// Generations by SHA-256 of the certificate that a stream came with is left to TLS; this is
    /// the one last issued.
    pub generation: i64,
    pub welcome: Welcome,
    /// With which reason, and in which words, the next enrollment is refused.
    pub enroll_refusal: Option<(&'static str, &'static str)>,
    /// The agent that the next enrollment is told it is, where that is not this one.
    pub enroll_as: Option<String>,
    /// Reasons with which reports are refused, one each, before they are taken.
    pub report_refusals: Vec<(tonic::Code, &'static str)>,
    /// Reports are never answered while this is set.
    pub hold_reports: bool,
    /// Answers to enrollments and renewals get lost on their way, so many times.
    pub lose_answers: usize,
    pub answer: ReportAttemptResponse,
    pub certificate_seconds: i64,
    pub down: Option<mpsc::Sender<Result<SessionResponse, Status>>>,
}

/// What the services play on.
#[derive(Debug)]
pub struct Stage {
    part: Mutex<Part>,
    pub news: Notify,
    pub agents: Authority,
    pub signing: SigningKey,
    pub agent_id: AgentId,
}

impl Stage {
    pub fn part(&self) -> MutexGuard<'_, Part> {
        self.part.lock().unwrap()
    }

    pub fn issue(&self, request_pem: &str) -> String {
        let der = CertificateSigningRequestDer::from_pem_slice(request_pem.as_bytes()).unwrap();
        let life = SignedDuration::from_secs(self.part().certificate_seconds);
        let issued = self.agents.issue_agent(&der, self.agent_id, life).unwrap();
        issued.pem
    }

    pub fn lose(&self) -> bool {
        let mut part = self.part();
        let is_lost = part.lose_answers > 0;
        part.lose_answers = part.lose_answers.saturating_sub(1);
        is_lost
    }
}

#[derive(Debug)]
struct Door(AtomicBool);

impl ClientCertAllow for Door {
    fn allowed(&self, _identity: &PeerIdentity, _sha256: [u8; 32]) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
pub struct Controller {
    stage: Arc<Stage>,
    listener: ListenerTls,
    door: Arc<Door>,
    address: SocketAddr,
    life: Option<Runtime>,
}

impl Controller {
    pub fn new() -> Self {
        let (clock, entropy) = (SystemClock::shared(), OsEntropy::shared());
        let domain = "test.example".parse().unwrap();
        let agents = Authority::create(
            AuthorityKind::Agents,
            &domain,
            clock.clone(),
            entropy.clone(),
        )
        .unwrap();
        let names = ServerNames::from_hosts(["127.0.0.1", "localhost"]);
        let day = SignedDuration::from_hours(24);
        let server = agents.issue_server(&names, day).unwrap();
        let certificate =
            LiveCertificate::new(server.chain.clone(), &server.key, clock.clone()).unwrap();
        let door = Arc::new(Door(AtomicBool::new(true)));
        let listener = ListenerTls {
            certificate,
            client_roots: vec![agents.certificate().clone()],
            trust_domain: domain,
            allow: door.clone(),
            clock: clock.clone(),
        };
        let welcome = Welcome {
            epoch: 1,
            heartbeat_interval: Some(prost_types::Duration {
                seconds: 0,
                nanos: 200_000_000,
            }),
            ..Welcome::default()
        };
        let part = Part {
            enrolls: Vec::new(),
            ups: Vec::new(),
            reports: Vec::new(),
            lines: Vec::new(),
            renewals: Vec::new(),
            inventories: 0,
            streams: 0,
            generation: 0,
            welcome,
            enroll_refusal: None,
            enroll_as: None,
            report_refusals: Vec::new(),
            hold_reports: false,
            lose_answers: 0,
            answer: ReportAttemptResponse {
                accepted: true,
                ..ReportAttemptResponse::default()
            },
            certificate_seconds: 24 * 60 * 60,
            down: None,
        };
        let stage = Arc::new(Stage {
            part: Mutex::new(part),
            news: Notify::new(),
            agents,
            signing: SigningKey::generate(&*entropy).unwrap(),
            agent_id: AgentId::new(&*clock, &*entropy),
        });
        let mut controller = Self {
            stage,
            listener,
            door,
            address: "127.0.0.1:0".parse().unwrap(),
            life: None,
        };
        controller.appear();
        controller
    }

    /// Begins to listen, at the same address as before.
    pub fn appear(&mut self) {
        let life = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let address = self.address;
        let socket = std::thread::scope(|scope| {
            let bind = scope.spawn(|| life.block_on(TcpListener::bind(address)).unwrap());
            bind.join().unwrap()
        });
        self.address = socket.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(agent_listener(&self.listener).unwrap());
        let stage = Arc::clone(&self.stage);
        life.handle()
            .spawn(services::serve(socket, acceptor, stage));
        self.life = Some(life);
    }

    /// Is gone, with every connection, at once.
    pub fn vanish(&mut self) {
        self.part().down = None;
        self.life.take().unwrap().shutdown_background();
    }

    /// No certificate is let in any more.
    pub fn shut_the_door(&self) {
        self.door.0.store(false, Ordering::SeqCst);
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn signing(&self) -> &SigningKey {
        &self.stage.signing
    }

    pub fn part(&self) -> MutexGuard<'_, Part> {
        self.stage.part()
    }

    pub fn join_string(&self) -> String {
        let address: Address = self.address().parse().unwrap();
        let pin = self.stage.agents.pin().unwrap();
        let token = JoinToken::new(address, pin, &*OsEntropy::shared());
        token.expose().to_string()
    }

    /// Says something over the open stream.
    pub async fn say(&self, message: Down) {
        self.until("a stream is open", |part| part.down.is_some())
            .await;
        let down = self.part().down.clone().unwrap();
        let response = SessionResponse {
            sequence: 0,
            message: Some(message),
        };
        down.send(Ok(response)).await.unwrap();
    }

    /// Ends the open stream with a refusal.
    pub async fn refuse(&self, status: Status) {
        let down = self.part().down.take().unwrap();
        down.send(Err(status)).await.unwrap();
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Part) -> bool) {
        let wait = async {
            loop {
                let news = self.stage.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                if is_so(&self.part()) {
                    return;
                }
                news.await;
            }
        };
        let waited = tokio::time::timeout(BOUND, wait).await;
        assert!(
            waited.is_ok(),
            "not within {BOUND:?}: {what}; {:#?}",
            self.part()
        );
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        if let Some(life) = self.life.take() {
            life.shutdown_background();
        }
    }
}

/// A refusal as the real controller makes it.
pub fn refusal(code: tonic::Code, reason: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "provado", []);
    Status::with_error_details(code, "refused by the script", details)
}

/// Nothing in a test waits longer than this for nothing to happen.
pub const MOMENT: Duration = Duration::from_millis(700);
