//! Attempts over a stream that breaks, a controller that forgets, and an agent that is killed.

use crate::controller::{MOMENT, refusal};
use crate::world::{World, accepted_count, attempt, refused};
use provado_identity::signed_note;
use provado_model::Reason;
use provado_model::audit_chain::{ChainHead, Checkpoint};
use provado_proto::agent::v1::session_request::Message as Up;
use provado_proto::agent::v1::session_response::Message as Down;
use provado_proto::agent::v1::{
    AttemptResult, CancelAttempt, Drain, HeartbeatAck, ReportAttemptRequest,
};
use tonic::{Code, Status};

fn result(report: &ReportAttemptRequest) -> AttemptResult {
    report.outcome.as_ref().unwrap().result()
}

fn failure_reason(report: &ReportAttemptRequest) -> String {
    let outcome = report.outcome.clone().unwrap();
    outcome.failure.unwrap().reason
}

#[tokio::test]
async fn an_attempt_is_accepted_carried_out_and_reported() {
    let world = World::connected().await;
    let named = attempt(1);
    world.start_attempt(&named, 1).await;
    world.accepted(&named, 1).await;
    let progress =
        |up: &Up| matches!(up, Up::AttemptProgress(it) if it.attempt == Some(named.clone()));
    world
        .controller
        .until("progress comes", |part| part.ups.iter().any(progress))
        .await;
    world
        .controller
        .until("lines come", |part| !part.lines.is_empty())
        .await;
    world.jobs.let_go();
    world
        .controller
        .until("the outcome comes", |part| part.reports.len() == 1)
        .await;
    let part = world.controller.part();
    assert_eq!(result(&part.reports[0]), AttemptResult::Succeeded);
    assert_eq!(part.lines[0].lines[0].message, "at work");
    assert!(part.inventories > 0);
}

#[tokio::test]
async fn a_duplicate_starts_nothing_whenever_it_comes() {
    let mut world = World::connected().await;
    let named = attempt(1);
    world.start_attempt(&named, 1).await;
    world.start_attempt(&named, 1).await;
    world.accepted(&named, 2).await;
    world.jobs.let_go();
    world
        .controller
        .until("the outcome comes", |part| part.reports.len() == 1)
        .await;
    // Acknowledged, and the agent was killed since: it still knows.
    wait_settled(&world).await;
    world.kill();
    world.start().await;
    world.start_attempt(&named, 1).await;
    world
        .controller
        .until("it is refused", |part| refused(part, &named).is_some())
        .await;
    let reason = refused(&world.controller.part(), &named).unwrap();
    assert_eq!(reason, Reason::AttemptSuperseded.as_str());
    assert_eq!(world.started(), 1);
}

/// Waits until a heartbeat names no attempt any more.
async fn wait_settled(world: &World) {
    world.controller.part().ups.clear();
    world
        .controller
        .until("nothing is in hand", |part| {
            part.ups
                .iter()
                .any(|up| matches!(up, Up::Heartbeat(it) if it.attempts.is_empty()))
        })
        .await;
}

#[tokio::test]
async fn a_lower_epoch_is_refused_also_after_a_restart() {
    let mut world = World::connected().await;
    let named = attempt(1);
    world.start_attempt(&named, 5).await;
    world.accepted(&named, 1).await;
    world.controller.part().ups.clear();
    world.kill();
    world.start().await;
    let hello = world.controller.part().ups.clone();
    let epochs = hello.iter().find_map(|up| match up {
        Up::Hello(hello) => Some(hello.epoch),
        _ => None,
    });
    assert_eq!(epochs, Some(5));
    let late = attempt(1);
    world.start_attempt(&late, 4).await;
    world
        .controller
        .until("it is refused", |part| refused(part, &late).is_some())
        .await;
    let reason = refused(&world.controller.part(), &late).unwrap();
    assert_eq!(reason, Reason::VersionStale.as_str());
    assert_eq!(accepted_count(&world.controller.part(), &late), 0);
}

#[tokio::test]
async fn what_is_in_hand_stays_so_when_an_older_epoch_repeats_it() {
    let world = World::connected().await;
    let (named, newer) = (attempt(1), attempt(1));
    world.start_attempt(&named, 5).await;
    world.accepted(&named, 1).await;
    world.start_attempt(&newer, 6).await;
    world.accepted(&newer, 1).await;
    world.start_attempt(&named, 5).await;
    world.accepted(&named, 2).await;
    assert_eq!(refused(&world.controller.part(), &named), None);
    assert_eq!(world.started(), 2);
}

#[tokio::test]
async fn a_lower_fence_of_a_run_is_refused() {
    let world = World::connected().await;
    let newer = attempt(3);
    let mut older = attempt(2);
    older.run_id.clone_from(&newer.run_id);
    world.start_attempt(&newer, 1).await;
    world.accepted(&newer, 1).await;
    world.start_attempt(&older, 1).await;
    world
        .controller
        .until("it is refused", |part| refused(part, &older).is_some())
        .await;
    assert_eq!(world.started(), 1);
}

#[tokio::test]
async fn a_superseded_attempt_is_stopped_and_reports_nothing() {
    let world = World::connected().await;
    let named = attempt(1);
    world.start_attempt(&named, 1).await;
    world.accepted(&named, 1).await;
    let ack = HeartbeatAck {
        superseded_attempts: vec![named.clone()],
        ..HeartbeatAck::default()
    };
    world.controller.say(Down::HeartbeatAck(ack)).await;
    wait_settled(&world).await;
    assert!(world.controller.part().reports.is_empty());
}

#[tokio::test]
async fn a_canceled_attempt_says_so() {
    let world = World::connected().await;
    let named = attempt(1);
    world.start_attempt(&named, 1).await;
    world.accepted(&named, 1).await;
    let cancel = CancelAttempt {
        attempt: Some(named),
        epoch: 1,
        message: "asked".to_owned(),
    };
    world.controller.say(Down::CancelAttempt(cancel)).await;
    world
        .controller
        .until("the outcome comes", |part| part.reports.len() == 1)
        .await;
    let part = world.controller.part();
    assert_eq!(result(&part.reports[0]), AttemptResult::Canceled);
}

#[tokio::test]
async fn a_controller_that_vanishes_in_the_middle_of_a_report_gets_it_later() {
    let mut world = World::connected().await;
    world.controller.part().hold_reports = true;
    let named = attempt(1);
    world.start_attempt(&named, 1).await;
    world.accepted(&named, 1).await;
    world.jobs.let_go();
    world
        .controller
        .until("the report is on its way", |part| part.reports.len() == 1)
        .await;
    world.controller.vanish();
    // The agent dies too, before anybody has acknowledged anything.
    world.kill();
    world.controller.part().hold_reports = false;
    world.controller.part().report_refusals = vec![(Code::Unavailable, "SERVICE_UNAVAILABLE"); 2];
    world.controller.appear();
    world.start().await;
    world
        .controller
        .until("the report is repeated", |part| part.reports.len() == 4)
        .await;
    wait_settled(&world).await;
    let part = world.controller.part();
    assert!(part.reports.iter().all(|report| report == &part.reports[0]));
    assert_eq!(world.started(), 1);
}

#[tokio::test]
async fn an_attempt_the_agent_was_killed_in_is_reported_as_failed_and_not_resumed() {
    let mut world = World::connected().await;
    let named = attempt(1);
    world.start_attempt(&named, 1).await;
    world.accepted(&named, 1).await;
    world.kill();
    world.start().await;
    world
        .controller
        .until("the outcome comes", |part| part.reports.len() == 1)
        .await;
    let report = world.controller.part().reports.remove(0);
    assert_eq!(failure_reason(&report), Reason::ServiceUnavailable.as_str());
    assert_eq!(report.attempt.unwrap().attempt_id, named.attempt_id);
    assert!(world.started() <= 1);
}

#[tokio::test]
async fn an_outcome_that_is_refused_for_good_is_not_repeated() {
    let world = World::connected().await;
    let refusals = [
        (Code::FailedPrecondition, Reason::AttemptSuperseded),
        (Code::FailedPrecondition, Reason::OutcomeConflict),
        (Code::PermissionDenied, Reason::NotYours),
    ];
    for (code, reason) in refusals {
        world.controller.part().reports.clear();
        world.controller.part().report_refusals = vec![(code, reason.as_str())];
        let named = attempt(1);
        world.start_attempt(&named, 1).await;
        world.accepted(&named, 1).await;
        world.jobs.let_go();
        world
            .controller
            .until("the report comes", |part| part.reports.len() == 1)
            .await;
        wait_settled(&world).await;
        assert_eq!(world.controller.part().reports.len(), 1, "{reason}");
    }
}

#[tokio::test]
async fn a_shutdown_ends_what_runs_and_reports_it_first() {
    let mut world = World::connected().await;
    let named = attempt(1);
    world.start_attempt(&named, 1).await;
    world.accepted(&named, 1).await;
    world.running.take().unwrap().shutdown().await;
    let report = world.controller.part().reports.remove(0);
    assert_eq!(failure_reason(&report), Reason::ServiceUnavailable.as_str());
}

#[tokio::test]
async fn a_broken_refused_or_drained_stream_is_dialed_again() {
    let world = World::connected().await;
    world.controller.refuse(Status::unavailable("gone")).await;
    world
        .controller
        .until("the agent is back", |part| part.streams == 2)
        .await;
    let locked = refusal(Code::PermissionDenied, Reason::VersionStale.as_str());
    world.controller.refuse(locked).await;
    world
        .controller
        .until("the agent is back", |part| part.streams == 3)
        .await;
    world.controller.say(Down::Drain(Drain::default())).await;
    world
        .controller
        .until("the agent is back", |part| part.streams == 4)
        .await;
}

#[tokio::test]
async fn a_checkpoint_is_echoed_and_one_that_goes_back_is_not_taken() {
    let world = World::connected().await;
    let note = |sequence: u64| {
        let checkpoint = Checkpoint {
            controller: "c".to_owned(),
            head: ChainHead {
                sequence,
                hash: "00".to_owned(),
            },
            epoch: 1,
            time_micros: 1,
            accepted_epoch: 0,
        };
        let signing = world.controller.signing();
        signed_note::sign(&checkpoint.body(), "provado-audit/c", signing).unwrap()
    };
    let show = async |checkpoint: String| {
        let ack = HeartbeatAck {
            checkpoint,
            ..HeartbeatAck::default()
        };
        world.controller.say(Down::HeartbeatAck(ack)).await;
    };
    let echoed = |checkpoint: String| {
        move |part: &crate::controller::Part| {
            let last = part.ups.iter().rev().find_map(|up| match up {
                Up::Heartbeat(it) => Some(it.checkpoint.clone()),
                _ => None,
            });
            last.as_deref() == Some(checkpoint.as_str())
        }
    };
    show(note(9)).await;
    world
        .controller
        .until("it is echoed", echoed(note(9)))
        .await;
    show(note(4)).await;
    // A later one shows that the earlier was looked at and left.
    let is_kept = echoed(note(9));
    let waited = tokio::time::timeout(
        MOMENT,
        world.controller.until("never", |part| !is_kept(part)),
    );
    assert!(waited.await.is_err());
    show(note(12)).await;
    world
        .controller
        .until("it is echoed", echoed(note(12)))
        .await;
}
