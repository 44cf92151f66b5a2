//! An agent that no certificate lets in any more comes back with a token that is bound to it.

use crate::agents::{EnrollKeys, TestAgent};
use crate::session::{Line, connected};
use crate::world::{Engine, World, reason, request_id, until};
use jiff::SignedDuration;
use provado_identity::JoinToken;
use provado_proto::agent::v1::RenewCertificateRequest;
use provado_proto::agent::v1::{InstanceInventory, SyncInventoryRequest};
use provado_proto::operator::v1 as operator;
use tonic::Status;

/// A request for a token with which this agent comes back.
fn asked(agent: &str) -> operator::CreateJoinTokenRequest {
    operator::CreateJoinTokenRequest {
        request_id: request_id(),
        agent: agent.to_owned(),
        ..Default::default()
    }
}

async fn make(
    world: &World,
    request: operator::CreateJoinTokenRequest,
) -> Result<operator::CreateJoinTokenResponse, Status> {
    let mut admin = world.admin().await;
    let made = admin.access.create_join_token(request).await?;
    Ok(made.into_inner())
}

async fn token_for(world: &World, agent: &str) -> JoinToken {
    let made = make(world, asked(agent)).await.unwrap();
    made.join_string.parse().unwrap()
}

async fn revoke(world: &World, agent: &str) {
    let request = operator::RevokeAgentRequest {
        request_id: request_id(),
        name: agent.to_owned(),
        ..Default::default()
    };
    let mut admin = world.admin().await;
    admin.fleet.revoke_agent(request).await.unwrap();
}

/// Why this certificate opens no stream.
async fn refusal(world: &World, agent: &TestAgent, process: &str) -> Status {
    use provado_proto::agent::v1::session_request::Message::Hello;
    match Line::try_open(world, agent, Hello(agent.hello(process))).await {
        Ok(mut line) => line.ending().await,
        Err(status) => status,
    }
}

async fn an_agent_that_was_off_for_long_comes_back_as_the_same(engine: Engine) {
    let world = World::start_on(engine).await;
    let (agent, line, _) = connected(&world, "db1").await;
    let told = SyncInventoryRequest {
        instances: vec![InstanceInventory {
            system_identifier: "7000000000000000001".to_owned(),
            port: 5432,
            ..Default::default()
        }],
    };
    let mut client = agent.client(&world).await;
    let before = client
        .sync_inventory(told.clone())
        .await
        .unwrap()
        .into_inner();
    drop((line, client));
    world.advance(SignedDuration::from_hours(25));
    until("it is offline", || async {
        !world.shown("db1").await.connected
    })
    .await;
    // Without the operator's word there is no way back, under its own name least of all.
    let token = world.token().await;
    let new = EnrollKeys::new().request("db1", &token);
    let error = TestAgent::join(&world, &token, new).await.err().unwrap();
    assert_eq!(reason(&error), "NAME_TAKEN");

    let token = token_for(&world, "agents/db1").await;
    let back = agent.come_back(&world, &token).await.unwrap();
    assert_eq!((&back.id, &back.name), (&agent.id, &agent.name));
    assert_eq!(back.generation, 2);
    let mut line = Line::open(&world, &back, back.hello("p2")).await;
    line.welcome().await;
    let mut client = back.client(&world).await;
    let after = client.sync_inventory(told).await.unwrap().into_inner();
    assert_eq!(after, before, "its instances are the ones they were");
    let shown = world.shown("db1").await;
    assert_eq!(shown.certificate_generation, 2);
    assert_eq!(shown.labels["env"], "test");
    let events = world.audit("agent.come-back").await;
    assert_eq!(events.len(), 1);
    assert!(events[0].detail_json.contains("\"generation\":2"));
    // The next renewal goes on from there.
    let request = RenewCertificateRequest {
        certificate_request_pem: crate::world::request_pem(&back.key),
        generation: 2,
        request_id: request_id(),
    };
    let renewed = client.renew_certificate(request).await.unwrap();
    assert_eq!(renewed.into_inner().generation, 3);
    world.running.shutdown().await;
}

#[tokio::test]
async fn an_agent_that_was_off_for_long_comes_back_as_the_same_on_sqlite() {
    an_agent_that_was_off_for_long_comes_back_as_the_same(Engine::Sqlite).await;
}

#[tokio::test]
async fn an_agent_that_was_off_for_long_comes_back_as_the_same_on_postgres() {
    an_agent_that_was_off_for_long_comes_back_as_the_same(Engine::Postgres).await;
}

async fn a_locked_agent_comes_back_where_the_operator_says(engine: Engine) {
    let world = World::start_on(engine).await;
    let (agent, line, _) = connected(&world, "db1").await;
    drop(line);
    until("the stream has ended", || async {
        !world.shown("db1").await.connected
    })
    .await;
    let mut elsewhere = agent.hello("p2");
    "another machine".clone_into(&mut elsewhere.host.as_mut().unwrap().machine_id);
    let mut line = Line::open(&world, &agent, elsewhere).await;
    assert_eq!(reason(&line.ending().await), "AGENT_CLONED");

    // The copy still lives, with a certificate that has not ended.
    let token = token_for(&world, "db1").await;
    let back = agent.come_back(&world, &token).await.unwrap();
    let shown = world.shown("db1").await;
    assert_eq!(shown.state(), operator::AgentState::Active);
    assert_eq!(shown.message, "");
    let events = world.audit("agent.come-back").await;
    assert!(
        events[0]
            .detail_json
            .contains("\"state_before\":\"locked\"")
    );
    let error = refusal(&world, &agent, "p3").await;
    assert_eq!(reason(&error), "CERTIFICATE_REVOKED");
    assert!(error.message().contains("copy"), "{}", error.message());
    // It is refused everywhere, for good, and locks nobody.
    let mut copy = agent.client(&world).await;
    let error = copy.sync_inventory(SyncInventoryRequest::default()).await;
    assert_eq!(reason(&error.unwrap_err()), "CERTIFICATE_REVOKED");
    let mut line = Line::open(&world, &back, back.hello("p4")).await;
    line.welcome().await;
    let world = world.restart().await;
    let error = refusal(&world, &agent, "p5").await;
    assert_eq!(reason(&error), "CERTIFICATE_REVOKED");
    assert_eq!(
        world.shown("db1").await.state(),
        operator::AgentState::Active
    );
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_locked_agent_comes_back_where_the_operator_says_on_sqlite() {
    a_locked_agent_comes_back_where_the_operator_says(Engine::Sqlite).await;
}

#[tokio::test]
async fn a_locked_agent_comes_back_where_the_operator_says_on_postgres() {
    a_locked_agent_comes_back_where_the_operator_says(Engine::Postgres).await;
}

#[tokio::test]
async fn the_open_stream_of_a_copy_is_cut_and_its_connection_serves_nothing_more() {
    let world = World::start().await;
    let (agent, mut line, _) = connected(&world, "db1").await;
    let mut copy = agent.client(&world).await;
    let token = token_for(&world, "db1").await;
    let back = agent.come_back(&world, &token).await.unwrap();
    assert_eq!(reason(&line.ending().await), "CERTIFICATE_REVOKED");
    let request = RenewCertificateRequest {
        certificate_request_pem: crate::world::request_pem(&agent.key),
        generation: 1,
        request_id: request_id(),
    };
    let error = copy.renew_certificate(request).await.unwrap_err();
    assert_eq!(reason(&error), "CERTIFICATE_REVOKED");
    // A copy of the new state shows itself as ever.
    let mut elsewhere = back.hello("p2");
    elsewhere.host.as_mut().unwrap().machine_id = "another machine".to_owned();
    let mut line = Line::open(&world, &back, elsewhere).await;
    assert_eq!(reason(&line.ending().await), "AGENT_CLONED");
    // Taking that lock off does not bring back what ended before.
    let request = operator::UnlockAgentRequest {
        request_id: request_id(),
        name: "db1".to_owned(),
        ..Default::default()
    };
    let mut admin = world.admin().await;
    admin.fleet.unlock_agent(request).await.unwrap();
    let error = refusal(&world, &agent, "p3").await;
    assert_eq!(reason(&error), "CERTIFICATE_REVOKED");
    let mut line = Line::open(&world, &back, back.hello("p4")).await;
    line.welcome().await;
}

#[tokio::test]
async fn a_lost_answer_is_got_by_the_same_request() {
    let world = World::start().await;
    let agent = world.join("db1").await;
    let token = token_for(&world, "db1").await;
    let (keys, request) = agent.request(&token);
    let first = TestAgent::join(&world, &token, (keys, request.clone())).await;
    let (keys, _) = agent.request(&token);
    let again = TestAgent::join(&world, &token, (keys, request)).await;
    assert_eq!(first.unwrap().chain, again.unwrap().chain);
    assert_eq!(world.shown("db1").await.certificate_generation, 2);
    // Another request with the spent token is none.
    let error = agent.come_back(&world, &token).await.err().unwrap();
    assert_eq!(reason(&error), "JOIN_TOKEN_INVALID");
}

#[tokio::test]
async fn a_bound_token_is_for_the_holder_of_the_agents_keys_alone() {
    let world = World::start().await;
    let (first, second) = (world.join("db1").await, world.join("db2").await);
    let token = token_for(&world, "db1").await;
    // Another agent, a new host, and one that knows the public key but has not the secret one.
    let error = second.come_back(&world, &token).await.err().unwrap();
    assert_eq!(reason(&error), "INVALID_ARGUMENT");
    let message = error.message();
    assert!(
        message.contains("`db1`") && message.contains("`db2`"),
        "{message}"
    );
    let stranger = EnrollKeys::new().request("db1", &token);
    let error = TestAgent::join(&world, &token, stranger)
        .await
        .err()
        .unwrap();
    assert_eq!(reason(&error), "INVALID_ARGUMENT");
    let (keys, mut thief) = EnrollKeys::new().request("db1", &token);
    thief.signing_public_key = first.signing.public_key().as_bytes().to_vec();
    let error = TestAgent::join(&world, &token, (keys, thief)).await;
    assert_eq!(reason(&error.err().unwrap()), "INVALID_ARGUMENT");
    // An agent is not made another one by a token for new hosts.
    let error = first.come_back(&world, &world.token().await).await;
    let error = error.err().unwrap();
    assert_eq!(reason(&error), "INVALID_ARGUMENT");
    assert!(
        error.message().contains("--agent db1"),
        "{}",
        error.message()
    );
    // None of this has changed anything: the token is unspent, both agents are as they were.
    for agent in [&first, &second] {
        let mut client = agent.client(&world).await;
        let request = SyncInventoryRequest::default();
        client.sync_inventory(request).await.unwrap();
    }
    first.come_back(&world, &token).await.unwrap();
    // The keys alone say who it is: the record of the membership may be lost.
    let token = token_for(&world, "db1").await;
    let (keys, mut request) = first.request(&token);
    request.agent_id.clear();
    let back = TestAgent::join(&world, &token, (keys, request)).await;
    assert_eq!(back.unwrap().id, first.id);
}

#[tokio::test]
async fn a_revoked_agent_never_comes_back() {
    let world = World::start().await;
    let agent = world.join("db1").await;
    let token = token_for(&world, "db1").await;
    revoke(&world, "db1").await;
    let error = agent.come_back(&world, &token).await.err().unwrap();
    assert_eq!(reason(&error), "AGENT_LOCKED");
    let error = make(&world, asked("db1")).await.unwrap_err();
    assert_eq!(reason(&error), "AGENT_LOCKED");
    assert!(error.message().contains("for good"), "{}", error.message());
    assert_eq!(
        world.shown("db1").await.state(),
        operator::AgentState::Revoked
    );
    let error = make(&world, asked("db9")).await.unwrap_err();
    assert_eq!(reason(&error), "AGENT_NOT_FOUND");
}

#[tokio::test]
async fn a_bound_token_shows_whom_it_is_for_and_takes_nothing_of_a_new_one() {
    let world = World::start().await;
    let agent = world.join("db1").await;
    let token = token_for(&world, "db1").await;
    let list = async || {
        let request = operator::ListJoinTokensRequest::default();
        let mut admin = world.admin().await;
        let listed = admin.access.list_join_tokens(request).await.unwrap();
        listed.into_inner().join_tokens.remove(0)
    };
    let shown = list().await;
    assert_eq!(shown.bound_agent, format!("agents/{}", agent.id));
    assert_eq!(
        (shown.agent_name.as_str(), shown.agent.as_str()),
        ("db1", "")
    );
    agent.come_back(&world, &token).await.unwrap();
    assert_eq!(list().await.agent, shown.bound_agent);
    let both = operator::CreateJoinTokenRequest {
        agent_name: "db2".to_owned(),
        labels: [("a".to_owned(), "b".to_owned())].into(),
        ..asked("db1")
    };
    let error = make(&world, both).await.unwrap_err();
    assert_eq!(reason(&error), "INVALID_ARGUMENT");
    for field in ["labels", "agent_name"] {
        assert!(error.message().contains(field), "{}", error.message());
    }
}
