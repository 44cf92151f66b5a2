//! SQL that must hold a name: the one place where text is put together into a statement.
//!
//! PostgreSQL takes no parameters in `CREATE DATABASE`, `COPY` and the like. A [`Statement`] is
//! built from static text, identifiers and literals; the last two are always quoted, whatever
//! they hold. Nothing else may reach a server as SQL that is not a static string.

use super::connection::PgError;
use sqlx::PgConnection;
use std::fmt::Write;

/// A statement under construction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    text: String,
}

impl Statement {
    /// Starts with static text.
    pub fn new(text: &'static str) -> Self {
        Self {
            text: text.to_owned(),
        }
    }

    /// Adds static text.
    #[must_use]
    pub fn text(mut self, text: &'static str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Adds an identifier, quoted.
    #[must_use]
    pub fn identifier(mut self, name: &str) -> Self {
        self.text.push_str(&quote_identifier(name));
        self
    }

    /// Adds identifiers with commas between them.
    #[must_use]
    pub fn identifiers<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        for (index, name) in names.into_iter().enumerate() {
            if index > 0 {
                self.text.push_str(", ");
            }
            self.text.push_str(&quote_identifier(name));
        }
        self
    }

    /// Adds a string literal, quoted.
    #[must_use]
    pub fn literal(mut self, value: &str) -> Self {
        self.text.push_str(&quote_literal(value));
        self
    }

    /// Adds the relation of an archive's COPY statement, which was parsed and is quoted already.
    #[must_use]
    pub fn relation(mut self, target: &provado_archive::CopyTarget) -> Self {
        self.text.push_str(&target.relation);
        self
    }

    /// Adds a number.
    #[must_use]
    pub fn number(mut self, value: i64) -> Self {
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{value}");
        self
    }

    /// The text as it goes to the server.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Runs the statement; `what` names it in the error, such as `create the database`.
    pub async fn execute(
        self,
        connection: &mut PgConnection,
        what: &'static str,
    ) -> Result<(), PgError> {
        use sqlx::Executor as _;
        // The one place for this wrapper: every part is static or was quoted above.
        let safe = sqlx::AssertSqlSafe(self.text);
        connection
            .execute(sqlx::raw_sql(safe))
            .await
            .map(drop)
            .map_err(|source| PgError::query(what, source))
    }

    /// Runs a query that gives one row.
    pub async fn fetch_one(
        self,
        connection: &mut PgConnection,
        what: &'static str,
    ) -> Result<sqlx::postgres::PgRow, PgError> {
        // The one place for this wrapper: every part is static or was quoted above.
        let safe = sqlx::AssertSqlSafe(self.text);
        sqlx::query(safe)
            .persistent(false)
            .fetch_one(connection)
            .await
            .map_err(|source| PgError::query(what, source))
    }
}

/// The server's major version, such as 15.
pub async fn server_major(connection: &mut PgConnection) -> Result<u32, PgError> {
    const SQL: &str = "SELECT pg_catalog.current_setting('server_version_num')::int4";
    let number: i32 = sqlx::query_scalar(SQL)
        .fetch_one(connection)
        .await
        .map_err(|source| PgError::query("read the server's version", source))?;
    Ok(number.unsigned_abs() / 10_000)
}

/// Reads a column of a row as an error instead of a panic when it is not what was expected.
pub trait ReadRow {
    /// The value of the named column.
    fn read<'r, T>(&'r self, column: &'static str) -> Result<T, PgError>
    where
        T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>;
}

impl ReadRow for sqlx::postgres::PgRow {
    fn read<'r, T>(&'r self, column: &'static str) -> Result<T, PgError>
    where
        T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        use sqlx::Row as _;
        self.try_get(column)
            .map_err(|source| PgError::query("read a column of the server's answer", source))
    }
}

/// A name in double quotes, inner double quotes doubled (PostgreSQL manual, section 4.1.1).
///
/// A NUL byte cannot be in a name and is dropped.
pub fn quote_identifier(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    out.push('"');
    for c in name.chars().filter(|c| *c != '\0') {
        if c == '"' {
            out.push('"');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// A string constant with escapes, `E'...'`: the same whatever `standard_conforming_strings`
/// says (PostgreSQL manual, section 4.1.2.2). A NUL byte cannot be in a string and is dropped.
pub fn quote_literal(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 3);
    out.push_str("E'");
    for c in value.chars().filter(|c| *c != '\0') {
        if c == '\'' || c == '\\' {
            out.push(c);
        }
        out.push(c);
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_names() {
        for (name, expected) in [
            ("plain", "\"plain\""),
            ("host=evil port=1", "\"host=evil port=1\""),
            ("a\"b", "\"a\"\"b\""),
            ("\"; DROP DATABASE x; --", "\"\"\"; DROP DATABASE x; --\""),
            ("back\\slash", "\"back\\slash\""),
            ("new\nline", "\"new\nline\""),
            ("\u{1f418}", "\"\u{1f418}\""),
            ("nul\0", "\"nul\""),
        ] {
            assert_eq!(quote_identifier(name), expected);
        }
    }

    #[test]
    fn hostile_values_stay_values() {
        for (value, expected) in [
            ("plain", "E'plain'"),
            ("it's", "E'it''s'"),
            ("\\'; DROP TABLE x; --", "E'\\\\''; DROP TABLE x; --'"),
        ] {
            assert_eq!(quote_literal(value), expected);
        }
    }

    #[test]
    fn a_statement_is_its_parts() {
        let statement = Statement::new("COPY ")
            .identifier("s")
            .text(".")
            .identifier("t\"t")
            .text(" (")
            .identifiers(["a", "b c"])
            .text(") TO STDOUT LIMIT ")
            .number(-1);
        assert_eq!(
            statement.as_str(),
            "COPY \"s\".\"t\"\"t\" (\"a\", \"b c\") TO STDOUT LIMIT -1"
        );
    }
}
