//! The SQL of `backup` that tells when a database was last proven.

use crate::db::{Tx, statements, values};
use jiff::Timestamp;
use provado_model::Error;
use provado_model::id::InstanceId;

statements! {
    BACKUP_PROVEN_LAST = both(
        "SELECT id, last_check_time FROM backup WHERE instance_id = $1 AND database_name = $2 \
         AND check_state = 'proven' ORDER BY create_time DESC, id DESC LIMIT 1",
    );
}

/// Statements that must not scan the whole table.
pub const HOT: &[&str] = &["BACKUP_PROVEN_LAST"];

/// When the newest backup of a database that is proven was proven.
pub async fn backup_proven_last(
    tx: &mut Tx,
    instance: InstanceId,
    database_name: &str,
) -> Result<Option<Timestamp>, Error> {
    let row = tx
        .fetch_optional(BACKUP_PROVEN_LAST, &values![instance, database_name])
        .await?;
    let time = row.map(|row| row.time_opt("last_check_time")).transpose()?;
    Ok(time.flatten())
}
