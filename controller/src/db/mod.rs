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
/// values [`Reason::NameTaken`], a database that is away [`Reason::ServiceUnavailable`], a text
/// that it cannot hold [`Reason::InvalidArgument`].
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
    match meaning_of(&code) {
        Meaning::LostRace => stale(doing),
        _ if database.is_unique_violation() => Error::new(
            Reason::NameTaken,
            "something with the same name or number exists already",
        )
        .detail(doing),
        Meaning::Away => unavailable(doing),
        Meaning::BadText => Error::new(
            Reason::InvalidArgument,
            "a text has a character that cannot be stored, such as NUL",
        )
        .detail(doing),
        Meaning::Damaged => Error::internal(format!("the database file is damaged: {doing}")),
        Meaning::Other => Error::internal(format!("a statement failed: {doing}")),
    }
}

/// What a code of either engine says.
enum Meaning {
    LostRace,
    Away,
    BadText,
    Damaged,
    Other,
}

/// PostgreSQL's SQLSTATEs (its manual, appendix A) have five characters; many are numbers, such as
/// 42501 for a right that is missing. SQLite's result codes (rescode.html) have at most four
/// digits, and their low byte is the primary code.
fn meaning_of(code: &str) -> Meaning {
    if code.len() == 5 {
        return match code {
            // serialization_failure, deadlock_detected, lock_not_available
            "40001" | "40P01" | "55P03" => Meaning::LostRace,
            // character_not_in_repertoire, untranslatable_character
            "22021" | "22P05" => Meaning::BadText,
            // Class 53: resources; 57: operator intervention; 58: system error; 08: connection.
            _ if ["53", "57", "58", "08"]
                .iter()
                .any(|class| code.starts_with(class)) =>
            {
                Meaning::Away
            }
            _ => Meaning::Other,
        };
    }
    match code.parse::<u32>().map(|code| code & 0xff) {
        // SQLITE_BUSY, SQLITE_LOCKED: the writer's turn did not come within the busy timeout.
        Ok(5 | 6) => Meaning::LostRace,
        // SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN
        Ok(10 | 13 | 14) => Meaning::Away,
        // SQLITE_CORRUPT, SQLITE_NOTADB
        Ok(11 | 26) => Meaning::Damaged,
        Ok(_) | Err(_) => Meaning::Other,
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
