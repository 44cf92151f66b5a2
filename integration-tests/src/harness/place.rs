//! A temporary directory that the server's unprivileged user may enter.

use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The user PostgreSQL and the daemons run as when the tests run as root.
pub const USER: &str = "postgres";

/// A temporary directory, owned by [`USER`] when the tests run as root; gone with the value
/// unless the test failed and `PROVADO_KEEP` is set.
#[derive(Debug)]
pub struct Place {
    folder: Option<TempDir>,
    path: PathBuf,
}

impl Place {
    pub fn new() -> Result<Self> {
        // Short: the path of a Unix socket has at most 107 bytes.
        let folder = tempfile::Builder::new().prefix("pvd-").tempdir_in("/tmp")?;
        let path = folder.path().to_owned();
        own(&path)?;
        Ok(Self {
            folder: Some(folder),
            path,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A directory in it, owned like it, mode 0700.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path)?;
        own(&path)?;
        Ok(path)
    }

    /// A file in it, owned like it, mode 0600.
    pub fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::write(&path, text)?;
        own(&path)?;
        Ok(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::env::var_os("PROVADO_KEEP").is_some()
            && let Some(folder) = self.folder.take()
        {
            let _ = folder.keep();
        }
    }
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Gives a file or directory to [`USER`] and nobody else.
pub fn own(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = if path.is_dir() { 0o700 } else { 0o600 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    if is_root() {
        let status = Command::new("chown")
            .arg(format!("{USER}:{USER}"))
            .arg(path)
            .status()?;
        anyhow::ensure!(status.success(), "chown of {} failed", path.display());
    }
    Ok(())
}

/// A command that runs as the unprivileged user, with nothing of PostgreSQL's in its environment.
pub fn as_user(program: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", USER, "--regid", USER, "--init-groups"]);
        command.arg("--").arg(program);
        command
    } else {
        Command::new(program)
    };
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/");
    command
}

/// One of our programs, where the unprivileged user can run it: in place where the path allows,
/// else a copy that later tests share.
pub fn program(name: &str) -> Result<PathBuf> {
    let built = built(name)?;
    if !is_root()
        || as_user(Path::new("/usr/bin/test"))
            .arg("-x")
            .arg(&built)
            .status()?
            .success()
    {
        return Ok(built);
    }
    let facts = std::fs::metadata(&built)?;
    let stamp = facts
        .modified()?
        .duration_since(std::time::UNIX_EPOCH)?
        .as_nanos();
    let folder = PathBuf::from(format!("/var/tmp/provado-programs/{stamp}-{}", facts.len()));
    let copy = folder.join(name);
    if !copy.exists() {
        std::fs::create_dir_all(&folder)?;
        let half = folder.join(format!("{name}.{}", std::process::id()));
        std::fs::copy(&built, &half)?;
        std::fs::rename(&half, &copy)?;
    }
    Ok(copy)
}

fn built(name: &str) -> Result<PathBuf> {
    let me = std::env::current_exe()?;
    let found = me
        .ancestors()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "`{name}` is not built beside {}; run `cargo build --bins`",
            me.display()
        )
    })
}
