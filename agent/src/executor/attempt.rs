//! One attempt from its start to its outcome on disk.

use super::{EndCause, Live, Means, Order, Patience};
use crate::inbox::Word;
use crate::jobs::{self, AttemptName, JobContext, Level, Observer};
use crate::outbox::{BackupPlace, Ended, interrupted};
use crate::wait::pause;
use futures_util::FutureExt as _;
use provado_model::id::{AttemptId, RequestId};
use provado_model::time::Monotonic;
use provado_model::{Error, Reason};
use provado_proto::agent::v1::job::Kind;
use provado_proto::agent::v1::{AttemptResult, Outcome};
use provado_proto::common::v1::Progress;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Between two tries to write an outcome to a disk that refuses it.
const WRITE_AGAIN: Duration = Duration::from_secs(5);

/// One attempt's task.
pub(super) struct Task {
    pub(super) means: Means,
    pub(super) permits: Arc<Semaphore>,
    pub(super) live: Live,
    pub(super) older: Vec<watch::Receiver<()>>,
    pub(super) patience: Patience,
    pub(super) alive: watch::Sender<()>,
    pub(super) registry: Arc<Mutex<HashMap<AttemptId, Live>>>,
}

impl Task {
    pub(super) async fn run(self, order: Order) {
        let name = order.name;
        let kind = jobs::kind_word(&order.job);
        let place = BackupPlace::of(&order.job);
        let epoch = order.epoch;
        tracing::info!(run.id = %name.run, attempt.id = %name.attempt, "{kind} begins");
        let outcome = match self.turn().await {
            Some(_permit) => self.work(order).await,
            None => canceled(),
        };
        let outcome = judged(outcome, self.live.cause());
        self.means.after.ended(kind).await;
        self.means.progress.forget(name.attempt);
        let lines = self.means.logs.close(name.attempt, self.means.clock.now());
        if self.live.cause() == Some(EndCause::Superseded) {
            tracing::info!(run.id = %name.run, attempt.id = %name.attempt, "{kind} was superseded");
            self.settle(name);
        } else {
            tell_end(name, kind, &outcome);
            let request = RequestId::new(&*self.means.clock, &*self.means.entropy);
            self.store(Ended::new((name, epoch), request, outcome, lines, place))
                .await;
        }
        // Only now: until the outcome is on disk its lease is renewed as one in hand.
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.remove(&name.attempt);
        drop(registry);
        drop(self.alive);
    }

    /// Waits until it is this attempt's turn; `None` when it was told to end before.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let wait = async {
            for mut older in self.older.clone() {
                while older.changed().await.is_ok() {}
            }
            // The semaphore is never closed.
            Arc::clone(&self.permits).acquire_owned().await.ok()
        };
        tokio::select! {
            biased;
            () = self.live.cancel.canceled() => None,
            permit = wait => permit,
        }
    }

    async fn work(&self, mut order: Order) -> Outcome {
        if let Some(Kind::Prune(sweep)) = &mut order.job.kind {
            let spared = self.means.inbox.instances_in_hand();
            sweep.live_instance_ids.extend(spared);
        }
        let observer = Arc::new(Sink {
            name: self.live.name,
            means: self.means.clone(),
            moved: Mutex::new((Progress::default(), self.means.clock.monotonic())),
        });
        let context = JobContext {
            name: self.live.name,
            epoch: u64::try_from(order.epoch).unwrap_or(0),
            agent: self.means.agent,
            clock: Arc::clone(&self.means.clock),
            entropy: Arc::clone(&self.means.entropy),
            cancel: self.live.cancel.clone(),
            observer: observer.clone(),
            config: Arc::clone(&self.means.config),
            signer: Arc::clone(&self.means.signer),
            unsealer: self.means.unsealer.clone(),
        };
        // Says that the attempt runs, also for a job that tells nothing for a while.
        self.means.progress.put(self.live.name, Progress::default());
        let jobs = Arc::clone(&self.means.jobs);
        let start = self.means.clock.now();
        let work = AssertUnwindSafe(jobs.run(order.job, &context)).catch_unwind();
        let bounded = async {
            tokio::select! {
                () = self.stalled(&observer) => self.live.end(EndCause::Stalled),
                () = self.live.cancel.canceled() => {}
            }
            pause(self.patience.clean_up).await;
        };
        let mut outcome = tokio::select! {
            biased;
            done = work => done.unwrap_or_else(|panic| panicked(&*panic)),
            () = bounded => canceled(),
        };
        if outcome.start_time.is_none() {
            outcome.start_time = Some(jobs::wire_time(start));
            outcome.end_time = Some(jobs::wire_time(self.means.clock.now()));
        }
        outcome
    }

    /// Ends when nothing has moved for too long.
    async fn stalled(&self, sink: &Sink) {
        loop {
            let still = self.means.clock.monotonic().since(sink.moved_at());
            let Some(rest) = self
                .patience
                .stall
                .checked_sub(still)
                .filter(|rest| !rest.is_zero())
            else {
                return;
            };
            pause(rest).await;
        }
    }

    /// Writes the outcome, however long the disk refuses.
    async fn store(&self, ended: Ended) {
        loop {
            let (outbox, record) = (Arc::clone(&self.means.outbox), ended.clone());
            match tokio::task::spawn_blocking(move || outbox.put(record)).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => tracing::error!(
                    "the outcome of an attempt cannot be written, trying again: {}",
                    provado_telemetry::chain(&error)
                ),
                Err(error) => tracing::error!("the outcome of an attempt: {error}"),
            }
            pause(WRITE_AGAIN).await;
        }
    }

    fn settle(&self, name: AttemptName) {
        if let Err(error) = self.means.inbox.settle(name, Word::Other) {
            tracing::error!(
                "the journal cannot forget an attempt that was superseded: {}",
                provado_telemetry::chain(&error)
            );
        }
    }
}

/// What the outcome is in the light of why the attempt was told to end.
fn judged(outcome: Outcome, cause: Option<EndCause>) -> Outcome {
    if outcome.result() == AttemptResult::Succeeded {
        return outcome;
    }
    let told = match cause {
        None => return outcome,
        Some(EndCause::Asked | EndCause::Superseded) => canceled(),
        Some(EndCause::Stalled) => jobs::failed(&Error::new(
            Reason::DeadlineExceeded,
            "nothing moved for longer than agent.toml's stall_seconds_max allows, so the attempt \
             was ended; look at its last progress and log",
        )),
        Some(EndCause::Stopping) => interrupted("the agent was stopped during the attempt"),
    };
    Outcome {
        result: told.result,
        failure: told.failure,
        ..outcome
    }
}

fn canceled() -> Outcome {
    jobs::failed(&Error::new(Reason::Canceled, "canceled as asked"))
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Outcome {
    let what = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    tracing::error!("a job ended by a bug: {what}");
    jobs::failed(&Error::internal(what))
}

fn tell_end(name: AttemptName, kind: &str, outcome: &Outcome) {
    match (outcome.result(), &outcome.failure) {
        (AttemptResult::Failed, Some(failure)) => tracing::warn!(
            run.id = %name.run,
            attempt.id = %name.attempt,
            error.reason = failure.reason,
            "{kind} failed: {}",
            failure.message
        ),
        (result, _) => tracing::info!(
            run.id = %name.run,
            attempt.id = %name.attempt,
            attempt.result = result.as_str_name(),
            "{kind} ended"
        ),
    }
}

/// Hears one job.
#[derive(Debug)]
struct Sink {
    name: AttemptName,
    means: Means,
    moved: Mutex<(Progress, Monotonic)>,
}

impl Sink {
    fn moved_at(&self) -> Monotonic {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    fn note(&self, progress: &Progress) {
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        let same = Progress {
            update_time: moved.0.update_time,
            rate_bytes: moved.0.rate_bytes,
            ..progress.clone()
        };
        if same != moved.0 {
            *moved = (progress.clone(), self.means.clock.monotonic());
        }
    }
}

impl Observer for Sink {
    fn progress(&self, mut progress: Progress) {
        self.note(&progress);
        if progress.update_time.is_none() {
            progress.update_time = Some(jobs::wire_time(self.means.clock.now()));
        }
        self.means.progress.put(self.name, progress);
    }

    fn log(&self, level: Level, message: String) {
        let now = self.means.clock.now();
        self.means.logs.add(self.name.attempt, now, level, &message);
        tracing::debug!(run.id = %self.name.run, log.level = level.as_str(), "{message}");
    }
}
