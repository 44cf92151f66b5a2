//! The listeners themselves: health, reflection, certificates, limits, a second controller.

use crate::agents::TestAgent;
use crate::world::{Engine, World, soon, until};
use provado_controller::app::{Controller, Ground};
use provado_controller::fleet::SessionTimes;
use provado_identity::tls::{LiveCertificate, authenticated_client};
use provado_model::Reason;
use provado_model::random::OsEntropy;
use provado_proto::operator::v1 as operator;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

async fn health(world: &World, service: &str) -> ServingStatus {
    let mut client = HealthClient::new(world.admin().await.channel);
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    client.check(request).await.unwrap().into_inner().status()
}

#[tokio::test]
async fn services_serve_once_every_task_has_run() {
    let world = World::start().await;
    for service in ["", "provado.operator.v1.FleetService"] {
        until("the service serves", || async {
            health(&world, service).await == ServingStatus::Serving
        })
        .await;
    }
    let mut client = HealthClient::new(world.admin().await.channel);
    let request = HealthCheckRequest {
        service: "provado.agent.v1.SessionService".to_owned(),
    };
    // What is served to agents is not known to operators.
    let unknown = client.check(request).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
}

/// The certificate that the agents' listener presents now.
async fn presented(world: &World, agent: &TestAgent) -> Vec<u8> {
    let live = LiveCertificate::new(agent.chain.clone(), &agent.key, world.clock()).unwrap();
    let tls = authenticated_client(&agent.roots, live, world.clock()).unwrap();
    let tcp = TcpStream::connect(world.running.agent_address())
        .await
        .unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let io = TlsConnector::from(tls).connect(name, tcp).await.unwrap();
    io.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn new_certificates_are_presented_and_old_connections_go_on() {
    let world = World::start().await;
    let agent = world.join("db1").await;
    let mut open = agent.client(&world).await;
    let before = presented(&world, &agent).await;
    world.running.reload().unwrap();
    let after = presented(&world, &agent).await;
    assert_ne!(before, after);
    open.sync_inventory(provado_proto::agent::v1::SyncInventoryRequest::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn plain_text_and_an_idle_socket_get_nothing() {
    let world = World::start().await;
    let mut plain = TcpStream::connect(world.running.operator_address())
        .await
        .unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = soon("the socket is closed", plain.read_to_end(&mut answer)).await;
    // A TLS alert is all there is to hear.
    assert!(
        answer.len() < 16 && answer.first() != Some(&b'H'),
        "{answer:?}"
    );
    // Meanwhile others are served.
    let mut admin = world.admin().await;
    admin
        .access
        .get_self(operator::GetSelfRequest {})
        .await
        .unwrap();
}

#[tokio::test]
async fn one_address_without_a_certificate_cannot_shut_a_door() {
    let world = World::start().await;
    let mut idle = Vec::new();
    for _ in 0..250 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let address = world.running.operator_address();
        idle.push(soon("a connection", socket.connect(address)).await.unwrap());
    }
    // All of them were taken in, so that the next comes after them.
    let last = idle.last_mut().unwrap();
    let end = soon("the last one is turned away", last.read(&mut [0; 1])).await;
    assert!(!matches!(end, Ok(1..)), "{end:?}");
    let mut admin = soon("an operator gets in", world.admin()).await;
    let request = operator::GetSelfRequest {};
    admin.access.get_self(request).await.unwrap();
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused() {
    let world = World::start().await;
    let mut admin = world.admin().await;
    let request = operator::GetAgentRequest {
        name: "x".repeat(5 * 1024 * 1024),
    };
    let error = admin.fleet.get_agent(request).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::OutOfRange, "{error:?}");
}

#[tokio::test]
async fn a_second_controller_on_the_same_data_is_refused() {
    let world = World::start().await;
    let error = Box::pin(Controller::start_on(world.config(), ground(&world)))
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::ServiceUnavailable);
    assert!(error.message.contains("another controller"), "{error}");
}

fn ground(world: &World) -> Ground {
    Ground {
        clock: world.clock(),
        entropy: OsEntropy::shared(),
        times: SessionTimes::default(),
    }
}

#[tokio::test]
async fn a_controller_that_another_one_has_superseded_ends() {
    let mut world = World::start_on(Engine::Postgres).await;
    // A new profile beside it supersedes nobody.
    let before = world.running.core().epoch();
    let config = world.config();
    Box::pin(Controller::renew_profile(&config, &ground(&world)))
        .await
        .unwrap();
    assert_eq!(world.running.core().refresh_epoch().await.unwrap(), before);
    let other = tempfile::tempdir().unwrap();
    let mut config = world.config();
    config.data_dir = other.path().join("data");
    let second = Box::pin(Controller::start_on(config, ground(&world)))
        .await
        .unwrap();
    let error = soon("the first controller ends", world.running.failed()).await;
    assert_eq!(error.reason, Reason::VersionStale);
    assert!(error.message.contains("another controller"), "{error}");
    world.running.shutdown().await;
    second.shutdown().await;
}

#[tokio::test]
async fn an_address_in_use_is_told_with_what_to_do() {
    let world = World::start().await;
    let other = tempfile::tempdir().unwrap();
    let mut config = world.config();
    config.data_dir = other.path().join("data");
    config.agents.listen = world.running.agent_address();
    let error = Box::pin(Controller::start_on(config, ground(&world)))
        .await
        .unwrap_err();
    assert!(error.message.contains("cannot listen on"), "{error}");
}

#[tokio::test]
async fn a_stopped_controller_leaves_no_connection_open() {
    let world = World::start().await;
    let mut admin = world.admin().await;
    admin
        .access
        .get_self(operator::GetSelfRequest {})
        .await
        .unwrap();
    let address = world.running.operator_address();
    soon("the controller stops", world.running.shutdown()).await;
    assert!(
        admin
            .access
            .get_self(operator::GetSelfRequest {})
            .await
            .is_err()
    );
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_revoked_callers_open_stream_is_cut() {
    let world = World::start().await;
    let ana = world.operator("ana", operator::CallerRole::Devops).await;
    let mut client = HealthClient::new(ana.channel);
    let watch = client.watch(HealthCheckRequest::default()).await.unwrap();
    let mut watch = watch.into_inner();
    watch.message().await.unwrap().unwrap();
    let request = operator::RevokeCallerRequest {
        request_id: crate::world::request_id(),
        name: "callers/ana".to_owned(),
        ..Default::default()
    };
    let mut admin = world.admin().await;
    admin.access.revoke_caller(request).await.unwrap();
    let cut = soon("the stream is cut", async {
        while let Ok(Some(_)) = watch.message().await {}
    });
    cut.await;
    // Others read on.
    let request = operator::GetSelfRequest {};
    admin.access.get_self(request).await.unwrap();
}

#[tokio::test]
async fn one_agent_cannot_take_every_connection() {
    let world = World::start().await;
    let agent = world.join("db1").await;
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..20 {
        let mut client = agent.client(&world).await;
        let request = provado_proto::agent::v1::SyncInventoryRequest::default();
        match client.sync_inventory(request).await {
            Ok(_) => open.push(client),
            Err(_) => refused += 1,
        }
    }
    assert_eq!((open.len(), refused), (16, 4));
    let other = world.join("db2").await;
    let request = provado_proto::agent::v1::SyncInventoryRequest::default();
    other
        .client(&world)
        .await
        .sync_inventory(request)
        .await
        .unwrap();
}
