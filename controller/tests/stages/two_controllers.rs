//! The same walk on PostgreSQL, with two controllers on one database whose tasks run at once.

use crate::reports;
use crate::support::postgres::Server;
use crate::world::World;
use provado_controller::db::Database;
use provado_controller::events::{AuditEntry, AuditFilter, audit_append, audit_list};
use provado_controller::lifecycle::run::RunState;
use provado_model::Reason;
use provado_model::audit_chain::verify_chain;
use provado_model::time::ManualClock;
use provado_proto::common::v1::CheckLevel;
use provado_proto::operator::v1::run_service_server::RunService;
use std::sync::Arc;

/// Activates every task of both controllers at the same time, until two rounds changed nothing.
async fn race(first: &World, second: &World) {
    let mut quiet = 0;
    for _ in 0..100 {
        let before = first.changes().await;
        for (one, other) in first.tasks.iter().zip(&second.tasks) {
            let (one, other) = tokio::join!(one.activate(), other.activate());
            for outcome in [one, other] {
                if let Err(error) = outcome {
                    let lost = matches!(error.reason, Reason::VersionStale | Reason::NameTaken);
                    assert!(lost, "{}", error.chain());
                }
            }
        }
        quiet = if first.changes().await == before {
            quiet + 1
        } else {
            0
        };
        if quiet == 2 {
            return;
        }
    }
    panic!("two controllers did not come to rest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_controllers_make_one_effect() {
    let server = Server::shared();
    let url = server.create_database();
    let first = World::open(&url).await;
    let db = Database::open(&url).await.unwrap();
    let clock = Arc::<ManualClock>::clone(&first.clock);
    let second = World::on(db, clock, 2).await;
    second.connect();
    first.with_repository().await;
    let mut runs = Vec::new();
    for number in 0..3_u32 {
        let name = format!("d{number}");
        first.add_database(&name, 20_000 + number).await;
        runs.push(first.request_backup(&name).await);
    }
    race(&first, &second).await;
    let mut starts = first.take_starts();
    starts.extend(second.take_starts());
    assert_eq!(starts.len(), 3, "each run was sent once");
    for start in &starts {
        let outcome = first.backed_up(start);
        // Reported to both at once: one takes it in, the other repeats the answer.
        let (one, other) = tokio::join!(
            first.report(start, outcome.clone()),
            second.report(start, outcome.clone())
        );
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(one.accepted);
        assert_eq!(one, other);
    }
    for run in &runs {
        let run = first.run(*run).await;
        assert_eq!(run.state, RunState::Succeeded);
        let check = first.request_check(run.binding.backup_id.unwrap()).await;
        race(&first, &second).await;
        let mut starts = first.take_starts();
        starts.extend(second.take_starts());
        assert_eq!(starts.len(), 1);
        let outcome = reports::check(CheckLevel::Intact);
        first.report(&starts[0], outcome).await.unwrap();
        race(&first, &second).await;
        assert_eq!(first.run(check).await.state, RunState::Succeeded);
    }
    let mut tx = first.begin().await;
    let events = audit_list(&mut tx, &AuditFilter::default(), 0, 10_000)
        .await
        .unwrap();
    drop(tx);
    verify_chain(&events).unwrap();
    let found = events
        .iter()
        .filter(|event| event.action == "backup.found-intact");
    assert_eq!(found.count(), 3, "each check counted once");
    // One init, three backups, three checks.
    assert_eq!(
        server.psql(&url, "SELECT COUNT(*) FROM attempt;").trim(),
        "7"
    );
    first.core.db.close().await;
    second.core.db.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_to_two_controllers_makes_one_run() {
    let server = Server::shared();
    let url = server.create_database();
    let first = World::open(&url).await;
    let db = Database::open(&url).await.unwrap();
    let second = World::on(db, Arc::<ManualClock>::clone(&first.clock), 2).await;
    first.with_repository().await;
    for database in ["shop", "crm", ""] {
        let request = first.backup_request(database);
        let (one, other) = tokio::join!(
            first.runs.run_backup(first.ask(request.clone())),
            second.runs.run_backup(second.ask(request.clone()))
        );
        assert_eq!(one.unwrap().into_inner(), other.unwrap().into_inner());
    }
    // The init, two databases, and the whole instance with two parts.
    assert_eq!(server.psql(&url, "SELECT COUNT(*) FROM run;").trim(), "6");
    first.core.db.close().await;
    second.core.db.close().await;
}

#[tokio::test]
async fn the_whole_walk_on_postgresql() {
    let server = Server::shared();
    let world = World::open(&server.create_database()).await;
    world.with_repository().await;
    let backup = world.back_up("shop").await;
    world.request_drill(backup).await;
    world.settle().await;
    let start = world.take_start();
    world.report(&start, world.drilled(&start)).await.unwrap();
    world.settle().await;
    let parent = world.request_backup("").await;
    world.settle().await;
    for start in world.take_starts() {
        world.report(&start, world.backed_up(&start)).await.unwrap();
    }
    world.settle().await;
    assert_eq!(world.run(parent).await.state, RunState::Succeeded);
    let lost = world.request_backup("crm").await;
    world.settle().await;
    world.advance(31);
    world.settle().await;
    assert_eq!(world.run(lost).await.state, RunState::Queued);
    world.assert_rest().await;
    world.core.db.close().await;
}

#[tokio::test]
async fn what_the_engine_has_undone_does_not_count_as_done() {
    let server = Server::shared();
    let url = server.create_database();
    let limit = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lock_timeout = 200', \
                 current_database()); END $$;";
    server.psql(&url, limit);
    let world = World::open(&url).await;
    world.with_repository().await;
    let run = world.request_backup("shop").await;
    // Someone else holds the end of the audit chain for longer than the task may wait.
    let ctx = world.core.task_context("test");
    let mut tx = world.begin().await;
    let entry = AuditEntry::done("test.hold", "test", "chain");
    audit_append(&mut tx, &ctx, entry).await.unwrap();
    let admit = world.tasks.iter().find(|task| task.name() == "admit");
    let lost = admit.unwrap().activate().await.unwrap_err();
    assert_eq!(lost.reason, Reason::VersionStale, "{}", lost.chain());
    tx.rollback().await.unwrap();
    assert_eq!(world.run(run).await.state, RunState::Requested);
    world.step("admit").await;
    assert_eq!(world.run(run).await.state, RunState::Queued);
    world.core.db.close().await;
}
