//! Backups that meet locks, a slow tool, or another server than was meant: they end, say why, and
//! leave nothing on the server.

use crate::jobs::{reason, with_sample};
use crate::support::Server;
use crate::support::agent::Agent;
use provado_model::Reason;
use provado_proto::agent::v1::job::Kind;
use provado_proto::agent::v1::{BackupJob, Outcome};
use sqlx::{Executor as _, PgConnection};
use std::time::Duration;

/// No outcome takes longer than this; it bounds a test that would hang.
const OUTCOME_SECONDS_MAX: u64 = 90;

async fn bounded(outcome: impl Future<Output = Outcome>) -> Outcome {
    let limit = Duration::from_secs(OUTCOME_SECONDS_MAX);
    tokio::time::timeout(limit, outcome)
        .await
        .expect("the job has an outcome in time")
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
    let outcome = bounded(agent.run(Kind::Backup(job))).await;
    assert_eq!(
        reason(&outcome),
        Reason::LockTimeout.as_str(),
        "{outcome:#?}"
    );
    drop(holder);
    agent.backup(&server, "source").await;
}
