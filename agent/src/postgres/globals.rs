//! What belongs to the whole instance: roles, memberships, settings, tablespaces.
//!
//! `pg_dumpall --globals-only` gives a text for people and for the day when nothing else is left.
//! It is never replayed: text that came from a server is code to psql (RELIABILITY 4.7). Roles for
//! a restore or a drill are made from structured facts, with every name quoted, and never with a
//! password.

use super::connection::{PgError, ServerAddress};
use super::sql::{ReadRow as _, Statement};
use super::tools::{Ended, Invocation, Output, ToolError, ToolSet, Tools};
use provado_proto::repository::v1::RoleFacts;
use sqlx::PgConnection;
use std::collections::BTreeSet;
use std::io::Read as _;

/// Largest text of globals that is taken; a hundred thousand roles have less.
const GLOBALS_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The text of the globals could not be had.
#[derive(Debug, thiserror::Error)]
pub enum GlobalsError {
    /// pg_dumpall could not be started.
    #[error("cannot start pg_dumpall")]
    Tool(#[from] ToolError),
    /// It failed.
    #[error("{}", .0.describe())]
    Failed(Box<Ended>),
    /// Its output could not be read.
    #[error("cannot read what pg_dumpall writes")]
    Read(#[source] std::io::Error),
    /// Its output has no end.
    #[error("pg_dumpall wrote more than {GLOBALS_BYTES_MAX} bytes of roles and settings")]
    TooLarge,
}

/// Roles, memberships, settings and tablespaces of the instance as SQL text, without passwords.
/// Blocks the thread.
pub fn dump_globals(
    tools: &dyn Tools,
    set: &ToolSet,
    address: &ServerAddress,
    application_name: &str,
) -> Result<(Vec<u8>, Ended), GlobalsError> {
    let environment =
        address.child_environment(&address.maintenance_database, application_name, &[]);
    let mut invocation = Invocation::new(set.program("pg_dumpall"))
        .argument("--globals-only")
        .argument("--no-role-passwords")
        .argument("--no-password")
        .environment(environment);
    invocation.output = Output::Pipe;
    let mut child = tools.spawn(invocation)?;
    let mut text = Vec::new();
    if let Some(output) = child.take_output() {
        output
            .take(GLOBALS_BYTES_MAX + 1)
            .read_to_end(&mut text)
            .map_err(GlobalsError::Read)?;
    }
    if text.len() as u64 > GLOBALS_BYTES_MAX {
        return Err(GlobalsError::TooLarge);
    }
    let ended = child.wait();
    let is_whole = text.ends_with(b"dump complete\n--\n\n")
        || text.windows(13).any(|window| window == b"dump complete");
    if !ended.succeeded() || ended.stderr.error_count + ended.stderr.fatal_count > 0 || !is_whole {
        return Err(GlobalsError::Failed(Box::new(ended)));
    }
    Ok((text, ended))
}

/// Which of the recorded attributes a new role gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleRights {
    /// All of them: in a throw-away instance, where event triggers need superusers as owners.
    AsRecorded,
    /// Login, inheritance and connection limit only. A backup must not be a way to superuser,
    /// `CREATEROLE`, `CREATEDB`, `REPLICATION` or `BYPASSRLS` on another instance.
    Harmless,
}

/// What became of the roles.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CreatedRoles {
    /// Roles that were made.
    pub created: Vec<String>,
    /// What could not be done or was left out, each a sentence.
    pub remarks: Vec<String>,
}

const LIST_ROLES: &str = "SELECT rolname::text AS name FROM pg_catalog.pg_roles";

/// The roles of the list that the instance does not have, in the list's order.
pub async fn missing_roles<'a>(
    connection: &mut PgConnection,
    roles: &'a [RoleFacts],
) -> Result<Vec<&'a RoleFacts>, PgError> {
    let rows = sqlx::query(LIST_ROLES)
        .fetch_all(connection)
        .await
        .map_err(|source| PgError::query("list the roles", source))?;
    let mut known = BTreeSet::new();
    for row in &rows {
        known.insert(row.read::<String>("name")?);
    }
    Ok(roles
        .iter()
        .filter(|role| !known.contains(&role.role_name))
        .collect())
}

/// Makes the roles that are missing, then their memberships and settings. Roles that are there
/// are left as they are.
pub async fn create_roles(
    connection: &mut PgConnection,
    roles: &[RoleFacts],
    rights: RoleRights,
) -> Result<CreatedRoles, PgError> {
    let mut out = CreatedRoles::default();
    let missing = missing_roles(connection, roles).await?;
    for role in &missing {
        create_statement(role, rights)
            .execute(connection, "create a role")
            .await?;
        out.created.push(role.role_name.clone());
        let strong = strong_attributes(role);
        if rights == RoleRights::Harmless && !strong.is_empty() {
            out.remarks.push(format!(
                "role {:?} was made without {}; give it by hand if it is wanted",
                role.role_name,
                strong.join(", ")
            ));
        }
    }
    for role in &missing {
        for group in &role.member_of {
            // A group that was there before has rights that are not the backup's to give.
            if rights == RoleRights::Harmless && !out.created.contains(group) {
                out.remarks.push(format!(
                    "role {:?} was not made a member of {group:?}, which was there before; grant \
                     it by hand if it is wanted",
                    role.role_name
                ));
                continue;
            }
            let granted = Statement::new("GRANT ")
                .identifier(group)
                .text(" TO ")
                .identifier(&role.role_name)
                .execute(connection, "grant a role")
                .await;
            if let Err(error) = granted {
                let error = super::inspect::error_text(&error);
                out.remarks.push(format!(
                    "role {:?} was not made a member of {group:?}: {error}",
                    role.role_name
                ));
            }
        }
        for setting in &role.role_settings {
            let target = Statement::new("ALTER ROLE ").identifier(&role.role_name);
            if let Err(error) = apply_setting(connection, target, setting).await {
                let error = super::inspect::error_text(&error);
                out.remarks.push(format!(
                    "setting {setting:?} of role {:?} was not set: {error}",
                    role.role_name
                ));
            }
        }
    }
    Ok(out)
}

fn strong_attributes(role: &RoleFacts) -> Vec<&'static str> {
    [
        (role.superuser, "SUPERUSER"),
        (role.create_role, "CREATEROLE"),
        (role.create_database, "CREATEDB"),
        (role.replication, "REPLICATION"),
        (role.bypass_row_security, "BYPASSRLS"),
    ]
    .into_iter()
    .filter_map(|(has, word)| has.then_some(word))
    .collect()
}

fn create_statement(role: &RoleFacts, rights: RoleRights) -> Statement {
    let mut statement = Statement::new("CREATE ROLE ").identifier(&role.role_name);
    let choose = |statement: Statement, on: bool, yes: &'static str, no: &'static str| {
        statement.text(if on { yes } else { no })
    };
    statement = choose(statement, role.login, " LOGIN", " NOLOGIN");
    statement = choose(statement, role.inherits, " INHERIT", " NOINHERIT");
    if rights == RoleRights::AsRecorded {
        statement = choose(statement, role.superuser, " SUPERUSER", " NOSUPERUSER");
        statement = choose(statement, role.create_role, " CREATEROLE", " NOCREATEROLE");
        statement = choose(statement, role.create_database, " CREATEDB", " NOCREATEDB");
        statement = choose(
            statement,
            role.replication,
            " REPLICATION",
            " NOREPLICATION",
        );
        statement = choose(
            statement,
            role.bypass_row_security,
            " BYPASSRLS",
            " NOBYPASSRLS",
        );
    }
    statement
        .text(" CONNECTION LIMIT ")
        .number(i64::from(role.connection_limit))
}

/// Settings whose value is a list of quoted names; `pg_dump` treats them apart too
/// (`variable_is_guc_list_quote`, fe_utils/string_utils.c). A literal would become one name.
const LIST_SETTINGS: &[&str] = &[
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

const SET_CONFIG: &str = "SELECT pg_catalog.set_config($1, $2, false)";

/// Stores a setting given as `name=value` for a role or database; `target` is the beginning of
/// the statement, such as `ALTER DATABASE "x"`.
pub async fn apply_setting(
    connection: &mut PgConnection,
    target: Statement,
    setting: &str,
) -> Result<(), PgError> {
    let (name, value) = setting.split_once('=').ok_or_else(|| PgError::Answer {
        what: "store a setting",
        detail: format!("{setting:?} is not of the form name=value"),
    })?;
    if !LIST_SETTINGS.contains(&name) {
        // A name with a dot is two identifiers to the parser.
        let mut statement = target.text(" SET ");
        for (index, part) in name.split('.').enumerate() {
            statement = if index > 0 {
                statement.text(".")
            } else {
                statement
            };
            statement = statement.identifier(part);
        }
        return statement
            .text(" TO ")
            .literal(value)
            .execute(connection, "store a setting")
            .await;
    }
    // The stored text is what set_config takes; FROM CURRENT stores it again unchanged.
    let set = async |connection: &mut PgConnection, value: &str| {
        sqlx::query(SET_CONFIG)
            .bind(name)
            .bind(value)
            .execute(connection)
            .await
            .map_err(|source| PgError::query("store a setting", source))
    };
    set(connection, value).await?;
    let stored = target
        .text(" SET ")
        .identifier(name)
        .text(" FROM CURRENT")
        .execute(connection, "store a setting")
        .await;
    // Our own sessions work with an empty path; every other list is of no effect here.
    if name == "search_path" {
        set(connection, "").await?;
    }
    stored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_gets_no_more_than_its_rights_allow() {
        let role = RoleFacts {
            role_name: "a\"b".to_owned(),
            superuser: true,
            login: true,
            connection_limit: -1,
            ..RoleFacts::default()
        };
        assert_eq!(
            create_statement(&role, RoleRights::Harmless).as_str(),
            "CREATE ROLE \"a\"\"b\" LOGIN NOINHERIT CONNECTION LIMIT -1"
        );
        assert_eq!(
            create_statement(&role, RoleRights::AsRecorded).as_str(),
            "CREATE ROLE \"a\"\"b\" LOGIN NOINHERIT SUPERUSER NOCREATEROLE NOCREATEDB \
             NOREPLICATION NOBYPASSRLS CONNECTION LIMIT -1"
        );
        assert_eq!(strong_attributes(&role), ["SUPERUSER"]);
    }
}
