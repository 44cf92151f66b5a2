//! Scans: backups that a repository has and the catalogue does not know come back, once, and only
//! where it is known whose they are.

use crate::refusals::assert_reason;
use crate::reports::{failed, kind, outcome};
use crate::world::{World, run_id};
use agent::job::Kind;
use agent::outcome::Detail;
use provado_model::id::BackupId;
use provado_model::{Reason, statement};
use provado_proto::agent::v1 as agent;
use provado_proto::operator::v1 as operator;
use provado_proto::operator::v1::backup_service_server::BackupService;
use provado_proto::operator::v1::run_service_server::RunService;
use tonic::Status;
use uuid::Uuid;

fn request(world: &World) -> operator::RunScanRequest {
    operator::RunScanRequest {
        request_id: world.request_id(),
        repository: "repositories/local".to_owned(),
        ..operator::RunScanRequest::default()
    }
}

/// Asks for a scan and lets the agent report what it found; the run afterwards, and the job.
async fn scan(
    world: &World,
    request: operator::RunScanRequest,
    told: agent::ScanOutcome,
) -> (operator::Run, agent::ScanJob) {
    let answer = world.runs.run_scan(world.ask(request)).await.unwrap();
    let run = run_id(answer.into_inner().run.as_ref());
    world.settle().await;
    let start = world.take_start();
    let Some(Kind::Scan(job)) = kind(&start) else {
        panic!("not a scan: {start:?}");
    };
    world
        .report(&start, outcome(Detail::Scan(told)))
        .await
        .unwrap();
    world.settle().await;
    (world.shown(run).await, job)
}

fn id(number: u128) -> BackupId {
    BackupId::from_uuid(Uuid::from_u128(number))
}

/// A backup as the agent finds it: one of its own, of the instance `main`, made before any other.
fn found(world: &World, backup: BackupId) -> agent::FoundBackup {
    let digest = [9_u8; 32];
    let signed = statement::description(backup, &digest);
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    agent::FoundBackup {
        backup_id: backup.to_string(),
        instance_id: world.instance.to_string(),
        description_sha256: digest.to_vec(),
        signer_public_key: world.agent_key.public_key().as_bytes().to_vec(),
        description_signature: world.agent_key.sign(&signed).unwrap().to_vec(),
        run_id: Uuid::from_u128(0xe1).to_string(),
        attempt_id: backup.to_string(),
        agent_id: world.agent.to_string(),
        start_time: time(1_699_999_000),
        consistent_time: time(1_699_999_001),
        end_time: time(1_699_999_010),
        server_version_number: 150_018,
        plain_bytes: 900,
        stored_bytes: 380,
        added_bytes: 300,
        segment_count: 4,
        packs: vec![agent::PackFact {
            pack_id: Uuid::from_u128(0xf1).to_string(),
            pack_sha256: vec![1; 32],
            stored_bytes: 400,
            referred_bytes: 380,
        }],
        manifest_sha256: vec![2; 32],
        ..agent::FoundBackup::default()
    }
}

fn contents(database: &str) -> agent::FoundContents {
    agent::FoundContents {
        database_name: database.to_owned(),
        database_oid: 16_386,
        table_count: 2,
        row_count: 10,
        labels: [("why".to_owned(), "test".to_owned())].into(),
        ..agent::FoundContents::default()
    }
}

async fn get(world: &World, name: &str) -> Result<operator::Backup, Status> {
    let name = format!("backups/{name}");
    let request = world.ask(operator::GetBackupRequest { name });
    let answer = world.backups.get_backup(request).await?;
    Ok(answer.into_inner().backup.unwrap())
}

#[tokio::test]
async fn what_the_catalogue_has_lost_comes_back_once_and_is_unchecked() {
    let world = World::new().await;
    world.with_repository().await;
    let known = world.back_up("shop").await;
    let before = get(&world, &known.to_string()).await.unwrap();
    let mut other = found(&world, known);
    other.description_sha256 = vec![3; 32];
    other.description_signature.clear();
    let mut opened = found(&world, id(0x51));
    opened.contents = Some(contents("crm"));
    let mut child = found(&world, id(0x52));
    child.parent_backup_id = known.to_string();
    let told = agent::ScanOutcome {
        backups: vec![other, opened.clone(), child.clone()],
        backup_count: 3,
        next_after_backup_id: id(0x52).to_string(),
    };
    let (run, job) = scan(&world, request(&world), told.clone()).await;
    assert_eq!(job.known_backup_ids, [known.to_string()]);
    assert_eq!(run.state(), operator::RunState::Succeeded, "{run:?}");
    let came = run.outcome.unwrap();
    assert_eq!((came.object_count, came.warnings.len()), (2, 0), "{came:?}");
    assert_eq!(came.next_after_backup, format!("backups/{}", id(0x52)));

    let shown = get(&world, &id(0x51).to_string()).await.unwrap();
    assert_eq!(shown.database_name, "crm");
    assert_eq!(shown.check_state(), operator::BackupCheckState::Unchecked);
    assert_eq!((shown.row_count, shown.packs.len()), (10, 1));
    assert_eq!(shown.labels["why"], "test");
    // Without its manifest a backup is of the database of its parent.
    let shown = get(&world, &id(0x52).to_string()).await.unwrap();
    assert_eq!(shown.database_name, "shop");
    // The one that was known stays as it was, and the newest of its database.
    assert_eq!(get(&world, &known.to_string()).await.unwrap(), before);
    assert_eq!(get(&world, "latest:main/shop").await.unwrap(), before);
    world.request_check(id(0x52)).await;
    world.settle().await;
    let Some(Kind::Check(check)) = kind(&world.take_start()) else {
        panic!("not a check");
    };
    let target = check.backup.unwrap();
    assert_eq!(target.description_sha256, [9; 32]);
    assert_eq!(target.signer_public_key, opened.signer_public_key);

    // It may be told again: nothing more happens.
    let mut again = request(&world);
    again.after_backup = came.next_after_backup;
    let (run, job) = scan(&world, again, told).await;
    assert_eq!(job.after_backup_id, id(0x52).to_string());
    assert_eq!(run.outcome.unwrap().object_count, 0);
}

#[tokio::test]
async fn what_nobody_vouches_for_is_named_and_left_out() {
    let world = World::new().await;
    world.with_repository().await;
    let unopened = found(&world, id(0x61));
    let mut elsewhere = found(&world, id(0x62));
    elsewhere.instance_id = Uuid::from_u128(0x99).to_string();
    let mut forged = found(&world, id(0x63));
    forged.signer_public_key = world.controller_key.public_key().as_bytes().to_vec();
    forged.description_signature.clear();
    let mut strange = found(&world, id(0x64));
    strange.agent_id = Uuid::from_u128(0x98).to_string();
    let damaged = agent::FoundBackup {
        backup_id: id(0x65).to_string(),
        instance_id: world.instance.to_string(),
        message: "its signature is wrong".to_owned(),
        ..agent::FoundBackup::default()
    };
    let mut backups = vec![unopened, elsewhere, forged, strange, damaged];
    for backup in &mut backups[1..] {
        backup.contents = Some(contents("crm"));
    }
    let told = agent::ScanOutcome {
        backup_count: 5,
        backups,
        ..agent::ScanOutcome::default()
    };
    let (run, _) = scan(&world, request(&world), told).await;
    let came = run.outcome.unwrap();
    let named = [
        "--identity",
        "the instance 00000000-0000-0000-0000-000000000099",
        "not signed with the key of the agent db1",
        "the agent 00000000-0000-0000-0000-000000000098",
        "its signature is wrong",
    ];
    assert_eq!((came.object_count, came.warnings.len()), (0, 5), "{came:?}");
    for (line, part) in came.warnings.iter().zip(named) {
        assert!(line.contains(part), "{line}");
    }
    for number in 0x61..=0x65 {
        assert_reason(
            get(&world, &id(number).to_string()).await,
            Reason::BackupNotFound,
        );
    }
    // A report that is not whole enters nothing at all.
    let mut broken = found(&world, id(0x66));
    broken.contents = Some(contents("crm"));
    broken.description_signature[0] ^= 1;
    let told = agent::ScanOutcome {
        backups: vec![broken],
        ..agent::ScanOutcome::default()
    };
    let (run, _) = scan(&world, request(&world), told).await;
    assert_eq!(run.failure.unwrap().reason, "EVIDENCE_INSUFFICIENT");
}

#[tokio::test]
async fn an_attempt_that_was_not_judged_good_brings_no_backup_in_by_a_scan() {
    let world = World::new().await;
    world.with_repository().await;
    world.request_backup("shop").await;
    world.settle().await;
    let start = world.take_start();
    world.report(&start, failed("DISK_FULL")).await.unwrap();
    let attempt = start.attempt.unwrap().attempt_id;
    let mut told = agent::ScanOutcome {
        backups: vec![found(&world, attempt.parse().unwrap())],
        ..agent::ScanOutcome::default()
    };
    told.backups[0].contents = Some(contents("shop"));
    let (run, _) = scan(&world, request(&world), told.clone()).await;
    let came = run.outcome.unwrap();
    assert_eq!(came.object_count, 0);
    assert!(came.warnings[0].contains("not judged good"), "{came:?}");
    // The controller's own word says that it was, in a life that is lost.
    let key = world.controller_key.public_key();
    told.backups[0].countersigner_public_key = key.as_bytes().to_vec();
    let (run, _) = scan(&world, request(&world), told).await;
    assert_eq!(run.outcome.unwrap().object_count, 1);
}
