//! ReportService: what ends a run well, what does not, and what changes nothing.

use crate::refusals::assert_reason;
use crate::reports;
use crate::world::{World, agent_caller, with_caller};
use provado_controller::lifecycle::attempt::AttemptState;
use provado_controller::lifecycle::run::RunState;
use provado_model::id::AgentId;
use provado_model::{Reason, statement, time};
use provado_proto::agent::v1 as agent;
use provado_proto::agent::v1::outcome::Detail;
use provado_proto::agent::v1::report_service_server::ReportService;
use provado_proto::operator::v1::backup_service_server::BackupService;
use uuid::Uuid;

/// One way in which a report could be about something else.
type Change = fn(&mut agent::ReportAttemptRequest);

async fn started(world: &World) -> (provado_model::id::RunId, agent::StartAttempt) {
    world.with_repository().await;
    let run = world.request_backup("shop").await;
    world.settle().await;
    (run, world.take_start())
}

#[tokio::test]
async fn a_good_backup_enters_the_catalogue_countersigned() {
    let world = World::new().await;
    let (run, start) = started(&world).await;
    let answer = world.report(&start, world.backed_up(&start)).await.unwrap();
    assert!(answer.accepted, "{}", answer.message);
    let ended = world.run(run).await;
    assert_eq!(ended.state, RunState::Succeeded);
    assert_eq!(world.attempt(run, 1).await.state, AttemptState::Succeeded);
    let backup = ended.binding.backup_id.unwrap();
    let signed = answer.countersign_time.unwrap();
    let sign_time = jiff::Timestamp::new(signed.seconds, signed.nanos).unwrap();
    assert_eq!(time::from_micros(time::to_micros(sign_time)), sign_time);
    let message = statement::countersignature(world.instance, backup, &[7; 32], sign_time);
    let key = world.controller_key.public_key();
    key.verify(&message, &answer.countersignature).unwrap();
    let shown = world.shown(run).await;
    assert_eq!(shown.backup, format!("backups/{backup}"));
    let outcome = shown.outcome.unwrap();
    assert_eq!((outcome.row_count, outcome.added_bytes), (10, 300));
    world.assert_rest().await;
}

#[tokio::test]
async fn a_repeated_report_gets_the_same_answer_and_changes_nothing() {
    let world = World::new().await;
    let (_, start) = started(&world).await;
    let outcome = world.backed_up(&start);
    let first = world.report(&start, outcome.clone()).await.unwrap();
    let changes = world.changes().await;
    world.advance(5);
    let again = world.report(&start, outcome).await.unwrap();
    assert_eq!(again, first);
    assert_eq!(world.changes().await, changes);
}

#[tokio::test]
async fn a_different_report_is_refused_and_written_down() {
    let world = World::new().await;
    let (run, start) = started(&world).await;
    world
        .report(&start, reports::failed("DISK_FULL"))
        .await
        .unwrap();
    let changes = world.changes().await;
    let other = world.report(&start, world.backed_up(&start)).await;
    assert_reason(other, Reason::OutcomeConflict);
    assert_eq!(world.changes().await, changes + 1, "the audit event alone");
    let ended = world.run(run).await;
    assert_eq!(ended.state, RunState::Failed);
    assert_eq!(ended.failure.unwrap().reason, "DISK_FULL");
    assert_eq!(ended.binding.backup_id, None);
}

#[tokio::test]
async fn evidence_that_does_not_add_up_is_no_backup() {
    let world = World::new().await;
    let (run, start) = started(&world).await;
    let mut outcome = world.backed_up(&start);
    if let Some(Detail::Backup(detail)) = &mut outcome.detail {
        detail.evidence.as_mut().unwrap().read_back_bytes = 1;
    }
    let answer = world.report(&start, outcome.clone()).await.unwrap();
    assert!(!answer.accepted);
    assert!(answer.countersignature.is_empty());
    assert!(
        answer.message.contains("not every byte"),
        "{}",
        answer.message
    );
    let ended = world.run(run).await;
    assert_eq!(ended.state, RunState::Failed);
    assert_eq!(ended.failure.unwrap().reason, "EVIDENCE_INSUFFICIENT");
    // Said twice, judged the same.
    assert_eq!(world.report(&start, outcome).await.unwrap(), answer);
    let list = provado_proto::operator::v1::ListBackupsRequest::default();
    let listed = world.backups.list_backups(world.ask(list)).await.unwrap();
    assert!(listed.into_inner().backups.is_empty());
    world.assert_rest().await;
}

#[tokio::test]
async fn an_attempt_of_another_agent_and_none_at_all_look_the_same() {
    let world = World::new().await;
    let (_, start) = started(&world).await;
    let changes = world.changes().await;
    let other = agent_caller(AgentId::from_uuid(Uuid::from_u128(0xbad)));
    let report = world.report_of(&start, world.backed_up(&start));
    let foreign = world
        .reports
        .report_attempt(with_caller(report.clone(), other))
        .await
        .unwrap_err();
    let mut unknown = report.clone();
    let named = unknown.attempt.as_mut().unwrap();
    let asked = named.attempt_id.clone();
    named.attempt_id = Uuid::from_u128(77).to_string();
    let asked_unknown = named.attempt_id.clone();
    let missing = world
        .reports
        .report_attempt(world.as_agent(unknown))
        .await
        .unwrap_err();
    assert_eq!(foreign.code(), missing.code());
    assert_eq!(
        foreign.message().replace(&asked, ""),
        missing.message().replace(&asked_unknown, "")
    );
    assert_reason::<()>(Err(foreign), Reason::NotYours);
    // An operator is no agent.
    let refused = world.reports.report_attempt(world.ask(report)).await;
    assert_reason(refused, Reason::NotYours);
    assert_eq!(world.changes().await, changes);
}

#[tokio::test]
async fn a_report_must_name_run_fence_and_epoch_as_they_are() {
    let world = World::new().await;
    let (_, start) = started(&world).await;
    let changes = world.changes().await;
    let good = world.report_of(&start, world.backed_up(&start));
    let cases: [(Change, Reason); 7] = [
        (|it| it.attempt = None, Reason::InvalidArgument),
        (|it| it.outcome = None, Reason::InvalidArgument),
        (|it| it.request_id.clear(), Reason::InvalidArgument),
        (|it| it.epoch += 1, Reason::InvalidArgument),
        (
            |it| it.attempt.as_mut().unwrap().fence = -1,
            Reason::InvalidArgument,
        ),
        (
            |it| it.attempt.as_mut().unwrap().fence = 2,
            Reason::AttemptSuperseded,
        ),
        (
            |it| it.attempt.as_mut().unwrap().run_id = Uuid::from_u128(3).to_string(),
            Reason::NotYours,
        ),
    ];
    for (change, expected) in cases {
        let mut report = good.clone();
        change(&mut report);
        let refused = world.reports.report_attempt(world.as_agent(report)).await;
        assert_reason(refused, expected);
    }
    assert_eq!(world.changes().await, changes);
}

#[tokio::test]
async fn reports_that_contradict_each_other_are_written_down_so_often() {
    let world = World::new().await;
    let (_, start) = started(&world).await;
    world.report(&start, world.backed_up(&start)).await.unwrap();
    let changes = world.changes().await;
    for number in 0..100 {
        let mut other = world.backed_up(&start);
        other.warnings.push(format!("otherwise {number}"));
        assert_reason(world.report(&start, other).await, Reason::OutcomeConflict);
    }
    assert_eq!(world.changes().await, changes + 60);
}

#[tokio::test]
async fn a_cancel_that_came_too_late_loses_no_backup() {
    let world = World::new().await;
    let (run, start) = started(&world).await;
    world.cancel(run).await.unwrap();
    let answer = world.report(&start, world.backed_up(&start)).await.unwrap();
    assert!(answer.accepted);
    assert_eq!(world.run(run).await.state, RunState::Succeeded);
}

fn lines(texts: &[&str], from: i64) -> Vec<agent::LogLine> {
    (from..)
        .zip(texts)
        .map(|(sequence, text)| agent::LogLine {
            sequence,
            log_time: Some(prost_types::Timestamp {
                seconds: sequence,
                nanos: 0,
            }),
            level: "info".to_owned(),
            message: (*text).to_owned(),
        })
        .collect()
}

#[tokio::test]
async fn log_lines_are_kept_once_and_in_order() {
    let world = World::new().await;
    let (run, start) = started(&world).await;
    let append = async |lines: Vec<agent::LogLine>| {
        let request = agent::AppendLogRequest {
            attempt: start.attempt.clone(),
            lines,
            request_id: world.request_id(),
        };
        let answer = world.reports.append_log(world.as_agent(request)).await;
        answer.map(|answer| answer.into_inner().sequence)
    };
    assert_eq!(append(lines(&["one", "two"], 1)).await.unwrap(), 2);
    assert_eq!(append(lines(&["two", "three"], 2)).await.unwrap(), 3);
    assert_eq!(append(Vec::new()).await.unwrap(), 0);
    let got = crate::following::log_of(&world, run).await;
    assert_eq!(got, ["one", "two", "three"]);
    let too_many = lines(&["x"; 1_001], 1);
    assert_reason(append(too_many).await, Reason::InvalidArgument);
    world.advance(31);
    world.step("dispatch-reap").await;
    assert_reason(append(lines(&["late"], 4)).await, Reason::AttemptSuperseded);
}
