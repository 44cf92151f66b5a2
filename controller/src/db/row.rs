//! A fetched row: typed getters that name table, column and id when a value cannot be understood.

use super::Sql;
use jiff::Timestamp;
use provado_model::{Error, time};
use serde::de::DeserializeOwned;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{ColumnIndex, Decode, Row as _, Type};
use std::fmt;
use std::str::FromStr;

/// One row of an answer.
pub struct Row {
    inner: Inner,
    sql: Sql,
}

enum Inner {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row of {}", self.sql.table())
    }
}

impl Row {
    pub(super) const fn sqlite(row: SqliteRow, sql: Sql) -> Self {
        Self {
            inner: Inner::Sqlite(row),
            sql,
        }
    }

    pub(super) const fn postgres(row: PgRow, sql: Sql) -> Self {
        Self {
            inner: Inner::Postgres(row),
            sql,
        }
    }

    /// A text that is there.
    pub fn text(&self, column: &'static str) -> Result<String, Error> {
        self.get(column)
    }

    /// A text or NULL.
    pub fn text_opt(&self, column: &'static str) -> Result<Option<String>, Error> {
        self.get(column)
    }

    /// An integer that is there.
    pub fn int(&self, column: &'static str) -> Result<i64, Error> {
        self.get(column)
    }

    /// An integer or NULL.
    pub fn int_opt(&self, column: &'static str) -> Result<Option<i64>, Error> {
        self.get(column)
    }

    /// A size or count; a negative number is an error.
    pub fn size(&self, column: &'static str) -> Result<u64, Error> {
        let value = self.int(column)?;
        u64::try_from(value).map_err(|source| self.bad(column, source))
    }

    /// A small number such as an attempt's; a number outside `u32` is an error.
    pub fn number(&self, column: &'static str) -> Result<u32, Error> {
        let value = self.int(column)?;
        u32::try_from(value).map_err(|source| self.bad(column, source))
    }

    /// 0 or 1; another number is an error.
    pub fn flag(&self, column: &'static str) -> Result<bool, Error> {
        match self.int(column)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.bad(column, format!("{other} is neither 0 nor 1"))),
        }
    }

    /// An instant.
    pub fn time(&self, column: &'static str) -> Result<Timestamp, Error> {
        self.int(column).map(time::from_micros)
    }

    /// An instant or NULL.
    pub fn time_opt(&self, column: &'static str) -> Result<Option<Timestamp>, Error> {
        Ok(self.int_opt(column)?.map(time::from_micros))
    }

    /// Bytes that are there.
    pub fn bytes(&self, column: &'static str) -> Result<Vec<u8>, Error> {
        self.get(column)
    }

    /// Bytes or NULL.
    pub fn bytes_opt(&self, column: &'static str) -> Result<Option<Vec<u8>>, Error> {
        self.get(column)
    }

    /// A text that parses: an id, a state, a kind.
    pub fn parse<T>(&self, column: &'static str) -> Result<T, Error>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let text = self.text(column)?;
        text.parse()
            .map_err(|source: T::Err| self.bad(column, source))
    }

    /// A text that parses, or NULL.
    pub fn parse_opt<T>(&self, column: &'static str) -> Result<Option<T>, Error>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        self.text_opt(column)?
            .map(|text| {
                text.parse()
                    .map_err(|source: T::Err| self.bad(column, source))
            })
            .transpose()
    }

    /// A document stored as JSON text.
    pub fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, Error> {
        let text = self.text(column)?;
        serde_json::from_str(&text).map_err(|source| self.bad(column, source))
    }

    /// A document stored as JSON text, or NULL.
    pub fn json_opt<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>, Error> {
        self.text_opt(column)?
            .map(|text| serde_json::from_str(&text).map_err(|source| self.bad(column, source)))
            .transpose()
    }

    fn get<T>(&self, column: &'static str) -> Result<T, Error>
    where
        T: for<'r> Decode<'r, sqlx::Sqlite> + Type<sqlx::Sqlite>,
        T: for<'r> Decode<'r, sqlx::Postgres> + Type<sqlx::Postgres>,
        &'static str: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>,
    {
        match &self.inner {
            Inner::Sqlite(row) => row.try_get(column),
            Inner::Postgres(row) => row.try_get(column),
        }
        .map_err(|source| self.bad(column, source))
    }

    /// The error for a value that cannot be what the column promises.
    pub fn bad(&self, column: &str, why: impl fmt::Display) -> Error {
        let id = match &self.inner {
            Inner::Sqlite(row) => row.try_get::<Option<String>, _>("id").ok().flatten(),
            Inner::Postgres(row) => row.try_get::<Option<String>, _>("id").ok().flatten(),
        };
        Error::internal(format!(
            "column {column} of {} row {} cannot be understood: {why}",
            self.sql.table(),
            id.as_deref().unwrap_or("(no id)"),
        ))
    }
}
