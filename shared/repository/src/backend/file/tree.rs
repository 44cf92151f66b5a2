//! The directories of a repository in a file system: their modes, lists and free room.

use super::{CreateRoot, info};
use crate::backend::{BackendError, BackendErrorKind, BackendResult, Page, Space};
use crate::key::{Key, Prefix};
use crate::limits::LIST_PAGE_MAX;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Where unfinished uploads are, below the root. No key starts so.
pub(super) const TEMPORARY: &str = "tmp";
/// Directories below the root are never deeper than this.
const DEPTH_MAX: usize = 4;

/// The root and which directory it was when the repository was opened. A path may come to lead
/// elsewhere: a file system is unmounted, and the bare mount point is a directory too.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) path: PathBuf,
    device: u64,
    inode: u64,
}

impl Root {
    /// The directory that the path leads to now.
    pub(super) fn of(path: &Path) -> BackendResult<Self> {
        let found = fs::metadata(path).map_err(|error| {
            BackendError::io(
                format!("the root {} cannot be looked at", path.display()),
                error,
            )
        })?;
        Ok(Self {
            path: path.to_owned(),
            device: found.dev(),
            inode: found.ino(),
        })
    }

    /// Fails if the path leads to another directory now, or to none. Says nothing of any object.
    pub(super) fn is_the_same(&self) -> BackendResult<()> {
        let gone = |source| BackendError {
            kind: BackendErrorKind::Other,
            message: format!(
                "the root {} is not the directory it was when the repository was opened; look \
                 whether its file system is still mounted",
                self.path.display()
            ),
            source,
        };
        match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => Ok(()),
            Ok(_) => Err(gone(None)),
            Err(error) => Err(gone(Some(Box::new(error)))),
        }
    }
}

/// Checks the root, or makes it.
pub(super) fn prepare_root(root: &Path, create: CreateRoot) -> BackendResult<()> {
    let shown = root.display();
    match fs::metadata(root) {
        Ok(found) if !found.is_dir() => Err(BackendError::new(
            BackendErrorKind::Other,
            format!("the root {shown} is not a directory"),
        )),
        Ok(found) => {
            let mode = found.mode() & 0o777;
            let others = mode & 0o077;
            if others == 0 {
                return Ok(());
            }
            Err(BackendError::new(
                BackendErrorKind::Permissions,
                format!(
                    "the root {shown} has mode {mode:04o}, so others may get at the backups; \
                     set it with `chmod 0700 {shown}`"
                ),
            ))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => match create {
            CreateRoot::Never => Err(BackendError::io(
                format!("the root {shown} is not there"),
                error,
            )),
            CreateRoot::IfMissing => make_directory(root),
        },
        Err(error) => Err(BackendError::io(
            format!("the root {shown} cannot be looked at"),
            error,
        )),
    }
}

/// Makes `directory`, which lies below `root`, and every missing one between, each synced.
pub(super) fn make_directories(root: &Path, directory: &Path) -> BackendResult<()> {
    if directory == root || directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        make_directories(root, parent)?;
    }
    make_directory(directory)
}

fn make_directory(directory: &Path) -> BackendResult<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => sync_parent(directory),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(BackendError::io(
            format!("the directory {} cannot be made", directory.display()),
            error,
        )),
    }
}

/// Makes a change of names in the directory of `path` durable.
pub(super) fn sync_parent(path: &Path) -> BackendResult<()> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|e| {
            BackendError::not_durable(
                format!("the directory {} cannot be synced", parent.display()),
                e,
            )
        })
}

/// Room in the file system of the root.
pub(super) fn space(root: &Path) -> BackendResult<Space> {
    let found = rustix::fs::statvfs(root).map_err(|e| {
        BackendError::io(
            format!("the free space of {} cannot be read", root.display()),
            e.into(),
        )
    })?;
    Ok(Space {
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
    })
}

/// One page of the objects under a prefix.
pub(super) fn list(root: &Path, prefix: Prefix, after: Option<&Key>) -> BackendResult<Page> {
    let text = prefix.text();
    let mut found = Found::default();
    walk(
        &root.join(text.trim_end_matches('/')),
        &text,
        after,
        &mut found,
        DEPTH_MAX,
    )?;
    let more = found.dropped;
    Ok(Page {
        objects: found.objects.into_iter().collect(),
        strangers: found.strangers,
        more,
    })
}

/// The smallest keys of a walk, no more than one page of them.
#[derive(Default)]
struct Found {
    objects: BTreeMap<Key, crate::backend::ObjectInfo>,
    strangers: Vec<String>,
    dropped: bool,
}

fn walk(
    directory: &Path,
    prefix: &str,
    after: Option<&Key>,
    found: &mut Found,
    depth: usize,
) -> BackendResult<()> {
    let failed = |e| BackendError::io(format!("{} cannot be listed", directory.display()), e);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        // A prefix without objects has no directory. One that its parent listed a moment ago has
        // one, and nothing of ours removes directories: what was in it is not to be taken for gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound && depth == DEPTH_MAX => {
            return Ok(());
        }
        Err(error) => return Err(vanished(failed(error))),
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            if name != TEMPORARY && depth > 0 {
                walk(&entry.path(), &format!("{name}/"), after, found, depth - 1)?;
            }
            continue;
        }
        match name.parse::<Key>() {
            Ok(key) if kind.is_file() => {
                if after.is_some_and(|after| key <= *after) {
                    continue;
                }
                match entry.metadata() {
                    Ok(metadata) => found.add(key, info(&metadata)),
                    // It was deleted meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(failed(error)),
                }
            }
            _ if after.is_none() && found.strangers.len() < LIST_PAGE_MAX => {
                found.strangers.push(name);
            }
            _ => {}
        }
    }
    Ok(())
}

/// An error of a list never says that an object is not there.
fn vanished(error: BackendError) -> BackendError {
    match error.kind {
        BackendErrorKind::NotFound => BackendError {
            kind: BackendErrorKind::Other,
            ..error
        },
        _ => error,
    }
}

impl Found {
    fn add(&mut self, key: Key, info: crate::backend::ObjectInfo) {
        self.objects.insert(key, info);
        if self.objects.len() > LIST_PAGE_MAX {
            self.objects.pop_last();
            self.dropped = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_was_listed_and_is_gone_is_an_error_and_not_empty() {
        let directory = tempfile::tempdir().unwrap();
        let gone = directory.path().join("backups");
        let walk_at = |depth| walk(&gone, "backups/", None, &mut Found::default(), depth);
        assert!(walk_at(DEPTH_MAX).is_ok());
        let error = walk_at(DEPTH_MAX - 1).unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Other, "{error}");
    }
}
