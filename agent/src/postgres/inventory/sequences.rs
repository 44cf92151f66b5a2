//! Sequences with the values they are at.
//!
//! Sequences do not follow snapshots: their values go on while a dump runs. What a restore must
//! bring back is what the dump took, so [`apply_sequence_values`] puts the dump's own values in.

use super::database::rows;
use super::{extension, privileges, user_schema};
use crate::postgres::connection::PgError;
use crate::postgres::sql::{ReadRow as _, Statement};
use provado_archive::Toc;
use provado_proto::repository::v1::SequenceFacts;
use sqlx::PgConnection;
use std::collections::HashMap;

/// `pg_sequence_last_value` is null for a sequence that was never called.
const SEQUENCES: &str = concat!(
    "SELECT n.nspname::text AS schema, c.relname::text AS name, \
        pg_catalog.pg_get_userbyid(c.relowner)::text AS owner, \
        pg_catalog.format_type(s.seqtypid, NULL) AS type, \
        pg_catalog.has_sequence_privilege(c.oid, 'SELECT,USAGE') AS readable, \
        pg_catalog.has_sequence_privilege(c.oid, 'SELECT') AS selectable, \
        CASE WHEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT,USAGE') \
            THEN pg_catalog.pg_sequence_last_value(c.oid) END AS last_value, \
        s.seqstart AS start_value, s.seqincrement AS increment, s.seqmin AS min_value, \
        s.seqmax AS max_value, s.seqcache AS cache_count, s.seqcycle AS cycles, \
        COALESCE((SELECT d.refobjid::pg_catalog.regclass::text || '.' \
                || pg_catalog.quote_ident(a.attname) \
            FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute a \
                ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid \
            WHERE d.objid = c.oid AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
                AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
                AND d.deptype IN ('a', 'i') LIMIT 1), '') AS owned_by, ",
    privileges!("c.relacl", "s", "c.relowner"),
    " AS privileges FROM pg_catalog.pg_sequence s \
    JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE ",
    user_schema!("n.nspname"),
    " AND ",
    extension!("pg_catalog.pg_class", "c.oid"),
    " = '' ORDER BY n.nspname, c.relname"
);

pub(super) async fn read(connection: &mut PgConnection) -> Result<Vec<SequenceFacts>, PgError> {
    let mut out = Vec::new();
    for row in rows(connection, SEQUENCES, "list the sequences").await? {
        let last_value: Option<i64> = row.read("last_value")?;
        let mut facts = SequenceFacts {
            schema_name: row.read("schema")?,
            sequence_name: row.read("name")?,
            owner: row.read("owner")?,
            r#type: row.read("type")?,
            last_value: last_value.unwrap_or_default(),
            is_called: last_value.is_some(),
            readable: last_value.is_some(),
            start_value: row.read("start_value")?,
            increment: row.read("increment")?,
            min_value: row.read("min_value")?,
            max_value: row.read("max_value")?,
            cache_count: row.read("cache_count")?,
            cycles: row.read("cycles")?,
            owned_by: row.read("owned_by")?,
            privileges: row.read("privileges")?,
        };
        if last_value.is_none() && row.read::<bool>("selectable")? {
            read_value(connection, &mut facts).await?;
        }
        out.push(facts);
    }
    Ok(out)
}

/// The value of a sequence that was never called; only the sequence itself tells it.
async fn read_value(
    connection: &mut PgConnection,
    facts: &mut SequenceFacts,
) -> Result<(), PgError> {
    let row = Statement::new("SELECT last_value, is_called FROM ")
        .identifier(&facts.schema_name)
        .text(".")
        .identifier(&facts.sequence_name)
        .fetch_one(connection, "read a sequence's value")
        .await?;
    facts.last_value = row.read("last_value")?;
    facts.is_called = row.read("is_called")?;
    facts.readable = true;
    Ok(())
}

/// Replaces the values of sequences by those that the archive's `SEQUENCE SET` entries restore.
/// Sequences without such an entry keep what was read.
pub fn apply_sequence_values(sequences: &mut [SequenceFacts], toc: &Toc) {
    let values: HashMap<(&str, &str), (i64, bool)> = toc
        .entries
        .iter()
        .filter(|entry| entry.desc == "SEQUENCE SET" && entry.text_exact)
        .filter_map(|entry| {
            let schema = entry.namespace.as_deref()?;
            Some(((schema, entry.tag.as_str()), set_values(&entry.defn)?))
        })
        .collect();
    for facts in sequences {
        let key = (facts.schema_name.as_str(), facts.sequence_name.as_str());
        if let Some((last_value, is_called)) = values.get(&key) {
            facts.last_value = *last_value;
            facts.is_called = *is_called;
            facts.readable = true;
        }
    }
}

/// The value and flag at the end of `SELECT pg_catalog.setval('s.n', 42, true);`.
fn set_values(definition: &str) -> Option<(i64, bool)> {
    let body = definition.trim_end().strip_suffix(");")?;
    let (rest, is_called) = body.rsplit_once(", ")?;
    let (_, last_value) = rest.rsplit_once(", ")?;
    Some((last_value.parse().ok()?, is_called.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_from_the_dumps_own_statement() {
        for (text, expected) in [
            (
                "SELECT pg_catalog.setval('s.n', 42, true);\n",
                Some((42, true)),
            ),
            (
                "SELECT pg_catalog.setval('\"a, b\".x', -1, false);\n\n",
                Some((-1, false)),
            ),
            ("SELECT pg_catalog.setval('x', y, true);\n", None),
            ("", None),
        ] {
            assert_eq!(set_values(text), expected);
        }
    }
}
