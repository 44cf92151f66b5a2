//! Tables, views and the like with their columns, constraints and indexes.

use super::database::{oid, rows};
use super::{extension, privileges, user_schema};
use crate::postgres::connection::PgError;
use crate::postgres::sql::ReadRow as _;
use provado_proto::repository::v1::{
    ColumnFacts, ConstraintFacts, IndexFacts, RelationFacts, RelationKind,
};
use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use std::collections::HashMap;

const RELATIONS: &str = concat!(
    "SELECT c.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS name, \
        c.relkind::text AS kind, pg_catalog.pg_get_userbyid(c.relowner)::text AS owner, \
        CASE c.relpersistence WHEN 'u' THEN 'unlogged' WHEN 't' THEN 'temporary' \
            ELSE 'permanent' END AS persistence, \
        CASE WHEN c.relispartition THEN (SELECT i.inhparent::pg_catalog.regclass::text \
            FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid LIMIT 1) ELSE '' END \
            AS partition_of, \
        COALESCE(pg_catalog.pg_get_expr(c.relpartbound, c.oid), '') AS partition_bound, \
        CASE WHEN c.relkind = 'p' THEN COALESCE(pg_catalog.pg_get_partkeydef(c.oid), '') \
            ELSE '' END AS partition_key, \
        CASE WHEN c.relispartition THEN '{}'::text[] ELSE ARRAY( \
            SELECT i.inhparent::pg_catalog.regclass::text FROM pg_catalog.pg_inherits i \
            WHERE i.inhrelid = c.oid ORDER BY i.inhseqno) END AS inherits, \
        CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid) ELSE '' END \
            AS definition, \
        ARRAY(SELECT o FROM pg_catalog.unnest(c.reloptions) AS o ORDER BY o) AS options, \
        COALESCE(t.spcname::text, '') AS tablespace, COALESCE(a.amname::text, '') AS am, \
        c.relrowsecurity AS row_security, c.relforcerowsecurity AS row_security_forced, \
        CASE c.relreplident WHEN 'n' THEN 'nothing' WHEN 'f' THEN 'full' WHEN 'i' THEN ( \
            SELECT x.relname::text FROM pg_catalog.pg_index i \
            JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid \
            WHERE i.indrelid = c.oid AND i.indisreplident LIMIT 1) ELSE 'default' END \
            AS replica_identity, \
        COALESCE(pg_catalog.obj_description(c.oid, 'pg_class'), '') AS comment, \
        CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_relation_size(c.oid) ELSE 0 END \
            AS size_bytes, \
        c.reltuples::int8 AS estimate, c.relispopulated AS populated, ",
    privileges!("c.relacl", "r", "c.relowner"),
    " AS privileges, ",
    extension!("pg_catalog.pg_class", "c.oid"),
    " AS extension FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    LEFT JOIN pg_catalog.pg_tablespace t ON t.oid = c.reltablespace \
    LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam \
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND ",
    user_schema!("n.nspname"),
    " ORDER BY n.nspname, c.relname"
);

const COLUMNS: &str = concat!(
    "SELECT a.attrelid::int8 AS oid, a.attname::text AS name, \
        pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null, \
        COALESCE(pg_catalog.pg_get_expr(d.adbin, d.adrelid), '') AS default_expression, \
        CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' ELSE '' END \
            AS identity, \
        CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' ELSE '' END \
            AS generated, \
        CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation THEN ( \
            SELECT pg_catalog.quote_ident(cn.nspname) || '.' \
                || pg_catalog.quote_ident(co.collname) FROM pg_catalog.pg_collation co \
            JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace \
            WHERE co.oid = a.attcollation) ELSE '' END AS collation, \
        CASE a.attstorage WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external' \
            WHEN 'm' THEN 'main' ELSE 'extended' END AS storage, \
        CASE pg_catalog.to_jsonb(a) ->> 'attcompression' WHEN 'p' THEN 'pglz' \
            WHEN 'l' THEN 'lz4' ELSE '' END AS compression, \
        COALESCE(pg_catalog.col_description(a.attrelid, a.attnum), '') AS comment, \
        COALESCE((SELECT pg_catalog.string_agg(x::text, ',' ORDER BY x::text) \
            FROM pg_catalog.unnest(a.attacl) AS x), '') AS privileges, \
        CASE WHEN COALESCE(a.attstattarget, -1) < 0 THEN '' ELSE a.attstattarget::text END \
            AS statistics_target \
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') \
        AND ",
    user_schema!("n.nspname"),
    " ORDER BY a.attrelid, a.attnum"
);

const CONSTRAINTS: &str = concat!(
    "SELECT n.nspname::text AS schema, COALESCE(r.relname::text, t.typname::text, '') AS owner, \
        c.conname::text AS name, \
        CASE c.contype WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique' \
            WHEN 'f' THEN 'foreign key' WHEN 'c' THEN 'check' WHEN 'x' THEN 'exclusion' \
            WHEN 'n' THEN 'not null' ELSE 'trigger' END AS type, \
        pg_catalog.pg_get_constraintdef(c.oid) AS definition, c.convalidated AS validated, \
        c.condeferrable AS deferrable, \
        COALESCE((pg_catalog.to_jsonb(c) ->> 'conenforced')::bool, true) AS enforced \
    FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace \
    LEFT JOIN pg_catalog.pg_class r ON r.oid = c.conrelid AND c.conrelid <> 0 \
    LEFT JOIN pg_catalog.pg_type t ON t.oid = c.contypid AND c.contypid <> 0 \
    WHERE ",
    user_schema!("n.nspname"),
    " AND (r.oid IS NULL OR ",
    extension!("pg_catalog.pg_class", "r.oid"),
    " = '') AND (t.oid IS NULL OR ",
    extension!("pg_catalog.pg_type", "t.oid"),
    " = '') ORDER BY 1, 2, 3"
);

const INDEXES: &str = concat!(
    "SELECT n.nspname::text AS schema, t.relname::text AS table_name, x.relname::text AS name, \
        pg_catalog.pg_get_indexdef(i.indexrelid) AS definition, i.indisunique AS is_unique, \
        i.indisvalid AS valid, EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k \
            WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')) AS is_constraint, \
        COALESCE(s.spcname::text, '') AS tablespace, i.indisclustered AS clustered, \
        CASE WHEN x.relkind = 'i' THEN pg_catalog.pg_relation_size(x.oid) ELSE 0 END \
            AS size_bytes \
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid \
    JOIN pg_catalog.pg_class t ON t.oid = i.indrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = x.relnamespace \
    LEFT JOIN pg_catalog.pg_tablespace s ON s.oid = x.reltablespace \
    WHERE ",
    user_schema!("n.nspname"),
    " AND ",
    extension!("pg_catalog.pg_class", "t.oid"),
    " = '' ORDER BY 1, 2, 3"
);

pub(super) async fn read(connection: &mut PgConnection) -> Result<Vec<RelationFacts>, PgError> {
    let mut columns: HashMap<u32, Vec<ColumnFacts>> = HashMap::new();
    for row in rows(connection, COLUMNS, "list the columns").await? {
        columns
            .entry(oid(row.read("oid")?))
            .or_default()
            .push(column(&row)?);
    }
    rows(connection, RELATIONS, "list the tables and views")
        .await?
        .iter()
        .map(|row| relation(row, &mut columns))
        .collect()
}

fn relation(
    row: &PgRow,
    columns: &mut HashMap<u32, Vec<ColumnFacts>>,
) -> Result<RelationFacts, PgError> {
    let kind: String = row.read("kind")?;
    let kind = match kind.as_str() {
        "r" => RelationKind::Table,
        "p" => RelationKind::PartitionedTable,
        "v" => RelationKind::View,
        "m" => RelationKind::MaterializedView,
        "f" => RelationKind::ForeignTable,
        "c" => RelationKind::CompositeType,
        _ => RelationKind::Unspecified,
    };
    let oid = oid(row.read("oid")?);
    Ok(RelationFacts {
        schema_name: row.read("schema")?,
        relation_name: row.read("name")?,
        kind: kind.into(),
        owner: row.read("owner")?,
        columns: columns.remove(&oid).unwrap_or_default(),
        persistence: row.read("persistence")?,
        partition_of: row
            .read::<Option<String>>("partition_of")?
            .unwrap_or_default(),
        partition_bound: row.read("partition_bound")?,
        partition_key: row.read("partition_key")?,
        inherits: row.read("inherits")?,
        definition: row.read("definition")?,
        options: row.read("options")?,
        tablespace_name: row.read("tablespace")?,
        access_method: row.read("am")?,
        row_security: row.read("row_security")?,
        row_security_forced: row.read("row_security_forced")?,
        replica_identity: row
            .read::<Option<String>>("replica_identity")?
            .unwrap_or_default(),
        privileges: row.read("privileges")?,
        comment: row.read("comment")?,
        extension_name: row.read("extension")?,
        oid,
        size_bytes: row.read("size_bytes")?,
        estimated_row_count: row.read("estimate")?,
        populated: row.read("populated")?,
    })
}

fn column(row: &PgRow) -> Result<ColumnFacts, PgError> {
    Ok(ColumnFacts {
        column_name: row.read("name")?,
        r#type: row.read("type")?,
        not_null: row.read("not_null")?,
        default_expression: row.read("default_expression")?,
        identity: row.read("identity")?,
        generated: row.read("generated")?,
        collation: row.read("collation")?,
        storage: row.read("storage")?,
        compression: row.read("compression")?,
        comment: row.read("comment")?,
        privileges: row.read("privileges")?,
        statistics_target: row.read("statistics_target")?,
    })
}

pub(super) async fn read_constraints(
    connection: &mut PgConnection,
) -> Result<Vec<ConstraintFacts>, PgError> {
    rows(connection, CONSTRAINTS, "list the constraints")
        .await?
        .iter()
        .map(|row| {
            Ok(ConstraintFacts {
                schema_name: row.read("schema")?,
                owner_name: row.read("owner")?,
                constraint_name: row.read("name")?,
                r#type: row.read("type")?,
                definition: row.read("definition")?,
                validated: row.read("validated")?,
                deferrable: row.read("deferrable")?,
                enforced: row.read("enforced")?,
            })
        })
        .collect()
}

pub(super) async fn read_indexes(
    connection: &mut PgConnection,
) -> Result<Vec<IndexFacts>, PgError> {
    rows(connection, INDEXES, "list the indexes")
        .await?
        .iter()
        .map(|row| {
            Ok(IndexFacts {
                schema_name: row.read("schema")?,
                table_name: row.read("table_name")?,
                index_name: row.read("name")?,
                definition: row.read("definition")?,
                unique: row.read("is_unique")?,
                valid: row.read("valid")?,
                constraint: row.read("is_constraint")?,
                tablespace_name: row.read("tablespace")?,
                clustered: row.read("clustered")?,
                size_bytes: row.read("size_bytes")?,
            })
        })
        .collect()
}
