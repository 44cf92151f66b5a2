//! Restores whose surroundings do not hold still: sessions in the new database, servers that are
//! gone when it is time to clean up.

use crate::jobs::databases;
use crate::support::Server;
use crate::support::agent::Agent;
use provado_agent::jobs::sweep_databases;
use provado_proto::agent::v1::RestoreVerdict;
use rustix::fs::{FlockOperation, flock};
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::time::Duration;

/// A server with a small table that takes some seconds to load, since every row is looked at.
async fn slow_to_load() -> Server {
    let server = Server::start(15);
    server.run("postgres", "CREATE DATABASE source").await;
    server
        .run(
            "source",
            "CREATE FUNCTION public.slowly(integer) RETURNS boolean LANGUAGE plpgsql AS \
             'BEGIN PERFORM pg_sleep(0.01); RETURN true; END'; \
             CREATE TABLE public.t (a integer CHECK (public.slowly(a))); \
             INSERT INTO public.t SELECT generate_series(1, 300)",
        )
        .await;
    server
}

/// A session in the database that a restore is making, as monitoring has one that connects to
/// whatever it sees.
async fn intruder(server: &Server) -> PgConnection {
    let mut eyes = server.connect("postgres").await;
    let looking = async {
        loop {
            let sql =
                "SELECT datname::text FROM pg_database WHERE datname LIKE 'provado-restore-%'";
            let found: Option<String> = sqlx::query_scalar(sql)
                .fetch_optional(&mut eyes)
                .await
                .unwrap();
            if let Some(name) = found
                && let Ok(session) = server.address().connect(&name, "monitoring").await
            {
                return session;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), looking)
        .await
        .expect("the unfinished database was never seen")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_the_new_database_does_not_undo_the_restore() {
    let server = slow_to_load().await;
    let agent = Agent::ready(&[&server]).await;
    let backup = agent.backup(&server, "source").await;
    let job = agent.restore_job(&backup, &server, "again");
    let (restored, mut session) = tokio::join!(agent.restore(job), intruder(&server));
    let (outcome, detail) = restored;
    assert_eq!(outcome.failure, None, "{outcome:#?}");
    assert_eq!(detail.unwrap().verdict(), RestoreVerdict::Restored);
    assert!(session.ping().await.is_err(), "the session was not ended");
    assert_eq!(databases(&server).await, ["again", "postgres", "source"]);
    // Others may connect as to any database.
    server.run("postgres", "CREATE ROLE guest LOGIN").await;
    let mut guest = server.address();
    guest.user = "guest".to_owned();
    guest.connect("again", "test").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_database_goes_once_its_server_is_back_but_not_in_the_hand_of_a_restore() {
    let server = Server::start(15);
    let agent = Agent::ready(&[&server]).await;
    let address = server.address();
    let restores = agent.config.data_dir.join("restores");
    std::fs::create_dir_all(&restores).unwrap();
    let name = "provado-restore-0";
    let path = restores.join(format!("{name}.json"));
    let record = serde_json::json!({
        "host": address.host, "port": address.port, "database": name,
    });
    std::fs::write(&path, record.to_string()).unwrap();
    let mut connection = server.connect("postgres").await;
    connection
        .execute("CREATE DATABASE \"provado-restore-0\"")
        .await
        .unwrap();

    let held = std::fs::File::open(&path).unwrap();
    flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert_eq!(sweep_databases(&agent.config).await, [""; 0]);
    assert_eq!(databases(&server).await, ["postgres", name]);

    drop(held);
    let said = sweep_databases(&agent.config).await;
    assert_eq!(said, [format!("removed the unfinished database {name}")]);
    assert_eq!(databases(&server).await, ["postgres"]);
    assert!(!path.exists());
    assert_eq!(sweep_databases(&agent.config).await, [""; 0]);
}
