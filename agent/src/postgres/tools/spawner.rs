//! Starts children so that none outlives the agent (INV-NOORPHAN).
//!
//! Each child gets a process group of its own, which is killed on abort, and a parent-death
//! signal, which the kernel sends should the agent die first. Linux ties that signal to the
//! *thread* that started the child (prctl(2), `PR_SET_PDEATHSIG`), so all children are started
//! by one thread that lives as long as the [`Spawner`]. The signal is set by util-linux's
//! `setpriv`, which then turns into the program by exec: no `unsafe` is needed here, and the
//! same program drops root where a server must not run as root.

use super::ToolError;
use super::child::{Child, prepare};
use super::stderr::StderrLine;
use crate::postgres::connection::base_environment;
use crossbeam_channel::{Sender, bounded, unbounded};
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Called with every line a child writes to stderr.
pub type LineSink = Box<dyn FnMut(&StderrLine) + Send>;

/// Where a child's stdout goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    /// To a pipe that [`Child::take_output`] gives.
    Pipe,
    /// Nowhere.
    #[default]
    Null,
}

/// What to start and how. The environment is complete: nothing is inherited.
pub struct Invocation {
    /// The program's absolute path.
    pub program: PathBuf,
    /// Its arguments. They are shown in logs, so they never hold a secret.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// Where its stdout goes.
    pub output: Output,
    /// The user to become first; only root can.
    pub run_as: Option<String>,
    /// Where it runs; `/` when none.
    pub directory: Option<PathBuf>,
    /// Sees every line of stderr as it comes.
    pub sink: Option<LineSink>,
}

impl Invocation {
    /// A program with no arguments and the base environment.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: base_environment(),
            output: Output::Null,
            run_as: None,
            directory: None,
            sink: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Replaces the environment.
    #[must_use]
    pub fn environment(mut self, environment: Vec<(String, String)>) -> Self {
        self.environment = environment;
        self
    }

    fn name(&self) -> String {
        self.program.display().to_string()
    }

    fn command(&self) -> Command {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that starts children"
        )]
        let mut command = Command::new(SETPRIV);
        command.args(["--pdeathsig", "KILL"]);
        if let Some(user) = &self.run_as {
            command.arg(format!("--reuid={user}"));
            command.arg(format!("--regid={user}"));
            command.arg("--init-groups");
        }
        command.arg("--").arg(&self.program).args(&self.arguments);
        command.env_clear();
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        command.current_dir(self.directory.as_deref().unwrap_or(Path::new("/")));
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        command.stdout(match self.output {
            Output::Pipe => Stdio::piped(),
            Output::Null => Stdio::null(),
        });
        command.process_group(0);
        command
    }
}

impl std::fmt::Debug for Invocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invocation")
            .field("program", &self.program)
            .field("arguments", &self.arguments)
            .finish_non_exhaustive()
    }
}

/// Part of util-linux, which every Debian has (priority "required").
const SETPRIV: &str = "/usr/bin/setpriv";

type Spawned = std::io::Result<std::process::Child>;

struct Request {
    command: Command,
    reply: Sender<Spawned>,
}

/// The thread that starts children. When it is dropped, the children it started are killed.
#[derive(Debug)]
pub(super) struct Spawner {
    requests: Sender<Request>,
}

impl Spawner {
    pub(super) fn start() -> Result<Self, ToolError> {
        let (requests, received) = unbounded::<Request>();
        std::thread::Builder::new()
            .name("provado-spawn".to_owned())
            .spawn(move || {
                for mut request in received {
                    let spawned = request.command.spawn();
                    if let Err(unsent) = request.reply.send(spawned)
                        && let Ok(mut child) = unsent.into_inner()
                    {
                        // Nobody waits for it any more.
                        let _ = child.kill();
                        let _ = child.wait();
                    }
                }
            })
            .map_err(|source| ToolError::Spawn {
                program: "the thread that starts children".to_owned(),
                source,
            })?;
        Ok(Self { requests })
    }

    pub(super) fn spawn(&self, invocation: Invocation) -> Result<Child, ToolError> {
        let program = invocation.name();
        let (reply, replied) = bounded(1);
        let request = Request {
            command: invocation.command(),
            reply,
        };
        let stopping = || ToolError::Stopping {
            program: program.clone(),
        };
        self.requests.send(request).map_err(|_| stopping())?;
        let child = replied.recv().map_err(|_| stopping())?;
        child
            .and_then(|child| prepare(child, invocation))
            .map_err(|source| ToolError::Spawn { program, source })
    }
}
