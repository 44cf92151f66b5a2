//! The SQL of `database`.

use crate::db::{Row, Tx, statements, values};
use crate::fleet::model::Database;
use provado_model::Error;
use provado_model::id::{DatabaseId, InstanceId};

macro_rules! columns {
    () => {
        "id, instance_id, oid, name, state, size_bytes, owner, encoding, collation_name, ctype, \
         locale_provider, collation_version, collation_version_actual, is_template, \
         allows_connections, extensions_json, labels_json, create_time, last_seen_time"
    };
}

statements! {
    DATABASE_INSERT = both(concat!(
        "INSERT INTO database (", columns!(), ") VALUES ($1, $2, $3, $4, 'present', $5, $6, $7, \
         $8, $9, $10, $11, $12, 0, $13, $14, '{}', $15, $16)"
    ));
    DATABASE_UPDATE = both(
        "UPDATE database SET state = 'present', name = $2, size_bytes = $3, owner = $4, \
         encoding = $5, collation_name = $6, ctype = $7, locale_provider = $8, \
         collation_version = $9, collation_version_actual = $10, allows_connections = $11, \
         extensions_json = $12, last_seen_time = $13 WHERE id = $1",
    );
    DATABASE_SET_GONE = both("UPDATE database SET state = 'gone' WHERE id = $1");
    DATABASE_BY_ID = both(concat!("SELECT ", columns!(), " FROM database WHERE id = $1"));
    DATABASE_BY_NAME = both(concat!(
        "SELECT ", columns!(), " FROM database \
         WHERE instance_id = $1 AND name = $2 AND state = 'present'"
    ));
    DATABASE_LIST = both(concat!(
        "SELECT ", columns!(), " FROM database \
         WHERE instance_id = $1 AND state = 'present' ORDER BY name LIMIT $2"
    ));
    DATABASE_BY_OID = both(concat!(
        "SELECT ", columns!(), " FROM database WHERE instance_id = $1 AND oid = $2"
    ));
    DATABASE_COUNT = both(
        "SELECT COUNT(*) AS count FROM database WHERE instance_id = $1 AND state = 'present'",
    );
}

/// Adds a database.
pub async fn database_insert(tx: &mut Tx, database: &Database) -> Result<(), Error> {
    tx.execute_one(
        DATABASE_INSERT,
        &values![
            database.id,
            database.instance,
            database.oid,
            database.name,
            database.size_bytes,
            database.owner,
            database.encoding,
            database.collate,
            database.ctype,
            database.locale_provider,
            database.collation_version,
            database.actual_collation_version,
            database.allows_connections,
            serde_json::json!(database.extensions).to_string(),
            database.create_time,
            database.last_seen_time,
        ],
    )
    .await
}

/// Writes what an agent told of a database, and that it is there.
pub async fn database_update(tx: &mut Tx, database: &Database) -> Result<(), Error> {
    tx.execute_one(
        DATABASE_UPDATE,
        &values![
            database.id,
            database.name,
            database.size_bytes,
            database.owner,
            database.encoding,
            database.collate,
            database.ctype,
            database.locale_provider,
            database.collation_version,
            database.actual_collation_version,
            database.allows_connections,
            serde_json::json!(database.extensions).to_string(),
            database.last_seen_time,
        ],
    )
    .await
}

/// Notes that a database is no longer there.
pub async fn database_set_gone(tx: &mut Tx, id: DatabaseId) -> Result<(), Error> {
    tx.execute_one(DATABASE_SET_GONE, &values![id]).await
}

/// The database of this id, gone or not.
pub async fn database_by_id(tx: &mut Tx, id: DatabaseId) -> Result<Option<Database>, Error> {
    let row = tx.fetch_optional(DATABASE_BY_ID, &values![id]).await?;
    row.map(|row| database_of(&row)).transpose()
}

/// The database of this name that is there now.
pub async fn database_by_name(
    tx: &mut Tx,
    instance: InstanceId,
    name: &str,
) -> Result<Option<Database>, Error> {
    let row = tx
        .fetch_optional(DATABASE_BY_NAME, &values![instance, name])
        .await?;
    row.map(|row| database_of(&row)).transpose()
}

/// The database of this oid, gone or not.
pub async fn database_by_oid(
    tx: &mut Tx,
    instance: InstanceId,
    oid: u32,
) -> Result<Option<Database>, Error> {
    let row = tx
        .fetch_optional(DATABASE_BY_OID, &values![instance, oid])
        .await?;
    row.map(|row| database_of(&row)).transpose()
}

/// The databases that are there now, by name, at most `limit`.
pub async fn database_list(
    tx: &mut Tx,
    instance: InstanceId,
    limit: u32,
) -> Result<Vec<Database>, Error> {
    let rows = tx
        .fetch_all(DATABASE_LIST, &values![instance, limit])
        .await?;
    rows.iter().map(database_of).collect()
}

/// How many databases are there now.
pub async fn database_count(tx: &mut Tx, instance: InstanceId) -> Result<u64, Error> {
    let row = tx.fetch_one(DATABASE_COUNT, &values![instance]).await?;
    row.size("count")
}

fn database_of(row: &Row) -> Result<Database, Error> {
    Ok(Database {
        id: row.parse("id")?,
        instance: row.parse("instance_id")?,
        oid: row.number("oid")?,
        name: row.text("name")?,
        state: row.parse("state")?,
        size_bytes: row.size("size_bytes")?,
        owner: row.text("owner")?,
        encoding: row.text("encoding")?,
        collate: row.text("collation_name")?,
        ctype: row.text("ctype")?,
        locale_provider: row.text("locale_provider")?,
        collation_version: row.text_opt("collation_version")?,
        actual_collation_version: row.text_opt("collation_version_actual")?,
        allows_connections: row.flag("allows_connections")?,
        extensions: row.json("extensions_json")?,
        create_time: row.time("create_time")?,
        last_seen_time: row.time("last_seen_time")?,
    })
}
