//! Secrets on disk: 0600 in 0700, written all at once or not at all.
//!
//! A file that others could have read or changed is refused rather than repaired: what it holds
//! may be known or forged by then, and someone must look. The module never follows a symbolic
//! link at the file itself and never widens a mode.

use rustix::fs::OFlags;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Mode of a file with a secret in it.
const FILE_MODE: u32 = 0o600;
/// Mode of a directory with such files in it.
const DIRECTORY_MODE: u32 = 0o700;
/// Mode bits that let the group or others in.
const OTHERS: u32 = 0o077;
/// Largest secret file that is read, in bytes.
pub const SECRET_BYTES_MAX: u64 = 256 * 1024;

/// A secret could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, such as `write`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The mode lets others in.
    #[error(
        "`{}` has mode {mode:04o}, so that others may have read or changed it; \
         replace what it holds, or run `chmod go= '{}'` if you are sure that nobody did",
        path.display(), path.display()
    )]
    ModeTooWide {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to someone else.
    #[error(
        "`{}` belongs to user id {owner}, not to the user this program runs as; run `chown` on it",
        path.display()
    )]
    ForeignOwner {
        /// The file or directory.
        path: PathBuf,
        /// The owner's user id.
        owner: u32,
    },
    /// It is a link, a device or a directory where a file is expected, or the reverse.
    #[error("`{}` is not a {expected}", path.display())]
    WrongType {
        /// The path.
        path: PathBuf,
        /// `regular file` or `directory`.
        expected: &'static str,
    },
    /// It is larger than any secret.
    #[error("`{}` has more than {SECRET_BYTES_MAX} bytes, which no secret has", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is there already and would have been replaced.
    #[error("`{}` exists already and is not empty; move it away to make new keys", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
}

impl FileError {
    /// Whether the file or directory simply is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Reads a secret file whole. Refused: links, other owners (root may own it), modes beyond 0600.
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(no_follow())
        .open(path)
        .map_err(|source| refine_open(path, source))?;
    let metadata = file.metadata().map_err(io_error("inspect", path))?;
    if !metadata.is_file() {
        return Err(FileError::WrongType {
            path: path.into(),
            expected: "regular file",
        });
    }
    check_rights(path, &metadata)?;
    // A buffer that grows would leave copies of the secret behind, so its size is set first.
    let length = metadata.len().min(SECRET_BYTES_MAX);
    let capacity = usize::try_from(length).unwrap_or(0) + 2;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    (&mut file)
        .take(SECRET_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(io_error("read", path))?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(FileError::TooLarge { path: path.into() });
    }
    Ok(bytes)
}

/// Writes a secret file with mode 0600, replacing an older one all at once: after a crash there
/// is the old content or the new. The directory must be private (see [`check_private_dir`]).
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let directory = parent_of(path);
    check_private_dir(directory)?;
    let temporary = sibling(path, "new");
    remove_file_if_there(&temporary)?;
    write_new(&temporary, bytes)?;
    std::fs::rename(&temporary, path).map_err(io_error("replace", path))?;
    sync_directory(directory)
}

/// Checks that a directory is one, is ours (or root's), and lets nobody else in.
pub fn check_private_dir(path: &Path) -> Result<(), FileError> {
    let metadata = std::fs::symlink_metadata(path).map_err(io_error("inspect", path))?;
    if !metadata.is_dir() {
        return Err(FileError::WrongType {
            path: path.into(),
            expected: "directory",
        });
    }
    check_rights(path, &metadata)
}

/// Makes a directory with mode 0700, parents included, or checks the one that is there.
pub fn create_private_dir(path: &Path) -> Result<(), FileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
        .map_err(io_error("create", path))?;
    check_private_dir(path)
}

/// Makes a private directory that holds exactly these files, all at once: after a crash there is
/// the whole of it or nothing. An existing directory is accepted only when it is empty.
pub fn create_private_set(path: &Path, files: &[(&str, &[u8])]) -> Result<(), FileError> {
    let parent = parent_of(path);
    if !parent.as_os_str().is_empty() && !parent.exists() {
        create_private_dir(parent)?;
    }
    if !is_empty_or_absent(path)? {
        return Err(FileError::Exists { path: path.into() });
    }
    let temporary = sibling(path, "new");
    remove_dir_if_there(&temporary)?;
    DirBuilder::new()
        .mode(DIRECTORY_MODE)
        .create(&temporary)
        .map_err(io_error("create", &temporary))?;
    for (name, bytes) in files {
        write_new(&temporary.join(name), bytes)?;
    }
    sync_directory(&temporary)?;
    // rename(2) replaces an empty directory and refuses a filled one, so a race loses safely.
    if let Err(source) = std::fs::rename(&temporary, path) {
        remove_dir_if_there(&temporary)?;
        return Err(match source.kind() {
            io::ErrorKind::DirectoryNotEmpty => FileError::Exists { path: path.into() },
            _ => io_error("create", path)(source),
        });
    }
    sync_directory(parent)
}

/// Whether there is no such directory, or nothing in it.
pub fn is_empty_or_absent(path: &Path) -> Result<bool, FileError> {
    match std::fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(source) => Err(io_error("list", path)(source)),
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .custom_flags(no_follow())
        .open(path)
        .map_err(io_error("create", path))?;
    // The umask may have taken bits away that the owner needs.
    file.set_permissions(Permissions::from_mode(FILE_MODE))
        .map_err(io_error("set the mode of", path))?;
    file.write_all(bytes).map_err(io_error("write", path))?;
    file.sync_all().map_err(io_error("sync", path))
}

fn check_rights(path: &Path, metadata: &std::fs::Metadata) -> Result<(), FileError> {
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(FileError::ForeignOwner {
            path: path.into(),
            owner,
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(FileError::ModeTooWide {
            path: path.into(),
            mode,
        });
    }
    Ok(())
}

fn sync_directory(path: &Path) -> Result<(), FileError> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(io_error("sync", path))
}

fn remove_file_if_there(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", path)(source))
        }
        _ => Ok(()),
    }
}

fn remove_dir_if_there(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", path)(source))
        }
        _ => Ok(()),
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// `.name.suffix` beside the path; a leftover of a crash is removed by the next writer.
fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let name = path
        .file_name()
        .map_or_else(|| "unnamed".into(), |name| name.to_string_lossy());
    path.with_file_name(format!(".{name}.{suffix}"))
}

fn no_follow() -> i32 {
    OFlags::NOFOLLOW.bits().cast_signed()
}

fn refine_open(path: &Path, source: io::Error) -> FileError {
    if source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
        return FileError::WrongType {
            path: path.into(),
            expected: "regular file",
        };
    }
    io_error("open", path)(source)
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_path_buf();
    move |source| FileError::Io {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests;
