//! Attempts that are lost, refused, canceled, overdue.

use crate::refusals::{assert_reason, reason};
use crate::reports;
use crate::world::World;
use jiff::SignedDuration;
use provado_controller::lifecycle::Failure;
use provado_controller::lifecycle::attempt::{Attempt, AttemptEvent, AttemptState, attempt_apply};
use provado_controller::lifecycle::controller::epoch_raise;
use provado_controller::lifecycle::run::RunState;
use provado_model::Reason;

async fn apply(world: &World, attempt: &Attempt, event: AttemptEvent) {
    let ctx = world.core.task_context("test");
    let mut tx = world.begin().await;
    attempt_apply(&mut tx, &ctx, attempt, event).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_lost_attempt_is_tried_again_with_a_higher_fence_until_the_limit() {
    let world = World::new().await;
    world.with_repository().await;
    let run = world.request_backup("shop").await;
    world.settle().await;
    for number in 1..=3_u32 {
        let start = world.take_start();
        assert_eq!(start.attempt.unwrap().fence, i64::from(number));
        let attempt = world.attempt(run, number).await;
        let lease_until = world.core.clock.now() + SignedDuration::from_secs(60);
        apply(&world, &attempt, AttemptEvent::Accept { lease_until }).await;
        world.advance(59);
        world.settle().await;
        assert_eq!(
            world.attempt(run, number).await.state,
            AttemptState::Accepted
        );
        world.advance(1);
        world.settle().await;
        assert_eq!(world.attempt(run, number).await.state, AttemptState::Lost);
        assert_eq!(
            world.take_cancels().len(),
            1,
            "should it live, it is told to stop"
        );
        if number < 3 {
            let waiting = world.run(run).await;
            assert_eq!(waiting.state, RunState::Queued);
            assert!(waiting.not_before_time > world.core.clock.now());
            world.advance(20);
            world.settle().await;
        }
    }
    let ended = world.run(run).await;
    assert_eq!(ended.state, RunState::Failed);
    assert_eq!(ended.failure.unwrap().reason, "ATTEMPTS_EXHAUSTED");
    world.assert_rest().await;
}

#[tokio::test]
async fn an_offer_of_an_older_epoch_is_not_repeated_and_lapses() {
    let world = World::new().await;
    world.with_repository().await;
    let run = world.request_backup("shop").await;
    world.settle().await;
    let first = world.take_start();
    world.advance(4);
    world.step("dispatch-reap").await;
    assert_eq!(world.take_start(), first, "an offer without an answer");
    let ctx = world.core.task_context("test");
    let mut tx = world.begin().await;
    epoch_raise(&mut tx, &ctx, 0, "a restart").await.unwrap();
    tx.commit().await.unwrap();
    world.core.refresh_epoch().await.unwrap();
    world.advance(4);
    world.step("dispatch-reap").await;
    assert!(world.take_starts().is_empty());
    world.advance(31);
    world.settle().await;
    assert_eq!(world.attempt(run, 1).await.state, AttemptState::Lost);
    world.take_sent();
    world.advance(20);
    world.settle().await;
    assert!(world.take_start().epoch > first.epoch);
}

#[tokio::test]
async fn what_a_lost_attempt_reports_changes_nothing() {
    let world = World::new().await;
    world.with_repository().await;
    let run = world.request_backup("shop").await;
    world.settle().await;
    let first = world.take_start();
    world.advance(31);
    world.settle().await;
    world.take_sent();
    world.advance(20);
    world.settle().await;
    let second = world.take_start();
    let changes = world.changes().await;
    let late = world.report(&first, world.backed_up(&first)).await;
    assert_reason(late, Reason::AttemptSuperseded);
    assert_eq!(world.changes().await, changes);
    world
        .report(&second, world.backed_up(&second))
        .await
        .unwrap();
    world.settle().await;
    let ended = world.run(run).await;
    assert_eq!(ended.state, RunState::Succeeded);
    let backup = ended.binding.backup_id.unwrap();
    assert_eq!(backup.to_string(), second.attempt.unwrap().attempt_id);
    assert_eq!(ended.failure, None);
    world.assert_rest().await;
}

#[tokio::test]
async fn a_refusal_that_may_pass_is_tried_again_and_another_ends_the_run() {
    let world = World::new().await;
    world.with_repository().await;
    let run = world.request_backup("shop").await;
    world.settle().await;
    world.take_start();
    let busy = Failure::new(Reason::Busy, "too much to do");
    apply(
        &world,
        &world.attempt(run, 1).await,
        AttemptEvent::Refuse(busy),
    )
    .await;
    world.settle().await;
    let waiting = world.run(run).await;
    assert_eq!(waiting.state, RunState::Queued);
    assert_eq!(waiting.failure.unwrap().reason, "BUSY");
    assert!(world.shown(run).await.message.contains("too much to do"));
    world.advance(20);
    world.settle().await;
    world.take_start();
    let no = Failure::new(Reason::TargetChanged, "another system identifier");
    apply(
        &world,
        &world.attempt(run, 2).await,
        AttemptEvent::Refuse(no),
    )
    .await;
    world.settle().await;
    let ended = world.run(run).await;
    assert_eq!(ended.state, RunState::Failed);
    assert_eq!(ended.failure.unwrap().reason, "TARGET_CHANGED");
    world.assert_rest().await;
}

#[tokio::test]
async fn a_run_with_an_agent_is_told_to_stop_until_it_has() {
    let world = World::new().await;
    world.with_repository().await;
    let run = world.request_backup("shop").await;
    world.settle().await;
    let start = world.take_start();
    let shown = world.cancel(run).await.unwrap();
    assert_eq!(shown.state().as_str_name(), "RUN_STATE_DISPATCHED");
    assert!(!shown.message.is_empty());
    world.step("dispatch-cancel").await;
    let told = world.take_cancels();
    assert_eq!(told, vec![start.attempt.clone().unwrap()]);
    // Asked again, told again, nothing else.
    let changes = world.changes().await;
    world.cancel(run).await.unwrap();
    world.step("dispatch-cancel").await;
    assert_eq!(world.take_cancels().len(), 1);
    assert_eq!(world.changes().await, changes + 1, "only the word why");
    world.report(&start, reports::canceled()).await.unwrap();
    world.settle().await;
    assert_eq!(world.run(run).await.state, RunState::Canceled);
    let status = world.cancel(run).await.unwrap_err();
    assert_eq!(reason(&status), "RUN_ENDED");
    world.assert_rest().await;
}

#[tokio::test]
async fn a_canceled_run_whose_agent_went_away_ends_with_its_lease() {
    let world = World::new().await;
    world.with_repository().await;
    let run = world.request_backup("shop").await;
    world.settle().await;
    world.take_start();
    world.disconnect();
    world.cancel(run).await.unwrap();
    world.advance(31);
    world.settle().await;
    assert_eq!(world.run(run).await.state, RunState::Canceled);
    world.assert_rest().await;
}

#[tokio::test]
async fn an_agent_that_stops_by_itself_leaves_the_run_to_another_attempt() {
    let world = World::new().await;
    world.with_repository().await;
    let run = world.request_backup("shop").await;
    world.settle().await;
    let start = world.take_start();
    world.report(&start, reports::canceled()).await.unwrap();
    world.settle().await;
    assert_eq!(world.run(run).await.state, RunState::Queued);
    world.advance(10);
    world.settle().await;
    assert_eq!(world.take_start().attempt.unwrap().fence, 2);
}

#[tokio::test]
async fn nothing_waits_for_ever() {
    let world = World::new().await;
    world.with_repository().await;
    world.disconnect();
    let waiting = world.request_backup("shop").await;
    world.settle().await;
    world.connect();
    let working = world.request_backup("crm").await;
    world.disconnect();
    world.settle().await;
    world.advance(7 * 24 * 3_600);
    world.settle().await;
    for run in [waiting, working] {
        let ended = world.run(run).await;
        assert_eq!(ended.state, RunState::Failed);
        assert_eq!(ended.failure.unwrap().reason, "DEADLINE_EXCEEDED");
    }
    world.assert_rest().await;
}

#[tokio::test]
async fn an_agent_that_restarted_under_a_run_gets_it_again_until_the_limit() {
    let world = World::new().await;
    world.with_repository().await;
    let run = world.request_backup("shop").await;
    for number in 1..=3_u32 {
        world.settle().await;
        let start = world.take_start();
        assert_eq!(start.attempt.clone().unwrap().fence, i64::from(number));
        let outcome = reports::failed("SERVICE_UNAVAILABLE");
        world.report(&start, outcome).await.unwrap();
        world.advance(10);
    }
    world.settle().await;
    let ended = world.run(run).await;
    assert_eq!(ended.state, RunState::Failed);
    assert_eq!(ended.failure.unwrap().reason, "SERVICE_UNAVAILABLE");
    // One that was asked to end is not begun again.
    let canceled = world.request_backup("crm").await;
    world.settle().await;
    let start = world.take_start();
    world.cancel(canceled).await.unwrap();
    let outcome = reports::failed("SERVICE_UNAVAILABLE");
    world.report(&start, outcome).await.unwrap();
    assert_eq!(world.run(canceled).await.state, RunState::Canceled);
    world.assert_rest().await;
}
