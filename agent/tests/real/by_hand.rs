//! The format's page, section 9, on a backup of this agent: its scripts as they stand there, run
//! with stock `age`, `zstd`, `dd` and `pg_restore` alone.

use crate::jobs::with_sample;
use crate::support::Server;
use crate::support::agent::Agent;
use provado_agent::postgres::tools::{Purpose, Tools as _, choose};
use std::path::Path;
use std::process::Command;

/// A shell script of the page, by its number there.
fn script(number: usize) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/repository-format.md");
    let text = std::fs::read_to_string(page).unwrap();
    let block = text.split("```sh\n").nth(number + 1).unwrap();
    block.split("```").next().unwrap().to_owned()
}

/// Runs a script where the major's programs are found, connected to the server.
fn run(server: &Server, major: u32, directory: &Path, script: &str, set: &[(&str, &str)]) {
    let tools = choose(&server.tools.sets(), major, Purpose::Server).unwrap();
    let path = format!("{}:/usr/bin:/bin", tools.directory.display());
    let address = server.address();
    let output = Command::new("/bin/sh")
        .arg("-c")
        .arg(script)
        .current_dir(directory)
        .env_clear()
        .envs([("PATH", path.as_str()), ("LC_ALL", "C")])
        .envs([("PGHOST", address.host.as_str()), ("PGUSER", "postgres")])
        .envs(set.iter().copied())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{major}: {errors}");
}

/// The rows of the only COPY of an SQL script, sorted.
fn rows_of(sql: &str) -> Vec<&str> {
    let (_, rest) = sql.split_once("FROM stdin;\n").unwrap();
    let (rows, _) = rest.split_once("\n\\.\n").unwrap();
    let mut rows: Vec<&str> = rows.lines().collect();
    rows.sort_unstable();
    rows
}

async fn rows_in(server: &Server, database: &str, query: &'static str) -> Vec<String> {
    let mut connection = server.connect(database).await;
    sqlx::query_scalar(query)
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_this_agent_is_recovered_by_stock_tools() {
    for major in [15, 18] {
        let server = with_sample(major).await;
        let agent = Agent::ready(&[&server]).await;
        let backup = agent.backup(&server, "source").await;
        let scratch = tempfile::tempdir().unwrap();
        let instance = agent.instance.to_string();
        let set = [
            ("REPOSITORY", agent.repository.path.as_str()),
            ("INSTANCE", instance.as_str()),
            ("BACKUP", backup.backup_id.as_str()),
            ("IDENTITY", agent.config.identity_files[0].to_str().unwrap()),
            ("TABLE", "orders_2025"),
        ];
        // What the source says, in the words of the source.
        let copy = "psql -qAtX -d source -c \"SET search_path = ''\" -c 'SET timezone = UTC' \
                    -c 'COPY app.orders_2025 TO STDOUT' > source.rows";
        run(&server, major, scratch.path(), copy, &set);
        run(&server, major, scratch.path(), &script(0), &set);
        let read = |name: &str| std::fs::read_to_string(scratch.path().join(name)).unwrap();
        let (sql, source) = (read("orders_2025.sql"), read("source.rows"));
        let mut expected: Vec<&str> = source.lines().collect();
        expected.sort_unstable();
        assert!(expected.len() > 1_000, "{}", expected.len());
        assert!(rows_of(&sql) == expected, "{major}: other rows");

        server.run("postgres", "CREATE DATABASE by_hand").await;
        let whole = tempfile::tempdir().unwrap();
        let both = format!("{}{}", script(0), script(1));
        let mut set = set.to_vec();
        set.push(("DATABASE", "by_hand"));
        run(&server, major, whole.path(), &both, &set);
        for query in [
            "SELECT c::text FROM app.customers c ORDER BY 1",
            "SELECT o::text FROM app.orders o ORDER BY 1",
            "SELECT m.oid || ' ' || md5(lo_get(m.oid)) FROM pg_largeobject_metadata m ORDER BY 1",
            "SELECT t::text FROM app.totals t ORDER BY 1",
        ] {
            let (there, here) = (
                rows_in(&server, "source", query).await,
                rows_in(&server, "by_hand", query).await,
            );
            assert!(!there.is_empty() && here == there, "{major}: {query}");
        }
    }
}
