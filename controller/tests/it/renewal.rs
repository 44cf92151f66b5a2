//! RenewCertificate: generations, lost answers, stolen certificates.

use crate::agents::TestAgent;
use crate::session::Line;
use crate::world::{Engine, World, reason, request_id, request_pem};
use jiff::SignedDuration;
use provado_identity::pem;
use provado_proto::agent::v1::{RenewCertificateRequest, RenewCertificateResponse};
use provado_proto::operator::v1 as operator;
use tonic::Status;

fn request(agent: &TestAgent) -> RenewCertificateRequest {
    RenewCertificateRequest {
        certificate_request_pem: request_pem(&agent.key),
        generation: agent.generation,
        request_id: request_id(),
    }
}

async fn renew(
    world: &World,
    agent: &TestAgent,
    request: RenewCertificateRequest,
) -> Result<RenewCertificateResponse, Status> {
    let mut client = agent.client(world).await;
    client
        .renew_certificate(request)
        .await
        .map(tonic::Response::into_inner)
}

/// The agent with its next certificate.
fn renewed(agent: &TestAgent, answer: &RenewCertificateResponse) -> TestAgent {
    let mut next = agent.copy();
    next.chain = pem::certificates(&answer.certificate_pem).unwrap();
    next.generation = answer.generation;
    next
}

async fn greeted(world: &World, agent: &TestAgent, process: &str) -> Line {
    let mut line = Line::open(world, agent, agent.hello(process)).await;
    line.welcome().await;
    line
}

async fn a_stolen_certificate_shows_itself(engine: Engine) {
    let world = World::start_on(engine).await;
    let first = world.join("db1").await;
    let thief = first.copy();
    let answer = renew(&world, &first, request(&first)).await.unwrap();
    assert_eq!(answer.generation, 2);
    let second = renewed(&first, &answer);
    let mut line = greeted(&world, &second, "p1").await;
    assert_eq!(world.shown("db1").await.certificate_generation, 2);

    // The thief renews what it stole before; the true agent has used a newer one by now.
    let error = renew(&world, &thief, request(&thief)).await.unwrap_err();
    assert_eq!(reason(&error), "AGENT_CLONED");
    assert_eq!(reason(&line.ending().await), "AGENT_CLONED");
    let shown = world.shown("db1").await;
    assert_eq!(shown.state(), operator::AgentState::Locked);
    let events = world.audit("agent.lock").await;
    assert_eq!(events.len(), 1);
    assert!(
        events[0].detail_json.contains("AGENT_CLONED"),
        "{}",
        events[0].detail_json
    );
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_stolen_certificate_shows_itself_on_sqlite() {
    a_stolen_certificate_shows_itself(Engine::Sqlite).await;
}

#[tokio::test]
async fn a_stolen_certificate_shows_itself_on_postgres() {
    a_stolen_certificate_shows_itself(Engine::Postgres).await;
}

#[tokio::test]
async fn an_old_certificate_in_a_hello_is_a_clone_too() {
    let world = World::start().await;
    let first = world.join("db1").await;
    let answer = renew(&world, &first, request(&first)).await.unwrap();
    let second = renewed(&first, &answer);
    drop(greeted(&world, &second, "p1").await);
    let mut line = Line::open(&world, &first, first.hello("p2")).await;
    assert_eq!(reason(&line.ending().await), "AGENT_CLONED");
}

#[tokio::test]
async fn a_thief_who_renews_first_locks_the_agent_as_soon_as_both_have_shown_up() {
    let world = World::start().await;
    let agent = world.join("db1").await;
    let thief = agent.copy();
    let stolen = renewed(
        &thief,
        &renew(&world, &thief, request(&thief)).await.unwrap(),
    );
    // The true agent renews from the same generation: what was issued before is void.
    let answer = renew(&world, &agent, request(&agent)).await.unwrap();
    assert_eq!(answer.generation, 3);
    drop(greeted(&world, &renewed(&agent, &answer), "p1").await);
    let mut line = Line::open(&world, &stolen, stolen.hello("p2")).await;
    assert_eq!(reason(&line.ending().await), "AGENT_CLONED");
}

#[tokio::test]
async fn a_lost_answer_locks_nobody() {
    let world = World::start().await;
    let agent = world.join("db1").await;
    let asked = request(&agent);
    let answer = renew(&world, &agent, asked.clone()).await.unwrap();
    // The same request again: the same certificate.
    assert_eq!(renew(&world, &agent, asked).await.unwrap(), answer);
    // The agent died before it kept the answer, and even forgot its request.
    let mut line = greeted(&world, &agent, "p2").await;
    let next = renew(&world, &agent, request(&agent)).await.unwrap();
    assert_eq!(next.generation, 3);
    line.heartbeat(Vec::new()).await;
    line.ack().await;
    drop(line);
    greeted(&world, &renewed(&agent, &next), "p2").await;
    assert_eq!(
        world.shown("db1").await.state(),
        operator::AgentState::Active
    );
}

#[tokio::test]
async fn another_generation_than_the_certificates_is_refused() {
    let world = World::start().await;
    let agent = world.join("db1").await;
    let mut asked = request(&agent);
    asked.generation = 7;
    let error = renew(&world, &agent, asked).await.unwrap_err();
    assert_eq!(reason(&error), "INVALID_ARGUMENT");
    let mut asked = request(&agent);
    asked.certificate_request_pem = "nonsense".to_owned();
    let error = renew(&world, &agent, asked).await.unwrap_err();
    assert_eq!(reason(&error), "INVALID_ARGUMENT");
    assert_eq!(world.shown("db1").await.certificate_generation, 1);
}

#[tokio::test]
async fn renewals_that_race_each_get_a_generation_of_their_own() {
    let world = World::start().await;
    let agent = world.join("db1").await;
    let race = (0..6).map(|_| renew(&world, &agent, request(&agent)));
    let outcomes = futures_util::future::join_all(race).await;
    let mut generations: Vec<i64> = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(answer) => generations.push(answer.generation),
            Err(error) => assert_eq!(reason(&error), "VERSION_STALE"),
        }
    }
    generations.sort_unstable();
    let unique = generations.len();
    generations.dedup();
    assert_eq!(generations.len(), unique);
    let newest = world.shown("db1").await.certificate_generation;
    assert_eq!(generations.last(), Some(&newest));
}

#[tokio::test]
async fn a_certificate_that_has_ended_opens_nothing() {
    let world = World::start().await;
    let agent = world.join("db1").await;
    let mut open = agent.client(&world).await;
    open.sync_inventory(provado_proto::agent::v1::SyncInventoryRequest::default())
        .await
        .unwrap();
    world.advance(SignedDuration::from_hours(25));
    // Not even on the connection that was opened while it was valid.
    let error = open
        .sync_inventory(provado_proto::agent::v1::SyncInventoryRequest::default())
        .await
        .unwrap_err();
    assert_eq!(reason(&error), "CERTIFICATE_REVOKED");
}
