//! PostgreSQL's client programs on this host: which there are, which fits, how one is started.
//!
//! [`Tools`] is the seam: jobs ask it for sets of programs and for children, and a test puts
//! programs of its own in the place of the real ones. Nothing here reads what a child prints
//! beyond its version.

mod child;
mod spawner;
mod stderr;
mod version;

pub use child::{Child, Ended, Exit, Killer};
pub use spawner::{Invocation, LineSink, Output};
pub use stderr::{Severity, StderrLine, StderrSummary};
pub use version::ToolVersion;

use spawner::Spawner;
use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// No program of the kind that is needed, or it could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// Nothing on the host fits.
    #[error(
        "no {program} for PostgreSQL {major} on this host (found: {found}); install the client \
         package of version {major}, or name its directory in the agent's configuration"
    )]
    Missing {
        /// The program.
        program: &'static str,
        /// The server's major version.
        major: u32,
        /// What there is.
        found: String,
    },
    /// There are programs, but all are older than the server.
    #[error(
        "the newest {program} on this host is {newest}, older than the server's major version \
         {major}; an older one refuses to dump it: install the client package of version {major}"
    )]
    TooOld {
        /// The program.
        program: &'static str,
        /// The server's major version.
        major: u32,
        /// The newest there is.
        newest: ToolVersion,
    },
    /// The operating system would not start it.
    #[error("cannot start {program}")]
    Spawn {
        /// The program.
        program: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The thread that starts children is gone; the agent is stopping.
    #[error("cannot start {program}: the agent is stopping")]
    Stopping {
        /// The program.
        program: String,
    },
}

/// What a set of programs is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Dump or restore: the server's own major version, else the next newer one.
    Client,
    /// Start a throw-away server: exactly the same major version.
    Server,
}

/// The programs of one PostgreSQL version in one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolSet {
    /// The directory.
    pub directory: PathBuf,
    /// What `pg_dump --version` says.
    pub version: ToolVersion,
    /// Whether `initdb` and `postgres` are there too, so that a drill can start a server.
    pub can_serve: bool,
}

impl ToolSet {
    /// The path of one program of the set.
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Gives programs and starts them.
pub trait Tools: Send + Sync + std::fmt::Debug {
    /// Every set on the host, newest first.
    fn sets(&self) -> Vec<ToolSet>;

    /// Starts a child in its own process group; it dies with this program.
    fn spawn(&self, invocation: Invocation) -> Result<Child, ToolError>;
}

/// The set for a server of this major version.
///
/// For [`Purpose::Client`] the server's own major is preferred, then the nearest newer one; an
/// older one is never taken (`pg_dump` refuses a newer server). Among equals the newest wins.
pub fn choose(sets: &[ToolSet], major: u32, purpose: Purpose) -> Result<ToolSet, ToolError> {
    let program = match purpose {
        Purpose::Client => "pg_dump",
        Purpose::Server => "postgres",
    };
    let fits = |set: &&ToolSet| match purpose {
        Purpose::Client => set.version.major >= major,
        Purpose::Server => set.version.major == major && set.can_serve,
    };
    let best = sets
        .iter()
        .filter(fits)
        .min_by_key(|set| (set.version.major, std::cmp::Reverse(set.version.minor)));
    if let Some(set) = best {
        return Ok(set.clone());
    }
    let newest = sets.iter().map(|set| set.version).max();
    match (purpose, newest) {
        (Purpose::Client, Some(newest)) => Err(ToolError::TooOld {
            program,
            major,
            newest,
        }),
        _ => Err(ToolError::Missing {
            program,
            major,
            found: describe(sets),
        }),
    }
}

/// The sets for people: `15.20 in /usr/lib/postgresql/15/bin, ...`.
pub fn describe(sets: &[ToolSet]) -> String {
    if sets.is_empty() {
        return "none".to_owned();
    }
    sets.iter()
        .map(|set| format!("{} in {}", set.version, set.directory.display()))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The programs that are installed on this host.
#[derive(Debug)]
pub struct InstalledTools {
    spawner: Spawner,
    sets: Vec<ToolSet>,
}

impl InstalledTools {
    /// Looks in the given directories, then where Debian and Red Hat packages put versions, then
    /// in the usual directories of programs. Blocks while it asks each for its version.
    pub fn discover(configured: &[PathBuf]) -> Result<Self, ToolError> {
        let mut directories = configured.to_vec();
        directories.extend(versioned("/usr/lib/postgresql", ""));
        directories.extend(versioned("/usr", "pgsql-"));
        directories.extend(["/usr/local/pgsql/bin", "/usr/local/bin", "/usr/bin"].map(Into::into));
        let spawner = Spawner::start()?;
        let mut seen = BTreeSet::new();
        let mut sets = Vec::new();
        for directory in directories {
            let Ok(program) = directory.join("pg_dump").canonicalize() else {
                continue;
            };
            // Debian's /usr/bin/pg_dump is a script that picks a version by itself.
            if program.file_name().is_some_and(|name| name == "pg_wrapper") || !seen.insert(program)
            {
                continue;
            }
            let Some(version) = version_of(&spawner, &directory) else {
                tracing::warn!(
                    tool.directory = %directory.display(),
                    "pg_dump in this directory does not tell its version; it is not used"
                );
                continue;
            };
            sets.push(ToolSet {
                can_serve: directory.join("initdb").is_file()
                    && directory.join("postgres").is_file(),
                directory,
                version,
            });
        }
        sets.sort_by_key(|set| std::cmp::Reverse(set.version));
        Ok(Self { spawner, sets })
    }
}

impl Tools for InstalledTools {
    fn sets(&self) -> Vec<ToolSet> {
        self.sets.clone()
    }

    fn spawn(&self, invocation: Invocation) -> Result<Child, ToolError> {
        self.spawner.spawn(invocation)
    }
}

/// `<parent>/<prefix><number>/bin`, newest first.
fn versioned(parent: &str, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((number, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    found.into_iter().map(|(_, path)| path).collect()
}

fn version_of(spawner: &Spawner, directory: &Path) -> Option<ToolVersion> {
    let mut invocation = Invocation::new(directory.join("pg_dump"));
    invocation.arguments.push("--version".into());
    invocation.output = Output::Pipe;
    let mut child = spawner.spawn(invocation).ok()?;
    let mut text = String::new();
    // A version fits in far less; a program that prints more is not pg_dump.
    let read = child.take_output()?.take(256).read_to_string(&mut text);
    let ended = child.wait();
    (read.is_ok() && ended.exit == Exit::Code(0))
        .then(|| ToolVersion::parse(&text))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(major: u32, minor: u32, can_serve: bool) -> ToolSet {
        ToolSet {
            directory: format!("/pg/{major}.{minor}").into(),
            version: ToolVersion { major, minor },
            can_serve,
        }
    }

    #[test]
    fn the_servers_own_major_is_taken_and_never_an_older_one() {
        let sets = [
            set(18, 4, true),
            set(16, 1, false),
            set(16, 9, false),
            set(15, 2, true),
        ];
        for (major, purpose, expected) in [
            (15, Purpose::Client, Some((15, 2))),
            (16, Purpose::Client, Some((16, 9))),
            (17, Purpose::Client, Some((18, 4))),
            (19, Purpose::Client, None),
            (15, Purpose::Server, Some((15, 2))),
            (16, Purpose::Server, None),
            (17, Purpose::Server, None),
        ] {
            let found = choose(&sets, major, purpose)
                .ok()
                .map(|set| (set.version.major, set.version.minor));
            assert_eq!(found, expected, "{major} {purpose:?}");
        }
        let error = choose(&sets, 19, Purpose::Client).unwrap_err();
        assert!(matches!(error, ToolError::TooOld { .. }));
        assert!(error.to_string().contains("18.4"));
        let none = choose(&[], 15, Purpose::Client).unwrap_err();
        assert!(none.to_string().contains("found: none"));
    }
}
