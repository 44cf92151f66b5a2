//! What the agent's role lacks for a dump, found before the dump and told all at once.
//!
//! The smallest role that works is in `docs/minimal-role.md`: `LOGIN`, member of
//! `pg_read_all_data`, `BYPASSRLS` where tables have row security, and a way to read large
//! objects, which `pg_read_all_data` does not cover (tried on 15.20, 16.14 and 18.4). Nothing here
//! asks for superuser.

use super::connection::PgError;
use super::sql::ReadRow as _;
use sqlx::PgConnection;

/// Whether a dump can succeed without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// The dump works; something is not in it or not known.
    Advice,
    /// The dump would fail, or would silently be without rows.
    Blocking,
}

/// One right that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// Whether the dump can do without.
    pub weight: Weight,
    /// What is missing and the statement that gives it, as one sentence.
    pub message: String,
}

const WHO: &str = "\
    SELECT current_user::text AS role_name, r.rolsuper AS superuser, \
        r.rolbypassrls AS bypass_row_security, \
        pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE') AS reads_settings \
    FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";

/// Tables, sequences and other things pg_dump reads or locks; members of extensions only where
/// their rows are dumped.
const UNREADABLE: &str = "\
    SELECT pg_catalog.count(*) AS count, \
        COALESCE(pg_catalog.string_agg(name, ', ' ORDER BY name) FILTER (WHERE number <= 5), '') \
            AS examples \
    FROM (SELECT c.oid::pg_catalog.regclass::text AS name, \
            pg_catalog.row_number() OVER (ORDER BY c.oid::pg_catalog.regclass::text) AS number \
        FROM pg_catalog.pg_class c \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind IN ('r', 'p', 'S', 'f') AND c.relpersistence <> 't' \
            AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
            AND NOT (pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
                AND CASE WHEN c.relkind = 'S' \
                    THEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT') \
                    ELSE pg_catalog.has_table_privilege(c.oid, 'SELECT') END) \
            AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d \
                JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid \
                WHERE d.deptype = 'e' AND d.objid = c.oid \
                AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
                AND NOT c.oid = ANY (COALESCE(e.extconfig, '{}')))) AS u";

/// `row_security_active` knows owners, FORCE and BYPASSRLS.
const HIDDEN_ROWS: &str = "\
    SELECT pg_catalog.count(*) AS count, \
        COALESCE(pg_catalog.string_agg(c.oid::pg_catalog.regclass::text, ', '), '') AS examples \
    FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity \
        AND pg_catalog.row_security_active(c.oid)";

const LARGE_OBJECTS: &str = "\
    SELECT pg_catalog.count(*) AS count FROM pg_catalog.pg_largeobject_metadata m \
    WHERE pg_catalog.current_setting('lo_compat_privileges') = 'off' \
        AND NOT pg_catalog.pg_has_role(m.lomowner, 'USAGE') AND NOT EXISTS ( \
            SELECT 1 FROM pg_catalog.aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT' \
            AND (a.grantee = 0 OR pg_catalog.pg_has_role(a.grantee, 'USAGE')))";

const SUBSCRIPTIONS: &str = "\
    SELECT pg_catalog.count(s.oid) AS count FROM pg_catalog.pg_subscription s \
    JOIN pg_catalog.pg_database d ON d.oid = s.subdbid \
    WHERE d.datname = pg_catalog.current_database()";

async fn counted(
    connection: &mut PgConnection,
    sql: &'static str,
) -> Result<sqlx::postgres::PgRow, PgError> {
    sqlx::query(sql)
        .fetch_one(connection)
        .await
        .map_err(|source| PgError::query("look at the role's rights", source))
}

/// What the connection's role lacks to dump the connection's whole database, worst first.
///
/// Advisory: pg_dump itself has the last word, and fails by name. This only tells earlier, and
/// everything at once (B16).
pub async fn check(connection: &mut PgConnection) -> Result<Vec<Lack>, PgError> {
    let who = counted(connection, WHO).await?;
    let role: String = who.read("role_name")?;
    let mut out = Vec::new();
    if who.read::<bool>("superuser")? {
        out.push(Lack {
            weight: Weight::Advice,
            message: format!(
                "role {role:?} is a superuser, more than a dump needs: a hostile database could \
                 use its rights; see docs/minimal-role.md"
            ),
        });
        return Ok(out);
    }
    let blocking = |message| Lack {
        weight: Weight::Blocking,
        message,
    };
    let quoted = super::sql::quote_identifier(&role);
    let row = counted(connection, UNREADABLE).await?;
    let count: i64 = row.read("count")?;
    if count > 0 {
        let examples: String = row.read("examples")?;
        out.push(blocking(format!(
            "role {role:?} may not read {count} tables or sequences ({examples}): \
             GRANT pg_read_all_data TO {quoted}"
        )));
    }
    let row = counted(connection, HIDDEN_ROWS).await?;
    let count: i64 = row.read("count")?;
    if count > 0 {
        let examples: String = row.read("examples")?;
        out.push(blocking(format!(
            "row security would hide rows of {count} tables from role {role:?} ({}): \
             ALTER ROLE {quoted} BYPASSRLS",
            examples.chars().take(200).collect::<String>()
        )));
    }
    let count: i64 = counted(connection, LARGE_OBJECTS).await?.read("count")?;
    if count > 0 {
        out.push(blocking(format!(
            "role {role:?} may not read {count} large objects, which pg_read_all_data does not \
             cover: ALTER ROLE {quoted} SET lo_compat_privileges = on, or GRANT SELECT ON LARGE \
             OBJECT for each, or a membership in their owners"
        )));
    }
    let count: i64 = counted(connection, SUBSCRIPTIONS).await?.read("count")?;
    let advice = |message| Lack {
        weight: Weight::Advice,
        message,
    };
    if count > 0 {
        out.push(advice(format!(
            "{count} subscriptions are not dumped: only a superuser may read them"
        )));
    }
    if !who.read::<bool>("reads_settings")? {
        out.push(advice(format!(
            "some settings of the server are not recorded: GRANT pg_read_all_settings TO {quoted}"
        )));
    }
    Ok(out)
}
