//! Bytes on their way through: in memory while they are few, else in a temporary file that has no
//! name, so that nothing stays behind whatever happens. Holds nothing that is not already
//! encrypted or needs no key, unless its owner says that it stays in memory.

use crate::error::{Error, Result};
use crate::hash::{Sha256, to_hex};
use crate::limits::SPOOL_MEMORY_BYTES_MAX;
use provado_model::random::{Entropy, bytes};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where temporary bytes go that are too many for memory.
#[derive(Debug, Clone)]
pub struct SpoolPlace {
    /// An existing directory that only we may enter.
    pub directory: PathBuf,
    /// Names the files for the moment they have a name.
    pub entropy: Arc<dyn Entropy>,
}

/// Bytes written once from front to back, then read at any place.
#[derive(Debug)]
pub(crate) struct Spool {
    place: SpoolPlace,
    memory: Vec<u8>,
    memory_max: usize,
    file: Option<File>,
    length: u64,
    digest: Sha256,
}

impl Spool {
    pub(crate) fn new(place: SpoolPlace) -> Self {
        Self::with_memory(place, SPOOL_MEMORY_BYTES_MAX)
    }

    pub(crate) fn with_memory(place: SpoolPlace, memory_max: usize) -> Self {
        Self {
            place,
            memory: Vec::new(),
            memory_max,
            file: None,
            length: 0,
            digest: Sha256::default(),
        }
    }

    /// Bytes so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// SHA-256 of all bytes so far.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        self.digest.clone().finish()
    }

    /// Fills `out` from `offset`; fails at the end of the bytes.
    pub(crate) fn read_exact_at(&self, out: &mut [u8], offset: u64) -> Result<()> {
        let failed = |source| Error::Spool {
            doing: "reading",
            source,
        };
        if let Some(file) = &self.file {
            return file.read_exact_at(out, offset).map_err(failed);
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(out.len());
        match self.memory.get(start..end) {
            Some(found) => {
                out.copy_from_slice(found);
                Ok(())
            }
            None => Err(failed(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// A reader over all bytes.
    pub(crate) fn reader(&self) -> SpoolReader<'_> {
        SpoolReader {
            spool: self,
            at: 0,
            end: self.length,
        }
    }

    /// A reader over `length` bytes from `start`.
    pub(crate) fn reader_of(&self, start: u64, length: u64) -> SpoolReader<'_> {
        SpoolReader {
            spool: self,
            at: start,
            end: start.saturating_add(length).min(self.length),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() && self.memory.len() + bytes.len() > self.memory_max {
            let mut file = nameless(&self.place)?;
            file.write_all(&self.memory)?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes)?,
            None => self.memory.extend_from_slice(bytes),
        }
        self.length += bytes.len() as u64;
        self.digest.update(bytes);
        Ok(())
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a spool from one place to another.
#[derive(Debug)]
pub(crate) struct SpoolReader<'a> {
    spool: &'a Spool,
    at: u64,
    end: u64,
}

impl Read for SpoolReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let count = left.min(out.len());
        if let Some(part) = out.get_mut(..count) {
            self.spool
                .read_exact_at(part, self.at)
                .map_err(io::Error::other)?;
        }
        self.at += count as u64;
        Ok(count)
    }
}

/// A file only we can reach: made 0600 under a random name, which is taken away at once.
fn nameless(place: &SpoolPlace) -> io::Result<File> {
    let name = format!("provado-spool-{}", to_hex(&bytes::<16>(&*place.entropy)));
    let path: PathBuf = Path::new(&place.directory).join(name);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_model::random::SeededEntropy;

    #[test]
    fn memory_and_file_hold_the_same_and_leave_nothing() {
        let directory = tempfile::tempdir().unwrap();
        for memory_max in [0, 10, 1 << 20] {
            let place = SpoolPlace {
                directory: directory.path().to_owned(),
                entropy: Arc::new(SeededEntropy::new(1)),
            };
            let mut spool = Spool::with_memory(place, memory_max);
            for part in [&b"0123"[..], b"456789", b"", b"abcdef"] {
                spool.write_all(part).unwrap();
            }
            let mut all = String::new();
            spool.reader().read_to_string(&mut all).unwrap();
            assert_eq!(all, "0123456789abcdef");
            let mut some = String::new();
            spool.reader_of(4, 3).read_to_string(&mut some).unwrap();
            assert_eq!(some, "456");
            assert_eq!(spool.sha256(), crate::hash::sha256(all.as_bytes()));
            assert!(spool.read_exact_at(&mut [0; 2], 15).is_err());
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        }
    }
}
