//! What checks and drills make of a backup, and proofs.

use crate::refusals::assert_reason;
use crate::reports;
use crate::world::World;
use prost::Message;
use provado_controller::lifecycle::backup::{BackupCheck, backup_get};
use provado_controller::lifecycle::run::RunState;
use provado_controller::supervisor::Activity;
use provado_model::Reason;
use provado_model::id::{BackupId, RunId};
use provado_proto::agent::v1 as agent;
use provado_proto::agent::v1::outcome::Detail;
use provado_proto::common::v1::CheckLevel;
use provado_proto::operator::v1 as operator;
use provado_proto::operator::v1::backup_service_server::BackupService;
use provado_proto::operator::v1::proof_service_server::ProofService;
use provado_proto::operator::v1::run_service_server::RunService;

async fn state(world: &World, backup: BackupId) -> BackupCheck {
    let mut tx = world.begin().await;
    backup_get(&mut tx, backup)
        .await
        .unwrap()
        .unwrap()
        .check_state
}

async fn checked(world: &World, backup: BackupId, level: CheckLevel) -> BackupCheck {
    let mut request = world.check_request(&backup.to_string());
    request.level = level.into();
    world.runs.run_check(world.ask(request)).await.unwrap();
    world.settle().await;
    let start = world.take_start();
    world.report(&start, reports::check(level)).await.unwrap();
    world.settle().await;
    state(world, backup).await
}

async fn drilled(
    world: &World,
    backup: BackupId,
    outcome: impl FnOnce(&agent::StartAttempt) -> agent::Outcome,
) -> RunId {
    let run = world.request_drill(backup).await;
    world.settle().await;
    let start = world.take_start();
    world.report(&start, outcome(&start)).await.unwrap();
    world.settle().await;
    run
}

#[tokio::test]
async fn checks_raise_the_state_and_never_lower_it() {
    let world = World::new().await;
    world.with_repository().await;
    let backup = world.back_up("shop").await;
    assert_eq!(state(&world, backup).await, BackupCheck::Unchecked);
    let walk = [
        (CheckLevel::Present, BackupCheck::Unchecked),
        (CheckLevel::Intact, BackupCheck::Intact),
        (CheckLevel::Present, BackupCheck::Intact),
        (CheckLevel::Readable, BackupCheck::Readable),
        (CheckLevel::Intact, BackupCheck::Readable),
    ];
    for (level, expected) in walk {
        assert_eq!(checked(&world, backup, level).await, expected, "{level:?}");
    }
    drilled(&world, backup, |start| world.drilled(start)).await;
    assert_eq!(state(&world, backup).await, BackupCheck::Proven);
    assert_eq!(
        checked(&world, backup, CheckLevel::Intact).await,
        BackupCheck::Proven
    );
    world.assert_rest().await;
}

#[tokio::test]
async fn damage_makes_a_backup_corrupt_and_only_reading_it_all_helps() {
    let world = World::new().await;
    world.with_repository().await;
    let backup = world.back_up("shop").await;
    let run = world.request_check(backup).await;
    world.settle().await;
    let start = world.take_start();
    world.report(&start, reports::damaged()).await.unwrap();
    assert_eq!(world.step("verify").await, Activity::Done);
    assert_eq!(world.step("verify").await, Activity::Idle);
    assert_eq!(state(&world, backup).await, BackupCheck::Corrupt);
    let failure = world.run(run).await.failure.unwrap();
    assert_eq!(failure.reason, "CHECK_FOUND_DAMAGE");
    assert!(
        failure.message.contains("table public.orders"),
        "{}",
        failure.message
    );
    assert_eq!(
        checked(&world, backup, CheckLevel::Intact).await,
        BackupCheck::Corrupt
    );
    assert_eq!(
        checked(&world, backup, CheckLevel::Readable).await,
        BackupCheck::Readable
    );
}

#[tokio::test]
async fn of_two_findings_the_later_one_stands() {
    let world = World::new().await;
    world.with_repository().await;
    let backup = world.back_up("shop").await;
    for _ in 0..2 {
        let mut request = world.check_request(&backup.to_string());
        request.level = CheckLevel::Readable.into();
        world.runs.run_check(world.ask(request)).await.unwrap();
    }
    world.settle().await;
    let mut starts = world.take_starts();
    // The one with the higher id ends first: ids say nothing of when.
    starts.sort_by_key(|start| std::cmp::Reverse(start.attempt.clone().unwrap().run_id));
    let good = reports::check(CheckLevel::Readable);
    world.report(&starts[0], good).await.unwrap();
    world.advance(1);
    world.report(&starts[1], reports::damaged()).await.unwrap();
    world.settle().await;
    assert_eq!(state(&world, backup).await, BackupCheck::Corrupt);
    world.assert_rest().await;
}

#[tokio::test]
async fn a_drill_that_found_equality_makes_a_proof_signed_twice() {
    let world = World::new().await;
    world.with_repository().await;
    let backup = world.back_up("shop").await;
    let run = drilled(&world, backup, |start| world.drilled(start)).await;
    let shown = world.shown(run).await;
    let request = operator::GetProofRequest {
        name: shown.proof.clone(),
    };
    let answer = world.proofs.get_proof(world.ask(request)).await.unwrap();
    let proof = answer.into_inner().proof.unwrap();
    assert_eq!(proof.backup, format!("backups/{backup}"));
    assert_eq!(proof.level(), operator::ProofLevel::Equal);
    assert_eq!((proof.table_count, proof.row_count), (2, 10));
    assert_eq!(proof.recovery_millis, 1_234);
    let document = proof.document.as_bytes();
    let keys = [&world.agent_key, &world.controller_key].map(|key| key.public_key());
    keys[0].verify(document, &proof.agent_signature).unwrap();
    keys[1]
        .verify(document, &proof.controller_signature)
        .unwrap();
    assert_eq!(proof.agent_public_key, keys[0].as_bytes());
    assert_eq!(proof.controller_public_key, keys[1].as_bytes());
    let request = operator::GetBackupRequest {
        name: format!("backups/{backup}"),
    };
    let answer = world.backups.get_backup(world.ask(request)).await.unwrap();
    assert_eq!(answer.into_inner().backup.unwrap().proof, shown.proof);
    world.assert_rest().await;
}

#[tokio::test]
async fn a_drill_that_could_not_be_carried_out_says_nothing_of_the_backup() {
    let world = World::new().await;
    world.with_repository().await;
    let backup = world.back_up("shop").await;
    assert_eq!(
        checked(&world, backup, CheckLevel::Intact).await,
        BackupCheck::Intact
    );
    let broken = drilled(&world, backup, |_| reports::failed("DRILL_BROKEN")).await;
    let lied = drilled(&world, backup, |start| {
        let mut outcome = world.drilled(start);
        if let Some(Detail::Drill(drill)) = &mut outcome.detail {
            drill.proof_document.push(' ');
        }
        outcome
    })
    .await;
    for run in [broken, lied] {
        let run = world.run(run).await;
        assert_eq!(run.state, RunState::Failed);
        assert_eq!(run.failure.unwrap().reason, "DRILL_BROKEN");
    }
    assert_eq!(state(&world, backup).await, BackupCheck::Intact);
    let request = operator::ListProofsRequest::default();
    let answer = world.proofs.list_proofs(world.ask(request)).await.unwrap();
    assert!(answer.into_inner().proofs.is_empty());
    world.assert_rest().await;
}

#[tokio::test]
async fn a_drill_that_found_a_difference_makes_the_backup_corrupt() {
    let world = World::new().await;
    world.with_repository().await;
    let backup = world.back_up("shop").await;
    let run = drilled(&world, backup, |start| {
        let mut outcome = world.drilled(start);
        if let Some(Detail::Drill(drill)) = &mut outcome.detail {
            drill.differences.push(agent::Difference {
                object: "table public.orders".to_owned(),
                aspect: "rows".to_owned(),
                expected: "10".to_owned(),
                found: "9".to_owned(),
            });
        }
        outcome
    })
    .await;
    let shown = world.shown(run).await;
    assert_eq!(shown.proof, "");
    let failure = shown.failure.unwrap();
    assert_eq!(failure.reason, "DRILL_FOUND_DIFFERENCE");
    assert!(
        failure.message.contains("rows should be 10, is 9"),
        "{}",
        failure.message
    );
    assert_eq!(state(&world, backup).await, BackupCheck::Corrupt);
}

#[tokio::test]
async fn proofs_are_listed_by_what_they_are_about() {
    let world = World::new().await;
    world.with_repository().await;
    let shop = world.back_up("shop").await;
    let crm = world.back_up("crm").await;
    for backup in [shop, crm, shop] {
        world.advance(1);
        drilled(&world, backup, |start| world.drilled(start)).await;
    }
    let list = async |change: &dyn Fn(&mut operator::ListProofsRequest)| {
        let mut request = operator::ListProofsRequest::default();
        change(&mut request);
        let answer = world.proofs.list_proofs(world.ask(request)).await.unwrap();
        answer.into_inner()
    };
    let all = list(&|_| {}).await;
    assert_eq!(all.proofs.len(), 3);
    assert!(all.proofs.iter().all(|proof| proof.document.is_empty()));
    assert!(all.proofs[0].name > all.proofs[1].name, "newest first");
    let of_shop = list(&|it| it.backup = format!("backups/{shop}")).await;
    assert_eq!(of_shop.proofs.len(), 2);
    let of_crm = list(&|it| it.database_name = "crm".into()).await;
    assert_eq!(of_crm.proofs.len(), 1);
    let first = list(&|it| it.page_size = 2).await;
    let token = first.next_page_token.clone();
    let second = list(&|it| {
        it.page_size = 2;
        it.page_token.clone_from(&token);
    })
    .await;
    assert_eq!((first.proofs.len(), second.proofs.len()), (2, 1));
    assert_eq!(second.next_page_token, "");
    let request = operator::GetProofRequest {
        name: "proofs/abcd".to_owned(),
    };
    let answer = world.proofs.get_proof(world.ask(request)).await;
    assert_reason(answer, Reason::ProofNotFound);
}

#[tokio::test]
async fn no_new_backup_builds_on_a_pack_that_was_found_damaged() {
    let world = World::new().await;
    world.with_repository().await;
    let first = world.back_up("shop").await;
    let second = world.back_up("shop").await;
    world.request_check(first).await;
    world.settle().await;
    let start = world.take_start();
    let report = reports::damaged_pack(first);
    world.report(&start, report).await.unwrap();
    world.settle().await;
    // The second is not known to be damaged, but it refers to the same pack.
    assert_eq!(state(&world, second).await, BackupCheck::Unchecked);
    let request = operator::GetBackupRequest {
        name: format!("backups/{second}"),
    };
    let answer = world.backups.get_backup(world.ask(request)).await.unwrap();
    let damages = answer.into_inner().backup.unwrap().damages;
    assert!(damages[0].contains("check this one too"), "{damages:?}");
    let parent = async || {
        world.advance(1);
        let run = world.request_backup("shop").await;
        world.settle().await;
        let start = world.take_start();
        world
            .report(&start, reports::failed("DISK_FULL"))
            .await
            .unwrap();
        world.settle().await;
        assert_eq!(world.run(run).await.state, RunState::Failed);
        let Some(agent::job::Kind::Backup(job)) = reports::kind(&start) else {
            panic!("not a backup");
        };
        job.parent_backup_id
    };
    assert_eq!(parent().await, "");
    // Checksums alone do not show that the pack was repaired: it may hold what never was right.
    assert_eq!(
        checked(&world, second, CheckLevel::Intact).await,
        BackupCheck::Intact
    );
    assert_eq!(parent().await, "");
    // A check that understands everything in it does.
    assert_eq!(
        checked(&world, second, CheckLevel::Readable).await,
        BackupCheck::Readable
    );
    assert_eq!(parent().await, second.to_string());
    world.assert_rest().await;
}

#[tokio::test]
async fn a_list_of_runs_leaves_the_findings_out() {
    let world = World::new().await;
    world.with_repository().await;
    let backup = world.back_up("shop").await;
    let mut asked = Vec::new();
    for _ in 0..4 {
        asked.push(world.request_check(backup).await);
    }
    world.settle().await;
    // Together these are more than one message may have.
    for start in world.take_starts() {
        let mut report = reports::damaged();
        if let Some(Detail::Check(check)) = &mut report.detail {
            check.damages[0].message = "x".repeat(1_500);
            check.damages = vec![check.damages[0].clone(); 1_000];
        }
        world.report(&start, report).await.unwrap();
    }
    world.settle().await;
    let request = operator::ListRunsRequest {
        filter: Some(operator::RunFilter {
            kinds: vec![operator::RunKind::Check.into()],
            ..operator::RunFilter::default()
        }),
        ..operator::ListRunsRequest::default()
    };
    let answer = world.runs.list_runs(world.ask(request)).await.unwrap();
    let answer = answer.into_inner();
    assert_eq!(answer.runs.len(), 4);
    for run in &answer.runs {
        let outcome = run.outcome.clone().unwrap();
        assert!(outcome.damages.is_empty());
        assert_eq!(outcome.object_count, 7);
    }
    assert!(answer.encoded_len() < 400_000, "{}", answer.encoded_len());
    let shown = world.shown(asked[0]).await;
    assert_eq!(shown.outcome.unwrap().damages.len(), 1_000);
}
