//! Looks at instances: what runs on this host, what is in it, what our role may not see.
//!
//! Reads only. A right that is missing is reported with what to grant; it never makes an
//! inspection fail, because a list without sizes is worth more than no list.

mod discover;

pub use discover::discover;

use super::activity::HOUSEKEEPING;
use super::connection::{PgError, ServerAddress};
use super::sql::ReadRow as _;
use provado_proto::agent::v1::{DatabaseInventory, ExtensionInventory, InstanceInventory};
use sqlx::{Connection as _, PgConnection};

const SERVER: &str = "\
    SELECT pg_catalog.current_setting('server_version') AS version, \
        pg_catalog.current_setting('server_version_num')::int4 AS number, \
        pg_catalog.pg_is_in_recovery() AS in_recovery";

/// Readable by everybody, as tried on 15, 16 and 18 with a role that has no rights at all.
const SYSTEM_IDENTIFIER: &str =
    "SELECT system_identifier::text FROM pg_catalog.pg_control_system()";

/// `data_directory` and its like are visible to members of `pg_read_all_settings` only.
const SETTINGS: &str = "\
    SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN ('data_directory', \
        'server_encoding', 'lc_messages', 'lc_monetary', 'lc_numeric', 'lc_time', 'TimeZone', \
        'data_checksums', 'wal_level', 'archive_mode', 'max_connections', 'max_wal_senders', \
        'shared_preload_libraries', 'default_tablespace', 'block_size', 'cluster_name', \
        'default_toast_compression', 'password_encryption', 'row_security') ORDER BY name";

/// `to_jsonb` reads columns that not every version has.
const DATABASES: &str = "\
    SELECT d.oid::int8 AS oid, d.datname::text AS name, r.rolname::text AS owner, \
        pg_catalog.pg_encoding_to_char(d.encoding)::text AS encoding, \
        COALESCE(d.datcollate::text, '') AS collate, COALESCE(d.datctype::text, '') AS ctype, \
        CASE pg_catalog.to_jsonb(d) ->> 'datlocprovider' WHEN 'i' THEN 'icu' \
            WHEN 'b' THEN 'builtin' ELSE 'libc' END AS provider, \
        COALESCE(pg_catalog.to_jsonb(d) ->> 'datcollversion', '') AS collation_version, \
        d.datallowconn AS allow_connections, \
        pg_catalog.has_database_privilege(d.oid, 'CONNECT') AS may_connect, \
        CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT') \
            OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') \
            THEN pg_catalog.pg_database_size(d.oid) END AS size_bytes \
    FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba \
    WHERE NOT d.datistemplate ORDER BY d.datname";

/// From 15 on.
const COLLATION_NOW: &str = "\
    SELECT COALESCE(pg_catalog.pg_database_collation_actual_version($1::oid), '')";

const EXTENSIONS: &str = "SELECT extname::text AS name, extversion AS version \
                          FROM pg_catalog.pg_extension ORDER BY extname";

/// The identity of a server: its system identifier (decimal text) and version number.
pub async fn identity(connection: &mut PgConnection) -> Result<(String, u32), PgError> {
    let identifier: String = sqlx::query_scalar(SYSTEM_IDENTIFIER)
        .fetch_one(&mut *connection)
        .await
        .map_err(|source| PgError::query("read the system identifier", source))?;
    let row = sqlx::query(SERVER)
        .fetch_one(connection)
        .await
        .map_err(|source| PgError::query("read the server's version", source))?;
    Ok((identifier, row.read::<i32>("number")?.unsigned_abs()))
}

/// Everything about one instance. An unreachable one comes back with the reason in it.
pub async fn inspect(address: &ServerAddress) -> InstanceInventory {
    let mut inventory = InstanceInventory {
        host: address.host.clone(),
        port: i32::from(address.port),
        ..InstanceInventory::default()
    };
    if let Err(error) = fill(address, &mut inventory).await {
        inventory.unreachable_message = error_text(&error);
    }
    inventory
}

/// An error with all its causes on one line.
pub(crate) fn error_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

async fn fill(address: &ServerAddress, out: &mut InstanceInventory) -> Result<(), PgError> {
    let mut connection = address
        .connect(&address.maintenance_database, HOUSEKEEPING)
        .await?;
    let (identifier, number) = identity(&mut connection).await?;
    out.system_identifier = identifier;
    out.server_version_number = i32::try_from(number).unwrap_or(i32::MAX);
    let row = sqlx::query(SERVER)
        .fetch_one(&mut connection)
        .await
        .map_err(|source| PgError::query("read the server's version", source))?;
    out.server_version = row.read("version")?;
    out.in_recovery = row.read("in_recovery")?;
    settings(&mut connection, out).await?;
    let rows = sqlx::query(DATABASES)
        .fetch_all(&mut connection)
        .await
        .map_err(|source| PgError::query("list the databases", source))?;
    for row in &rows {
        let mut database = DatabaseInventory {
            oid: row.read("oid")?,
            database_name: row.read("name")?,
            owner: row.read("owner")?,
            size_bytes: row.read::<Option<i64>>("size_bytes")?.unwrap_or(0),
            encoding: row.read("encoding")?,
            collate: row.read("collate")?,
            ctype: row.read("ctype")?,
            locale_provider: row.read("provider")?,
            collation_version: row.read("collation_version")?,
            allow_connections: row.read("allow_connections")?,
            ..DatabaseInventory::default()
        };
        if number >= 150_000 {
            database.actual_collation_version = collation_now(&mut connection, &database).await?;
        }
        let may_connect: bool = row.read("may_connect")?;
        extensions(address, may_connect, &mut database).await;
        out.size_bytes += database.size_bytes;
        out.databases.push(database);
    }
    // The connection is only read from; closing it cleanly is a courtesy.
    let _ = connection.close().await;
    Ok(())
}

async fn settings(
    connection: &mut PgConnection,
    out: &mut InstanceInventory,
) -> Result<(), PgError> {
    let rows = sqlx::query(SETTINGS)
        .fetch_all(connection)
        .await
        .map_err(|source| PgError::query("read the server's settings", source))?;
    for row in rows {
        let (name, value): (String, Option<String>) = (row.read("name")?, row.read("setting")?);
        let value = value.unwrap_or_default();
        if name == "data_directory" {
            out.data_directory = value;
        } else {
            out.settings.insert(name, value);
        }
    }
    if out.data_directory.is_empty() {
        out.warnings.push(
            "the role may not see the data directory and some settings: \
             GRANT pg_read_all_settings to it"
                .to_owned(),
        );
    }
    Ok(())
}

async fn collation_now(
    connection: &mut PgConnection,
    database: &DatabaseInventory,
) -> Result<String, PgError> {
    sqlx::query_scalar(COLLATION_NOW)
        .bind(database.oid)
        .fetch_one(connection)
        .await
        .map_err(|source| PgError::query("read a collation's version", source))
}

async fn extensions(address: &ServerAddress, may_connect: bool, out: &mut DatabaseInventory) {
    if !out.allow_connections {
        out.warning = String::from("connections to it are not allowed, so it cannot be backed up");
        return;
    }
    if !may_connect {
        out.warning = format!(
            "role {} may not connect to it: GRANT CONNECT ON DATABASE to the role",
            address.user
        );
        return;
    }
    match read_extensions(address, &out.database_name).await {
        Ok(found) => out.extensions = found,
        Err(error) => out.warning = error_text(&error),
    }
}

async fn read_extensions(
    address: &ServerAddress,
    database: &str,
) -> Result<Vec<ExtensionInventory>, PgError> {
    let mut connection = address.connect(database, HOUSEKEEPING).await?;
    let rows = sqlx::query(EXTENSIONS)
        .fetch_all(&mut connection)
        .await
        .map_err(|source| PgError::query("list the extensions", source))?;
    let _ = connection.close().await;
    rows.iter()
        .map(|row| {
            Ok(ExtensionInventory {
                extension_name: row.read("name")?,
                version: row.read("version")?,
            })
        })
        .collect()
}
