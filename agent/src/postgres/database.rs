//! Makes, names and removes databases, and gives one the properties a backup recorded.
//!
//! A dump holds what is in a database; how the database itself was made (encoding, locale,
//! owner, settings, privileges, comment) is put back from the inventory here. Every name is
//! quoted. Nothing is ever made over something that is there.

mod acl;

use super::connection::PgError;
use super::globals::apply_setting;
use super::inspect::error_text;
use super::sql::Statement;
use provado_proto::repository::v1::DatabaseFacts;
use sqlx::PgConnection;

/// Whether a thing of the database's owner or grants is put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Properties {
    /// The owner.
    pub owner: bool,
    /// The privileges.
    pub privileges: bool,
}

const OID_OF: &str = "SELECT oid::int8 FROM pg_catalog.pg_database WHERE datname = $1";

/// The oid of a database, if there is one of this name.
pub async fn oid_of(connection: &mut PgConnection, name: &str) -> Result<Option<i64>, PgError> {
    sqlx::query_scalar(OID_OF)
        .bind(name)
        .fetch_optional(connection)
        .await
        .map_err(|source| PgError::query("look for the database", source))
}

/// Makes an empty database with the encoding and locale that were recorded, from `template0`,
/// which alone takes any of them. `major` is the server's.
pub async fn create(
    connection: &mut PgConnection,
    name: &str,
    facts: &DatabaseFacts,
    major: u32,
) -> Result<(), PgError> {
    let mut statement = Statement::new("CREATE DATABASE ")
        .identifier(name)
        .text(" TEMPLATE template0 ENCODING ")
        .literal(&facts.encoding);
    let with = |statement: Statement, words: &'static str, value: &str| {
        if value.is_empty() {
            statement
        } else {
            statement.text(words).literal(value)
        }
    };
    statement = with(statement, " LC_COLLATE ", &facts.collate);
    statement = with(statement, " LC_CTYPE ", &facts.ctype);
    match facts.locale_provider.as_str() {
        "icu" => {
            statement = statement.text(" LOCALE_PROVIDER icu");
            statement = with(statement, " ICU_LOCALE ", &facts.locale);
            if major >= 16 {
                statement = with(statement, " ICU_RULES ", &facts.icu_rules);
            }
        }
        "builtin" => {
            statement = statement.text(" LOCALE_PROVIDER builtin");
            statement = with(statement, " BUILTIN_LOCALE ", &facts.locale);
        }
        _ if major >= 15 => statement = statement.text(" LOCALE_PROVIDER libc"),
        _ => {}
    }
    statement.execute(connection, "create the database").await
}

/// Keeps everybody without a right of their own out of a database that is being made: a session in
/// it would stand in the way of its renaming, and before 15 could put things into `public`.
pub async fn close_to_public(connection: &mut PgConnection, name: &str) -> Result<(), PgError> {
    Statement::new("REVOKE ALL ON DATABASE ")
        .identifier(name)
        .text(" FROM PUBLIC")
        .execute(connection, "keep others out of the new database")
        .await
}

/// Gives PUBLIC what it has on a database unless somebody takes it away.
pub async fn open_to_public(connection: &mut PgConnection, name: &str) -> Result<(), PgError> {
    Statement::new("GRANT CONNECT, TEMPORARY ON DATABASE ")
        .identifier(name)
        .text(" TO PUBLIC")
        .execute(connection, "let others into the new database")
        .await
}

/// Gives the database its recorded settings, comment, privileges and owner, the owner last. What
/// cannot be done is told, each as a sentence; the rest is done all the same.
pub async fn apply_properties(
    connection: &mut PgConnection,
    name: &str,
    facts: &DatabaseFacts,
    properties: Properties,
) -> Vec<String> {
    let mut remarks = Vec::new();
    let mut note = |what: &str, result: Result<(), PgError>| {
        if let Err(error) = result {
            remarks.push(format!("{what}: {}", error_text(&error)));
        }
    };
    for setting in &facts.database_settings {
        let (target, setting) = setting_target(name, setting);
        let result = apply_setting(connection, target, setting).await;
        note("a setting of the database was not set", result);
    }
    if !facts.comment.is_empty() {
        let result = Statement::new("COMMENT ON DATABASE ")
            .identifier(name)
            .text(" IS ")
            .literal(&facts.comment)
            .execute(connection, "comment on the database")
            .await;
        note("the database's comment was not set", result);
    }
    if properties.privileges {
        let Some(statements) = acl::statements(name, &facts.privileges) else {
            let odd = PgError::Answer {
                what: "read the recorded privileges",
                detail: facts.privileges.clone(),
            };
            note("the database's privileges were not set", Err(odd));
            return remarks;
        };
        for statement in statements {
            let result = statement
                .execute(connection, "set the database's privileges")
                .await;
            note("a privilege on the database was not set", result);
        }
    }
    if properties.owner && !facts.owner.is_empty() {
        let result = Statement::new("ALTER DATABASE ")
            .identifier(name)
            .text(" OWNER TO ")
            .identifier(&facts.owner)
            .execute(connection, "set the database's owner")
            .await;
        note("the database's owner was not set", result);
    }
    remarks
}

/// The beginning of the statement for a recorded setting, and the setting: `name=value` is of
/// the database, `role="name" name=value` of a role in it.
fn setting_target<'a>(database: &str, recorded: &'a str) -> (Statement, &'a str) {
    let for_database = Statement::new("ALTER DATABASE ").identifier(database);
    let Some(rest) = recorded.strip_prefix("role=\"") else {
        return (for_database, recorded);
    };
    let mut role = String::new();
    let mut chars = rest.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            role.push(c);
        } else if chars.next_if(|(_, next)| *next == '"').is_some() {
            role.push('"');
        } else {
            let setting = rest.get(at + 1..).unwrap_or_default().trim_start();
            let target = Statement::new("ALTER ROLE ")
                .identifier(&role)
                .text(" IN DATABASE ")
                .identifier(database);
            return (target, setting);
        }
    }
    (for_database, recorded)
}

const END_SESSIONS: &str = "\
    SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
    WHERE datname = $1 AND pid <> pg_catalog.pg_backend_pid()";

/// Renames a database of ours. Sessions in it (monitoring connects to whatever it sees) are ended
/// and none is let in meanwhile; where ours may not end one, the error is the server's.
pub async fn rename(connection: &mut PgConnection, from: &str, to: &str) -> Result<(), PgError> {
    allow_connections(connection, from, "false").await?;
    // A session of somebody mightier cannot be ended; then the server refuses the new name.
    let _ = sqlx::query(END_SESSIONS)
        .bind(from)
        .execute(&mut *connection)
        .await;
    let renamed = Statement::new("ALTER DATABASE ")
        .identifier(from)
        .text(" RENAME TO ")
        .identifier(to)
        .execute(connection, "give the restored database its name")
        .await;
    let name = if renamed.is_ok() { to } else { from };
    let allowed = allow_connections(connection, name, "true").await;
    renamed.and(allowed)
}

async fn allow_connections(
    connection: &mut PgConnection,
    name: &str,
    value: &'static str,
) -> Result<(), PgError> {
    Statement::new("ALTER DATABASE ")
        .identifier(name)
        .text(" ALLOW_CONNECTIONS ")
        .text(value)
        .execute(connection, "say who may connect to the restored database")
        .await
}

/// Removes a database if it is there, ending sessions in it. Only for names that are made by us.
pub async fn drop_ours(connection: &mut PgConnection, name: &str) -> Result<(), PgError> {
    Statement::new("DROP DATABASE IF EXISTS ")
        .identifier(name)
        .text(" WITH (FORCE)")
        .execute(connection, "remove the unfinished database")
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_go_to_the_database_or_to_a_role_in_it() {
        for (recorded, target, setting) in [
            ("work_mem=8MB", "ALTER DATABASE \"d\"", "work_mem=8MB"),
            ("role=\"foo", "ALTER DATABASE \"d\"", "role=\"foo"),
            ("role=none", "ALTER DATABASE \"d\"", "role=none"),
            (
                "role=\"a\"\"b c\" work_mem=8 MB",
                "ALTER ROLE \"a\"\"b c\" IN DATABASE \"d\"",
                "work_mem=8 MB",
            ),
        ] {
            let (found, rest) = setting_target("d", recorded);
            assert_eq!((found.as_str(), rest), (target, setting));
        }
    }
}
