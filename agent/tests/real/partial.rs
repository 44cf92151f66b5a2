//! Backups of some tables: what was asked for is there, all of it.

use crate::jobs::reason;
use crate::lies::install;
use crate::support::Server;
use crate::support::agent::Agent;
use provado_agent::postgres::tools::{Purpose, Tools, choose};
use provado_model::Reason;
use provado_proto::agent::v1::BackupJob;
use provado_proto::agent::v1::job::Kind;
use provado_proto::common::v1::{Scope, Selection};

const TABLES: &str = r#"
CREATE TABLE public.p (a integer, b integer) PARTITION BY RANGE (a);
CREATE TABLE public.p1 PARTITION OF public.p FOR VALUES FROM (0) TO (10);
CREATE SCHEMA "Other.One";
CREATE TABLE "Other.One"."p""2" PARTITION OF public.p FOR VALUES FROM (10) TO (20)
    PARTITION BY LIST (b);
CREATE TABLE "Other.One".deep PARTITION OF "Other.One"."p""2" FOR VALUES IN (1);
INSERT INTO public.p VALUES (1, 1), (11, 1), (12, 1);
CREATE TABLE public.q (a integer) PARTITION BY RANGE (a);
CREATE TABLE public.q1 PARTITION OF public.q FOR VALUES FROM (0) TO (10);
INSERT INTO public.q SELECT generate_series(1, 3);
CREATE SCHEMA app;
CREATE TABLE public.orders AS SELECT 1 AS a;
CREATE TABLE app.orders AS SELECT generate_series(1, 2) AS a;
CREATE TABLE public."odd|[x]$+(y)" AS SELECT generate_series(1, 4) AS a;
CREATE TABLE public."größe" AS SELECT generate_series(1, 8) AS a;
CREATE TABLE public.left_out AS SELECT 1 AS a;
DO $$ BEGIN FOR i IN 1..120 LOOP
    EXECUTE format('CREATE TABLE public.%I AS SELECT 1 AS a', 'many' || i);
END LOOP; END $$;
"#;

fn of_tables(mut job: BackupJob, patterns: &[&str]) -> BackupJob {
    job.selection = Some(Selection {
        scope: Scope::Everything.into(),
        table_patterns: patterns.iter().map(|&text| text.to_owned()).collect(),
    });
    job
}

async fn with_tables(major: u32, create: &'static str) -> Server {
    let server = Server::start(major);
    server.run("postgres", create).await;
    server.run("source", TABLES).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_take_partitions_every_schema_and_names_as_they_are() {
    for major in [15, 18] {
        let server = with_tables(major, "CREATE DATABASE source").await;
        let agent = Agent::ready(&[&server]).await;
        for (patterns, tables, rows) in [
            (&["p"][..], 2, 3),
            (&["orders"], 2, 3),
            (&["odd|[x]$+(y)"], 1, 4),
            (
                &["Größe", "many*", "\"Other.One\".\"p\"\"2\""],
                122,
                8 + 120 + 2,
            ),
        ] {
            let job = of_tables(agent.backup_job(&server, "source"), patterns);
            let backup = agent.backup_as(job).await;
            assert_eq!(
                (backup.table_count, backup.row_count),
                (tables, rows),
                "{major} {patterns:?}"
            );
        }
        let patterns = &["p", "q", "odd|[x]$+(y)", "app.orders"];
        let job = of_tables(agent.backup_job(&server, "source"), patterns);
        let backup = agent.backup_as(job).await;
        let (outcome, _) = agent
            .restore(agent.restore_job(&backup, &server, "some"))
            .await;
        assert_eq!(outcome.failure, None, "{major} {outcome:#?}");
        // pg_dump has no schemas in an archive of chosen tables: the restore makes them.
        let count = "SELECT (SELECT count(*) FROM public.p) + (SELECT count(*) FROM public.q) \
            + (SELECT count(*) FROM public.\"odd|[x]$+(y)\") \
            + (SELECT count(*) FROM app.orders)";
        let count: i64 = sqlx::query_scalar(count)
            .fetch_one(&mut server.connect("some").await)
            .await
            .unwrap();
        assert_eq!(count, 12);
        let (outcome, _) = agent.drill(&backup).await;
        assert_eq!(outcome.failure, None, "{major} {outcome:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_a_database_in_another_encoding_are_found() {
    let create = "CREATE DATABASE source ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0";
    let server = with_tables(15, create).await;
    let agent = Agent::ready(&[&server]).await;
    let job = of_tables(agent.backup_job(&server, "source"), &["größe"]);
    let backup = agent.backup_as(job).await;
    assert_eq!(backup.row_count, 8);
    // What the agent cannot do is no fault of the backup's.
    let warned = |what: &str| {
        let lines = agent.recorder.lines.lock().unwrap();
        lines.iter().any(|(_, line)| line.contains(what))
    };
    assert!(warned("is not in UTF-8"));
    let (outcome, _) = agent.drill(&backup).await;
    assert_eq!(
        reason(&outcome),
        Reason::DrillBroken.as_str(),
        "{outcome:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_without_the_data_of_a_table_is_no_backup() {
    let server = with_tables(15, "CREATE DATABASE source").await;
    let mut agent = Agent::ready(&[&server]).await;
    let real = choose(&server.tools.sets(), 15, Purpose::Client).unwrap();
    let real = real.program("pg_dump");
    let body = format!(
        "exec {} \"$@\" --exclude-table-data=app.orders",
        real.display()
    );
    install(&mut agent, &body);
    for patterns in [&[][..], &["orders"]] {
        let job = of_tables(agent.backup_job(&server, "source"), patterns);
        let outcome = agent.run(Kind::Backup(job)).await;
        assert_eq!(
            reason(&outcome),
            Reason::DumpIncomplete.as_str(),
            "{outcome:#?}"
        );
        let message = outcome.failure.unwrap().message;
        assert!(message.contains("app.orders"), "{message}");
    }
    assert_eq!(agent.stored(".manifest"), Vec::<std::path::PathBuf>::new());
}
