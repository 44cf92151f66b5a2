//! A throw-away PostgreSQL server: a directory of its own, a Unix socket, no TCP. It dies with the
//! test process, whatever happens to that.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// How often, at most, the start waits for the server to answer: 60 seconds in all.
const POLLS_MAX: u32 = 600;
const POLL: Duration = Duration::from_millis(100);

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// A running server. Dropped by its last user, it is stopped and its directory removed.
#[derive(Debug)]
pub(crate) struct Server {
    tools: PathBuf,
    directory: PathBuf,
    databases: AtomicU32,
    stop: Option<Sender<()>>,
    keeper: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// The server of this process; the first user starts it.
    pub(crate) fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start());
        *shared = Arc::downgrade(&server);
        server
    }

    fn start() -> Self {
        let tools = tools();
        let directory = tempfile::Builder::new()
            .prefix("provado-pg-")
            .tempdir()
            .unwrap()
            .keep();
        if is_root() {
            run(command("chown").arg("postgres").arg(&directory));
        }
        let data = directory.join("data");
        let mut initdb = as_postgres(&tools.join("initdb"));
        initdb.args([
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "-U",
            "postgres",
        ]);
        run(initdb.args(["--auth=trust", "-D"]).arg(&data));

        let mut postgres = as_postgres(&tools.join("postgres"));
        postgres.arg("-D").arg(&data).arg("-k").arg(&directory);
        for setting in ["listen_addresses=", "fsync=off", "max_connections=100"] {
            postgres.args(["-c", setting]);
        }
        let log = std::fs::File::create(directory.join("log")).unwrap();
        postgres
            .stdout(Stdio::null())
            .stderr(log)
            .stdin(Stdio::null());
        // The death signal is that of the parent's thread, so a thread of its own holds the child.
        let (stop, stopped) = channel();
        let (started, start) = channel();
        let keeper = std::thread::spawn(move || keep(postgres, &started, &stopped));
        start.recv().unwrap();
        let server = Self {
            tools,
            directory,
            databases: AtomicU32::new(0),
            stop: Some(stop),
            keeper: Some(keeper),
        };
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&self) {
        for _ in 0..POLLS_MAX {
            let mut ask = command(self.tools.join("pg_isready"));
            ask.arg("-q").arg("-h").arg(&self.directory);
            if ask.status().unwrap().success() {
                return;
            }
            pause();
        }
        let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        panic!("PostgreSQL did not answer within 60 seconds; its log:\n{log}");
    }

    /// Makes an empty database; its address for `Database::open`.
    pub(crate) fn create_database(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut create = command(self.tools.join("createdb"));
        create.args(["-U", "postgres", "-h"]).arg(&self.directory);
        run(create.arg(&name));
        let socket = self.directory.display().to_string().replace('/', "%2F");
        format!("postgres://postgres@localhost/{name}?host={socket}")
    }

    /// What psql prints for a script, run in the database of an address made here.
    pub(crate) fn psql(&self, url: &str, script: &str) -> String {
        let name = url.split(['/', '?']).nth(3).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), script).unwrap();
        let mut psql = command(self.tools.join("psql"));
        psql.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-d",
        ]);
        psql.arg(name).arg("-h").arg(&self.directory);
        let output = run(psql.arg("-f").arg(file.path()));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn keep(mut postgres: Command, started: &Sender<()>, stopped: &Receiver<()>) {
    let mut child: Child = postgres.spawn().unwrap();
    started.send(()).unwrap();
    // Ends when the sender is dropped.
    let _ = stopped.recv();
    let id = child.id().to_string();
    let _ = command("kill").args(["-QUIT", &id]).status();
    let _ = child.wait();
}

/// The directory with the server's programs.
#[expect(
    clippy::disallowed_methods,
    reason = "tests are told by the environment where tools are"
)]
fn tools() -> PathBuf {
    let directory = std::env::var_os("PROVADO_PG15").map_or_else(
        || PathBuf::from("/usr/lib/postgresql/15/bin"),
        PathBuf::from,
    );
    assert!(
        directory.join("initdb").exists(),
        "no PostgreSQL server in {}: run `make setup`, or set PROVADO_PG15",
        directory.display()
    );
    directory
}

/// A program of the server, as `postgres` where we are root, dying with us.
fn as_postgres(program: &Path) -> Command {
    let mut command = command("setpriv");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command.args(["--pdeathsig", "QUIT", "--"]).arg(program);
    // A directory that account may enter.
    command.current_dir("/");
    command
}

#[expect(
    clippy::disallowed_methods,
    reason = "starts the server that the tests need"
)]
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

fn is_root() -> bool {
    let output = command("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

#[expect(
    clippy::disallowed_methods,
    reason = "polls a server of another process, with a bound"
)]
fn pause() {
    std::thread::sleep(POLL);
}
