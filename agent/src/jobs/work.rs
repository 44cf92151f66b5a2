//! One attempt at work: its progress, its children, its steps, and how it ends early.
//!
//! Everything that blocks (children, the repository's writer and reader) runs on threads of
//! their own under [`Work::blocking`], which watches from outside: a cancel kills the children at
//! once, and work without any progress for too long is ended as failed (INV-LIVE).

use super::context::JobContext;
use crate::postgres::tools::{
    Child, Ended, Exit, Invocation, Killer, ToolError, ToolSet, ToolVersion,
};
use crate::postgres::{InstalledTools, Tools, application_name};
use provado_model::time::Monotonic;
use provado_model::{Error, Reason};
use provado_proto::agent::v1::{Outcome, Step, ToolExit, outcome::Detail};
use provado_proto::common::v1::{Phase, Progress};
use provado_repository::SpoolPlace;
use provado_repository::signature::Signer;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Between two progress messages, and between two looks at cancel and stall.
const TICK: Duration = Duration::from_millis(500);
/// Between two looks at others' sessions.
pub(super) const WATCH_TICKS: u32 = 10;

/// How far the attempt is; shared with the threads that do the work.
#[derive(Debug, Default)]
pub(super) struct Meter {
    bytes: AtomicU64,
    count: AtomicU64,
    beats: AtomicU64,
    state: Mutex<MeterState>,
}

#[derive(Debug, Default)]
struct MeterState {
    phase: Phase,
    item: String,
    bytes_total: Option<u64>,
    count_total: Option<u64>,
}

impl Meter {
    /// Starts a phase; counts begin anew.
    pub(super) fn phase(&self, phase: Phase, bytes_total: Option<u64>, count_total: Option<u64>) {
        self.bytes.store(0, Ordering::Relaxed);
        self.count.store(0, Ordering::Relaxed);
        self.beat();
        *self.state() = MeterState {
            phase,
            item: String::new(),
            bytes_total,
            count_total,
        };
    }

    /// The object at hand.
    pub(super) fn item(&self, item: &str) {
        item.clone_into(&mut self.state().item);
        self.beat();
    }

    /// So many bytes more are done.
    pub(super) fn bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.beat();
    }

    /// One thing more is done.
    pub(super) fn one(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.beat();
    }

    /// A sign of life without a figure.
    pub(super) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, MeterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running children of the attempt; once ended, every later one is killed at once.
#[derive(Debug, Default)]
pub(super) struct Children {
    state: Mutex<(Vec<Killer>, bool)>,
}

impl Children {
    fn add(&self, killer: Killer) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.1 {
            killer.kill();
        }
        state.0.push(killer);
    }

    /// Whether the attempt was ended; whoever works without a child looks here.
    pub(super) fn has_ended(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    fn end(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 = true;
        for killer in &state.0 {
            killer.kill();
        }
    }
}

/// What threads of the attempt need. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Hands {
    pub(super) tools: Arc<InstalledTools>,
    pub(super) meter: Arc<Meter>,
    pub(super) children: Arc<Children>,
    pub(super) application_name: String,
}

impl Hands {
    /// Starts a child that ends with the attempt.
    pub(super) fn spawn(&self, invocation: Invocation) -> Result<Child, ToolError> {
        let child = self.tools.spawn(invocation)?;
        self.children.add(child.killer());
        Ok(child)
    }
}

impl Tools for Hands {
    fn sets(&self) -> Vec<ToolSet> {
        self.tools.sets()
    }

    fn spawn(&self, invocation: Invocation) -> Result<Child, ToolError> {
        Self::spawn(self, invocation)
    }
}

/// Something looked at every few seconds while a thread works.
pub(super) trait Watch: Send {
    /// One look. Errors are the watch's own affair: watching never ends work.
    fn look(&mut self) -> impl Future<Output = ()> + Send;
}

/// A watch that sees nothing.
pub(super) struct NoWatch;

impl Watch for NoWatch {
    async fn look(&mut self) {}
}

/// One attempt.
pub(super) struct Work<'a> {
    pub(super) context: &'a JobContext,
    pub(super) hands: Hands,
    steps: Vec<Step>,
    warnings: Vec<String>,
    tools: Vec<ToolExit>,
    last: (Monotonic, u64),
}

impl<'a> Work<'a> {
    /// Looks for the client tools of the host and begins.
    pub(super) async fn begin(context: &'a JobContext) -> Result<Self, Error> {
        let directories = context.config.tool_directories.clone();
        let tools = tokio::task::spawn_blocking(move || InstalledTools::discover(&directories))
            .await
            .map_err(|error| Error::internal(error.to_string()))?
            .map_err(|error| {
                Error::new(Reason::ToolMissing, "cannot look for client tools").caused_by(error)
            })?;
        Ok(Self {
            context,
            hands: Hands {
                tools: Arc::new(tools),
                meter: Arc::default(),
                children: Arc::default(),
                application_name: application_name(context.name.run),
            },
            steps: Vec::new(),
            warnings: Vec::new(),
            tools: Vec::new(),
            last: (context.clock.monotonic(), 0),
        })
    }

    /// Keeps a sentence an operator should read, and logs it.
    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        let warning = warning.into();
        self.context.warn(warning.clone());
        self.warnings.push(warning);
    }

    /// Sentences so far.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Keeps how a child ended.
    pub(super) fn tool_ended(&mut self, ended: &Ended, version: ToolVersion) {
        self.tools.push(tool_exit(ended, version));
    }

    /// How every child ended.
    pub(super) fn tool_exits(&self) -> Vec<ToolExit> {
        self.tools.clone()
    }

    /// Starts a phase and logs it.
    pub(super) fn phase(&self, phase: Phase, what: &str) {
        self.hands.meter.phase(phase, None, None);
        self.context.info(what.to_owned());
        self.report();
    }

    /// Measures a step.
    pub(super) fn step(&mut self, name: &str, start: Monotonic) {
        let span = self.context.clock.monotonic().since(start);
        self.step_took(name, span);
    }

    /// Notes a step that was measured elsewhere.
    pub(super) fn step_took(&mut self, name: &str, span: Duration) {
        self.steps.push(Step {
            step_name: name.to_owned(),
            duration_millis: i64::try_from(span.as_millis()).unwrap_or(i64::MAX),
        });
    }

    /// Fails when the attempt was canceled.
    pub(super) fn check_canceled(&self) -> Result<(), Error> {
        if self.context.cancel.is_canceled() {
            return Err(canceled());
        }
        Ok(())
    }

    /// Runs `f` on a thread, watched: progress goes out, a cancel or a stall ends the children.
    pub(super) async fn blocking<T, F>(&mut self, watch: impl Watch, f: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(Hands) -> Result<T, Error> + Send + 'static,
    {
        let hands = self.hands.clone();
        let handle = tokio::task::spawn_blocking(move || f(hands));
        let joined = self.watched(watch, handle).await?;
        joined.unwrap_or_else(|error| Err(Error::internal(format!("a thread failed: {error}"))))
    }

    /// Waits for `future`, watched as [`Work::blocking`].
    pub(super) async fn watched<T>(
        &mut self,
        mut watch: impl Watch,
        future: impl Future<Output = T>,
    ) -> Result<T, Error> {
        let mut future = std::pin::pin!(future);
        let stall = Duration::from_secs(self.context.config.stall_seconds_max);
        self.last = (self.context.clock.monotonic(), 0);
        let mut ended_by = None;
        let mut ticks = 0_u32;
        loop {
            let result = tokio::select! {
                result = &mut future => Some(result),
                () = self.tick(ended_by.is_some()) => None,
            };
            if let Some(result) = result {
                return ended_by.map_or(Ok(result), Err);
            }
            self.report();
            ticks = ticks.wrapping_add(1);
            if ended_by.is_none() {
                ended_by = self.reason_to_end(stall);
                if ended_by.is_some() {
                    self.hands.children.end();
                } else if ticks.is_multiple_of(WATCH_TICKS) {
                    watch.look().await;
                }
            }
        }
    }

    /// Ends after a tick, or at once when the attempt is canceled.
    async fn tick(&self, is_ending: bool) {
        if is_ending {
            // Canceled already: wait for the thread without spinning.
            let never = std::future::pending::<()>();
            let _ = tokio::time::timeout(TICK, never).await;
        } else {
            let _ = tokio::time::timeout(TICK, self.context.cancel.canceled()).await;
        }
    }

    fn reason_to_end(&mut self, stall: Duration) -> Option<Error> {
        if self.context.cancel.is_canceled() {
            return Some(canceled());
        }
        let now = self.context.clock.monotonic();
        let beats = self.hands.meter.beats.load(Ordering::Relaxed);
        if beats != self.last.1 {
            self.last = (now, beats);
        }
        (now.since(self.last.0) >= stall).then(|| {
            let seconds = stall.as_secs();
            Error::new(
                Reason::DeadlineExceeded,
                format!(
                    "nothing moved for {seconds} s (stall_seconds_max), so the attempt was ended; \
                     look for locks, a full disk or a dead network and try again"
                ),
            )
        })
    }

    /// Sends progress.
    pub(super) fn report(&self) {
        let meter = &self.hands.meter;
        let wire = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let done_bytes = meter.bytes.load(Ordering::Relaxed);
        let state = meter.state();
        self.context.observer.progress(Progress {
            phase: state.phase.into(),
            item: state.item.clone(),
            done_bytes: wire(done_bytes),
            total_bytes: state.bytes_total.map(wire),
            done_count: wire(meter.count.load(Ordering::Relaxed)),
            total_count: state.count_total.map(wire),
            rate_bytes: 0,
            update_time: Some(super::wire_time(self.context.clock.now())),
        });
    }

    /// The outcome with everything that was kept; `failure` where the work failed although there
    /// are facts to tell.
    pub(super) fn outcome(self, detail: Detail, failure: Option<&Error>) -> Outcome {
        let mut outcome = match failure {
            Some(error) => super::failed(error),
            None => Outcome {
                result: provado_proto::agent::v1::AttemptResult::Succeeded.into(),
                ..Outcome::default()
            },
        };
        outcome.warnings = self.warnings;
        outcome.steps = self.steps;
        outcome.detail = Some(detail);
        outcome
    }

    /// Where temporary bytes go: a directory only we may enter, below the agent's own.
    pub(super) fn spool(&self) -> Result<SpoolPlace, Error> {
        use std::os::unix::fs::DirBuilderExt as _;
        let directory = self.context.config.data_dir.join("spool");
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory);
        made.map_err(|error| {
            let path = directory.display().to_string();
            Error::new(Reason::DiskFull, format!("cannot make {path}")).caused_by(error)
        })?;
        Ok(SpoolPlace {
            directory,
            entropy: Arc::clone(&self.context.entropy),
        })
    }

    /// The agent's signer.
    pub(super) fn signer(&self) -> Arc<dyn Signer> {
        Arc::clone(&self.context.signer)
    }
}

/// The attempt was canceled.
pub(super) fn canceled() -> Error {
    Error::new(Reason::Canceled, "the attempt was canceled")
}

/// How a child ended, as the controller wants to know it.
fn tool_exit(ended: &Ended, version: ToolVersion) -> ToolExit {
    let (exit_code, signal) = match ended.exit {
        Exit::Code(code) => (Some(code), None),
        Exit::Signal(signal) => (None, Some(signal)),
    };
    let errors = ended.stderr.error_count + ended.stderr.fatal_count;
    ToolExit {
        program: std::path::Path::new(&ended.program)
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        version: version.to_string(),
        exit_code,
        signal,
        error_line_count: i32::try_from(errors).unwrap_or(i32::MAX),
    }
}
