//! Enroll: one token, one agent.

use crate::agents::{EnrollKeys, TestAgent};
use crate::world::{Engine, World, create_caller, reason, request_id};
use jiff::SignedDuration;
use provado_identity::{JoinToken, Pin, TlsKey};
use provado_proto::agent::v1::enrollment_service_client::EnrollmentServiceClient;
use provado_proto::operator::v1 as operator;
use std::future::Future;
use tonic::Code;

async fn a_host_joins_once(engine: Engine) {
    let world = World::start_on(engine).await;
    let token = world.token().await;
    let joined = EnrollKeys::new().request("db1", &token);
    let signing = joined.0.signing.public_key();
    let agent = TestAgent::join(&world, &token, joined).await.unwrap();
    assert_eq!((agent.name.as_str(), agent.generation), ("db1", 1));
    let shown = world.shown("db1").await;
    assert_eq!(shown.uid, agent.id);
    assert_eq!(shown.state(), operator::AgentState::Active);
    assert_eq!(shown.labels["env"], "test");
    assert_eq!(shown.signing_public_key, signing.as_bytes());
    assert!(!shown.connected);
    assert!(shown.certificate_expire_time.is_some());

    // The token is spent: another host that has it is refused, and that is written down.
    let other = EnrollKeys::new().request("db2", &token);
    let error = TestAgent::join(&world, &token, other).await.err().unwrap();
    assert_eq!(reason(&error), "JOIN_TOKEN_INVALID");
    let uses = world.audit("join-token.use").await;
    let outcomes: Vec<_> = uses.iter().map(|event| event.outcome.as_str()).collect();
    assert_eq!(outcomes, ["done", "refused"]);
    assert_eq!(world.audit("agent.join").await.len(), 1);
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_host_joins_once_on_sqlite() {
    a_host_joins_once(Engine::Sqlite).await;
}

#[tokio::test]
async fn a_host_joins_once_on_postgres() {
    a_host_joins_once(Engine::Postgres).await;
}

async fn of_racing_hosts_one_wins(engine: Engine) {
    let world = World::start_on(engine).await;
    let token = world.token().await;
    let race = (0..8).map(|number| {
        let joined = EnrollKeys::new().request(&format!("db{number}"), &token);
        TestAgent::join(&world, &token, joined)
    });
    let outcomes = futures_util::future::join_all(race).await;
    let winners = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(winners, 1);
    for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(reason(error), "JOIN_TOKEN_INVALID");
    }
    let request = operator::ListAgentsRequest::default();
    let agents = world
        .admin()
        .await
        .fleet
        .list_agents(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(agents.agents.len(), 1);
    world.running.shutdown().await;
}

#[tokio::test]
async fn of_racing_hosts_one_wins_on_sqlite() {
    of_racing_hosts_one_wins(Engine::Sqlite).await;
}

#[tokio::test]
async fn of_racing_hosts_one_wins_on_postgres() {
    of_racing_hosts_one_wins(Engine::Postgres).await;
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_answer() {
    let world = World::start().await;
    let token = world.token().await;
    let (_keys, request) = EnrollKeys::new().request("db1", &token);
    let mut client = EnrollmentServiceClient::new(world.stranger(&token).await);
    let first = client.enroll(request.clone()).await.unwrap().into_inner();
    let again = client.enroll(request.clone()).await.unwrap().into_inner();
    assert_eq!(first, again);
    // The same id with other contents is another request.
    let mut changed = request;
    changed.agent_name = "db2".to_owned();
    let error = client.enroll(changed).await.unwrap_err();
    assert_eq!(reason(&error), "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn a_token_ends_after_its_time() {
    let world = World::start().await;
    let token = world.token().await;
    world.advance(SignedDuration::from_mins(16));
    let joined = EnrollKeys::new().request("db1", &token);
    let error = TestAgent::join(&world, &token, joined).await.err().unwrap();
    assert_eq!(reason(&error), "JOIN_TOKEN_INVALID");
    let refused = world.audit("join-token.use").await;
    assert_eq!(refused[0].outcome, "refused");
}

#[tokio::test]
async fn a_guessed_secret_is_refused_in_the_same_words() {
    let world = World::start().await;
    let token = world.token().await;
    let joined = EnrollKeys::new().request("db1", &token);
    TestAgent::join(&world, &token, joined).await.unwrap();
    let spent = EnrollKeys::new().request("db2", &token);
    let spent = TestAgent::join(&world, &token, spent).await.err().unwrap();
    let (keys, mut guess) = EnrollKeys::new().request("db2", &token);
    guess.token = "ab".repeat(32);
    let guessed = TestAgent::join(&world, &token, (keys, guess))
        .await
        .err()
        .unwrap();
    assert_eq!(spent.message(), guessed.message());
    assert_eq!(spent.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_bound_token_lets_no_other_name_in_and_stays_unspent() {
    let world = World::start().await;
    let request = operator::CreateJoinTokenRequest {
        request_id: request_id(),
        agent_name: "db7".to_owned(),
        ..Default::default()
    };
    let made = world
        .admin()
        .await
        .access
        .create_join_token(request)
        .await
        .unwrap();
    let token: JoinToken = made.into_inner().join_string.parse().unwrap();
    let other = EnrollKeys::new().request("db8", &token);
    let error = TestAgent::join(&world, &token, other).await.err().unwrap();
    assert_eq!(reason(&error), "INVALID_ARGUMENT");
    let right = EnrollKeys::new().request("db7", &token);
    TestAgent::join(&world, &token, right).await.unwrap();
}

#[tokio::test]
async fn a_taken_name_leaves_the_token_unspent() {
    let world = World::start().await;
    world.join("db1").await;
    let token = world.token().await;
    let same = EnrollKeys::new().request("db1", &token);
    let error = TestAgent::join(&world, &token, same).await.err().unwrap();
    assert_eq!(reason(&error), "NAME_TAKEN");
    let other = EnrollKeys::new().request("db2", &token);
    TestAgent::join(&world, &token, other).await.unwrap();
}

#[tokio::test]
async fn every_wrong_field_is_told_at_once_and_nothing_changes() {
    let world = World::start().await;
    let token = world.token().await;
    let mut client = EnrollmentServiceClient::new(world.stranger(&token).await);
    let error = client
        .enroll(provado_proto::agent::v1::EnrollRequest::default())
        .await
        .unwrap_err();
    assert_eq!(reason(&error), "INVALID_ARGUMENT");
    for field in [
        "request_id",
        "agent_name",
        "token",
        "certificate_request_pem",
        "signing_public_key",
        "sealing_recipient",
    ] {
        assert!(
            error.message().contains(field),
            "{field}: {}",
            error.message()
        );
    }
    // A request that is not signed by its own key proves nothing.
    let (_keys, mut forged) = EnrollKeys::new().request("db1", &token);
    let request = forged.certificate_request_pem.clone();
    let broken = request.replacen("\nMI", "\nMJ", 1);
    forged.certificate_request_pem = broken;
    let error = client.enroll(forged).await.unwrap_err();
    assert_eq!(reason(&error), "INVALID_ARGUMENT");
    let joined = EnrollKeys::new().request("db1", &token);
    TestAgent::join(&world, &token, joined).await.unwrap();
}

#[tokio::test]
async fn a_host_with_another_pin_does_not_speak_to_this_controller() {
    let world = World::start().await;
    let tls =
        provado_identity::tls::pinned_client(Pin::from_bytes([7; 32]), world.clock()).unwrap();
    let refused = crate::world::dial(world.running.agent_address(), tls).await;
    let error = refused.err().unwrap();
    assert!(
        error.message().contains("PinMismatch"),
        "{}",
        error.message()
    );
}

#[tokio::test]
async fn an_address_that_tries_too_often_is_told_to_wait() {
    let world = World::start().await;
    let token = world.token().await;
    let mut client = EnrollmentServiceClient::new(world.stranger(&token).await);
    let mut last = None;
    for _ in 0..30 {
        let (_keys, mut guess) = EnrollKeys::new().request("db1", &token);
        guess.token = "cd".repeat(32);
        last = client.enroll(guess).await.err();
    }
    let last = last.unwrap();
    assert_eq!(reason(&last), "BUSY");
    assert_eq!(last.code(), Code::ResourceExhausted);
}

/// Sends the same request over two connections at once.
async fn twice<R, T, F, Fut>(request: &R, mut send: F) -> [Result<T, tonic::Status>; 2]
where
    R: Clone,
    F: FnMut(R) -> Fut,
    Fut: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
{
    let (one, other) = tokio::join!(send(request.clone()), send(request.clone()));
    [one, other].map(|answer| answer.map(tonic::Response::into_inner))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_twice_at_once_has_one_answer() {
    let world = World::start_on(Engine::Postgres).await;
    let admins = [world.admin().await, world.admin().await];
    // As many as one address may try in a row.
    for number in 0..5 {
        let token = world.token().await;
        let strangers = [world.stranger(&token).await, world.stranger(&token).await];
        let (_keys, enroll) = EnrollKeys::new().request(&format!("db{number}"), &token);
        let mut next = strangers.iter().cycle();
        let [one, other] = twice(&enroll, |request| {
            let mut client = EnrollmentServiceClient::new(next.next().unwrap().clone());
            async move { client.enroll(request).await }
        })
        .await;
        assert_eq!(one.unwrap(), other.unwrap());
        let key = TlsKey::generate().unwrap();
        let name = format!("ana{number}");
        let create = create_caller(&name, operator::CallerRole::Devops, &key);
        let mut next = admins.iter().cycle();
        let [one, other] = twice(&create, |request| {
            let mut client = next.next().unwrap().access.clone();
            async move { client.create_caller(request).await }
        })
        .await;
        assert_eq!(one.unwrap(), other.unwrap());
    }
    let uses = world.audit("join-token.use").await;
    assert!(uses.iter().all(|event| event.outcome == "done"));
    world.running.shutdown().await;
}
