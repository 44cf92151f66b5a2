//! The private directory that `pg_restore` reads: a table of contents and lists, no data.

use provado_model::{Error, Reason};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A directory (0700) with small files (0600); dropping it removes it.
#[derive(Debug)]
pub(super) struct ArchiveDirectory {
    path: PathBuf,
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |error| Error::new(Reason::DiskFull, format!("cannot make {path}")).caused_by(error)
}

impl ArchiveDirectory {
    pub(super) fn create(parent: &Path, name: &str) -> Result<Self, Error> {
        let path = parent.join(format!("load-{name}"));
        // What an earlier process left under this attempt's name holds no data.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(failed(&path))?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a small file and returns its path.
    pub(super) fn file(&self, name: &str, content: &[u8]) -> Result<PathBuf, Error> {
        let path = self.path.join(name);
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(content))
            .map_err(failed(&path))?;
        Ok(path)
    }
}

impl Drop for ArchiveDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "a directory of an archive is left");
        }
    }
}
