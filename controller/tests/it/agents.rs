//! Hosts that join, and the identities they get.

use crate::world::{World, dial, dial_as, request_id, request_pem};
use provado_identity::tls::{LiveCertificate, authenticated_client};
use provado_identity::{JoinToken, SigningKey, TlsKey, pem};
use provado_model::random::OsEntropy;
use provado_proto::agent::v1 as agent;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use std::sync::Arc;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// The keys of a host that joins.
pub(crate) struct EnrollKeys {
    pub(crate) tls: TlsKey,
    pub(crate) signing: SigningKey,
}

impl EnrollKeys {
    pub(crate) fn new() -> Self {
        Self {
            tls: TlsKey::generate().unwrap(),
            signing: SigningKey::generate(&OsEntropy).unwrap(),
        }
    }

    pub(crate) fn request(self, name: &str, token: &JoinToken) -> (Self, agent::EnrollRequest) {
        let certificate_request_pem = request_pem(&self.tls);
        let pem = certificate_request_pem.as_bytes();
        let der = CertificateSigningRequestDer::from_pem_slice(pem).unwrap();
        let message = token.hash_secret().join_message(&der);
        let request = agent::EnrollRequest {
            request_id: request_id(),
            token: data_encoding::HEXLOWER.encode(token.secret()),
            agent_name: name.to_owned(),
            certificate_request_pem,
            signing_public_key: self.signing.public_key().as_bytes().to_vec(),
            sealing_recipient: "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
                .to_owned(),
            host: Some(host(name)),
            agent_id: String::new(),
            signature: self.signing.sign(&message).unwrap().0.to_vec(),
        };
        (self, request)
    }
}

pub(crate) fn host(name: &str) -> agent::HostFacts {
    agent::HostFacts {
        hostname: name.to_owned(),
        machine_id: format!("machine of {name}"),
        boot_id: "boot 1".to_owned(),
        os: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        architecture: "x86_64".to_owned(),
        agent_version: "0.1.0".to_owned(),
        cpu_count: 2,
        memory_bytes: 1 << 30,
    }
}

/// A host that has joined.
pub(crate) struct TestAgent {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) key: TlsKey,
    pub(crate) signing: SigningKey,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) roots: Vec<CertificateDer<'static>>,
    pub(crate) generation: i64,
}

impl TestAgent {
    pub(crate) async fn join(
        world: &World,
        token: &JoinToken,
        (keys, request): (EnrollKeys, agent::EnrollRequest),
    ) -> Result<Self, Status> {
        let channel = world.stranger(token).await;
        let mut client = agent::enrollment_service_client::EnrollmentServiceClient::new(channel);
        let answer = client.enroll(request).await?.into_inner();
        Ok(Self {
            id: answer.agent_id,
            name: answer.agent_name,
            key: keys.tls,
            signing: keys.signing,
            chain: pem::certificates(&answer.certificate_pem).unwrap(),
            roots: pem::certificates(&answer.authority_pem).unwrap(),
            generation: answer.generation,
        })
    }

    /// The same identity once more, as on a copied disk.
    pub(crate) fn copy(&self) -> Self {
        Self {
            id: self.id.clone(),
            name: self.name.clone(),
            key: TlsKey::from_pem(&self.key.to_pem()).unwrap(),
            signing: SigningKey::from_pem(&self.signing.to_pem().unwrap()).unwrap(),
            chain: self.chain.clone(),
            roots: self.roots.clone(),
            generation: self.generation,
        }
    }

    /// Its request to join with a token: it tells which agent it is, and has its old keys.
    pub(crate) fn request(&self, token: &JoinToken) -> (EnrollKeys, agent::EnrollRequest) {
        let same = self.copy();
        let keys = EnrollKeys {
            tls: same.key,
            signing: same.signing,
        };
        let (keys, mut request) = keys.request(&self.name, token);
        request.agent_id.clone_from(&self.id);
        (keys, request)
    }

    /// Joins once more with this token.
    pub(crate) async fn come_back(&self, world: &World, token: &JoinToken) -> Result<Self, Status> {
        Self::join(world, token, self.request(token)).await
    }

    pub(crate) async fn dial(&self, world: &World) -> Result<Channel, Status> {
        dial(world.running.agent_address(), self.tls(world)).await
    }

    /// A client that has no room for any answer.
    pub(crate) async fn stuck_client(&self, world: &World) -> SessionClient {
        let endpoint = Endpoint::from_static("http://localhost").initial_stream_window_size(0);
        let address = world.running.agent_address();
        let channel = dial_as(endpoint, address, self.tls(world)).await;
        SessionClient::new(channel.unwrap())
    }

    fn tls(&self, world: &World) -> Arc<ClientConfig> {
        let chain = self.chain.clone();
        let live = LiveCertificate::new(chain, &self.key, world.clock()).unwrap();
        authenticated_client(&self.roots, live, world.clock()).unwrap()
    }

    pub(crate) async fn client(&self, world: &World) -> SessionClient {
        SessionClient::new(self.dial(world).await.unwrap())
    }

    pub(crate) fn hello(&self, process_id: &str) -> agent::Hello {
        agent::Hello {
            protocol_version: 1,
            capabilities: vec!["backup".to_owned(), "restore".to_owned()],
            host: Some(host(&self.name)),
            process_id: process_id.to_owned(),
            generation: self.generation,
            ..Default::default()
        }
    }
}

pub(crate) type SessionClient = agent::session_service_client::SessionServiceClient<Channel>;
