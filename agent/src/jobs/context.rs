//! What a job is given besides its message, and where it tells what it does.

use crate::config::Config;
use provado_model::id::{AgentId, AttemptId, RunId};
use provado_model::random::Entropy;
use provado_model::time::Clock;
use provado_model::{Error, Reason};
use provado_proto::common::v1::Progress;
use provado_repository::keys;
use provado_repository::signature::Signer;
use provado_repository::{Cancel, Identity};
use std::fmt;
use std::sync::Arc;

/// Names an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct AttemptName {
    /// The attempt's id.
    pub attempt: AttemptId,
    /// The run's id.
    pub run: RunId,
    /// The fencing number; a later attempt of the run has a higher one.
    pub fence: i64,
}

/// How grave a line of a run's log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What happens.
    Info,
    /// Something an operator should read although the work goes on.
    Warn,
    /// Why the work failed.
    Error,
}

impl Level {
    /// The level's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Hears what a job does. Calls return at once.
pub trait Observer: Send + Sync + fmt::Debug {
    /// How far the job is; the latest counts, earlier ones may be dropped.
    fn progress(&self, progress: Progress);

    /// One line of the run's log. Never a secret, never a value of a row.
    fn log(&self, level: Level, message: String);
}

/// What a job is given besides its message.
#[derive(Debug, Clone)]
pub struct JobContext {
    /// Which attempt this is.
    pub name: AttemptName,
    /// The controller's epoch when the attempt was dispatched.
    pub epoch: u64,
    /// This agent.
    pub agent: AgentId,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Set when the attempt must end early; every wait looks at it.
    pub cancel: Cancel,
    /// Hears progress and log.
    pub observer: Arc<dyn Observer>,
    /// What the host's administrator allows.
    pub config: Arc<Config>,
    /// Signs what the agent vouches for.
    pub signer: Arc<dyn Signer>,
    /// Opens what operators sealed for this agent.
    pub unsealer: Identity,
}

impl JobContext {
    /// Writes one line of the run's log.
    pub fn info(&self, message: impl Into<String>) {
        self.observer.log(Level::Info, message.into());
    }

    /// Writes one line an operator should read.
    pub fn warn(&self, message: impl Into<String>) {
        self.observer.log(Level::Warn, message.into());
    }

    /// The identity to read a backup with: the one an operator sealed for this run, else the
    /// first of the agent's own that is readable. `None` where there is neither.
    ///
    /// Fails with `IDENTITY_WRONG` when what was sealed is no identity or sealed for another.
    pub fn identity(&self, sealed: &str) -> Result<Option<Identity>, Error> {
        if sealed.is_empty() {
            return self.own_identities().map(|mut all| all.drain(..).next());
        }
        let wrong = |what: &str| {
            Error::new(
                Reason::IdentityWrong,
                format!("the identity that came with the run {what}; seal it anew and repeat"),
            )
        };
        let text = keys::open(sealed, &self.unsealer, "the identity of the run")
            .map_err(|error| wrong("was sealed for another agent").caused_by(error))?;
        let text = std::str::from_utf8(&text).map_err(|_| wrong("is not text"))?;
        let identity = Identity::from_file_text(text);
        identity
            .map(Some)
            .map_err(|error| wrong("is not valid").caused_by(error))
    }

    /// The identities the host's administrator gave this agent, in the order of its configuration.
    pub fn own_identities(&self) -> Result<Vec<Identity>, Error> {
        let read = |path: &std::path::PathBuf| {
            let trouble = |why: String| {
                Error::new(
                    Reason::IdentityMissing,
                    format!(
                        "the identity file {} of agent.toml cannot be used: {why}",
                        path.display()
                    ),
                )
            };
            let bytes = provado_identity::files::read_private(path)
                .map_err(|error| trouble(error.to_string()))?;
            let text = std::str::from_utf8(&bytes).map_err(|_| trouble("not text".to_owned()))?;
            Identity::from_file_text(text).map_err(|error| trouble(error.to_string()))
        };
        self.config.identity_files.iter().map(read).collect()
    }
}
