//! REQUESTED to QUEUED or SKIPPED, by what is true then.

use crate::world::World;
use provado_controller::fleet::model::AgentState;
use provado_controller::fleet::store::agent::{agent_by_id, agent_set_state};
use provado_controller::lifecycle::run::RunState;
use provado_controller::supervisor::Activity;

#[tokio::test]
async fn a_run_is_let_in_once() {
    let world = World::new().await;
    world.with_repository().await;
    world.disconnect();
    let run = world.request_backup("shop").await;
    assert_eq!(world.step("admit").await, Activity::Done);
    assert_eq!(world.run(run).await.state, RunState::Queued);
    assert_eq!(world.step("admit").await, Activity::Idle);
    let shown = world.shown(run).await;
    assert_eq!(shown.message, "waits for the agent db1 to connect");
    world.assert_rest().await;
}

#[tokio::test]
async fn what_was_locked_meanwhile_is_skipped_with_the_reason() {
    let world = World::new().await;
    world.with_repository().await;
    let run = world.request_backup("shop").await;
    let mut tx = world.begin().await;
    let agent = agent_by_id(&mut tx, world.agent).await.unwrap().unwrap();
    agent_set_state(&mut tx, &agent, AgentState::Locked, "clone")
        .await
        .unwrap();
    tx.commit().await.unwrap();
    world.settle().await;
    let shown = world.shown(run).await;
    assert_eq!(world.run(run).await.state, RunState::Skipped);
    assert!(shown.message.contains("is locked"), "{}", shown.message);
    assert_eq!(shown.failure.unwrap().reason, "AGENT_LOCKED");
    assert!(world.take_sent().is_empty());
    world.assert_rest().await;
}

#[tokio::test]
async fn a_run_that_waits_names_the_one_it_waits_for() {
    let world = World::new().await;
    world.with_repository().await;
    let first = world.request_backup("shop").await;
    world.advance(1);
    let second = world.request_backup("shop").await;
    world.settle().await;
    assert_eq!(world.run(first).await.state, RunState::Dispatched);
    assert_eq!(world.run(second).await.state, RunState::Queued);
    let shown = world.shown(second).await;
    assert!(
        shown.message.contains(&first.to_string()),
        "{}",
        shown.message
    );
    let start = world.take_start();
    world.report(&start, world.backed_up(&start)).await.unwrap();
    world.settle().await;
    assert_eq!(world.run(second).await.state, RunState::Dispatched);
    world.assert_rest().await;
}

#[tokio::test]
async fn a_run_that_was_canceled_in_line_never_starts() {
    let world = World::new().await;
    world.with_repository().await;
    let requested = world.request_backup("shop").await;
    let shown = world.cancel(requested).await.unwrap();
    assert_eq!(shown.state().as_str_name(), "RUN_STATE_CANCELED");
    world.disconnect();
    let queued = world.request_backup("shop").await;
    world.settle().await;
    world.cancel(queued).await.unwrap();
    world.connect();
    world.settle().await;
    assert_eq!(world.run(queued).await.state, RunState::Canceled);
    assert!(world.take_sent().is_empty());
    world.assert_rest().await;
}
