//! Restores: what the controller can refuse before they start, and their end.

use crate::refusals::{assert_reason, fields};
use crate::reports::{self, kind};
use crate::rows::agent_row;
use crate::world::{World, run_id};
use provado_controller::events::{AuditFilter, audit_list};
use provado_controller::fleet::store::agent::agent_insert;
use provado_controller::fleet::store::instance::instance_insert;
use provado_controller::lifecycle::controller::{amnesia_clear, amnesia_set};
use provado_controller::lifecycle::run::RunState;
use provado_model::Reason;
use provado_model::id::{AgentId, BackupId, InstanceId};
use provado_proto::agent::v1::job::Kind;
use provado_proto::common::v1::{CheckLevel, Scope, Selection};
use provado_proto::operator::v1 as operator;
use provado_proto::operator::v1::run_service_server::RunService;
use uuid::Uuid;

fn request(world: &World, backup: &str) -> operator::RunRestoreRequest {
    operator::RunRestoreRequest {
        request_id: world.request_id(),
        backup: backup.to_owned(),
        database_name: "copy".to_owned(),
        ..operator::RunRestoreRequest::default()
    }
}

async fn refused(
    world: &World,
    backup: BackupId,
    change: impl FnOnce(&mut operator::RunRestoreRequest),
    reason: Reason,
) {
    let mut request = request(world, &format!("backups/{backup}"));
    change(&mut request);
    let answer = world.runs.run_restore(world.ask(request)).await;
    assert_reason(answer, reason);
}

async fn add_instance(world: &World, number: u128, name: &str, version: u32, agent: AgentId) {
    let id = InstanceId::from_uuid(Uuid::from_u128(number));
    let mut row = world.instance_row(id, name, version);
    row.agent = agent;
    let mut tx = world.begin().await;
    instance_insert(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_restore_is_bound_to_its_place_and_ends_by_comparison() {
    let world = World::new().await;
    world.with_repository().await;
    let backup = world.back_up("shop").await;
    let answer = world
        .runs
        .run_restore(world.ask(request(&world, "backups/latest:main/shop")))
        .await
        .unwrap();
    let run = run_id(answer.into_inner().run.as_ref());
    world.settle().await;
    let start = world.take_start();
    let Some(Kind::Restore(job)) = kind(&start) else {
        panic!("not a restore");
    };
    assert_eq!(job.database_name, "copy");
    assert_eq!(
        job.instance.unwrap().system_identifier,
        "70000000000000150018"
    );
    assert_eq!(job.backup.unwrap().backup_id, backup.to_string());
    world
        .report(&start, reports::restored("copy"))
        .await
        .unwrap();
    world.settle().await;
    assert_eq!(world.run(run).await.state, RunState::Succeeded);
    world.assert_rest().await;
}

#[tokio::test]
async fn the_audit_chain_alone_tells_who_restored_what() {
    let world = World::new().await;
    world.with_repository().await;
    let backup = world.back_up("shop").await;
    let mut asked = request(&world, &format!("backups/{backup}"));
    asked.selection = Some(Selection {
        table_patterns: vec!["public.orders".to_owned()],
        ..Selection::default()
    });
    let answer = world.runs.run_restore(world.ask(asked)).await.unwrap();
    let run = run_id(answer.into_inner().run.as_ref());
    let filter = AuditFilter {
        action: Some("run.request".to_owned()),
        resource_name: Some(run.to_string()),
        ..AuditFilter::default()
    };
    let mut tx = world.begin().await;
    let events = audit_list(&mut tx, &filter, 0, 10).await.unwrap();
    assert_eq!(events[0].caller_name, "ana");
    let detail: serde_json::Value = serde_json::from_str(&events[0].detail_json).unwrap();
    for (name, value) in [
        ("kind", "restore"),
        ("backup", &backup.to_string()),
        ("instance", "main"),
        ("target_database", "copy"),
        ("repository", "local"),
    ] {
        assert_eq!(detail[name], value, "{detail}");
    }
    let patterns = &detail["spec"]["selection"]["table_patterns"];
    assert_eq!(patterns[0], "public.orders", "{detail}");
}

#[tokio::test]
async fn every_wrong_field_is_told_at_once() {
    let world = World::new().await;
    let wrong = operator::RunRestoreRequest {
        request_id: "x".to_owned(),
        database_name: "x".repeat(64),
        jobs_count: 65,
        sealed_identity: "secret".to_owned(),
        ..operator::RunRestoreRequest::default()
    };
    let status = world.runs.run_restore(world.ask(wrong)).await.unwrap_err();
    let expected = [
        "request_id",
        "database_name",
        "jobs_count",
        "sealed_identity",
        "backup",
    ];
    assert_eq!(fields(&status), expected, "{}", status.message());
    for name in ["", "a\0b", "template0", "template1"] {
        let mut request = request(&world, "backups/abcd");
        request.database_name = name.to_owned();
        let status = world
            .runs
            .run_restore(world.ask(request))
            .await
            .unwrap_err();
        assert_eq!(fields(&status), ["database_name"], "{name:?}");
    }
}

#[tokio::test]
async fn what_cannot_go_well_is_refused_before_it_starts() {
    let world = World::new().await;
    world.with_repository().await;
    let backup = world.back_up("shop").await;
    let other = AgentId::from_uuid(Uuid::from_u128(0xa2));
    let mut tx = world.begin().await;
    let key = world.agent_key.public_key().to_string();
    let row = agent_row(other, "db2", &key, world.core.clock.now());
    agent_insert(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
    add_instance(&world, 0x14, "old", 140_022, world.agent).await;
    add_instance(&world, 0x18, "new", 180_006, world.agent).await;
    add_instance(&world, 0x19, "far", 150_018, other).await;
    let changes = world.changes().await;

    refused(
        &world,
        backup,
        |it| it.database_name = "crm".into(),
        Reason::TargetExists,
    )
    .await;
    refused(
        &world,
        backup,
        |it| it.instance = "old".into(),
        Reason::TargetTooOld,
    )
    .await;
    refused(
        &world,
        backup,
        |it| it.instance = "far".into(),
        Reason::InvalidArgument,
    )
    .await;
    refused(
        &world,
        backup,
        |it| it.instance = "none".into(),
        Reason::InstanceNotFound,
    )
    .await;
    refused(
        &world,
        backup,
        |it| it.backup = "zzzz".into(),
        Reason::BackupNotFound,
    )
    .await;
    assert_eq!(world.changes().await, changes);
    let mut newer = request(&world, &backup.to_string());
    newer.instance = "new".to_owned();
    world.runs.run_restore(world.ask(newer)).await.unwrap();
}

#[tokio::test]
async fn data_alone_makes_no_database() {
    let world = World::new().await;
    world.with_repository().await;
    let full = world.back_up("shop").await;
    let data_only = |patterns: &[&str]| {
        Some(Selection {
            scope: Scope::DataOnly.into(),
            table_patterns: patterns.iter().map(|&text| text.to_owned()).collect(),
        })
    };
    let changes = world.changes().await;
    let mut restore = request(&world, &full.to_string());
    restore.selection = data_only(&[]);
    let status = world
        .runs
        .run_restore(world.ask(restore))
        .await
        .unwrap_err();
    assert_eq!(fields(&status), ["selection.scope"]);
    assert!(
        status.message().contains("restores.md"),
        "{}",
        status.message()
    );
    assert_eq!(world.changes().await, changes);
    for patterns in [&[][..], &["public.orders"]] {
        let mut request = world.backup_request("shop");
        request.selection = data_only(patterns);
        let answer = world.runs.run_backup(world.ask(request)).await.unwrap();
        let run = run_id(answer.into_inner().run.as_ref());
        world.settle().await;
        let start = world.take_start();
        world.report(&start, world.backed_up(&start)).await.unwrap();
        // Whoever made it is told.
        let warnings = world.shown(run).await.outcome.unwrap().warnings;
        assert!(warnings[0].contains("by hand"), "{warnings:?}");
        let backup = world.run(run).await.binding.backup_id.unwrap();
        let changes = world.changes().await;
        refused(&world, backup, |_| {}, Reason::BackupUnusable).await;
        let drill = operator::RunDrillRequest {
            request_id: world.request_id(),
            backup: backup.to_string(),
            ..operator::RunDrillRequest::default()
        };
        let answer = world.runs.run_drill(world.ask(drill)).await;
        assert_reason(answer, Reason::BackupUnusable);
        assert_eq!(world.changes().await, changes);
        // What is stored of it can be checked like anything else.
        world.request_check(backup).await;
        world.settle().await;
        let start = world.take_start();
        let report = reports::check(CheckLevel::Intact);
        assert!(world.report(&start, report).await.unwrap().accepted);
        world.settle().await;
    }
}

#[tokio::test]
async fn a_damaged_backup_is_not_restored_and_may_be_checked() {
    let world = World::new().await;
    world.with_repository().await;
    let backup = world.back_up("shop").await;
    world.request_check(backup).await;
    world.settle().await;
    let start = world.take_start();
    world.report(&start, reports::damaged()).await.unwrap();
    world.settle().await;
    refused(&world, backup, |_| {}, Reason::BackupUnusable).await;
    // It is not the latest good one either.
    let latest = "backups/latest:main/shop".to_owned();
    refused(
        &world,
        backup,
        |it| it.backup = latest,
        Reason::BackupNotFound,
    )
    .await;
    world.request_check(backup).await;
}

#[tokio::test]
async fn a_controller_that_lost_its_memory_restores_nothing() {
    let world = World::new().await;
    world.with_repository().await;
    let backup = world.back_up("shop").await;
    let ctx = world.core.task_context("test");
    let mut tx = world.begin().await;
    amnesia_set(&mut tx, &ctx, "db1 has seen a later epoch")
        .await
        .unwrap();
    tx.commit().await.unwrap();
    refused(&world, backup, |_| {}, Reason::ControllerAmnesia).await;
    // Backups go on.
    world.request_backup("shop").await;
}

#[tokio::test]
async fn a_restore_that_was_queued_waits_until_an_operator_agrees() {
    let world = World::new().await;
    world.with_repository().await;
    let backup = world.back_up("shop").await;
    world.disconnect();
    let asked = request(&world, &backup.to_string());
    let answer = world.runs.run_restore(world.ask(asked)).await.unwrap();
    let run = run_id(answer.into_inner().run.as_ref());
    world.settle().await;
    let ctx = world.core.task_context("test");
    let mut tx = world.begin().await;
    let why = "db1 has seen a later epoch";
    amnesia_set(&mut tx, &ctx, why).await.unwrap();
    tx.commit().await.unwrap();
    world.core.refresh_amnesia().await.unwrap();
    world.connect();
    world.assert_rest().await;
    assert!(world.take_starts().is_empty());
    let told = world.shown(run).await.message;
    assert!(told.contains("provado controller show"), "{told}");

    let mut tx = world.begin().await;
    let epoch = world.core.epoch();
    amnesia_clear(&mut tx, &ctx, epoch, "agreed").await.unwrap();
    tx.commit().await.unwrap();
    world.settle().await;
    assert!(matches!(kind(&world.take_start()), Some(Kind::Restore(_))));
}

#[tokio::test]
async fn a_restore_with_differences_fails_and_names_them() {
    let world = World::new().await;
    world.with_repository().await;
    let backup = world.back_up("shop").await;
    let asked = request(&world, &backup.to_string());
    let answer = world.runs.run_restore(world.ask(asked)).await.unwrap();
    let run = run_id(answer.into_inner().run.as_ref());
    world.settle().await;
    let start = world.take_start();
    let mut report = reports::restored("copy");
    if let Some(provado_proto::agent::v1::outcome::Detail::Restore(it)) = &mut report.detail {
        it.verdict = provado_proto::agent::v1::RestoreVerdict::WithDifferences.into();
        it.differences.push(provado_proto::agent::v1::Difference {
            object: "index public.i".to_owned(),
            aspect: "presence".to_owned(),
            expected: "there".to_owned(),
            found: "missing".to_owned(),
        });
    }
    world.report(&start, report).await.unwrap();
    let shown = world.shown(run).await;
    assert_eq!(shown.failure.unwrap().reason, "RESTORE_DIFFERS");
    assert_eq!(
        shown.outcome.unwrap().differences[0].object,
        "index public.i"
    );
}
