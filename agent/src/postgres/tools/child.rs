//! A running child: its output, its stderr, its end.
//!
//! A child is never left behind: dropping it kills its whole process group and waits. What is
//! known of its end is kept in [`Ended`], whose text names program, arguments, status and the
//! last lines of stderr.

use super::spawner::{Invocation, Output};
use super::stderr::{StderrSummary, read_lines};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::fmt;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Bytes asked for as the size of a stdout pipe; the default of 64 KiB costs a context switch
/// per 64 KiB. Linux allows 1 MiB without privileges (pipe(7), `pipe-max-size`).
const PIPE_BYTES: usize = 1024 * 1024;

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(9) => f.write_str("signal 9 (killed: by an abort, or for memory)"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// What is known of a child that has ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The program.
    pub program: String,
    /// Its arguments, as a list for people.
    pub arguments: Vec<String>,
    /// How it ended.
    pub exit: Exit,
    /// What it said on stderr.
    pub stderr: StderrSummary,
    /// Whether we killed it.
    pub killed: bool,
}

impl Ended {
    /// Whether it ended by itself with status 0.
    pub fn succeeded(&self) -> bool {
        self.exit == Exit::Code(0) && !self.killed
    }

    /// Program, arguments, status and the last lines of stderr, on several lines.
    pub fn describe(&self) -> String {
        let mut out = format!(
            "{} {} ended with {}",
            self.program,
            self.arguments
                .iter()
                .map(|a| format!("{a:?}"))
                .collect::<Vec<_>>()
                .join(" "),
            self.exit
        );
        let tail = self.stderr.tail_text(20);
        if tail.is_empty() {
            out.push_str("; it wrote nothing to stderr");
        } else {
            out.push_str("; its last words:\n");
            out.push_str(&tail);
        }
        out
    }
}

#[derive(Debug)]
struct Group {
    pid: Pid,
    /// Set before the child is reaped: from then on its number may belong to another process.
    gone: Mutex<bool>,
    killed: std::sync::atomic::AtomicBool,
}

impl Group {
    fn kill(&self) {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if !*gone {
            self.killed.store(true, std::sync::atomic::Ordering::SeqCst);
            // ESRCH is possible only when all of it is gone, which is what was wanted.
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }
}

/// Ends a child from elsewhere. Cheap to clone; harmless after the child's end.
#[derive(Debug, Clone)]
pub struct Killer(Arc<Group>);

impl Killer {
    /// Kills the child's whole process group.
    pub fn kill(&self) {
        self.0.kill();
    }

    /// Sends SIGQUIT to the child alone: a PostgreSQL server takes it as "stop immediately" and
    /// ends its own children first (PostgreSQL manual, "Shutting Down the Server").
    pub fn quit(&self) {
        let gone = self.0.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if !*gone {
            let _ = rustix::process::kill_process(self.0.pid, Signal::QUIT);
        }
    }
}

/// A running child.
#[derive(Debug)]
pub struct Child {
    process: Option<std::process::Child>,
    group: Arc<Group>,
    output: Option<File>,
    stderr: Option<JoinHandle<StderrSummary>>,
    program: String,
    arguments: Vec<String>,
}

pub(super) fn prepare(
    mut process: std::process::Child,
    invocation: Invocation,
) -> std::io::Result<Child> {
    let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
    let (Some(pid), Some(errors)) = (pid, process.stderr.take()) else {
        let _ = process.kill();
        let _ = process.wait();
        return Err(std::io::Error::other(
            "the child has no number or no stderr",
        ));
    };
    let output = process.stdout.take().map(|stdout| {
        let fd = OwnedFd::from(stdout);
        // Only speed is lost where the pipe stays small.
        let _ = rustix::pipe::fcntl_setpipe_size(&fd, PIPE_BYTES);
        File::from(fd)
    });
    debug_assert_eq!(output.is_some(), invocation.output == Output::Pipe);
    let mut child = Child {
        process: Some(process),
        group: Arc::new(Group {
            pid,
            gone: Mutex::new(false),
            killed: std::sync::atomic::AtomicBool::new(false),
        }),
        output,
        stderr: None,
        program: invocation.program.display().to_string(),
        arguments: invocation
            .arguments
            .iter()
            .map(|a| a.to_string_lossy().into_owned())
            .collect(),
    };
    let sink = invocation.sink;
    let thread = std::thread::Builder::new()
        .name("provado-stderr".to_owned())
        .spawn(move || read_lines(errors, sink))?;
    child.stderr = Some(thread);
    Ok(child)
}

impl Child {
    /// The read end of its stdout, once, where it was asked for.
    pub fn take_output(&mut self) -> Option<File> {
        self.output.take()
    }

    /// Its process id, which is also its process group.
    pub fn id(&self) -> u32 {
        self.group.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// A handle that ends it from elsewhere.
    pub fn killer(&self) -> Killer {
        Killer(Arc::clone(&self.group))
    }

    /// Waits until it has ended, kills what is left of its group, and tells what is known.
    /// Blocks the thread.
    pub fn wait(mut self) -> Ended {
        drop(self.output.take());
        let exit = self.reap().unwrap_or(Exit::Code(-1));
        let stderr = self
            .stderr
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default();
        Ended {
            program: std::mem::take(&mut self.program),
            arguments: std::mem::take(&mut self.arguments),
            exit,
            stderr,
            killed: self.group.killed.load(std::sync::atomic::Ordering::SeqCst),
        }
    }

    fn reap(&mut self) -> Option<Exit> {
        let mut process = self.process.take()?;
        // Wait without reaping: the number stays taken until the rest of the group is ended.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(self.group.pid), options) {}
        let mut gone = self
            .group
            .gone
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let _ = kill_process_group(self.group.pid, Signal::KILL);
        *gone = true;
        let status = process.wait().ok()?;
        Some(match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap_or(-1)),
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.group.kill();
            drop(self.output.take());
            self.reap();
        }
        if let Some(thread) = self.stderr.take() {
            let _ = thread.join();
        }
    }
}
