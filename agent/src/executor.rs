//! Carries out accepted attempts: so many at a time, each in a task of its own, canceled when
//! asked, ended when nothing moves, with panics contained.
//!
//! It hands outcomes to the outbox and never speaks to the controller.

mod attempt;
mod logs;
mod progress;

pub use logs::{LogBook, batch};
pub use progress::ProgressBoard;

use crate::config::Config;
use crate::inbox::Inbox;
use crate::jobs::{self, AttemptName, JobContext};
use crate::outbox::Outbox;
use async_trait::async_trait;
use provado_model::id::{AgentId, AttemptId, RunId};
use provado_model::random::Entropy;
use provado_model::time::Clock;
use provado_proto::agent::v1::{Job, Outcome};
use provado_repository::signature::Signer;
use provado_repository::{Cancel, Identity};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Attempts in hand beyond which new ones are refused; one message lists them all.
pub const ATTEMPTS_IN_HAND_MAX: usize = 256;

/// How long a job that was told to end may take to clean up before it is dropped.
const CLEAN_UP: Duration = Duration::from_mins(1);

/// Carries out jobs. A seam: tests put scripts in the place of real work.
#[async_trait]
pub trait Jobs: Send + Sync + fmt::Debug {
    /// Carries out one job and tells its final facts.
    async fn run(&self, job: Job, context: &JobContext) -> Outcome;
}

/// The jobs of [`crate::jobs`].
#[derive(Debug)]
pub struct RealJobs;

#[async_trait]
impl Jobs for RealJobs {
    async fn run(&self, job: Job, context: &JobContext) -> Outcome {
        // On the heap: jobs are large, and most of the time none runs.
        Box::pin(jobs::run(job, context)).await
    }
}

/// Hears of attempts that have ended, before their outcome is stored.
#[async_trait]
pub trait AfterAttempt: Send + Sync + fmt::Debug {
    /// The attempt of this job has ended.
    async fn ended(&self, kind: &'static str);
}

/// What the executor works with.
#[derive(Debug, Clone)]
pub struct Means {
    /// What the host's administrator allows.
    pub config: Arc<Config>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// This agent.
    pub agent: AgentId,
    /// Signs what the agent vouches for.
    pub signer: Arc<dyn Signer>,
    /// Opens what operators sealed for this agent.
    pub unsealer: Identity,
    /// Carries out the jobs.
    pub jobs: Arc<dyn Jobs>,
    /// Hears of ends.
    pub after: Arc<dyn AfterAttempt>,
    /// What was promised.
    pub inbox: Arc<Inbox>,
    /// Where outcomes go.
    pub outbox: Arc<Outbox>,
    /// Where progress goes.
    pub progress: Arc<ProgressBoard>,
    /// Where log lines go.
    pub logs: Arc<LogBook>,
}

/// Why an attempt was told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndCause {
    /// The controller asked.
    Asked,
    /// A newer attempt has taken its place: nothing is reported.
    Superseded,
    /// Nothing moved for too long.
    Stalled,
    /// The agent stops.
    Stopping,
}

/// One attempt in hand.
#[derive(Debug, Clone)]
struct Live {
    name: AttemptName,
    cancel: Cancel,
    cause: Arc<Mutex<Option<EndCause>>>,
    /// Closed when the attempt has ended.
    ended: watch::Receiver<()>,
}

impl Live {
    /// Tells it to end. The first cause counts, except that superseded overrules all.
    fn end(&self, cause: EndCause) {
        let mut known = self.cause.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() || cause == EndCause::Superseded {
            *known = Some(cause);
        }
        drop(known);
        self.cancel.cancel();
    }

    fn cause(&self) -> Option<EndCause> {
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt to carry out.
#[derive(Debug)]
pub struct Order {
    /// Which.
    pub name: AttemptName,
    /// The epoch it was started under.
    pub epoch: i64,
    /// What to do, with its secrets.
    pub job: Job,
}

/// How long is waited for attempts.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Without any progress, until an attempt is told to end.
    pub stall: Duration,
    /// For a job that was told to end to clean up, until it is dropped.
    pub clean_up: Duration,
}

/// Carries out attempts.
#[derive(Debug)]
pub struct Executor {
    means: Means,
    permits: Arc<Semaphore>,
    live: Arc<Mutex<HashMap<AttemptId, Live>>>,
    tasks: Mutex<JoinSet<()>>,
    patience: Patience,
}

impl Executor {
    /// An executor with nothing in hand.
    pub fn new(means: Means) -> Arc<Self> {
        let patience = Patience {
            stall: Duration::from_secs(means.config.stall_seconds_max),
            clean_up: CLEAN_UP,
        };
        Self::with_patience(means, patience)
    }

    /// The same with a patience of its own.
    pub fn with_patience(means: Means, patience: Patience) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(means.config.attempts_max)),
            means,
            live: Arc::default(),
            tasks: Mutex::default(),
            patience,
        })
    }

    /// Whether there is no room for another attempt.
    pub fn is_full(&self) -> bool {
        self.live().len() >= ATTEMPTS_IN_HAND_MAX
    }

    /// Starts an attempt that is in the inbox. It waits for a free place, and for older attempts
    /// of its run, which are told to end.
    pub fn start(&self, order: Order) {
        let name = order.name;
        let earlier = self.supersede_older(name.run, name.fence);
        let (alive, ended) = watch::channel(());
        let live = Live {
            name,
            cancel: Cancel::new(),
            cause: Arc::default(),
            ended,
        };
        self.live().insert(name.attempt, live.clone());
        self.means.logs.open(name);
        let task = attempt::Task {
            means: self.means.clone(),
            permits: Arc::clone(&self.permits),
            live,
            older: earlier,
            patience: self.patience,
            alive,
            registry: Arc::clone(&self.live),
        };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task.run(order));
    }

    fn supersede_older(&self, run: RunId, fence: i64) -> Vec<watch::Receiver<()>> {
        let live = self.live();
        let older = live
            .values()
            .filter(|live| live.name.run == run && live.name.fence < fence);
        older
            .map(|older| {
                older.end(EndCause::Superseded);
                older.ended.clone()
            })
            .collect()
    }

    /// Tells an attempt to end, if it is in hand. Tells whether it is.
    pub fn end(&self, attempt: AttemptId, cause: EndCause) -> bool {
        match self.live().get(&attempt) {
            Some(live) => {
                live.end(cause);
                true
            }
            None => false,
        }
    }

    /// Attempts in hand.
    pub fn in_hand(&self) -> Vec<AttemptName> {
        self.live().values().map(|live| live.name).collect()
    }

    /// Tells every attempt to end because the agent stops, and waits until they have, at most
    /// `patience`; then drops them. Their outcomes are in the outbox, or are written at the next
    /// start.
    pub async fn drain(&self, patience: Duration) {
        let all: Vec<Live> = self.live().values().cloned().collect();
        for live in &all {
            live.end(EndCause::Stopping);
        }
        let ended = async {
            for mut live in all {
                // Ends with an error, since nothing is ever sent.
                while live.ended.changed().await.is_ok() {}
            }
        };
        if tokio::time::timeout(patience, ended).await.is_err() {
            tracing::warn!("some attempts did not end in time; the next start reports them");
        }
        let mut tasks = {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        tasks.shutdown().await;
    }

    fn live(&self) -> MutexGuard<'_, HashMap<AttemptId, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
