//! Databases that are being made, on disk before they exist, so that the next start of a killed
//! agent finds and removes them. Only names of our own making are ever written or dropped.

use crate::config::Config;
use crate::jobs::place;
use crate::postgres::activity::HOUSEKEEPING;
use crate::postgres::connection::ServerAddress;
use crate::postgres::database::drop_ours;
use crate::postgres::inspect::error_text;
use provado_model::{Error, Reason};
use provado_proto::agent::v1::InstanceTarget;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// What every unfinished database's name begins with.
const PREFIX: &str = "provado-restore-";

#[derive(Serialize, Deserialize)]
struct Record {
    host: String,
    port: u16,
    database: String,
}

/// One database that is being made. While it is held, a sweep leaves the database alone; let go
/// of without [`JournalEntry::settled`], a sweep removes it.
#[derive(Debug)]
pub(super) struct JournalEntry {
    path: PathBuf,
    /// Locked for as long as this attempt lives.
    _lock: File,
}

impl JournalEntry {
    /// The database has its name, or is gone: there is nothing left to remove.
    pub(super) fn settled(self) {
        // Left behind it costs one DROP DATABASE IF EXISTS at the next sweep.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Writes the entry, synced, before the database is made.
pub(super) fn write(
    config: &Config,
    address: &ServerAddress,
    database: &str,
) -> Result<JournalEntry, Error> {
    let directory = config.data_dir.join("restores");
    let path = directory.join(format!("{database}.json"));
    let record = Record {
        host: address.host.clone(),
        port: address.port,
        database: database.to_owned(),
    };
    let write = || -> std::io::Result<File> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)?;
        let mut file = File::create_new(&path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.write_all(serde_json::to_string(&record)?.as_bytes())?;
        file.sync_all()?;
        File::open(&directory)?.sync_all()?;
        Ok(file)
    };
    let lock = write().map_err(|error| {
        let text = format!("cannot write the restore down in {}", path.display());
        Error::new(Reason::DiskFull, text).caused_by(error)
    })?;
    Ok(JournalEntry { path, _lock: lock })
}

/// Removes the databases that restores left unfinished, of an earlier life of this agent or of
/// this one where the server was gone when it should have been done. Tells what was done or could
/// not be done, each a sentence.
pub(in crate::jobs) async fn sweep(config: &Config) -> Vec<String> {
    let mut out = Vec::new();
    let Ok(entries) = std::fs::read_dir(config.data_dir.join("restores")) else {
        return out;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if is_in_hand(&path) {
            continue;
        }
        let record: Option<Record> = std::fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let Some(record) = record.filter(|record| record.database.starts_with(PREFIX)) else {
            // Cut off while it was written: the database was not made yet.
            let _ = std::fs::remove_file(&path);
            continue;
        };
        match remove(config, &record).await {
            Ok(()) => {
                out.push(format!(
                    "removed the unfinished database {}",
                    record.database
                ));
                let _ = std::fs::remove_file(&path);
            }
            Err(error) => out.push(format!(
                "the unfinished database {} is not removed yet: {error}",
                record.database
            )),
        }
    }
    out
}

/// Whether a living attempt holds the entry.
fn is_in_hand(path: &Path) -> bool {
    File::open(path)
        .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_err())
}

async fn remove(config: &Config, record: &Record) -> Result<(), String> {
    let target = InstanceTarget {
        host: record.host.clone(),
        port: i32::from(record.port),
        ..InstanceTarget::default()
    };
    let address = place::address_of(config, &target).map_err(|error| error.to_string())?;
    let mut connection = address
        .connect(&address.maintenance_database, HOUSEKEEPING)
        .await
        .map_err(|error| error_text(&error))?;
    drop_ours(&mut connection, &record.database)
        .await
        .map_err(|error| error_text(&error))
}
