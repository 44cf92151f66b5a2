//! Who gets in: real TLS handshakes between the configurations of both sides.
use crate::support::{DAY, World, handshake};
use jiff::SignedDuration;
use provado_identity::ca::ServerNames;
use provado_identity::{PeerCertificate, PeerIdentity, Pin, TlsKey};
use provado_model::id::AgentId;
use provado_model::random::OsEntropy;
use rustls::crypto::aws_lc_rs;
use rustls::version::TLS12;
use rustls::{ClientConfig, HandshakeKind, RootCertStore, ServerConfig};
use std::sync::Arc;

#[tokio::test]
async fn an_agent_and_an_operator_get_in_by_their_own_doors_only() {
    let world = World::new();
    let (agent_id, agent) = world.agent();
    let (operator_id, operator) = world.operator();
    let agent_server = world.agent_server();
    let operator_server = world.operator_server();
    let cases = [
        (
            &agent_server,
            world.agent_client(Arc::clone(&agent)),
            agent_id,
        ),
        (
            &operator_server,
            world.operator_client(Arc::clone(&operator)),
            operator_id,
        ),
    ];
    for (server, client, expected) in cases {
        let (seen, by_client) = handshake(server, &client, "localhost").await.expect_open();
        let peer = PeerCertificate::read(&seen.peer.unwrap(), &world.trust_domain).unwrap();
        assert_eq!(peer.identity, expected);
        assert_eq!(seen.alpn.as_deref(), Some(&b"h2"[..]));
        let controller = by_client.peer.unwrap();
        let identity = PeerIdentity::from_certificate(&controller, &world.trust_domain);
        assert_eq!(identity.unwrap(), PeerIdentity::Controller);
    }
    let crossed = world.agent_client(operator);
    handshake(&agent_server, &crossed, "localhost")
        .await
        .expect_refused_by_server("UnknownIssuer");
    let crossed = world.operator_client(agent);
    handshake(&operator_server, &crossed, "localhost")
        .await
        .expect_refused_by_server("UnknownIssuer");
}

#[tokio::test]
async fn without_a_certificate_one_may_enroll_but_not_operate() {
    let world = World::new();
    let pin = world.authorities.agents.pin().unwrap();
    let client = world.pinned_client(pin);
    let opened = handshake(&world.agent_server(), &client, "localhost").await;
    assert!(opened.expect_open().0.peer.is_none());

    let pin = world.authorities.operators.pin().unwrap();
    let client = world.pinned_client(pin);
    handshake(&world.operator_server(), &client, "localhost")
        .await
        .expect_refused_by_server("peer sent no certificates");
}

#[tokio::test]
async fn a_revoked_certificate_ends_at_the_next_handshake() {
    let world = World::new();
    let (_, agent) = world.agent();
    let server = world.agent_server();
    let client = world.agent_client(agent);
    for _ in 0..2 {
        let (seen, _) = handshake(&server, &client, "localhost").await.expect_open();
        // Not resumed: a resumed session would never be asked for its certificate again.
        assert!(matches!(
            seen.kind,
            Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)
        ));
    }
    world.allow.clear();
    handshake(&server, &client, "localhost")
        .await
        .expect_refused_by_server("Revoked");
}

#[tokio::test]
async fn a_certificate_is_good_only_within_its_time() {
    let world = World::new();
    let server = world.agent_server();
    let (_, agent) = world.agent();
    let client = world.agent_client(agent);
    let open = async || handshake(&server, &client, "localhost").await;

    // Five minutes of slow clock are forgiven, one second more is not.
    world.server_clock.advance(SignedDuration::from_secs(-300));
    open().await.expect_open();
    world.server_clock.advance(SignedDuration::from_secs(-1));
    open().await.expect_refused_by_server("NotValidYet");
    world.server_clock.advance(SignedDuration::from_secs(301));

    world.advance(DAY);
    open().await.expect_open();
    world.advance(SignedDuration::from_secs(1));
    open().await.expect_refused_by_server("Expired");
}

#[tokio::test]
async fn a_server_is_good_only_within_its_time() {
    let world = World::new();
    let server = world.agent_server();
    let (_, agent) = world.agent();
    let clients = [
        world.agent_client(agent),
        world.pinned_client(world.authorities.agents.pin().unwrap()),
    ];
    for client in &clients {
        let open = async || handshake(&server, client, "localhost").await;
        let month = DAY * 30;
        world
            .client_clock
            .advance(month + SignedDuration::from_secs(1));
        open().await.expect_refused_by_client("Expired");
        world
            .client_clock
            .advance(-month - SignedDuration::from_secs(302));
        let early = open().await;
        assert!(early.client.is_err() && early.server.is_err());
        world.client_clock.advance(SignedDuration::from_secs(301));
        open().await.expect_open();
    }
}

#[tokio::test]
async fn tls_1_2_is_refused_by_both_sides() {
    let world = World::new();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    let authority = world.authorities.agents.certificate();
    roots.add(authority.clone()).unwrap();
    let mut old = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    old.alpn_protocols = vec![b"h2".to_vec()];
    handshake(&world.agent_server(), &Arc::new(old), "localhost")
        .await
        .expect_refused_by_server("Tls12NotOffered");

    let made = world.server_credential();
    let old = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(made.chain, made.key.to_der())
        .unwrap();
    let (_, agent) = world.agent();
    handshake(&Arc::new(old), &world.agent_client(agent), "localhost")
        .await
        .expect_refused_by_server("Tls12");
}

#[tokio::test]
async fn another_authority_is_refused_whatever_its_name() {
    let (world, impostor) = (World::new(), World::new());
    let (_, agent) = world.agent();
    let (id, stranger) = impostor.agent();
    // Even a list that knows the stranger's certificate does not replace the chain.
    world.allow.add(id, stranger.sha256());
    handshake(
        &impostor.agent_server(),
        &world.agent_client(agent),
        "localhost",
    )
    .await
    .expect_refused_by_client("UnknownIssuer");
    handshake(
        &world.agent_server(),
        &world.agent_client(stranger),
        "localhost",
    )
    .await
    .expect_refused_by_server("UnknownIssuer");
}

#[tokio::test]
async fn another_name_is_refused() {
    let world = World::new();
    let server = world.agent_server();
    let (_, agent) = world.agent();
    let client = world.agent_client(agent);
    let pinned = world.pinned_client(world.authorities.agents.pin().unwrap());
    for client in [&client, &pinned] {
        handshake(&server, client, "127.0.0.1").await.expect_open();
        for name in ["example.org", "127.0.0.2"] {
            handshake(&server, client, name)
                .await
                .expect_refused_by_client("NotValidForName");
        }
    }
}

#[tokio::test]
async fn a_pin_lets_in_exactly_the_authority_it_names() {
    let (world, impostor) = (World::new(), World::new());
    let pin = world.authorities.agents.pin().unwrap();
    let server = world.agent_server();
    handshake(&server, &world.pinned_client(pin), "localhost")
        .await
        .expect_open();
    for bit in [0_usize, 100, 255] {
        let mut bytes = *pin.as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let wrong = world.pinned_client(Pin::from_bytes(bytes));
        handshake(&server, &wrong, "localhost")
            .await
            .expect_refused_by_client("has the fingerprint");
    }
    // The real authority's certificate is public; to send it along proves nothing.
    let mut made = impostor.server_credential();
    made.chain
        .push(world.authorities.agents.certificate().clone());
    let live = impostor.live(&made);
    let server = provado_identity::tls::agent_listener(&impostor.listener(live)).unwrap();
    handshake(&server, &world.pinned_client(pin), "localhost")
        .await
        .expect_refused_by_client("UnknownIssuer");
    // Nor does the pinned key in a server's own certificate's place.
    let mut made = world.server_credential();
    made.chain.truncate(1);
    let server = provado_identity::tls::agent_listener(&world.listener(world.live(&made))).unwrap();
    handshake(&server, &world.pinned_client(pin), "localhost")
        .await
        .expect_refused_by_client("has the fingerprint");
}

#[tokio::test]
async fn a_listener_presents_the_new_certificate_and_keeps_the_old_when_the_new_is_bad() {
    let world = World::new();
    let first = world.server_credential();
    let live = world.live(&first);
    let server = provado_identity::tls::agent_listener(&world.listener(Arc::clone(&live))).unwrap();
    let (_, agent) = world.agent();
    let client = world.agent_client(agent);
    let presented = async || {
        let (_, by_client) = handshake(&server, &client, "localhost").await.expect_open();
        by_client.peer.unwrap()
    };
    assert_eq!(presented().await, first.certificate.der);

    let second = world.server_credential();
    assert!(live.replace(second.chain.clone(), &first.key).is_err());
    assert!(live.replace(Vec::new(), &second.key).is_err());
    let names = ServerNames::from_hosts(["localhost"]);
    let agents = &world.authorities.agents;
    let short = agents.issue_server(&names, SignedDuration::from_secs(60));
    let short = short.unwrap();
    world.advance(SignedDuration::from_secs(61));
    assert!(live.replace(short.chain, &short.key).is_err());
    assert_eq!(presented().await, first.certificate.der);
    assert_eq!(live.sha256(), first.certificate.sha256);

    live.replace(second.chain, &second.key).unwrap();
    assert_eq!(presented().await, second.certificate.der);
    assert_eq!(live.not_after(), second.certificate.not_after);
}

#[tokio::test]
async fn a_certificate_from_files_is_read_again_and_a_bad_file_changes_nothing() {
    let world = World::new();
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("tls");
    provado_identity::files::create_private_dir(&directory).unwrap();
    let (chain, key) = (directory.join("chain.pem"), directory.join("key.pem"));
    let write = |path: &std::path::Path, text: &str| {
        provado_identity::files::write_private(path, text.as_bytes()).unwrap();
    };
    let first = world.server_credential();
    write(&chain, &first.chain_pem());
    write(&key, &first.key.to_pem());
    let clock = Arc::<provado_model::time::ManualClock>::clone(&world.server_clock);
    let live = provado_identity::tls::LiveCertificate::from_files(&chain, &key, clock).unwrap();
    assert_eq!(live.sha256(), first.certificate.sha256);

    let second = world.server_credential();
    write(&chain, &second.chain_pem());
    assert!(live.replace_from_files(&chain, &key).is_err());
    write(&key, "no key");
    assert!(live.replace_from_files(&chain, &key).is_err());
    assert_eq!(live.sha256(), first.certificate.sha256);
    write(&key, &second.key.to_pem());
    live.replace_from_files(&chain, &key).unwrap();
    assert_eq!(live.sha256(), second.certificate.sha256);
}

#[tokio::test]
async fn an_agent_renews_without_a_new_configuration() {
    let world = World::new();
    let server = world.agent_server();
    let key = TlsKey::generate().unwrap();
    let id = AgentId::new(world.server_clock.as_ref(), &OsEntropy);
    let issue = || {
        let request = key.request().unwrap();
        let agents = &world.authorities.agents;
        let issued = agents.issue_agent(&request, id, DAY).unwrap();
        world.allow.add(PeerIdentity::Agent(id), issued.sha256);
        issued
    };
    let first = issue();
    let live = world.client_live(vec![first.der], &key);
    let client = world.agent_client(Arc::clone(&live));
    handshake(&server, &client, "localhost").await.expect_open();
    world.advance(DAY * 2);
    let second = issue();
    live.replace(vec![second.der.clone()], &key).unwrap();
    let (seen, _) = handshake(&server, &client, "localhost").await.expect_open();
    assert_eq!(seen.peer, Some(second.der));
}

#[tokio::test]
async fn two_roots_stand_beside_each_other_while_one_is_replaced() {
    let (old, new) = (World::new(), World::new());
    let (id, agent) = old.agent();
    new.allow.add(id, agent.sha256());
    let both = [
        old.authorities.agents.certificate().clone(),
        new.authorities.agents.certificate().clone(),
    ];
    let mut listener = new.listener(new.live(&new.server_credential()));
    listener.client_roots = both.to_vec();
    let server = provado_identity::tls::agent_listener(&listener).unwrap();
    let client = new.client_of(&both, Arc::clone(&agent));
    handshake(&server, &client, "localhost").await.expect_open();

    let other = World::with_domain("other.example");
    let mixed = [
        both[0].clone(),
        other.authorities.agents.certificate().clone(),
    ];
    let clock = Arc::<provado_model::time::ManualClock>::clone(&new.client_clock);
    assert!(provado_identity::tls::authenticated_client(&mixed, agent, clock).is_err());
}

#[tokio::test]
async fn a_client_that_does_not_speak_http_2_is_refused() {
    let world = World::new();
    let (_, agent) = world.agent();
    let client = world.agent_client(agent);
    let mut other = ClientConfig::clone(&client);
    other.alpn_protocols = vec![b"http/1.1".to_vec()];
    handshake(&world.agent_server(), &Arc::new(other), "localhost")
        .await
        .expect_refused_by_server("NoApplicationProtocol");
}
