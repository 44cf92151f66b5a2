//! Migrations: the numbered files of `controller/migrations`, in the program itself.
//!
//! A file that was released is never changed: the engine keeps its checksum and refuses.

use super::{Database, Engine};
use provado_model::Error;
use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use std::borrow::Cow;

macro_rules! migrations {
    ($($number:literal, $file:literal;)*) => {
        &[$((
            $number,
            $file,
            include_str!(concat!("../../migrations/sqlite/", $file, ".sql")),
            include_str!(concat!("../../migrations/postgres/", $file, ".sql")),
        ),)*]
    };
}

/// Number, file name without its ending, text for SQLite, text for PostgreSQL.
pub(super) const MIGRATIONS: &[(i64, &str, &str, &str)] = migrations! {
    1, "0001_create_fleet";
    2, "0002_create_access";
    3, "0003_create_policy";
    4, "0004_create_lifecycle";
    5, "0005_create_events";
    6, "0006_create_request";
    7, "0007_create_verify";
    8, "0008_create_catalog";
    9, "0009_accept_amnesia";
    10, "0010_bind_join_token";
};

/// Applies what is missing. Controllers that start together on PostgreSQL wait for one another.
pub(super) async fn run(database: &Database) -> Result<(), Error> {
    let migrator = Migrator::with_migrations(migrations(database.engine()));
    match database {
        Database::Sqlite { writer, .. } => migrator.run(writer).await,
        Database::Postgres { pool } => migrator.run(pool).await,
    }
    .map_err(|source| {
        Error::internal(
            "the store's schema could not be brought up to this version of the controller; was \
             it used by a newer one?",
        )
        .caused_by(source)
    })
}

fn migrations(engine: Engine) -> Vec<Migration> {
    MIGRATIONS
        .iter()
        .map(|(number, name, sqlite, postgres)| {
            let text = match engine {
                Engine::Sqlite => *sqlite,
                Engine::Postgres => *postgres,
            };
            Migration::new(
                *number,
                Cow::Borrowed(*name),
                MigrationType::Simple,
                text.into_sql_str(),
                false,
            )
        })
        .collect()
}
