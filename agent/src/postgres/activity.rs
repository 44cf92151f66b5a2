//! Our own backends on a server, and who waits behind them.
//!
//! A backend may outlive the connection that made it while it waits for a lock or writes to a
//! socket nobody reads. Work of a run is named `provado:<run id>`, so that it can be ended by
//! name (INV-NOORPHAN). Nothing without that name is ever touched.

use super::connection::PgError;
use super::sql::ReadRow as _;
use sqlx::PgConnection;

/// The application name of the agent's own housekeeping, which a sweep must not end.
pub const HOUSEKEEPING: &str = "provado";

const END_BACKENDS: &str = "\
    SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
    WHERE application_name = $1 AND pid <> pg_catalog.pg_backend_pid()";

/// A backend that waits for a lock or for its client does nothing by itself.
const IS_WORKING: &str = "\
    SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_stat_activity \
        WHERE application_name = $1 AND pid <> pg_catalog.pg_backend_pid() AND state = 'active' \
            AND COALESCE(wait_event_type, '') NOT IN ('Lock', 'Client'))";

const LIST_WAITING: &str = "\
    SELECT w.pid, COALESCE(w.application_name, '') AS application_name, \
        COALESCE(w.usename::text, '') AS role_name, \
        COALESCE(EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - w.state_change), 0)::float8 \
            AS seconds, \
        COALESCE(pg_catalog.left(w.query, 200), '') AS query_start \
    FROM pg_catalog.pg_stat_activity w \
    WHERE w.wait_event_type = 'Lock' AND w.application_name <> $1 AND EXISTS ( \
        SELECT 1 FROM pg_catalog.pg_stat_activity b \
        WHERE b.pid = ANY (pg_catalog.pg_blocking_pids(w.pid)) AND b.application_name = $1) \
    ORDER BY seconds DESC LIMIT 20";

/// Someone who waits for a lock that one of our backends holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// Its backend.
    pub pid: i32,
    /// How it calls itself.
    pub application_name: String,
    /// Its role; empty where ours may not see it.
    pub role_name: String,
    /// For how long, in seconds, by the server's clock.
    pub seconds: f64,
    /// Whether its statement changes a table's definition, such as `ALTER TABLE`; the statement
    /// itself may hold data and is not kept.
    pub changes_definition: bool,
}

/// Ends the backends of one application name, but not the asking one. Tells how many.
pub async fn end_backends(
    connection: &mut PgConnection,
    application_name: &str,
) -> Result<usize, PgError> {
    let ended = sqlx::query(END_BACKENDS)
        .bind(application_name)
        .fetch_all(connection)
        .await
        .map_err(|source| PgError::query("end backends of this run", source))?;
    Ok(ended.len())
}

/// Whether a backend of this application name is at work in the server: an index that is built for
/// hours says nothing to anybody else.
pub async fn is_working(
    connection: &mut PgConnection,
    application_name: &str,
) -> Result<bool, PgError> {
    sqlx::query_scalar(IS_WORKING)
        .bind(application_name)
        .fetch_one(connection)
        .await
        .map_err(|source| PgError::query("look whether our backends work", source))
}

/// Who waits behind the locks of the backends with this application name, longest first; at most
/// 20 of them. What our role may not see of others is empty, the waiting itself is always seen.
pub async fn waiting_behind(
    connection: &mut PgConnection,
    application_name: &str,
) -> Result<Vec<Waiting>, PgError> {
    let rows = sqlx::query(LIST_WAITING)
        .bind(application_name)
        .fetch_all(connection)
        .await
        .map_err(|source| PgError::query("look for others waiting behind our locks", source))?;
    rows.iter()
        .map(|row| {
            let query: String = row.read("query_start")?;
            let word = query.trim_start().to_ascii_uppercase();
            Ok(Waiting {
                pid: row.read("pid")?,
                application_name: row.read("application_name")?,
                role_name: row.read("role_name")?,
                seconds: row.read("seconds")?,
                changes_definition: ["ALTER", "DROP", "CREATE", "TRUNCATE", "REINDEX", "CLUSTER"]
                    .iter()
                    .any(|start| word.starts_with(start)),
            })
        })
        .collect()
}
