//! The database itself, its schemas, extensions and collations.

use super::{privileges, user_schema};
use crate::postgres::connection::PgError;
use crate::postgres::sql::ReadRow as _;
use provado_proto::repository::v1::{CollationFacts, DatabaseFacts, ExtensionFacts, SchemaFacts};
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

/// `to_jsonb` reads columns that came (and were renamed) with 15, 16 and 17.
const DATABASE: &str = concat!(
    "SELECT d.oid::int8 AS oid, d.datname::text AS name, \
        pg_catalog.pg_get_userbyid(d.datdba)::text AS owner, \
        pg_catalog.pg_encoding_to_char(d.encoding)::text AS encoding, \
        COALESCE(d.datcollate::text, '') AS collate, COALESCE(d.datctype::text, '') AS ctype, \
        CASE pg_catalog.to_jsonb(d) ->> 'datlocprovider' WHEN 'i' THEN 'icu' \
            WHEN 'b' THEN 'builtin' ELSE 'libc' END AS provider, \
        COALESCE(pg_catalog.to_jsonb(d) ->> 'datlocale', \
            pg_catalog.to_jsonb(d) ->> 'daticulocale', '') AS locale, \
        COALESCE(pg_catalog.to_jsonb(d) ->> 'daticurules', '') AS icu_rules, \
        COALESCE(pg_catalog.to_jsonb(d) ->> 'datcollversion', '') AS collation_version, \
        t.spcname::text AS tablespace, pg_catalog.pg_database_size(d.oid) AS size_bytes, \
        COALESCE(pg_catalog.shobj_description(d.oid, 'pg_database'), '') AS comment, ",
    privileges!("d.datacl", "d", "d.datdba"),
    " AS privileges FROM pg_catalog.pg_database d \
    JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace \
    WHERE d.datname = pg_catalog.current_database()"
);

/// From 15 on.
const COLLATION_NOW: &str = "\
    SELECT COALESCE(pg_catalog.pg_database_collation_actual_version(oid), '') \
    FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()";

/// The role is always in quotes, so that a setting called `role` is not taken for it.
const DATABASE_SETTINGS: &str = "\
    SELECT CASE WHEN s.setrole = 0 THEN '' ELSE 'role=\"' \
        || pg_catalog.replace(pg_catalog.pg_get_userbyid(s.setrole)::text, '\"', '\"\"') \
        || '\" ' END || c AS setting \
    FROM pg_catalog.pg_db_role_setting s \
    JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase, \
    LATERAL pg_catalog.unnest(s.setconfig) AS c \
    WHERE d.datname = pg_catalog.current_database() ORDER BY 1";

const SERVER_SETTINGS: &str = "\
    SELECT name, COALESCE(setting, '') AS setting FROM pg_catalog.pg_settings \
    WHERE name IN ('lc_monetary', 'lc_numeric', 'lc_time', 'lc_messages', 'TimeZone', \
        'DateStyle', 'IntervalStyle', 'bytea_output', 'xmlbinary', 'xmloption', \
        'shared_preload_libraries', 'data_checksums', 'block_size', 'server_version', \
        'standard_conforming_strings', 'default_toast_compression')";

const SCHEMAS: &str = concat!(
    "SELECT n.nspname::text AS name, pg_catalog.pg_get_userbyid(n.nspowner)::text AS owner, \
        COALESCE(pg_catalog.obj_description(n.oid, 'pg_namespace'), '') AS comment, ",
    privileges!("n.nspacl", "n", "n.nspowner"),
    " AS privileges FROM pg_catalog.pg_namespace n WHERE ",
    user_schema!("n.nspname"),
    " ORDER BY n.nspname"
);

const EXTENSIONS: &str = "\
    SELECT e.extname::text AS name, e.extversion AS version, n.nspname::text AS schema, \
        pg_catalog.pg_get_userbyid(e.extowner)::text AS owner, \
        ARRAY(SELECT c::pg_catalog.regclass::text \
            FROM pg_catalog.unnest(e.extconfig) AS c ORDER BY 1) AS configuration_tables \
    FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace \
    ORDER BY e.extname";

const COLLATIONS: &str = concat!(
    "SELECT n.nspname::text AS schema, c.collname::text AS name, \
        CASE c.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' \
            WHEN 'd' THEN 'default' ELSE 'libc' END AS provider, \
        COALESCE(c.collversion, '') AS version, \
        COALESCE(pg_catalog.pg_collation_actual_version(c.oid), '') AS actual_version, \
        COALESCE(pg_catalog.to_jsonb(c) ->> 'colllocale', \
            pg_catalog.to_jsonb(c) ->> 'colliculocale', c.collcollate::text, '') AS locale, \
        c.collisdeterministic AS deterministic, \
        ARRAY(SELECT i.indexrelid::pg_catalog.regclass::text FROM pg_catalog.pg_index i \
            WHERE c.oid = ANY (i.indcollation::pg_catalog.oid[]) ORDER BY 1) AS index_names \
    FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace \
    WHERE (",
    user_schema!("n.nspname"),
    ") OR c.oid IN (SELECT pg_catalog.unnest(i.indcollation::pg_catalog.oid[]) \
        FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class r ON r.oid = i.indrelid \
        JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace WHERE ",
    user_schema!("rn.nspname"),
    ") ORDER BY 1, 2"
);

pub(super) async fn rows(
    connection: &mut PgConnection,
    sql: &'static str,
    what: &'static str,
) -> Result<Vec<PgRow>, PgError> {
    sqlx::query(sql)
        .fetch_all(connection)
        .await
        .map_err(|source| PgError::query(what, source))
}

/// An oid that the server sent as `int8`; 0 where it is out of range, which it never is.
pub(super) fn oid(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

pub(super) async fn read(connection: &mut PgConnection) -> Result<DatabaseFacts, PgError> {
    let row = sqlx::query(DATABASE)
        .fetch_one(&mut *connection)
        .await
        .map_err(|source| PgError::query("read the database's properties", source))?;
    let mut facts = DatabaseFacts {
        database_name: row.read("name")?,
        oid: oid(row.read("oid")?),
        owner: row.read("owner")?,
        encoding: row.read("encoding")?,
        collate: row.read("collate")?,
        ctype: row.read("ctype")?,
        locale_provider: row.read("provider")?,
        locale: row.read("locale")?,
        icu_rules: row.read("icu_rules")?,
        collation_version: row.read("collation_version")?,
        tablespace_name: row.read("tablespace")?,
        size_bytes: row.read("size_bytes")?,
        comment: row.read("comment")?,
        privileges: row.read("privileges")?,
        ..DatabaseFacts::default()
    };
    for row in rows(connection, SERVER_SETTINGS, "read the server's settings").await? {
        facts
            .server_settings
            .insert(row.read("name")?, row.read("setting")?);
    }
    for row in rows(
        connection,
        DATABASE_SETTINGS,
        "read the database's settings",
    )
    .await?
    {
        facts.database_settings.push(row.read("setting")?);
    }
    if super::super::sql::server_major(connection).await? >= 15 {
        facts.actual_collation_version = sqlx::query_scalar(COLLATION_NOW)
            .fetch_one(connection)
            .await
            .map_err(|source| PgError::query("read the collation's version", source))?;
    }
    Ok(facts)
}

pub(super) async fn read_schemas(
    connection: &mut PgConnection,
) -> Result<Vec<SchemaFacts>, PgError> {
    rows(connection, SCHEMAS, "list the schemas")
        .await?
        .iter()
        .map(|row| {
            Ok(SchemaFacts {
                schema_name: row.read("name")?,
                owner: row.read("owner")?,
                privileges: row.read("privileges")?,
                comment: row.read("comment")?,
            })
        })
        .collect()
}

pub(super) async fn read_extensions(
    connection: &mut PgConnection,
) -> Result<Vec<ExtensionFacts>, PgError> {
    rows(connection, EXTENSIONS, "list the extensions")
        .await?
        .iter()
        .map(|row| {
            Ok(ExtensionFacts {
                extension_name: row.read("name")?,
                version: row.read("version")?,
                schema_name: row.read("schema")?,
                owner: row.read("owner")?,
                configuration_tables: row.read("configuration_tables")?,
            })
        })
        .collect()
}

pub(super) async fn read_collations(
    connection: &mut PgConnection,
) -> Result<Vec<CollationFacts>, PgError> {
    rows(connection, COLLATIONS, "list the collations")
        .await?
        .iter()
        .map(|row| {
            Ok(CollationFacts {
                schema_name: row.read("schema")?,
                collation_name: row.read("name")?,
                provider: row.read("provider")?,
                version: row.read("version")?,
                actual_version: row.read("actual_version")?,
                locale: row.read("locale")?,
                deterministic: row.read("deterministic")?,
                index_names: row.read("index_names")?,
            })
        })
        .collect()
}
