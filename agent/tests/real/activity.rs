//! Our backends on a server: found by name, ended by name, and those who wait behind them seen.

use crate::support::Server;
use provado_agent::postgres::activity::{end_backends, waiting_behind};
use sqlx::Executor as _;

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_behind_our_locks_is_seen_until_our_backends_are_ended() {
    let server = Server::start(15);
    server
        .run("postgres", "CREATE TABLE public.t (a integer)")
        .await;
    let name = "provado:01890000-0000-7000-8000-000000000000";
    let mut ours = server.address().connect("postgres", name).await.unwrap();
    ours.execute("BEGIN").await.unwrap();
    ours.execute("LOCK TABLE public.t IN ACCESS SHARE MODE")
        .await
        .unwrap();
    let mut other = server.connect("postgres").await;
    let waiting = tokio::task::spawn(async move {
        other
            .execute("ALTER TABLE public.t ADD COLUMN b integer")
            .await
    });
    let mut watcher = server.connect("postgres").await;
    let seen = loop {
        let seen = waiting_behind(&mut watcher, name).await.unwrap();
        if !seen.is_empty() {
            break seen;
        }
    };
    assert_eq!(seen.len(), 1);
    assert!(seen[0].changes_definition);
    assert_eq!(seen[0].application_name, "test");
    assert_eq!(
        waiting_behind(&mut watcher, "provado:x").await.unwrap(),
        vec![]
    );
    assert_eq!(end_backends(&mut watcher, "provado:x").await.unwrap(), 0);
    assert_eq!(end_backends(&mut watcher, name).await.unwrap(), 1);
    waiting.await.unwrap().unwrap();
    assert!(ours.execute("SELECT 1").await.is_err());
}
