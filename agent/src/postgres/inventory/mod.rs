//! What a database holds beside its rows, and whether two databases hold the same.
//!
//! [`read`] asks the catalogs in one transaction, so that a backup's inventory is of the very
//! snapshot that was dumped; [`compare()`] is pure and names each difference in words
//! (INV-RESTORE-TRUTH). The types are those of the manifest, which keeps them for years. All
//! definitions are read with an empty `search_path`, so that every name in them is qualified.
//! Nothing here reads or writes rows.

mod compare;
mod database;
mod objects;
mod relations;
mod restrict;
mod roles;
mod sequences;

pub use compare::{CompareOptions, Owners, Privileges, Scope, compare, extension_versions};
pub use restrict::Created;
pub use sequences::apply_sequence_values;

use super::connection::PgError;
use provado_proto::repository::v1::Inventory;
use sqlx::PgConnection;

/// Privileges as text that does not depend on the order of grants; the default ones where none
/// were ever granted, because a dump does not tell the two apart.
macro_rules! privileges {
    ($acl:literal, $kind:literal, $owner:literal) => {
        concat!(
            "COALESCE((SELECT pg_catalog.string_agg(a::text, ',' ORDER BY a::text) ",
            "FROM pg_catalog.unnest(COALESCE(",
            $acl,
            ", pg_catalog.acldefault('",
            $kind,
            "', ",
            $owner,
            "))) AS a), '')"
        )
    };
}

/// The extension a thing belongs to, or an empty text.
macro_rules! extension {
    ($catalog:literal, $oid:literal) => {
        concat!(
            "COALESCE((SELECT e.extname::text FROM pg_catalog.pg_depend x ",
            "JOIN pg_catalog.pg_extension e ON e.oid = x.refobjid ",
            "WHERE x.deptype = 'e' AND x.classid = '",
            $catalog,
            "'::pg_catalog.regclass AND x.objid = ",
            $oid,
            " AND x.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass LIMIT 1), '')"
        )
    };
}

/// Leaves the server's own schemas and temporary ones out.
macro_rules! user_schema {
    ($name:literal) => {
        concat!(
            $name,
            " <> 'information_schema' AND ",
            $name,
            " <> 'pg_catalog' AND ",
            $name,
            " !~ '^pg_(toast|temp_|toast_temp_)'"
        )
    };
}

pub(crate) use {extension, privileges, user_schema};

/// Reads the whole inventory of the connection's database, in its current transaction.
///
/// The caller starts a transaction `REPEATABLE READ READ ONLY` first (for a backup: with the
/// snapshot that is dumped), else the parts may not fit each other.
pub async fn read(connection: &mut PgConnection) -> Result<Inventory, PgError> {
    Ok(Inventory {
        database: Some(database::read(connection).await?),
        schemas: database::read_schemas(connection).await?,
        relations: relations::read(connection).await?,
        constraints: relations::read_constraints(connection).await?,
        indexes: relations::read_indexes(connection).await?,
        sequences: sequences::read(connection).await?,
        extensions: database::read_extensions(connection).await?,
        roles: roles::read(connection).await?,
        collations: database::read_collations(connection).await?,
        objects: objects::read(connection).await?,
    })
}
