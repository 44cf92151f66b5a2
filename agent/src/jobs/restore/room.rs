//! Whether the target's disk has room for what is restored.
//!
//! Twice its size, since indexes are built beside the rows and the log of both grows with them, and
//! the reserve. It frees nothing and reserves nothing. Where the server's data directory cannot be
//! seen it says so: silence would look like a check that passed.

use crate::jobs::precheck::Prechecks;
use crate::jobs::source::OpenBackup;
use crate::jobs::work::Work;
use crate::postgres::connection::PgError;
use crate::postgres::sql::ReadRow as _;
use provado_archive::DumpId;
use provado_model::{Error, Reason};
use provado_proto::common::v1::Scope;
use sqlx::PgConnection;
use std::collections::BTreeSet;
use std::path::Path;

const DIRECTORY: &str = "\
    SELECT COALESCE((SELECT s.setting FROM pg_catalog.pg_settings s \
            WHERE s.name = 'data_directory'), '') AS data_directory";

/// Adds a problem where there is too little room, and a warning where that cannot be seen.
pub(super) async fn check(
    backup: &OpenBackup,
    selected: &[DumpId],
    connection: &mut PgConnection,
    checks: &mut Prechecks,
    work: &mut Work<'_>,
) -> Result<(), PgError> {
    let row = sqlx::query(DIRECTORY)
        .fetch_one(connection)
        .await
        .map_err(|source| PgError::query("look at where the server keeps its data", source))?;
    let directory: String = row.read("data_directory")?;
    let size = size_of(backup, selected);
    let needed = needed(size, work.context.config.disk_reserve_bytes);
    match rustix::fs::statvfs(Path::new(&directory)) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            if free < needed {
                checks.add(Error::new(
                    Reason::DiskFull,
                    format!(
                        "{directory} has {free} bytes free, {needed} are needed: twice the {size} \
                         of what is restored, and a reserve (disk_reserve_bytes); free space or \
                         choose another instance"
                    ),
                ));
            }
        }
        Err(_) if directory.is_empty() => work.warn(format!(
            "free space was not checked ({needed} bytes should be free): the agent's role may not \
             see data_directory, which needs pg_read_all_settings"
        )),
        Err(error) => work.warn(format!(
            "free space was not checked ({needed} bytes should be free): the agent cannot look at \
             the server's data directory {directory}: {error}"
        )),
    }
    Ok(())
}

fn needed(size: u64, reserve: u64) -> u64 {
    size.saturating_mul(2).saturating_add(reserve)
}

fn size_of(backup: &OpenBackup, selected: &[DumpId]) -> u64 {
    let header = backup.reader.header();
    let has_all =
        header.table_patterns.is_empty() && Scope::try_from(header.scope) == Ok(Scope::Everything);
    let facts = backup.inventory.database.as_ref();
    let database = facts.map_or(0, |facts| u64::try_from(facts.size_bytes).unwrap_or(0));
    let entries = backup.data_entries().into_iter();
    let entries = entries.map(|(id, (_, entry))| (id, entry.tail.byte_count));
    size(has_all.then_some(database), entries, selected)
}

/// The size the database had, where all of it comes back; else the rows of what does.
fn size(
    database: Option<u64>,
    entries: impl Iterator<Item = (DumpId, u64)>,
    selected: &[DumpId],
) -> u64 {
    let selected: BTreeSet<DumpId> = selected.iter().copied().collect();
    let mut rows = 0_u64;
    let mut is_whole = true;
    for (id, bytes) in entries {
        if selected.contains(&id) {
            rows = rows.saturating_add(bytes);
        } else {
            is_whole = false;
        }
    }
    database.filter(|_| is_whole).unwrap_or(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_database_needs_twice_its_size_and_a_part_twice_its_rows() {
        let entries = || [(1, 10), (2, 20), (3, 30)].into_iter();
        let all = [1, 2, 3];
        assert_eq!(size(Some(1_000), entries(), &all), 1_000);
        assert_eq!(size(Some(1_000), entries(), &all[1..]), 50);
        assert_eq!(size(Some(1_000), entries(), &[]), 0);
        // A backup of some tables never was the whole.
        assert_eq!(size(None, entries(), &all), 60);
        assert_eq!(needed(1_000, 5), 2_005);
        assert_eq!(needed(u64::MAX, 5), u64::MAX);
    }
}
