//! Offers: the row before the push, the limit, the order, the contents.

use crate::reports::{self, kind};
use crate::world::{World, run_id};
use provado_controller::fleet::store::database::database_set_gone;
use provado_controller::lifecycle::attempt::AttemptState;
use provado_controller::lifecycle::run::{
    NewRun, RunEvent, RunKind, RunState, run_apply, run_insert,
};
use provado_controller::supervisor::Activity;
use provado_model::id::RunId;
use provado_proto::agent::v1::job::Kind;
use provado_proto::operator::v1 as operator;
use provado_proto::operator::v1::run_service_server::RunService;
use uuid::Uuid;

#[tokio::test]
async fn an_offer_is_a_row_before_it_is_sent_and_says_everything() {
    let world = World::new().await;
    world.with_repository().await;
    let mut request = world.backup_request("shop");
    request.labels.insert("why".to_owned(), "test".to_owned());
    request.compression_level = 7;
    let answer = world.runs.run_backup(world.ask(request)).await.unwrap();
    let run = run_id(answer.into_inner().run.as_ref());
    world.settle().await;
    let start = world.take_start();
    let attempt = world.attempt(run, 1).await;
    assert_eq!(attempt.state, AttemptState::Offered);
    let named = start.attempt.clone().unwrap();
    assert_eq!(named.attempt_id, attempt.id.to_string());
    assert_eq!(named.run_id, run.to_string());
    assert_eq!(named.fence, 1);
    assert_eq!(u64::try_from(start.epoch).unwrap(), attempt.epoch);
    let Some(Kind::Backup(job)) = kind(&start) else {
        panic!("not a backup");
    };
    let repository = job.repository.unwrap();
    assert_eq!(repository.path, "/srv/local");
    assert_eq!(repository.segment_key.len(), 64);
    let instance = job.instance.unwrap();
    assert_eq!(instance.system_identifier, "70000000000000150018");
    assert_eq!(
        (instance.host.as_str(), instance.port),
        ("/var/run/postgresql", 5_432)
    );
    assert_eq!(
        (job.database_name.as_str(), job.database_oid),
        ("shop", 16_385)
    );
    assert_eq!(job.backup_id, attempt.id.to_string());
    assert_eq!(
        (job.parent_backup_id.as_str(), job.expected_stored_bytes),
        ("", 0)
    );
    assert_eq!(job.compression_level, 7);
    assert_eq!(job.labels["why"], "test");
    world.assert_rest().await;
}

#[tokio::test]
async fn the_second_backup_has_the_first_for_a_parent_and_a_damaged_one_is_none() {
    let world = World::new().await;
    world.with_repository().await;
    let first = world.back_up("shop").await;
    world.request_backup("shop").await;
    world.settle().await;
    let start = world.take_start();
    let Some(Kind::Backup(job)) = kind(&start) else {
        panic!("not a backup");
    };
    assert_eq!(job.parent_backup_id, first.to_string());
    assert_eq!(job.expected_stored_bytes, 380);
    world
        .report(&start, reports::failed("DISK_FULL"))
        .await
        .unwrap();
    world.request_check(first).await;
    world.settle().await;
    let start = world.take_start();
    world.report(&start, reports::damaged()).await.unwrap();
    world.settle().await;
    world.request_backup("shop").await;
    world.settle().await;
    let Some(Kind::Backup(job)) = kind(&world.take_start()) else {
        panic!("not a backup");
    };
    assert_eq!(job.parent_backup_id, "");
}

#[tokio::test]
async fn nothing_is_sent_to_an_agent_that_is_away_and_all_when_it_is_back() {
    let world = World::new().await;
    world.with_repository().await;
    world.disconnect();
    let run = world.request_backup("shop").await;
    world.settle().await;
    assert!(world.take_sent().is_empty());
    assert_eq!(world.run(run).await.attempt_number, 0);
    world.connect();
    assert_eq!(world.step("dispatch").await, Activity::Done);
    assert_eq!(world.take_starts().len(), 1);
    world.assert_rest().await;
}

#[tokio::test]
async fn an_agent_has_so_many_attempts_at_a_time() {
    let world = World::new().await;
    world.with_repository().await;
    for number in 0..6_u32 {
        let name = format!("d{number}");
        world.add_database(&name, 20_000 + number).await;
        world.advance(1);
        world.request_backup(&name).await;
    }
    world.settle().await;
    let starts = world.take_starts();
    let names: Vec<String> = starts
        .iter()
        .map(|start| match kind(start) {
            Some(Kind::Backup(job)) => job.database_name,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["d0", "d1", "d2", "d3"], "first come, first served");
    world
        .report(&starts[0], world.backed_up(&starts[0]))
        .await
        .unwrap();
    world.settle().await;
    assert_eq!(world.take_starts().len(), 1);
    world.assert_rest().await;
}

#[tokio::test]
async fn what_was_dropped_meanwhile_fails_with_the_reason() {
    let world = World::new().await;
    world.with_repository().await;
    let dropped = world.add_database("gone", 30_000).await;
    let run = world.request_backup("gone").await;
    let mut tx = world.begin().await;
    database_set_gone(&mut tx, dropped).await.unwrap();
    tx.commit().await.unwrap();
    world.settle().await;
    let run = world.run(run).await;
    assert_eq!(run.state, RunState::Failed);
    assert_eq!(run.failure.unwrap().reason, "DATABASE_NOT_FOUND");
    assert!(world.take_sent().is_empty());
    world.assert_rest().await;
}

#[tokio::test]
async fn an_offer_that_is_not_answered_is_made_again_and_lapses() {
    let world = World::new().await;
    world.with_repository().await;
    let run = world.request_backup("shop").await;
    world.settle().await;
    let first = world.take_start();
    world.advance(4);
    world.step("dispatch-reap").await;
    let again = world.take_start();
    assert_eq!(again, first, "the same command, for the agent's journal");
    world.advance(27);
    world.step("dispatch-reap").await;
    assert_eq!(world.attempt(run, 1).await.state, AttemptState::Lost);
    assert_eq!(world.run(run).await.state, RunState::Queued);
}

#[tokio::test]
async fn an_identity_rides_along_and_is_let_go_at_the_end() {
    let world = World::new().await;
    world.with_repository().await;
    let backup = world.back_up("shop").await;
    let armored = "-----BEGIN AGE ENCRYPTED FILE-----\nx\n";
    let ask = async || {
        let mut request = world.check_request(&format!("backups/{backup}"));
        request.sealed_identity = armored.to_owned();
        let answer = world.runs.run_check(world.ask(request)).await.unwrap();
        run_id(answer.into_inner().run.as_ref())
    };
    let run = ask().await;
    let stored = world.run(run).await.spec.to_string();
    assert!(!stored.contains("AGE"), "{stored}");
    world.settle().await;
    let start = world.take_start();
    let Some(Kind::Check(job)) = kind(&start) else {
        panic!("not a check");
    };
    let told = job.backup.unwrap();
    assert_eq!(told.sealed_identity, armored);
    assert_eq!(told.description_sha256, [7; 32]);
    assert_eq!(
        told.signer_public_key,
        world.agent_key.public_key().as_bytes()
    );
    let level = provado_proto::common::v1::CheckLevel::Intact;
    world.report(&start, reports::check(level)).await.unwrap();
    world.settle().await;
    assert_eq!(world.sealed.get(run), None);
    // A restart forgets it; then the run says so.
    world.disconnect();
    let lost = ask().await;
    world.sealed.drop_of(lost);
    world.connect();
    world.settle().await;
    let lost = world.run(lost).await;
    assert_eq!(lost.state, RunState::Failed);
    assert_eq!(lost.failure.unwrap().reason, "IDENTITY_MISSING");
    world.assert_rest().await;
}

#[tokio::test]
async fn an_inspection_and_a_drill_are_told_what_they_need() {
    let world = World::new().await;
    world.with_repository().await;
    let backup = world.back_up("shop").await;
    let request = operator::RunInspectRequest {
        request_id: world.request_id(),
        validate_only: false,
        agent: "db1".to_owned(),
    };
    world.runs.run_inspect(world.ask(request)).await.unwrap();
    world.settle().await;
    assert!(matches!(kind(&world.take_start()), Some(Kind::Inspect(_))));
    let drill = world.request_drill(backup).await;
    world.settle().await;
    let Some(Kind::Drill(job)) = kind(&world.take_start()) else {
        panic!("not a drill");
    };
    assert_eq!(job.proof_id, world.attempt(drill, 1).await.id.to_string());
    assert_eq!(job.backup.unwrap().backup_id, backup.to_string());
}

#[tokio::test]
async fn a_run_that_cannot_be_understood_holds_nobody_up() {
    let world = World::new().await;
    world.with_repository().await;
    world.disconnect();
    let strange = world.request_backup("crm").await;
    world.settle().await;
    let mut requested = NewRun::new(
        RunId::from_uuid(Uuid::from_u128(5)),
        RunKind::Backup,
        serde_json::json!({"kind": "dance"}),
    );
    requested.binding = world.run(strange).await.binding;
    let ctx = world.core.task_context("test");
    let mut tx = world.begin().await;
    run_insert(&mut tx, &ctx, &requested).await.unwrap();
    // The same for one that was let in before.
    requested.id = RunId::from_uuid(Uuid::from_u128(6));
    requested.binding.exclusive_key = None;
    let queued = run_insert(&mut tx, &ctx, &requested)
        .await
        .unwrap()
        .into_inner();
    let admit = RunEvent::Admit(queued.binding.clone());
    run_apply(&mut tx, &ctx, &queued, admit).await.unwrap();
    tx.commit().await.unwrap();
    let good = world.request_backup("shop").await;
    world.connect();
    world.settle().await;
    assert_eq!(world.run(good).await.state, RunState::Dispatched);
    for number in [5, 6] {
        let run = world.run(RunId::from_uuid(Uuid::from_u128(number))).await;
        assert_eq!(run.state, RunState::Failed, "{number}");
        assert_eq!(run.failure.unwrap().reason, "INTERNAL");
    }
    world.assert_rest().await;
}
