//! A throw-away PostgreSQL: started for one drill, gone after it, whatever happens.
//!
//! It lives in a private directory (0700), listens on a Unix socket in there and on no network,
//! and is tuned for speed since nothing in it is kept: a power cut may tear it, nobody minds.
//! It is a child of the agent and dies with it; directories that dead agents left behind are
//! found by their names and removed when an agent starts. It never touches a directory whose
//! name is not its own.

mod directory;
mod settings;

pub use directory::{Swept, sweep};

use super::ServerAddress;
use super::connection::base_environment;
use super::tools::{Child, Ended, Exit, Invocation, ToolError, ToolSet, Tools};
use super::trouble;
use crossbeam_channel::{RecvTimeoutError, bounded};
use directory::PrivateDirectory;
use provado_model::id::RunId;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Seconds a throw-away server may take to start.
const START_SECONDS_MAX: u64 = 120;
/// The superuser of a throw-away server; the same name as on most servers, so that ownership by
/// it needs no translation.
pub const SUPERUSER: &str = "postgres";
/// The port; it only names the socket.
const PORT: u16 = 5432;

/// What a throw-away server is made from.
#[derive(Debug, Clone)]
pub struct ThrowawayPlan {
    /// The directory below which the private one is made. It must be passable (mode x) for the
    /// user the server runs as.
    pub parent: PathBuf,
    /// The programs; of the major version of the backup.
    pub tools: ToolSet,
    /// The user to run as when the agent is root: PostgreSQL refuses to be root.
    pub user: String,
    /// For which run, for people who look at the directory.
    pub run: RunId,
    /// Settings on top of those for speed, such as `lc_monetary` of the source.
    pub extra_settings: Vec<(String, String)>,
    /// Parallel jobs of the restore, which share the memory.
    pub jobs_count: u32,
}

/// A throw-away server could not be made. Nothing is known about any backup from this.
#[derive(Debug, thiserror::Error)]
pub enum ThrowawayError {
    /// The private directory could not be made.
    #[error("cannot make a private directory below {parent}")]
    Directory {
        /// Where.
        parent: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The path is too long for a Unix socket (107 bytes, unix(7)).
    #[error("{path} is too long for a Unix socket; choose a drill directory with a shorter path")]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// The agent is root and the user to run the server as does not exist.
    #[error("there is no user {user:?} to run a throw-away server as; set drill_user")]
    NoUser {
        /// The name.
        user: String,
    },
    /// A program could not be started.
    #[error("cannot start a program of the throw-away server")]
    Tool(#[from] ToolError),
    /// initdb failed.
    #[error("{0}")]
    Initdb(String),
    /// The server ended or did not come up.
    #[error("the throw-away server did not start: {0}")]
    Start(String),
}

/// Troubles kept; more say nothing new.
const TROUBLES_MAX: usize = 20;

/// What a server's own log told of its host (a full disk, a missing library) until it was asked to
/// stop. Whole once the server has been stopped. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Troubles(Arc<Mutex<TroubleList>>);

#[derive(Debug, Default)]
struct TroubleList {
    found: Vec<String>,
    is_over: bool,
}

impl Troubles {
    fn line(&self, line: &str) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What it says while it is stopped is our own doing.
        list.is_over |= line.ends_with("received immediate shutdown request");
        if !list.is_over
            && list.found.len() < TROUBLES_MAX
            && let Some(trouble) = trouble::in_log_line(line)
        {
            list.found.push(trouble);
        }
    }

    /// The first of them, from which the others often follow.
    pub fn first(&self) -> Option<String> {
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.found.first().cloned()
    }
}

/// A running throw-away server. Dropping it stops the server and removes its directory.
#[derive(Debug)]
pub struct Throwaway {
    server: Option<Child>,
    troubles: Troubles,
    directory: PrivateDirectory,
    address: ServerAddress,
}

impl Throwaway {
    /// Makes and starts a server, and returns when it takes connections. Blocks the thread.
    pub fn start(tools: &dyn Tools, plan: &ThrowawayPlan) -> Result<Self, ThrowawayError> {
        let user = rustix::process::geteuid()
            .is_root()
            .then_some(plan.user.as_str());
        let directory = PrivateDirectory::create(&plan.parent, plan.run, user)?;
        initdb(tools, plan, &directory, user)?;
        let troubles = Troubles::default();
        let (server, address) = serve(tools, plan, &directory, user, &troubles)?;
        Ok(Self {
            server: Some(server),
            troubles,
            directory,
            address,
        })
    }

    /// How to reach it, as its superuser.
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// What it tells of its host.
    pub fn troubles(&self) -> Troubles {
        self.troubles.clone()
    }

    /// Stops the server at once and removes its directory. Blocks the thread; errors in removing
    /// are told, since space would be lost.
    pub fn stop(mut self) -> std::io::Result<()> {
        self.stop_server();
        self.directory.remove()
    }

    fn stop_server(&mut self) -> Option<Ended> {
        let server = self.server.take()?;
        server.killer().quit();
        // An immediate stop takes at most 5 s by the server's own limit (SIGKILL_CHILDREN_AFTER).
        Some(server.wait())
    }
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        self.stop_server();
    }
}

fn initdb(
    tools: &dyn Tools,
    plan: &ThrowawayPlan,
    directory: &PrivateDirectory,
    user: Option<&str>,
) -> Result<(), ThrowawayError> {
    let mut invocation = Invocation::new(plan.tools.program("initdb"))
        .argument("--pgdata")
        .argument(directory.data())
        .argument(format!("--username={SUPERUSER}"))
        .argument("--auth-local=trust")
        .argument("--auth-host=reject")
        .argument("--encoding=UTF8")
        .argument("--locale=C")
        .argument("--no-sync")
        .argument("--no-instructions");
    if plan.tools.version.major >= 18 {
        // On by default from 18 on; checksums protect what is kept, and nothing is kept here.
        invocation = invocation.argument("--no-data-checksums");
    }
    invocation.environment = base_environment();
    invocation.run_as = user.map(str::to_owned);
    invocation.directory = Some(directory.path().to_owned());
    let ended = tools.spawn(invocation)?.wait();
    if ended.exit == Exit::Code(0) {
        return Ok(());
    }
    Err(ThrowawayError::Initdb(ended.describe()))
}

fn serve(
    tools: &dyn Tools,
    plan: &ThrowawayPlan,
    directory: &PrivateDirectory,
    user: Option<&str>,
    troubles: &Troubles,
) -> Result<(Child, ServerAddress), ThrowawayError> {
    let mut invocation = Invocation::new(plan.tools.program("postgres"))
        .argument("-D")
        .argument(directory.data())
        .argument("-k")
        .argument(directory.path())
        .argument("-p")
        .argument(PORT.to_string());
    let memory = settings::available_memory_bytes();
    for (name, value) in settings::for_speed(plan.tools.version.major, memory, plan.jobs_count)
        .into_iter()
        .chain(plan.extra_settings.iter().cloned())
    {
        invocation = invocation
            .argument("-c")
            .argument(format!("{name}={value}"));
    }
    let (ready, is_ready) = bounded(1);
    let troubles = troubles.clone();
    invocation.sink = Some(Box::new(move |line| {
        troubles.line(&line.text);
        if line
            .text
            .contains("database system is ready to accept connections")
        {
            let _ = ready.try_send(());
        }
    }));
    invocation.run_as = user.map(str::to_owned);
    invocation.directory = Some(directory.path().to_owned());
    let server = tools.spawn(invocation)?;
    match is_ready.recv_timeout(Duration::from_secs(START_SECONDS_MAX)) {
        Ok(()) => {
            let host = directory.path().to_string_lossy().into_owned();
            Ok((server, ServerAddress::socket(host, PORT, SUPERUSER)))
        }
        // Its stderr is closed: it has ended.
        Err(RecvTimeoutError::Disconnected) => Err(ThrowawayError::Start(server.wait().describe())),
        Err(RecvTimeoutError::Timeout) => {
            server.killer().quit();
            Err(ThrowawayError::Start(format!(
                "no sign of readiness within {START_SECONDS_MAX} s; {}",
                server.wait().describe()
            )))
        }
    }
}
