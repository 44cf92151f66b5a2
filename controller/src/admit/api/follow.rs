//! Streams: a run's updates, and its log.
//!
//! What comes over the bus is a hint; what is sent is read from the rows each time. A run that is
//! with another controller is noticed by looking again every few seconds.

use super::Runs;
use crate::events::{Event, LogLine, run_log_list};
use crate::lifecycle::run::{Run, run_get, run_list_children};
use crate::request::status;
use crate::request::wire::{count_out, size_out, time_out};
use crate::resolve;
use futures_util::stream::{self, BoxStream, StreamExt};
use provado_model::Error;
use provado_model::id::RunId;
use provado_model::limits::DATABASES_PER_RUN_MAX;
use provado_model::time::Monotonic;
use provado_proto::operator::v1::{
    StreamLogsRequest, StreamLogsResponse, WatchRunRequest, WatchRunResponse,
};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tonic::Status;

/// How often the rows are read when no hint comes.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Shortest time between two updates that tell of progress alone.
const PROGRESS_PERIOD: Duration = Duration::from_millis(200);
/// Room for updates between two versions of a run's row.
const UPDATES_PER_VERSION: i64 = 1 << 20;
/// Lines read at a time.
const LINES: u32 = 500;

/// One watcher of a run.
struct Watch {
    runs: Runs,
    id: RunId,
    parts: BTreeSet<RunId>,
    events: Receiver<Event>,
    /// The sequence that was sent last, or that the watcher has from before.
    sequence: i64,
    last_version: u64,
    last_sent: Option<Monotonic>,
    ended: bool,
}

impl Runs {
    pub(super) async fn watch(
        &self,
        request: &WatchRunRequest,
    ) -> Result<BoxStream<'static, Result<WatchRunResponse, Status>>, Error> {
        let events = self.core.bus.watch();
        let mut tx = self.core.db.read().await?;
        let run = resolve::run(&mut tx, "name", &request.name).await?;
        let limit = u32::try_from(DATABASES_PER_RUN_MAX).unwrap_or(u32::MAX);
        let parts = run_list_children(&mut tx, run.id, limit).await?;
        drop(tx);
        let watch = Watch {
            runs: self.clone(),
            id: run.id,
            parts: parts.iter().map(|part| part.id).collect(),
            events,
            sequence: request.after_sequence.max(0),
            last_version: 0,
            last_sent: None,
            ended: false,
        };
        Ok(stream::unfold(watch, Watch::next).boxed())
    }

    pub(super) async fn logs(
        &self,
        request: &StreamLogsRequest,
    ) -> Result<BoxStream<'static, Result<StreamLogsResponse, Status>>, Error> {
        let events = self.core.bus.watch();
        let mut tx = self.core.db.read().await?;
        let run = resolve::run(&mut tx, "name", &request.name).await?;
        drop(tx);
        let logs = Logs {
            runs: self.clone(),
            id: run.id,
            events,
            follow: request.follow,
            after: (0, 0),
            lines: VecDeque::new(),
            ended: false,
        };
        Ok(stream::unfold(logs, Logs::next).boxed())
    }
}

impl Watch {
    async fn next(mut self) -> Option<(Result<WatchRunResponse, Status>, Self)> {
        loop {
            if self.ended {
                return None;
            }
            if self.last_sent.is_some() {
                self.wait().await;
            }
            match self.look().await {
                Ok(Some(update)) => return Some((Ok(update), self)),
                Ok(None) => {}
                Err(error) => {
                    self.ended = true;
                    return Some((Err(status(error)), self));
                }
            }
        }
    }

    /// Waits for a hint that concerns this run, or until it is time to look again.
    async fn wait(&mut self) {
        let _ = tokio::time::timeout(LOOK_AGAIN, async {
            loop {
                match self.events.recv().await {
                    Ok(event) if self.concerns(&event) => return,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_) | RecvError::Closed) => return,
                }
            }
        })
        .await;
    }

    fn concerns(&self, event: &Event) -> bool {
        match event {
            Event::Run { id, .. } => *id == self.id || self.parts.contains(id),
            Event::Progress { run } => {
                *run == self.id
                    && self.last_sent.is_none_or(|last| {
                        self.runs.core.clock.monotonic().since(last) >= PROGRESS_PERIOD
                    })
            }
            Event::CancelAsked { .. }
            | Event::Attempt { .. }
            | Event::Log { .. }
            | Event::Backup { .. }
            | Event::Proof { .. }
            | Event::Agent { .. }
            | Event::Instance { .. }
            | Event::Repository { .. }
            | Event::Audit { .. } => false,
        }
    }

    /// The run as it is now; none where the watcher has seen this already.
    async fn look(&mut self) -> Result<Option<WatchRunResponse>, Error> {
        let first = self.last_sent.is_none();
        self.last_sent = Some(self.runs.core.clock.monotonic());
        let mut tx = self.runs.core.db.read().await?;
        let run = run_get(&mut tx, self.id)
            .await?
            .ok_or_else(|| Error::internal(format!("run {} vanished", self.id)))?;
        let shown = self.runs.show(&mut tx, &run).await?;
        drop(tx);
        self.ended = run.state.is_final();
        if !self.advance(&run, first) {
            return Ok(None);
        }
        Ok(Some(WatchRunResponse {
            sequence: self.sequence,
            run: Some(shown),
        }))
    }

    /// Moves the sequence to a new update; false where there is nothing new. A sequence is the
    /// row's version and a count within it, so that a watcher that comes back goes on rising.
    fn advance(&mut self, run: &Run, first: bool) -> bool {
        let version = size_out(run.version).saturating_mul(UPDATES_PER_VERSION);
        let same_version = self.last_version == run.version;
        self.last_version = run.version;
        if version > self.sequence {
            self.sequence = version;
            return true;
        }
        // Same version: progress, or a part of the run, has moved. An ended run moves no more.
        if run.state.is_final() || (first && !same_version && version < self.sequence) {
            return false;
        }
        self.sequence = self.sequence.saturating_add(1);
        true
    }
}

/// One reader of a log.
struct Logs {
    runs: Runs,
    id: RunId,
    events: Receiver<Event>,
    follow: bool,
    after: (u32, u64),
    lines: VecDeque<LogLine>,
    ended: bool,
}

impl Logs {
    async fn next(mut self) -> Option<(Result<StreamLogsResponse, Status>, Self)> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some((Ok(message(line)), self));
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.read().await {
                self.ended = true;
                return Some((Err(status(error)), self));
            }
            if self.lines.is_empty() && !self.ended {
                self.wait().await;
            }
        }
    }

    /// Reads what came since; the end is reached where nothing came and nothing will. Whether the
    /// run has ended is read before its lines, so that lines written between are not missed.
    async fn read(&mut self) -> Result<(), Error> {
        let mut tx = self.runs.core.db.read().await?;
        let run = run_get(&mut tx, self.id).await?;
        let lines = run_log_list(&mut tx, self.id, self.after, LINES).await?;
        if let Some(last) = lines.last() {
            self.after = (last.attempt_number, last.sequence);
        } else {
            self.ended = !self.follow || run.is_none_or(|run| run.state.is_final());
        }
        self.lines = lines.into();
        Ok(())
    }

    async fn wait(&mut self) {
        let _ = tokio::time::timeout(LOOK_AGAIN, async {
            loop {
                match self.events.recv().await {
                    Ok(Event::Log { run }) if run == self.id => return,
                    Ok(Event::Run { id, state, .. }) if id == self.id && state.is_final() => return,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_) | RecvError::Closed) => return,
                }
            }
        })
        .await;
    }
}

fn message(line: LogLine) -> StreamLogsResponse {
    StreamLogsResponse {
        attempt_number: count_out(line.attempt_number),
        sequence: size_out(line.sequence),
        log_time: Some(time_out(line.time)),
        level: line.level.as_str().to_owned(),
        message: line.message,
    }
}
