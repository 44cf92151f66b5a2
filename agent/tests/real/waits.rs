//! Backups that meet locks, a slow tool, or another server than was meant: they end, say why, and
//! leave nothing on the server.

use crate::jobs::{reason, with_sample};
use crate::lies::install;
use crate::support::Server;
use crate::support::agent::Agent;
use provado_agent::postgres::ServerAddress;
use provado_model::Reason;
use provado_proto::agent::v1::job::Kind;
use provado_proto::agent::v1::{AttemptResult, BackupJob, Outcome};
use sqlx::{Executor as _, PgConnection};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

/// No outcome takes longer than this; it bounds a test that would hang.
const OUTCOME_SECONDS_MAX: u64 = 90;

const OURS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'provado:%'";
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity \
    WHERE application_name LIKE 'provado:%' AND wait_event_type = 'Lock'";

async fn bounded(outcome: impl Future<Output = Outcome>) -> Outcome {
    let limit = Duration::from_secs(OUTCOME_SECONDS_MAX);
    tokio::time::timeout(limit, outcome)
        .await
        .expect("the job has an outcome in time")
}

async fn count(connection: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

/// Waits, with a bound, until so many of our backends are counted.
async fn until(connection: &mut PgConnection, sql: &'static str, wanted: i64) {
    for _ in 0..200_000 {
        if count(connection, sql).await == wanted {
            return;
        }
    }
    panic!("not {wanted}: {sql}");
}

/// A session that holds a table against everybody.
async fn holder(server: &Server) -> PgConnection {
    let mut holder = server.connect("source").await;
    holder.execute("BEGIN").await.unwrap();
    let lock = "LOCK TABLE app.rich, app.customers IN ACCESS EXCLUSIVE MODE";
    holder.execute(lock).await.unwrap();
    holder
}

fn waiting_at_most(mut job: BackupJob, seconds: i64) -> BackupJob {
    job.lock_wait_timeout = Some(prost_types::Duration { seconds, nanos: 0 });
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inventory_waits_for_a_lock_no_longer_than_the_dump() {
    let server = with_sample(15).await;
    let agent = Agent::ready(&[&server]).await;
    let holder = holder(&server).await;
    let job = waiting_at_most(agent.backup_job(&server, "source"), 1);
    let outcome = bounded(Box::pin(agent.run(Kind::Backup(job)))).await;
    assert_eq!(
        reason(&outcome),
        Reason::LockTimeout.as_str(),
        "{outcome:#?}"
    );
    drop(holder);
    agent.backup(&server, "source").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_a_wait_for_a_lock_and_its_backend() {
    let server = with_sample(15).await;
    let agent = Agent::ready(&[&server]).await;
    let _holder = holder(&server).await;
    let job = waiting_at_most(agent.backup_job(&server, "source"), 3600);
    let mut watcher = server.connect("postgres").await;
    let cancel = agent.cancel.clone();
    let canceling = async {
        until(&mut watcher, WAITING, 1).await;
        cancel.cancel();
        watcher
    };
    let (outcome, mut watcher) =
        tokio::join!(bounded(Box::pin(agent.run(Kind::Backup(job)))), canceling);
    assert_eq!(outcome.result(), AttemptResult::Canceled, "{outcome:#?}");
    until(&mut watcher, OURS, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_pg_dumpall() {
    let server = with_sample(15).await;
    let mut agent = Agent::ready(&[&server]).await;
    install(&mut agent, "exit 1");
    let mark = agent.directory.path().join("pid");
    let path = agent.config.tool_directories[0].join("pg_dumpall");
    let script = format!(
        "#!/bin/sh\necho $$ > {}; sleep 600 & wait\n",
        mark.display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let cancel = agent.cancel.clone();
    let waiting = mark.clone();
    let canceler = tokio::task::spawn_blocking(move || {
        let pid = || std::fs::read_to_string(&waiting).unwrap_or_default();
        while pid().is_empty() {
            std::thread::yield_now();
        }
        cancel.cancel();
    });
    let job = agent.backup_job(&server, "source");
    let outcome = bounded(Box::pin(agent.run(Kind::Backup(job)))).await;
    canceler.await.unwrap();
    assert_eq!(outcome.result(), AttemptResult::Canceled, "{outcome:#?}");
    let pid = std::fs::read_to_string(mark).unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{}", pid.trim())).exists());
}

/// A socket behind which the first connection meets one server and all later ones another.
fn swapping(first: &ServerAddress, later: &ServerAddress) -> (ServerAddress, tempfile::TempDir) {
    let directory = tempfile::Builder::new().prefix("ps").tempdir().unwrap();
    let socket = |address: &ServerAddress| format!("{}/.s.PGSQL.{}", address.host, address.port);
    let host = directory.path().to_string_lossy().into_owned();
    let address = ServerAddress {
        host,
        ..first.clone()
    };
    let listener = tokio::net::UnixListener::bind(socket(&address)).unwrap();
    let (first, later) = (socket(first), socket(later));
    tokio::task::spawn(async move {
        let mut next = first;
        while let Ok((mut ours, _)) = listener.accept().await {
            let server = std::mem::replace(&mut next, later.clone());
            let mut theirs = tokio::net::UnixStream::connect(server).await.unwrap();
            tokio::task::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut ours, &mut theirs).await;
            });
        }
    });
    (address, directory)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_swapped_after_it_was_identified_is_not_backed_up() {
    let (meant, other) = (with_sample(15).await, with_sample(15).await);
    let (address, _directory) = swapping(&meant.address(), &other.address());
    let agent = Agent::at(std::slice::from_ref(&address));
    agent.init().await;
    let job = agent.backup_job_at(&address, "source");
    let outcome = bounded(Box::pin(agent.run(Kind::Backup(job)))).await;
    assert_eq!(
        reason(&outcome),
        Reason::TargetChanged.as_str(),
        "{outcome:#?}"
    );
    assert_eq!(agent.stored(".manifest"), Vec::<std::path::PathBuf>::new());
}
