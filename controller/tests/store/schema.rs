//! Both engines have the same tables, understand every statement, and do not scan where it hurts.

use crate::support::postgres::Server;
use provado_controller::STATEMENTS;
use provado_controller::db::{Database, Engine, Sql};
use std::collections::BTreeSet;
use std::path::Path;

#[tokio::test]
async fn every_statement_is_understood_by_both_engines() {
    let server = Server::shared();
    for url in ["sqlite::memory:", &server.create_database()] {
        let database = Database::open(url).await.unwrap();
        let mut wrong = Vec::new();
        for (store, statements) in STATEMENTS {
            for statement in *statements {
                if let Err(error) = database.prepare(statement.sql).await {
                    wrong.push(format!("{store} {}: {}", statement.name, error.chain()));
                }
            }
        }
        assert!(wrong.is_empty(), "{url}:\n{}", wrong.join("\n"));
    }
}

#[test]
fn every_store_is_in_the_registry() {
    let mut files = Vec::new();
    collect(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    let stores = files
        .iter()
        .filter(|path| {
            std::fs::read_to_string(path)
                .unwrap()
                .contains("\nstatements! {")
        })
        .count();
    assert_eq!(
        STATEMENTS.len(),
        stores,
        "add the new store to STATEMENTS in lib.rs"
    );
}

fn collect(directory: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

#[tokio::test]
async fn both_engines_end_with_the_same_tables_and_columns() {
    const COLUMNS: Sql = Sql::pair(
        "SELECT m.name AS table_name, p.name AS column_name, p.\"notnull\" AS required \
         FROM sqlite_master m JOIN pragma_table_info(m.name) p \
         WHERE m.type = 'table' AND m.name NOT LIKE '\\_%' ESCAPE '\\' \
         AND m.name NOT LIKE 'sqlite%' AND p.pk = 0",
        "SELECT c.table_name, c.column_name, \
         CAST(CASE c.is_nullable WHEN 'NO' THEN 1 ELSE 0 END AS BIGINT) AS required \
         FROM information_schema.columns c \
         WHERE c.table_schema = 'public' AND c.table_name NOT LIKE '\\_%' \
         AND NOT EXISTS (SELECT 1 FROM information_schema.key_column_usage k \
         JOIN information_schema.table_constraints t USING (constraint_name, table_name) \
         WHERE t.constraint_type = 'PRIMARY KEY' AND k.table_name = c.table_name \
         AND k.column_name = c.column_name)",
    );
    let server = Server::shared();
    let mut schemas: Vec<BTreeSet<(String, String, i64)>> = Vec::new();
    for url in ["sqlite::memory:", &server.create_database()] {
        let database = Database::open(url).await.unwrap();
        let mut tx = database.read().await.unwrap();
        let rows = tx.fetch_all(COLUMNS, &[]).await.unwrap();
        schemas.push(
            rows.iter()
                .map(|row| {
                    let text = |column| row.text(column).unwrap();
                    (
                        text("table_name"),
                        text("column_name"),
                        row.int("required").unwrap(),
                    )
                })
                .collect(),
        );
    }
    assert!(schemas[0].len() > 100, "{}", schemas[0].len());
    assert_eq!(schemas[0], schemas[1]);
}

#[tokio::test]
async fn migrations_are_applied_once_by_many_controllers_at_once() {
    let server = Server::shared();
    let url = server.create_database();
    let opened = tokio::join!(
        Database::open(&url),
        Database::open(&url),
        Database::open(&url)
    );
    for database in [opened.0, opened.1, opened.2] {
        database.unwrap().close().await;
    }
    let count = server.psql(
        &url,
        "SELECT count(*), count(DISTINCT version) FROM _sqlx_migrations",
    );
    let numbers: Vec<&str> = count.trim().split('|').collect();
    assert_eq!(numbers[0], numbers[1]);
}

#[tokio::test]
async fn hot_statements_scan_no_table() {
    let server = Server::shared();
    let url = server.create_database();
    Database::open(&url).await.unwrap().close().await;
    let hot: BTreeSet<&str> = provado_controller::HOT_STATEMENTS
        .iter()
        .flat_map(|names| names.iter().copied())
        .collect();
    let mut seen = BTreeSet::new();
    for statement in STATEMENTS.iter().flat_map(|(_, statements)| *statements) {
        if !hot.contains(statement.name) {
            continue;
        }
        seen.insert(statement.name);
        let sql = statement.sql.on(Engine::Postgres);
        let count = (1..40)
            .take_while(|n| sql.contains(&format!("${n}")))
            .count();
        let nulls = vec!["NULL"; count].join(", ");
        let script = format!(
            "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan;\n\
             PREPARE s AS {sql};\nEXPLAIN EXECUTE s{};\n",
            if count == 0 {
                String::new()
            } else {
                format!("({nulls})")
            }
        );
        let plan = server.psql(&url, &script);
        let scans: Vec<&str> = plan
            .lines()
            .filter(|line| line.contains("Seq Scan") && !line.contains("on controller_state"))
            .collect();
        assert!(scans.is_empty(), "{}:\n{plan}", statement.name);
    }
    assert_eq!(seen, hot, "HOT names a statement that is not there");
}
