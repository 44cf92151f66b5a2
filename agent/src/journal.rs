//! Small records on disk that must survive a crash: one file each, written whole and synced with
//! its directory before the call returns. Nothing here knows what a record means.

use provado_identity::files::{self, FileError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// Ending of a record's file. What ends otherwise is the leftover of a write cut short.
const ENDING: &str = "json";

/// A record could not be written, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system.
    #[error("the journal at {path} cannot be written or read; check the disk and its owner")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: FileError,
    },
    /// The file system, below the level of whole files.
    #[error("the journal at {path} cannot be changed; check the disk and its owner")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A record is there but is not what this program wrote.
    #[error(
        "the journal record {path} is damaged; move it away only after checking what the run \
         it names has left behind"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// A directory of records.
#[derive(Debug, Clone)]
pub struct Journal {
    directory: PathBuf,
}

impl Journal {
    /// Opens the directory, making it (0700) where it is missing.
    pub fn open(directory: PathBuf) -> Result<Self, JournalError> {
        files::create_private_dir(&directory).map_err(|source| JournalError::File {
            path: directory.clone(),
            source,
        })?;
        Ok(Self { directory })
    }

    /// Writes or replaces a record. When this returns, a crash no longer loses it.
    pub fn write<T: Serialize>(&self, name: &str, record: &T) -> Result<(), JournalError> {
        let path = self.path(name);
        let bytes = serde_json::to_vec(record).map_err(|source| JournalError::Damaged {
            path: path.clone(),
            source,
        })?;
        files::write_private(&path, &bytes).map_err(|source| JournalError::File { path, source })
    }

    /// One record; `None` where there is none. A damaged one is an error.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, JournalError> {
        let path = self.path(name);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(JournalError::Io { path, source }),
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| JournalError::Damaged { path, source })
    }

    /// Every record by name, in the order of names. A damaged one is an error, never left out.
    pub fn read_all<T: DeserializeOwned>(&self) -> Result<Vec<(String, T)>, JournalError> {
        let mut names = self.names()?;
        names.sort();
        names
            .into_iter()
            .map(|name| {
                let path = self.path(&name);
                let bytes = std::fs::read(&path).map_err(|source| JournalError::Io {
                    path: path.clone(),
                    source,
                })?;
                let record = serde_json::from_slice(&bytes)
                    .map_err(|source| JournalError::Damaged { path, source })?;
                Ok((name, record))
            })
            .collect()
    }

    /// Removes a record for good; one that is not there is no error.
    pub fn remove(&self, name: &str) -> Result<(), JournalError> {
        let path = self.path(name);
        let removed = match std::fs::remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        removed
            .and_then(|()| std::fs::File::open(&self.directory)?.sync_all())
            .map_err(|source| JournalError::Io { path, source })
    }

    fn names(&self) -> Result<Vec<String>, JournalError> {
        let trouble = |source| JournalError::Io {
            path: self.directory.clone(),
            source,
        };
        let mut out = Vec::new();
        for entry in std::fs::read_dir(&self.directory).map_err(trouble)? {
            let path = entry.map_err(trouble)?.path();
            let is_record = path.extension().is_some_and(|ending| ending == ENDING);
            if let Some(name) = path.file_stem().and_then(|stem| stem.to_str())
                && is_record
            {
                out.push(name.to_owned());
            }
        }
        Ok(out)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(Path::new(name)).with_extension(ENDING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> (tempfile::TempDir, Journal) {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path().join("j")).unwrap();
        (folder, journal)
    }

    #[test]
    fn records_survive_and_leftovers_of_a_cut_write_are_not_records() {
        let (folder, journal) = journal();
        journal.write("b", &2).unwrap();
        journal.write("a", &1).unwrap();
        journal.write("a", &3).unwrap();
        std::fs::write(folder.path().join("j/c.tmp"), b"half").unwrap();
        let again = Journal::open(folder.path().join("j")).unwrap();
        assert_eq!(
            again.read_all::<i32>().unwrap(),
            [("a".into(), 3), ("b".into(), 2)]
        );
        again.remove("a").unwrap();
        again.remove("a").unwrap();
        assert_eq!(again.read_all::<i32>().unwrap().len(), 1);
    }

    #[test]
    fn a_damaged_record_is_an_error_that_names_it() {
        let (folder, journal) = journal();
        journal.write("a", &1).unwrap();
        std::fs::write(folder.path().join("j/a.json"), b"{").unwrap();
        let error = journal.read_all::<i32>().unwrap_err().to_string();
        assert!(error.contains("a.json"), "{error}");
    }
}
