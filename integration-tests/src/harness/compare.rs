//! Whether two databases hold the same, told without Provado: by `pg_dump --schema-only` text and
//! by a digest of every table's rows.

use super::postgres::Postgres;
use super::process::run;
use anyhow::{Result, ensure};

/// An error that says what differs, unless definitions and rows are the same.
pub fn assert_equal(left: (&Postgres, &str), right: (&Postgres, &str)) -> Result<()> {
    if left.0.major() == right.0.major() {
        let (a, b) = (schema(left)?, schema(right)?);
        let difference = a.lines().zip(b.lines()).find(|(a, b)| a != b);
        ensure!(a == b, "definitions differ, first at {difference:?}");
    }
    let (a, b) = (rows(left)?, rows(right)?);
    let difference = a.lines().zip(b.lines()).find(|(a, b)| a != b);
    ensure!(a == b, "rows differ, first at {difference:?}");
    ensure!(!a.trim().is_empty(), "there is nothing to compare");
    Ok(())
}

/// The definitions as pg_dump tells them, without its comments and its random restrict keys.
fn schema((server, database): (&Postgres, &str)) -> Result<String> {
    let mut dump = server.tool("pg_dump", database);
    dump.arg("--schema-only");
    let text = run(dump)?.ok()?;
    let wanted = |line: &&str| {
        !line.starts_with("--")
            && !line.starts_with("\\restrict")
            && !line.starts_with("\\unrestrict")
    };
    Ok(text.lines().filter(wanted).collect::<Vec<_>>().join("\n"))
}

/// One line a table, sequence and large object: name, count, digest of its contents.
fn rows((server, database): (&Postgres, &str)) -> Result<String> {
    let list = "SELECT string_agg(format('%I.%I', n.nspname, c.relname), E'\\x01'
                  ORDER BY n.nspname, c.relname) FROM pg_class c
                JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND c.relpersistence = 'p'
                  AND n.nspname <> 'information_schema'";
    let mut out = String::new();
    for table in server
        .sql(database, list)?
        .split('\u{1}')
        .filter(|line| !line.is_empty())
    {
        let sql = format!(
            "SELECT count(*), md5(coalesce(string_agg(r, '|' ORDER BY r), ''))
             FROM (SELECT md5(t::text) r FROM {table} t) x"
        );
        out.push_str(&format!("{table} {}\n", server.sql(database, &sql)?));
    }
    let sequences = "SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2";
    out.push_str(&server.sql(database, sequences)?);
    let objects = "SELECT oid, md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY 1";
    out.push_str(&server.sql(database, objects)?);
    Ok(out)
}
