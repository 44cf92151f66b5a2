//! What agents say of their attempts, and what becomes of it in the rows.

use crate::agents::TestAgent;
use crate::session::{Line, connected};
use crate::world::{Engine, World, until};
use jiff::SignedDuration;
use provado_controller::config::Config;
use provado_controller::db::Tx;
use provado_controller::lifecycle::attempt::{
    Attempt, AttemptState, attempt_get_of_agent, attempt_offer,
};
use provado_controller::lifecycle::run::{
    NewRun, Run, RunEvent, RunKind, RunState, run_apply, run_get, run_insert,
};
use provado_controller::lifecycle::spec::RunSpec;
use provado_model::id::{AgentId, AttemptId, RunId};
use provado_proto::agent::v1::session_request::Message as Up;
use provado_proto::agent::v1::session_response::Message as Down;
use provado_proto::agent::v1::{self as agent, AttemptRef};
use provado_proto::common::v1::{Failure, FailureKind, Phase, Progress};
use std::slice;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// A run that is with an agent, made row by row.
async fn dispatched(world: &World, agent: &TestAgent) -> (RunId, AttemptRef) {
    let core = world.running.core();
    let agent: AgentId = agent.id.parse().unwrap();
    let ctx = core.task_context("test");
    let id = RunId::new(core.clock.as_ref(), core.entropy.as_ref());
    let mut new = NewRun::new(id, RunKind::Inspect, serde_json::json!({}));
    new.binding.agent_id = Some(agent);
    let mut tx = core.db.begin().await.unwrap();
    let run: Run = run_insert(&mut tx, &ctx, &new).await.unwrap().into_inner();
    let admit = RunEvent::Admit(new.binding.clone());
    let run = run_apply(&mut tx, &ctx, &run, admit).await.unwrap();
    let run = run_apply(&mut tx, &ctx, &run, RunEvent::Dispatch(agent))
        .await
        .unwrap();
    let attempt = AttemptId::new(core.clock.as_ref(), core.entropy.as_ref());
    let until = ctx.now + SignedDuration::from_secs(300);
    let attempt = attempt_offer(&mut tx, &ctx, attempt, &run, until)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let named = AttemptRef {
        attempt_id: attempt.id.to_string(),
        run_id: id.to_string(),
        fence: i64::from(attempt.number),
        ended: false,
    };
    (id, named)
}

async fn row(world: &World, agent: &TestAgent, named: &AttemptRef) -> Attempt {
    let mut tx = world.running.core().db.read().await.unwrap();
    let (id, agent) = (named.attempt_id.parse().unwrap(), agent.id.parse().unwrap());
    let found = attempt_get_of_agent(&mut tx, id, agent).await.unwrap();
    found.unwrap()
}

async fn run_state(world: &World, id: RunId) -> RunState {
    let mut tx = world.running.core().db.read().await.unwrap();
    run_get(&mut tx, id).await.unwrap().unwrap().state
}

/// Says something and waits until it was taken: the answer to a heartbeat comes after it.
async fn said(line: &mut Line, message: Up) -> Vec<AttemptRef> {
    line.say(message).await;
    line.heartbeat(Vec::new()).await;
    let mut stopped = Vec::new();
    loop {
        match line.next().await.unwrap() {
            Down::HeartbeatAck(ack) if ack.superseded_attempts.is_empty() => return stopped,
            Down::HeartbeatAck(ack) => stopped.extend(ack.superseded_attempts),
            _ => {}
        }
    }
}

fn accepted(named: &AttemptRef) -> Up {
    Up::AttemptAccepted(agent::AttemptAccepted {
        attempt: Some(named.clone()),
    })
}

fn progress(named: &AttemptRef, done_bytes: i64) -> Up {
    Up::AttemptProgress(agent::AttemptProgress {
        attempt: Some(named.clone()),
        progress: Some(Progress {
            phase: Phase::Dumping.into(),
            item: "public.orders".to_owned(),
            done_bytes,
            ..Default::default()
        }),
    })
}

#[tokio::test]
async fn an_attempt_is_accepted_and_starts_with_its_run() {
    let world = World::start().await;
    let (host, mut line, _) = connected(&world, "db1").await;
    let (run, named) = dispatched(&world, &host).await;
    assert!(said(&mut line, accepted(&named)).await.is_empty());
    let before = row(&world, &host, &named).await;
    assert_eq!(before.state, AttemptState::Accepted);
    // Said twice, it changes nothing.
    assert!(said(&mut line, accepted(&named)).await.is_empty());
    assert_eq!(row(&world, &host, &named).await.version, before.version);

    assert!(said(&mut line, progress(&named, 7)).await.is_empty());
    assert!(said(&mut line, progress(&named, 9)).await.is_empty());
    let after = row(&world, &host, &named).await;
    assert_eq!(after.state, AttemptState::Running);
    assert_eq!(run_state(&world, run).await, RunState::Running);
    // The newest is in memory at once; the row follows more slowly.
    let newest = world.running.fleet().progress().get(run).unwrap();
    assert_eq!((newest.progress.done_bytes, newest.number), (9, 1));
    assert_eq!(after.progress.unwrap()["done_bytes"], 7);
    assert_eq!(world.shown("db1").await.live_attempt_count, 1);
}

#[tokio::test]
async fn a_refusal_is_kept_with_its_reason() {
    let world = World::start().await;
    let (host, mut line, _) = connected(&world, "db1").await;
    let (_run, named) = dispatched(&world, &host).await;
    let refused = agent::AttemptRefused {
        attempt: Some(named.clone()),
        failure: Some(Failure {
            kind: FailureKind::Exhausted.into(),
            reason: "BUSY".to_owned(),
            message: "4 attempts are in hand".to_owned(),
            ..Default::default()
        }),
    };
    said(&mut line, Up::AttemptRefused(refused)).await;
    let row = row(&world, &host, &named).await;
    assert_eq!(row.state, AttemptState::Refused);
    let failure = row.failure.unwrap();
    assert_eq!(
        (failure.kind.as_str(), failure.reason.as_str()),
        ("exhausted", "BUSY")
    );
}

#[tokio::test]
async fn leases_live_by_heartbeats_and_strangers_attempts_are_told_to_stop() {
    let world = World::start().await;
    let (host, mut line, _) = connected(&world, "db1").await;
    let (other, mut other_line, _) = connected(&world, "db2").await;
    let (_run, named) = dispatched(&world, &host).await;
    said(&mut line, accepted(&named)).await;
    let before = row(&world, &host, &named).await.lease_until_time;
    world.advance(SignedDuration::from_secs(600));
    line.heartbeat(vec![named.clone()]).await;
    assert!(line.ack().await.superseded_attempts.is_empty());
    let after = row(&world, &host, &named).await.lease_until_time;
    assert!(after > before, "{after} {before}");

    // Another agent that names the attempt changes nothing and is told to stop, whatever it says.
    other_line.heartbeat(vec![named.clone()]).await;
    assert_eq!(
        other_line.ack().await.superseded_attempts,
        slice::from_ref(&named)
    );
    for message in [accepted(&named), progress(&named, 1)] {
        assert_eq!(
            said(&mut other_line, message).await,
            slice::from_ref(&named)
        );
    }
    assert_eq!(row(&world, &host, &named).await.lease_until_time, after);

    // So is the right agent with an older fence.
    let mut stale = named.clone();
    stale.fence = 0;
    line.heartbeat(vec![stale.clone()]).await;
    assert_eq!(line.ack().await.superseded_attempts, [stale]);
    // A hello tells the same.
    let mut hello = other.hello("p1");
    hello.attempts = vec![named.clone()];
    let mut again = Line::open(&world, &other, hello).await;
    assert_eq!(again.welcome().await.superseded_attempts, [named]);
}

#[tokio::test]
async fn what_was_in_hand_is_not_lost_by_a_controller_that_was_away() {
    let world = World::start().await;
    let (host, mut line, _) = connected(&world, "db1").await;
    let (run, named) = dispatched(&world, &host).await;
    said(&mut line, progress(&named, 7)).await;
    drop(line);
    world.advance(SignedDuration::from_hours(1));
    let world = world.restart().await;
    until("every task has run", || async {
        let mut client = HealthClient::new(world.admin().await.channel);
        let answer = client.check(HealthCheckRequest::default()).await;
        answer.unwrap().into_inner().status() == ServingStatus::Serving
    })
    .await;
    assert_eq!(run_state(&world, run).await, RunState::Running);
    let mut hello = host.hello("p1");
    hello.attempts = vec![named.clone()];
    let mut line = Line::open(&world, &host, hello).await;
    assert!(line.welcome().await.superseded_attempts.is_empty());
    assert!(said(&mut line, progress(&named, 9)).await.is_empty());
}

/// A run that waits for its agent, in a transaction that others share.
async fn queued(tx: &mut Tx, world: &World, agent: AgentId) -> RunId {
    let core = world.running.core();
    let ctx = core.task_context("test");
    let id = RunId::new(core.clock.as_ref(), core.entropy.as_ref());
    let spec = RunSpec::Inspect.to_json().unwrap();
    let mut new = NewRun::new(id, RunKind::Inspect, spec);
    new.binding.agent_id = Some(agent);
    let run = run_insert(tx, &ctx, &new).await.unwrap().into_inner();
    let admit = RunEvent::Admit(new.binding.clone());
    run_apply(tx, &ctx, &run, admit).await.unwrap();
    id
}

#[tokio::test]
async fn an_agent_gets_as_many_attempts_as_the_configuration_says() {
    let configured = |config: &mut Config| config.limits.agent_attempts_max = 1;
    let world = World::start_as(Engine::Sqlite, configured).await;
    let agent = world.join("db1").await;
    let id = agent.id.parse().unwrap();
    let mut hello = agent.hello("p1");
    hello.capabilities.push("inspect".to_owned());
    let mut line = Line::open(&world, &agent, hello).await;
    line.welcome().await;
    let mut tx = world.running.core().db.begin().await.unwrap();
    let runs = [
        queued(&mut tx, &world, id).await,
        queued(&mut tx, &world, id).await,
    ];
    tx.commit().await.unwrap();
    while !matches!(line.next().await.unwrap(), Down::StartAttempt(_)) {}
    // Both were there when the first was sent: only the limit holds the second back.
    let mut states = Vec::new();
    for run in runs {
        states.push(run_state(&world, run).await);
    }
    states.sort();
    assert_eq!(states, [RunState::Queued, RunState::Dispatched]);
}
