//! BackupService: what is shown of the catalogue.

use crate::refusals::{assert_reason, fields};
use crate::reports;
use crate::rows::agent_row;
use crate::world::{World, run_id};
use provado_controller::db::Sql;
use provado_controller::fleet::store::agent::agent_insert;
use provado_model::Reason;
use provado_model::id::AgentId;
use provado_proto::common::v1::Selection;
use provado_proto::operator::v1 as operator;
use provado_proto::operator::v1::backup_service_server::BackupService;
use provado_proto::operator::v1::repository_service_server::RepositoryService;
use provado_proto::operator::v1::run_service_server::RunService;
use uuid::Uuid;

async fn get(world: &World, name: &str) -> Result<operator::Backup, tonic::Status> {
    let request = operator::GetBackupRequest {
        name: name.to_owned(),
    };
    let answer = world.backups.get_backup(world.ask(request)).await?;
    Ok(answer.into_inner().backup.unwrap())
}

async fn list(world: &World, filter: operator::BackupFilter) -> Vec<operator::Backup> {
    let mut token = String::new();
    let mut out = Vec::new();
    loop {
        let request = operator::ListBackupsRequest {
            page_size: 1,
            page_token: token,
            filter: Some(filter.clone()),
        };
        let answer = world
            .backups
            .list_backups(world.ask(request))
            .await
            .unwrap();
        let answer = answer.into_inner();
        out.extend(answer.backups);
        token = answer.next_page_token;
        if token.is_empty() {
            return out;
        }
    }
}

#[tokio::test]
async fn a_backup_is_shown_with_everything_that_is_known() {
    let world = World::new().await;
    world.with_repository().await;
    let mut request = world.backup_request("shop");
    request.labels.insert("why".to_owned(), "test".to_owned());
    request.keep = Some(operator::Keep {
        rule: Some(operator::keep::Rule::Duration(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        })),
    });
    let answer = world.runs.run_backup(world.ask(request)).await.unwrap();
    let run = run_id(answer.into_inner().run.as_ref());
    world.settle().await;
    let start = world.take_start();
    world.report(&start, world.backed_up(&start)).await.unwrap();
    let id = world.run(run).await.binding.backup_id.unwrap();
    let backup = get(&world, "backups/latest:main/shop").await.unwrap();
    assert_eq!(backup.name, format!("backups/{id}"));
    assert_eq!(backup.instance, "instances/main");
    assert_eq!(backup.repository, "repositories/local");
    assert_eq!(backup.agent, "agents/db1");
    assert_eq!(backup.run, format!("runs/{run}"));
    assert_eq!(backup.check_state(), operator::BackupCheckState::Unchecked);
    assert_eq!(backup.keep_state(), operator::BackupKeepState::Active);
    assert_eq!(backup.keep_until_time.unwrap().seconds, 1_700_000_060);
    assert_eq!(backup.consistent_time.unwrap().seconds, 1_700_000_001);
    assert_eq!(backup.duration_millis, 60_000);
    assert_eq!((backup.segment_count, backup.reused_segment_count), (4, 1));
    assert_eq!(backup.large_object_count, 3);
    assert_eq!(backup.labels["why"], "test");
    assert_eq!(backup.manifest_sha256, [2; 32]);
    assert_eq!(backup.description_sha256, [7; 32]);
    assert_eq!(backup.packs.len(), 1);
    assert_eq!(backup.packs[0].referred_bytes, 380);
    assert_eq!(
        backup.signer_public_key,
        world.agent_key.public_key().as_bytes()
    );
    let whole = id.to_string();
    assert_eq!(get(&world, &whole[..30]).await.unwrap().name, backup.name);
}

#[tokio::test]
async fn lists_are_paged_and_filtered() {
    let world = World::new().await;
    world.with_repository().await;
    let mut made = Vec::new();
    for database in ["shop", "crm", "shop"] {
        world.advance(1);
        made.push(format!("backups/{}", world.back_up(database).await));
    }
    made.reverse();
    let all = list(&world, operator::BackupFilter::default()).await;
    let names: Vec<_> = all.iter().map(|backup| backup.name.clone()).collect();
    assert_eq!(names, made, "newest first");
    assert!(all.iter().all(|backup| backup.packs.is_empty()));
    assert_eq!(all[0].parent_backup, made[2]);
    let count = async |change: fn(&mut operator::BackupFilter)| {
        let mut filter = operator::BackupFilter::default();
        change(&mut filter);
        list(&world, filter).await.len()
    };
    assert_eq!(count(|it| it.database_name = "shop".into()).await, 2);
    assert_eq!(count(|it| it.instance = "main".into()).await, 3);
    assert_eq!(count(|it| it.repository = "local".into()).await, 3);
    let proven = |it: &mut operator::BackupFilter| {
        it.check_states = vec![operator::BackupCheckState::Proven.into()];
    };
    assert_eq!(count(proven).await, 0);
    let labeled = |it: &mut operator::BackupFilter| {
        it.labels.insert("why".to_owned(), "test".to_owned());
    };
    assert_eq!(count(labeled).await, 0);
    let request = operator::GetRepositoryRequest {
        name: "local".to_owned(),
    };
    let answer = world
        .repositories
        .get_repository(world.ask(request))
        .await
        .unwrap();
    let repository = answer.into_inner().repository.unwrap();
    assert_eq!(repository.backup_count, 3);
    assert_eq!(
        (repository.plain_bytes, repository.stored_bytes),
        (2_700, 1_200)
    );
}

#[tokio::test]
async fn what_is_not_there_is_refused() {
    let world = World::new().await;
    assert_reason(get(&world, "backups/abcd").await, Reason::BackupNotFound);
    assert_reason(get(&world, "runs/abcd").await, Reason::InvalidArgument);
    assert_reason(
        get(&world, "latest:nowhere/shop").await,
        Reason::InstanceNotFound,
    );
    let ask = async |filter: operator::BackupFilter| {
        let request = operator::ListBackupsRequest {
            filter: Some(filter),
            ..operator::ListBackupsRequest::default()
        };
        world
            .backups
            .list_backups(world.ask(request))
            .await
            .unwrap_err()
    };
    let status = ask(operator::BackupFilter {
        check_states: vec![77],
        ..operator::BackupFilter::default()
    })
    .await;
    assert_eq!(fields(&status), ["filter.check_states"]);
    let status = ask(operator::BackupFilter {
        repository: "nowhere".to_owned(),
        ..operator::BackupFilter::default()
    })
    .await;
    assert_reason::<()>(Err(status), Reason::RepositoryNotFound);
}

#[tokio::test]
async fn a_damaged_backup_says_what_is_damaged() {
    let world = World::new().await;
    world.with_repository().await;
    let id = world.back_up("shop").await;
    world.request_check(id).await;
    world.settle().await;
    let start = world.take_start();
    world.report(&start, reports::damaged()).await.unwrap();
    world.settle().await;
    let backup = get(&world, &id.to_string()).await.unwrap();
    assert_eq!(backup.check_state(), operator::BackupCheckState::Corrupt);
    assert_eq!(backup.damages.len(), 1);
    assert!(
        backup.damages[0].contains("table public.orders"),
        "{:?}",
        backup.damages
    );
}

#[tokio::test]
async fn the_latest_is_one_of_the_whole_database() {
    let world = World::new().await;
    world.with_repository().await;
    let part = async || {
        world.advance(1);
        let mut request = world.backup_request("shop");
        request.selection = Some(Selection {
            scope: 0,
            table_patterns: vec!["public.orders".to_owned()],
        });
        let answer = world.runs.run_backup(world.ask(request)).await.unwrap();
        let run = run_id(answer.into_inner().run.as_ref());
        world.settle().await;
        let start = world.take_start();
        world.report(&start, world.backed_up(&start)).await.unwrap();
        world.settle().await;
        world.run(run).await.binding.backup_id.unwrap()
    };
    let latest = "backups/latest:main/shop";
    let only_part = part().await;
    let status = get(&world, latest).await.unwrap_err();
    assert!(
        status.message().contains(&only_part.to_string()),
        "{}",
        status.message()
    );
    assert_reason::<()>(Err(status), Reason::BackupNotFound);
    let full = world.back_up("shop").await;
    let later_part = part().await;
    assert_eq!(
        get(&world, latest).await.unwrap().name,
        format!("backups/{full}")
    );
    let by_id = get(&world, &later_part.to_string()).await.unwrap();
    assert_eq!(by_id.name, format!("backups/{later_part}"));
}

#[tokio::test]
async fn a_list_that_was_not_looked_through_goes_on() {
    let world = World::new().await;
    world.with_repository().await;
    let mut request = world.backup_request("shop");
    request.labels.insert("why".to_owned(), "test".to_owned());
    let answer = world.runs.run_backup(world.ask(request)).await.unwrap();
    let run = run_id(answer.into_inner().run.as_ref());
    world.settle().await;
    let start = world.take_start();
    world.report(&start, world.backed_up(&start)).await.unwrap();
    let oldest = world.run(run).await.binding.backup_id.unwrap();
    world.advance(1);
    world.back_up("crm").await;
    let backups = world.backups.clone().looking_at(1);
    let mut filter = operator::BackupFilter::default();
    filter.labels.insert("why".to_owned(), "test".to_owned());
    let mut token = String::new();
    let mut pages = Vec::new();
    loop {
        let request = operator::ListBackupsRequest {
            page_size: 10,
            page_token: token,
            filter: Some(filter.clone()),
        };
        let answer = backups.list_backups(world.ask(request)).await.unwrap();
        let answer = answer.into_inner();
        let names: Vec<_> = answer.backups.into_iter().map(|it| it.name).collect();
        pages.push(names);
        token = answer.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(pages.concat(), [format!("backups/{oldest}")]);
    assert!(pages.len() > 1, "{pages:?}");
}

#[tokio::test]
async fn the_agent_of_a_backup_is_the_one_that_can_read_it() {
    let world = World::new().await;
    world.with_repository().await;
    let id = world.back_up("shop").await.to_string();
    assert_eq!(get(&world, &id).await.unwrap().agent, "agents/db1");
    let other = AgentId::from_uuid(Uuid::from_u128(0xa2));
    let mut tx = world.begin().await;
    let row = agent_row(other, "db2", "", world.core.clock.now());
    agent_insert(&mut tx, &row).await.unwrap();
    let taken_over =
        Sql::both("UPDATE repository SET agent_id = (SELECT id FROM agent WHERE name = 'db2')");
    tx.execute_one(taken_over, &[]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(get(&world, &id).await.unwrap().agent, "agents/db2");
}
