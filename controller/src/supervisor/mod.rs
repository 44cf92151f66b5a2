//! Runs tasks: their periods, wake-ups, back-off and health. The one place of the controller where
//! work is started in the background and where anything waits for time to pass.
//!
//! A task takes no input, does bounded work, and is right when run twice, late, or by two
//! controllers; a wake-up is a hint and may be lost. The simulation steps tasks without this.

mod health;
mod wake;

pub use health::{Health, TaskHealth};
pub use wake::Waker;

use async_trait::async_trait;
use futures_util::FutureExt;
use provado_model::Error;
use provado_model::time::Clock;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longest activation; a task that takes longer is stopped and tried again.
const ACTIVATION_MAX: Duration = Duration::from_mins(5);
/// First wait after an error; doubled with each further one.
const BACK_OFF_MIN: Duration = Duration::from_millis(500);
/// Longest wait after an error.
const BACK_OFF_MAX: Duration = Duration::from_mins(1);

/// What an activation found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// There was nothing to do.
    Idle,
    /// Everything there was to do is done.
    Done,
    /// The bound of one activation was reached; there is more.
    More,
}

/// A piece of background work of one slice.
#[async_trait]
pub trait Task: Send + Sync {
    /// Its name in logs and health, such as `dispatch`.
    fn name(&self) -> &'static str;

    /// How often it runs when nobody wakes it.
    fn period(&self) -> Duration;

    /// Loads, decides and applies, once and bounded. Errors are logged by the caller.
    async fn activate(&self) -> Result<Activity, Error>;
}

struct Entry {
    task: Arc<dyn Task>,
    waker: Waker,
}

/// Holds the tasks of one controller.
#[derive(Default)]
pub struct Supervisor {
    entries: Vec<Entry>,
    health: Health,
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.entries.iter().map(|entry| entry.task.name()))
            .finish()
    }
}

impl Supervisor {
    /// A supervisor without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a task; the waker makes it run at once.
    pub fn add(&mut self, task: Arc<dyn Task>) -> Waker {
        let waker = Waker::new();
        self.health.add(task.name(), task.period());
        self.entries.push(Entry {
            task,
            waker: waker.clone(),
        });
        waker
    }

    /// When each task last ran, for the health service; shared with the running supervisor.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Runs every task at once and then by period and wake-up, until `stop`; an activation that is
    /// under way then is waited for.
    pub async fn run(self, clock: Arc<dyn Clock>, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        for entry in self.entries {
            let keeper = Keeper {
                entry,
                health: self.health.clone(),
                clock: Arc::clone(&clock),
                failures: 0,
            };
            tasks.spawn(keeper.run(stop.clone()));
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// One task's loop: one activation at a time.
struct Keeper {
    entry: Entry,
    health: Health,
    clock: Arc<dyn Clock>,
    failures: u32,
}

impl Keeper {
    async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let wait = self.step().await;
            if wait.is_zero() {
                // A task with much to do leaves room for the others.
                tokio::task::yield_now().await;
                continue;
            }
            // While it backs off, a wake-up is remembered but does not shorten the wait: a broken
            // dependency is not asked more often because more work arrives.
            let woken = self.entry.waker.clone();
            let may_wake = self.failures == 0;
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::timeout(wait, async {
                    if may_wake { woken.woken().await } else { std::future::pending().await }
                }).map(drop) => {}
            }
        }
    }

    /// One activation; how long to wait before the next.
    async fn step(&mut self) -> Duration {
        let name = self.entry.task.name();
        match activate(self.entry.task.as_ref()).await {
            Ok(activity) => {
                if self.failures > 0 {
                    tracing::info!(task.name = name, "the task {name} works again");
                }
                self.failures = 0;
                self.health.ran(name, self.clock.now());
                match activity {
                    Activity::More => Duration::ZERO,
                    Activity::Idle | Activity::Done => self.entry.task.period(),
                }
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                let wait = back_off(self.failures);
                self.health.failed(name, &error);
                report(name, &error, self.failures, wait);
                wait
            }
        }
    }
}

/// Runs a task once, within [`ACTIVATION_MAX`]; a panic becomes an error.
async fn activate(task: &dyn Task) -> Result<Activity, Error> {
    let activation = AssertUnwindSafe(task.activate()).catch_unwind();
    match tokio::time::timeout(ACTIVATION_MAX, activation).await {
        Ok(Ok(result)) => result,
        Ok(Err(_panic)) => Err(Error::internal(format!(
            "the task {} panicked",
            task.name()
        ))),
        Err(_elapsed) => Err(Error::internal(format!(
            "the task {} did not end within {} seconds",
            task.name(),
            ACTIVATION_MAX.as_secs()
        ))),
    }
}

fn back_off(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    BACK_OFF_MIN
        .saturating_mul(1_u32 << doublings)
        .min(BACK_OFF_MAX)
}

/// The first failure is told; later ones of the same streak only every so often.
fn report(name: &'static str, error: &Error, failures: u32, wait: Duration) {
    let retry_millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    if error.reason == provado_model::Reason::VersionStale && failures < 3 {
        // A lost race: somebody else did the work.
        tracing::debug!(
            task.name = name,
            retry_millis,
            "task {name}: {}",
            error.chain()
        );
    } else if failures.is_power_of_two() {
        tracing::error!(
            task.name = name,
            task.failure_count = failures,
            retry_millis,
            "the task {name} failed and will be tried again: {}",
            error.chain()
        );
    }
}

#[cfg(test)]
mod tests;
