//! Roles that the database needs: owners, grantees, and what those are members of.

use super::database::rows;
use crate::postgres::connection::PgError;
use crate::postgres::sql::ReadRow as _;
use provado_proto::repository::v1::RoleFacts;
use sqlx::PgConnection;

/// `pg_shdepend` tells which roles a database's objects name, in owners, grants and policies; the
/// bootstrap superuser (oid 10) is pinned and not in it. `pg_roles` shows no password.
const ROLES: &str = "\
    WITH RECURSIVE named AS ( \
        SELECT s.refobjid AS oid FROM pg_catalog.pg_shdepend s \
        JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database() \
        WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND (s.dbid = d.oid \
            OR (s.dbid = 0 AND s.objid = d.oid \
                AND s.classid = 'pg_catalog.pg_database'::pg_catalog.regclass)) \
        UNION SELECT 10::pg_catalog.oid \
        UNION SELECT s.setrole FROM pg_catalog.pg_db_role_setting s \
        JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase \
        WHERE d.datname = pg_catalog.current_database() AND s.setrole <> 0 \
    ), needed AS ( \
        SELECT oid FROM named \
        UNION SELECT m.roleid FROM needed \
        JOIN pg_catalog.pg_auth_members m ON m.member = needed.oid \
    ) \
    SELECT r.rolname::text AS name, r.rolsuper AS superuser, r.rolinherit AS inherits, \
        r.rolcreaterole AS create_role, r.rolcreatedb AS create_database, \
        r.rolcanlogin AS login, r.rolreplication AS replication, \
        r.rolbypassrls AS bypass_row_security, r.rolconnlimit AS connection_limit, \
        ARRAY(SELECT g.rolname::text FROM pg_catalog.pg_auth_members m \
            JOIN pg_catalog.pg_roles g ON g.oid = m.roleid \
            WHERE m.member = r.oid ORDER BY 1) AS member_of, \
        COALESCE((SELECT s.setconfig FROM pg_catalog.pg_db_role_setting s \
            WHERE s.setrole = r.oid AND s.setdatabase = 0), '{}'::text[]) AS settings, \
        COALESCE(pg_catalog.shobj_description(r.oid, 'pg_authid'), '') AS comment \
    FROM pg_catalog.pg_roles r JOIN needed ON needed.oid = r.oid \
    WHERE r.rolname !~ '^pg_' ORDER BY r.rolname";

pub(super) async fn read(connection: &mut PgConnection) -> Result<Vec<RoleFacts>, PgError> {
    rows(connection, ROLES, "list the roles")
        .await?
        .iter()
        .map(|row| {
            Ok(RoleFacts {
                role_name: row.read("name")?,
                superuser: row.read("superuser")?,
                inherits: row.read("inherits")?,
                create_role: row.read("create_role")?,
                create_database: row.read("create_database")?,
                login: row.read("login")?,
                replication: row.read("replication")?,
                bypass_row_security: row.read("bypass_row_security")?,
                connection_limit: row.read("connection_limit")?,
                member_of: row.read("member_of")?,
                role_settings: row.read("settings")?,
                comment: row.read("comment")?,
            })
        })
        .collect()
}
