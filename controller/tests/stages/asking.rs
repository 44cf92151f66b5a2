//! RunService: what is asked for, and every way in which it is refused.

use crate::refusals::{assert_reason, fields};
use crate::world::{World, run_id};
use provado_controller::fleet::model::AgentState;
use provado_controller::fleet::store::agent::{agent_by_id, agent_set_state};
use provado_controller::lifecycle::run::RunState;
use provado_controller::request::answer_expire;
use provado_model::Reason;
use provado_proto::common::v1::Selection;
use provado_proto::operator::v1 as operator;
use provado_proto::operator::v1::repository_service_server::RepositoryService;
use provado_proto::operator::v1::run_service_server::RunService;

#[tokio::test]
async fn the_same_request_makes_one_run() {
    let world = World::new().await;
    world.with_repository().await;
    let request = world.backup_request("shop");
    let first = world
        .runs
        .run_backup(world.ask(request.clone()))
        .await
        .unwrap();
    let changes = world.changes().await;
    let again = world
        .runs
        .run_backup(world.ask(request.clone()))
        .await
        .unwrap();
    assert_eq!(again.into_inner(), first.into_inner());
    let mut other = request;
    other.database_name = "crm".to_owned();
    let refused = world.runs.run_backup(world.ask(other)).await;
    assert_reason(refused, Reason::RequestIdReused);
    assert_eq!(world.changes().await, changes);
}

#[tokio::test]
async fn an_id_makes_one_run_also_when_its_answer_is_forgotten() {
    let world = World::new().await;
    world.with_repository().await;
    let mut requests = [world.backup_request("shop"), world.backup_request("")];
    let mut made = Vec::new();
    for request in &requests {
        let answer = world.runs.run_backup(world.ask(request.clone())).await;
        made.push(answer.unwrap().into_inner().run.unwrap().name);
    }
    world.advance(25 * 3_600);
    let mut tx = world.begin().await;
    let forgotten = answer_expire(&mut tx, world.core.clock.now())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert!(forgotten >= 2);
    world.add_database("new", 16_400).await;
    let changes = world.changes().await;
    for (request, name) in requests.iter().zip(&made) {
        let answer = world.runs.run_backup(world.ask(request.clone())).await;
        assert_eq!(&answer.unwrap().into_inner().run.unwrap().name, name);
    }
    // The run over the instance is over the databases of then.
    assert_eq!(world.changes().await, changes);
    let mut tx = world.begin().await;
    answer_expire(&mut tx, jiff::Timestamp::MAX).await.unwrap();
    tx.commit().await.unwrap();
    requests[0].database_name = "crm".to_owned();
    requests[1].labels.insert("why".to_owned(), "x".to_owned());
    for request in requests {
        let refused = world.runs.run_backup(world.ask(request)).await;
        assert_reason(refused, Reason::RequestIdReused);
    }
    assert_eq!(world.changes().await, changes);
}

#[tokio::test]
async fn a_dry_run_shows_the_run_and_changes_nothing() {
    let world = World::new().await;
    world.with_repository().await;
    let changes = world.changes().await;
    for database in ["shop", ""] {
        let mut request = world.backup_request(database);
        request.validate_only = true;
        let answer = world.runs.run_backup(world.ask(request)).await.unwrap();
        let run = answer.into_inner().run.unwrap();
        assert_eq!(run.state(), operator::RunState::Requested);
        assert_eq!(run.requester, "operators/ana");
        // Nothing was made, so there is no name to look for.
        assert_eq!(run.name, "");
    }
    let inspect = operator::RunInspectRequest {
        request_id: world.request_id(),
        validate_only: true,
        agent: "agents/db1".to_owned(),
    };
    let answer = world.runs.run_inspect(world.ask(inspect)).await.unwrap();
    assert_eq!(answer.into_inner().run.unwrap().name, "");
    world.settle().await;
    assert_eq!(world.changes().await, changes);
}

#[tokio::test]
async fn every_wrong_field_of_a_backup_is_told_at_once() {
    let world = World::new().await;
    let mut request = operator::RunBackupRequest {
        request_id: "x".to_owned(),
        compression_level: 20,
        selection: Some(Selection {
            scope: 0,
            table_patterns: vec![String::new()],
        }),
        keep: Some(operator::Keep {
            rule: Some(operator::keep::Rule::Duration(prost_types::Duration {
                seconds: 0,
                nanos: 0,
            })),
        }),
        ..operator::RunBackupRequest::default()
    };
    request.labels.insert("Bad".to_owned(), "x".to_owned());
    let status = world.runs.run_backup(world.ask(request)).await.unwrap_err();
    let wrong = fields(&status);
    let expected = [
        "request_id",
        "selection.table_patterns",
        "selection.table_patterns",
        "labels",
        "keep.duration",
        "compression_level",
        "instance",
    ];
    assert_eq!(wrong, expected, "{}", status.message());
}

#[tokio::test]
async fn a_backup_of_what_is_not_there_is_refused() {
    let world = World::new().await;
    let ask = async |change: fn(&mut operator::RunBackupRequest), reason| {
        let mut request = world.backup_request("shop");
        change(&mut request);
        let answer = world.runs.run_backup(world.ask(request)).await;
        assert_reason(answer, reason);
    };
    ask(|_| {}, Reason::RepositoryMissing).await;
    let request = world.create_repository("local");
    let made = world
        .repositories
        .create_repository(world.ask(request))
        .await;
    made.unwrap();
    // Declared is not made.
    ask(|_| {}, Reason::RepositoryMissing).await;
    ask(
        |it| it.instance = "nowhere".into(),
        Reason::InstanceNotFound,
    )
    .await;
    ask(
        |it| it.instance = "agents/db1".into(),
        Reason::InvalidArgument,
    )
    .await;
    ask(
        |it| it.repository = "nowhere".into(),
        Reason::RepositoryNotFound,
    )
    .await;
}

#[tokio::test]
async fn a_database_must_be_there_and_the_agent_in_good_standing() {
    let world = World::new().await;
    world.with_repository().await;
    let mut request = world.backup_request("shop");
    request.database_name = "host=evil".to_owned();
    let refused = world.runs.run_backup(world.ask(request)).await;
    assert_reason(refused, Reason::DatabaseNotFound);
    let mut tx = world.begin().await;
    let agent = agent_by_id(&mut tx, world.agent).await.unwrap().unwrap();
    agent_set_state(&mut tx, &agent, AgentState::Locked, "clone")
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let request = world.backup_request("shop");
    let refused = world.runs.run_backup(world.ask(request)).await;
    assert_reason(refused, Reason::AgentLocked);
}

#[tokio::test]
async fn who_will_not_wait_is_told_whom_it_would_wait_for() {
    let world = World::new().await;
    world.with_repository().await;
    let first = world.request_backup("shop").await;
    let mut request = world.backup_request("shop");
    request.no_queue = true;
    let status = world.runs.run_backup(world.ask(request)).await.unwrap_err();
    assert!(status.message().contains(&first.to_string()));
    assert_reason::<()>(Err(status), Reason::RunInProgress);
    // Another database is another thing.
    let mut request = world.backup_request("crm");
    request.no_queue = true;
    world.runs.run_backup(world.ask(request)).await.unwrap();
}

#[tokio::test]
async fn a_whole_instance_is_one_run_with_a_part_for_each_database() {
    let world = World::new().await;
    world.with_repository().await;
    let parent = world.request_backup("").await;
    world.settle().await;
    let shown = world.shown(parent).await;
    assert_eq!((shown.part_count, shown.ended_part_count), (2, 0));
    assert_eq!(shown.state(), operator::RunState::Running);
    for start in world.take_starts() {
        world.report(&start, world.backed_up(&start)).await.unwrap();
    }
    world.settle().await;
    let shown = world.shown(parent).await;
    assert_eq!((shown.part_count, shown.ended_part_count), (2, 2));
    assert_eq!(shown.state(), operator::RunState::Succeeded);
    world.assert_rest().await;
}

#[tokio::test]
async fn a_part_that_failed_fails_the_whole_and_is_named() {
    let world = World::new().await;
    world.with_repository().await;
    let parent = world.request_backup("").await;
    world.settle().await;
    for start in world.take_starts() {
        let Some(provado_proto::agent::v1::job::Kind::Backup(job)) = crate::reports::kind(&start)
        else {
            panic!("not a backup");
        };
        let outcome = if job.database_name == "crm" {
            crate::reports::failed("DISK_FULL")
        } else {
            world.backed_up(&start)
        };
        world.report(&start, outcome).await.unwrap();
    }
    world.settle().await;
    let failure = world.run(parent).await.failure.unwrap();
    assert_eq!(failure.reason, "DISK_FULL");
    assert!(
        failure.message.starts_with("1 of 2 databases"),
        "{}",
        failure.message
    );
    assert!(failure.message.contains("crm (DISK_FULL"));
    world.assert_rest().await;
}

#[tokio::test]
async fn canceling_a_whole_instance_cancels_its_parts() {
    let world = World::new().await;
    world.with_repository().await;
    let parent = world.request_backup("").await;
    world.settle().await;
    let starts = world.take_starts();
    assert_eq!(starts.len(), 2);
    world.cancel(parent).await.unwrap();
    world.settle().await;
    assert_eq!(world.take_cancels().len() % 2, 0);
    for start in starts {
        world
            .report(&start, crate::reports::canceled())
            .await
            .unwrap();
    }
    world.settle().await;
    assert_eq!(world.run(parent).await.state, RunState::Canceled);
    world.assert_rest().await;
}

#[tokio::test]
async fn checks_sweeps_and_inspections_are_refused_with_their_reasons() {
    let world = World::new().await;
    let missing = format!("backups/{}", uuid::Uuid::from_u128(5));
    let check = world.check_request(&missing);
    let refused = world.runs.run_check(world.ask(check)).await;
    assert_reason(refused, Reason::BackupNotFound);
    let check = world.check_request("backups/latest:main/shop");
    let refused = world.runs.run_check(world.ask(check)).await;
    assert_reason(refused, Reason::BackupNotFound);
    for bad in [
        "backups/latest:main",
        "backups/latest:/shop",
        "runs/abcd",
        "",
    ] {
        let check = world.check_request(bad);
        let refused = world.runs.run_check(world.ask(check)).await;
        assert_reason(refused, Reason::InvalidArgument);
    }
    let mut check = world.check_request(&missing);
    check.sealed_identity = "AGE-SECRET-KEY-1X".to_owned();
    let status = world.runs.run_check(world.ask(check)).await.unwrap_err();
    assert_eq!(fields(&status), ["sealed_identity"]);
    let prune = operator::RunPruneRequest {
        request_id: world.request_id(),
        repository: "local".to_owned(),
        ..operator::RunPruneRequest::default()
    };
    let refused = world.runs.run_prune(world.ask(prune)).await;
    assert_reason(refused, Reason::RepositoryNotFound);
    let inspect = operator::RunInspectRequest {
        request_id: world.request_id(),
        validate_only: false,
        agent: "agents/nobody".to_owned(),
    };
    let refused = world.runs.run_inspect(world.ask(inspect)).await;
    assert_reason(refused, Reason::AgentNotFound);
    let init = operator::RunInitRequest {
        request_id: "x".to_owned(),
        validate_only: false,
        repository: String::new(),
    };
    let status = world.runs.run_init(world.ask(init)).await.unwrap_err();
    assert_eq!(fields(&status), ["request_id", "repository"]);
}

#[tokio::test]
async fn a_sweep_that_only_tells_is_a_run_too() {
    let world = World::new().await;
    world.with_repository().await;
    world.request_backup("shop").await;
    world.settle().await;
    world.take_start();
    let request = operator::RunPruneRequest {
        request_id: world.request_id(),
        repository: "local".to_owned(),
        validate_only: true,
        grace: None,
    };
    let answer = world.runs.run_prune(world.ask(request)).await.unwrap();
    let run = run_id(answer.into_inner().run.as_ref());
    world.settle().await;
    let start = world.take_start();
    let Some(provado_proto::agent::v1::job::Kind::Prune(job)) = crate::reports::kind(&start) else {
        panic!("not a sweep");
    };
    assert!(job.validate_only);
    assert_eq!(job.grace.unwrap().seconds, 86_400);
    // The backup that is at work may be writing there.
    assert_eq!(job.live_instance_ids, [world.instance.to_string()]);
    assert_eq!(world.run(run).await.state, RunState::Dispatched);
}
