//! Private directories whose names tell whose they are: `d-<pid>-<start>-<random part of run>`.
//!
//! Process id and start time (field 22 of `/proc/<pid>/stat`, proc(5)) name one process for as
//! long as the machine is up: a directory whose process is gone belongs to nobody.

use super::ThrowawayError;
use provado_model::id::RunId;
use rustix::fs::{Gid, Uid};
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// `sun_path` of unix(7) has 108 bytes with the NUL; the socket is `<dir>/.s.PGSQL.5432`.
const SOCKET_DIRECTORY_BYTES_MAX: usize = 107 - "/.s.PGSQL.5432".len();

/// One private directory. Dropping it removes it.
#[derive(Debug)]
pub(super) struct PrivateDirectory {
    path: PathBuf,
    removed: bool,
}

impl PrivateDirectory {
    /// Makes the directory 0700, owned by `user` where one is given.
    pub(super) fn create(
        parent: &Path,
        run: RunId,
        user: Option<&str>,
    ) -> Result<Self, ThrowawayError> {
        let failed = |source| ThrowawayError::Directory {
            parent: parent.to_owned(),
            source,
        };
        let pid = std::process::id();
        let start = start_ticks(pid)
            .ok_or_else(|| failed(std::io::Error::other("cannot read /proc/self/stat")))?;
        // The end of a UUIDv7 is its random part.
        let run_text = run.uuid().simple().to_string();
        let tail = run_text.get(24..).unwrap_or(&run_text);
        let path = parent.join(format!("d-{pid}-{start}-{tail}"));
        if path.as_os_str().len() > SOCKET_DIRECTORY_BYTES_MAX {
            return Err(ThrowawayError::PathTooLong { path });
        }
        let owner = match user {
            Some(user) => Some(look_up(user).ok_or_else(|| ThrowawayError::NoUser {
                user: user.to_owned(),
            })?),
            None => None,
        };
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(failed)?;
        let directory = Self {
            path,
            removed: false,
        };
        std::fs::write(directory.path.join("run"), format!("{run}\n")).map_err(failed)?;
        if let Some((uid, gid)) = owner {
            rustix::fs::chown(&directory.path, Some(uid), Some(gid))
                .map_err(|errno| failed(errno.into()))?;
        }
        Ok(directory)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    pub(super) fn remove(&mut self) -> std::io::Result<()> {
        self.removed = true;
        remove(&self.path)
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        if !self.removed
            && let Err(error) = remove(&self.path)
        {
            tracing::warn!(
                drill.directory = %self.path.display(),
                %error,
                "a drill's directory could not be removed; the agent's next start tries again"
            );
        }
    }
}

/// Removes a tree, once more if a server that was just stopped still wrote into it.
fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
            std::fs::remove_dir_all(path)
        }
        other => other,
    }
}

/// What a sweep did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Directories that were removed.
    pub removed: Vec<PathBuf>,
    /// Directories that could not be removed, and why.
    pub failed: Vec<(PathBuf, String)>,
}

/// Removes private directories of processes that are gone, and ends servers still in them.
/// Directories of live processes and anything else below `parent` is left alone. Blocks.
pub fn sweep(parent: &Path) -> Swept {
    let mut swept = Swept::default();
    let Ok(entries) = std::fs::read_dir(parent) else {
        return swept;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let Some((pid, start)) = entry.file_name().to_str().and_then(parse_name) else {
            continue;
        };
        if !is_directory || start_ticks(pid) == Some(start) {
            continue;
        }
        end_server(&path.join("data"));
        match remove(&path) {
            Ok(()) => swept.removed.push(path),
            Err(error) => swept.failed.push((path, error.to_string())),
        }
    }
    swept
}

fn parse_name(name: &str) -> Option<(u32, u64)> {
    let mut parts = name.strip_prefix("d-")?.split('-');
    let pid = parts.next()?.parse().ok()?;
    let start = parts.next()?.parse().ok()?;
    let tail = parts.next()?;
    let is_ours = tail.len() == 8 && tail.bytes().all(|b| b.is_ascii_hexdigit());
    (is_ours && parts.next().is_none()).then_some((pid, start))
}

/// When a process started, in clock ticks since boot; `None` when there is no such process.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses and may hold blanks and parentheses itself.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(19)?.parse().ok()
}

/// Kills the server of a data directory, if one runs there by its lock file and command line.
fn end_server(data: &Path) {
    let Ok(lock) = std::fs::read_to_string(data.join("postmaster.pid")) else {
        return;
    };
    let number = lock
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok());
    let Some(pid) = number.and_then(Pid::from_raw) else {
        return;
    };
    let command = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
    let wanted = data.as_os_str().as_encoded_bytes();
    let is_it = command.is_ok_and(|text| text.split(|b| *b == 0).any(|part| part == wanted));
    if is_it {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// User and main group of a name in `/etc/passwd` (passwd(5)).
fn look_up(user: &str) -> Option<(Uid, Gid)> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != user {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some((Uid::from_raw(uid), Gid::from_raw(gid)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_model::random::SeededEntropy;
    use provado_model::time::ManualClock;

    fn run() -> RunId {
        RunId::new(&ManualClock::at_second(1), &SeededEntropy::new(1))
    }

    #[test]
    fn only_directories_of_dead_processes_are_swept() {
        let parent = tempfile::tempdir().unwrap();
        let mut mine = PrivateDirectory::create(parent.path(), run(), None).unwrap();
        let start = start_ticks(std::process::id()).unwrap();
        // The same process number at another start time is another process.
        let dead = parent
            .path()
            .join(format!("d-{}-{}-0011aabb", std::process::id(), start + 1));
        let others = [
            parent.path().join("d-1"),
            parent.path().join("data"),
            parent.path().join("d-1-2-0011aabb-x"),
            parent.path().join("d-1-2-nothexxx"),
        ];
        for path in others.iter().chain([&dead]) {
            std::fs::create_dir(path).unwrap();
        }
        std::fs::write(parent.path().join("d-1-2-0011aabb"), "a file").unwrap();
        let swept = sweep(parent.path());
        assert_eq!(swept.removed, vec![dead]);
        assert!(swept.failed.is_empty());
        assert!(mine.path().exists() && others.iter().all(|path| path.exists()));
        let path = mine.path().to_owned();
        mine.remove().unwrap();
        assert!(!path.exists());
        assert_eq!(sweep(parent.path()), Swept::default());
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_refused() {
        let parent = Path::new("/").join("x".repeat(100));
        let error = PrivateDirectory::create(&parent, run(), None).unwrap_err();
        assert!(matches!(error, ThrowawayError::PathTooLong { .. }));
    }
}
