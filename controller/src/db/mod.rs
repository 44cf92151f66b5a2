//! The way to the controller's database: one transaction type over SQLite and PostgreSQL.
//!
//! It owns connections, transactions, migrations and the translation of driver errors. It knows no
//! table: the SQL of a table stands in the one `store.rs` that owns it. Only static SQL passes.

mod migrate;
mod open;
mod row;
mod statement;
mod tx;
mod value;

pub use open::{Database, Engine};
pub use row::Row;
pub use statement::{Sql, Statement};
pub use tx::Tx;
pub use value::{ToValue, Value, size};

pub(crate) use statement::statements;
pub(crate) use value::values;

use provado_model::{Error, Reason};

/// Turns a driver's error into ours. Lost races become [`Reason::VersionStale`], a clash of unique
/// values [`Reason::NameTaken`], a database that is away [`Reason::ServiceUnavailable`].
pub(crate) fn translate(error: sqlx::Error, doing: &str) -> Error {
    let translated = match &error {
        sqlx::Error::Database(database) => of_database(database.as_ref(), doing),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => unavailable(doing),
        _ => Error::internal(format!("the database driver failed: {doing}")),
    };
    translated.caused_by(error)
}

fn of_database(database: &dyn sqlx::error::DatabaseError, doing: &str) -> Error {
    let code = database.code().unwrap_or_default();
    // PostgreSQL's SQLSTATE classes (its manual, appendix A); SQLite's result codes (rescode.html),
    // whose low byte is the primary code.
    match code.as_ref() {
        // serialization_failure, deadlock_detected, lock_not_available
        "40001" | "40P01" | "55P03" => stale(doing),
        _ if database.is_unique_violation() => Error::new(
            Reason::NameTaken,
            "something with the same name or number exists already",
        )
        .detail(doing),
        // Class 53: resources; 57: operator intervention; 58: system error; 08: connection.
        text if text.len() == 5 && ["53", "57", "58", "08"].contains(&&text[..2]) => {
            unavailable(doing)
        }
        text => match text.parse::<u32>().map(|code| code & 0xff) {
            // SQLITE_BUSY, SQLITE_LOCKED: the writer's turn did not come within the busy timeout.
            Ok(5 | 6) => stale(doing),
            // SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN
            Ok(10 | 13 | 14) => unavailable(doing),
            // SQLITE_CORRUPT, SQLITE_NOTADB
            Ok(11 | 26) if text.len() != 5 => {
                Error::internal(format!("the database file is damaged: {doing}"))
            }
            Ok(_) | Err(_) => Error::internal(format!("a statement failed: {doing}")),
        },
    }
}

fn stale(doing: &str) -> Error {
    Error::new(
        Reason::VersionStale,
        "someone else changed the same thing at the same time; read it again and retry",
    )
    .detail(doing)
}

fn unavailable(doing: &str) -> Error {
    Error::new(
        Reason::ServiceUnavailable,
        "the controller's database cannot be reached; retry in a moment",
    )
    .detail(doing)
}

#[cfg(test)]
mod tests;
