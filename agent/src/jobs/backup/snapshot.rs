//! The snapshot a backup is taken from: one transaction that stays open until the dump is done,
//! exports its snapshot to `pg_dump`, and reads the inventory in it.

use crate::jobs::place::{query_failed, unreachable};
use crate::postgres::connection::{PgError, ServerAddress};
use crate::postgres::inventory;
use crate::postgres::sql::{ReadRow as _, Statement};
use provado_model::{Error, Reason};
use provado_proto::repository::v1::Inventory;
use sqlx::{Connection as _, Executor as _, PgConnection};

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

const EXPORT: &str = "\
    SELECT pg_catalog.pg_export_snapshot() AS name, pg_catalog.pg_is_in_recovery() AS standby, \
        (EXTRACT(EPOCH FROM pg_catalog.transaction_timestamp()) * 1000000)::int8 AS micros, \
        pg_catalog.current_setting('server_version') AS version, \
        (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS identifier, \
        pg_catalog.pg_encoding_to_char(d.encoding)::text AS encoding \
    FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()";

/// The longest wait that the server takes, about 24 days.
const LOCK_WAIT_MILLIS_MAX: u64 = 2_147_483_647;

/// An open snapshot with what was read in it.
pub(super) struct Snapshot {
    connection: Option<PgConnection>,
    /// Of the server that gave the snapshot, which is the one `pg_dump` must find it on.
    pub(super) system_identifier: String,
    /// For `pg_dump --snapshot`.
    pub(super) name: String,
    /// When it was taken, by the server's clock.
    pub(super) time: jiff::Timestamp,
    pub(super) in_recovery: bool,
    pub(super) server_version: String,
    /// The database's encoding, in which the dump is written.
    pub(super) encoding: String,
    pub(super) inventory: Inventory,
}

impl Snapshot {
    /// Takes a snapshot of the database and reads its inventory. Definitions are read under locks:
    /// for one of them it waits `lock_wait_millis`, as `pg_dump` does, then it fails.
    pub(super) async fn take(
        address: &ServerAddress,
        database: &str,
        application_name: &str,
        lock_wait_millis: u64,
    ) -> Result<Self, Error> {
        let mut connection =
            address
                .connect(database, application_name)
                .await
                .map_err(|error| match error.sqlstate().as_deref() {
                    Some("3D000") => Error::new(
                        Reason::DatabaseNotFound,
                        format!(
                            "there is no database {database:?} at {}",
                            address.describe()
                        ),
                    ),
                    _ => unreachable(address, &error),
                })?;
        let failed = |what| move |source| query_failed(&PgError::query(what, source));
        connection
            .execute(BEGIN)
            .await
            .map_err(failed("begin the transaction of the snapshot"))?;
        Statement::new("SET LOCAL lock_timeout TO ")
            .number(i64::try_from(lock_wait_millis.min(LOCK_WAIT_MILLIS_MAX)).unwrap_or(0))
            .execute(&mut connection, "limit the wait for a lock")
            .await
            .map_err(|error| query_failed(&error))?;
        let row = sqlx::query(EXPORT)
            .fetch_one(&mut connection)
            .await
            .map_err(failed("export a snapshot"))?;
        let read = || -> Result<_, PgError> {
            Ok((
                row.read::<String>("name")?,
                row.read::<bool>("standby")?,
                row.read::<i64>("micros")?,
                row.read::<String>("version")?,
                row.read::<String>("encoding")?,
                row.read::<String>("identifier")?,
            ))
        };
        let (name, in_recovery, micros, server_version, encoding, system_identifier) =
            read().map_err(|error| query_failed(&error))?;
        let inventory = inventory::read(&mut connection)
            .await
            .map_err(|error| query_failed(&error))?;
        Ok(Self {
            connection: Some(connection),
            system_identifier,
            name,
            time: provado_model::time::from_micros(micros),
            in_recovery,
            server_version,
            encoding,
            inventory,
        })
    }

    /// The connection, for further questions about the same state.
    pub(super) fn connection(&mut self) -> Option<&mut PgConnection> {
        self.connection.as_mut()
    }

    /// Lets the snapshot go.
    pub(super) async fn end(&mut self) {
        if let Some(connection) = self.connection.take() {
            // The transaction only read; the server ends it with the connection at the latest.
            let _ = connection.close().await;
        }
    }
}
