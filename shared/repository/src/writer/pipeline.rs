//! The threads of a writer and the channels between them.
//!
//! Every step has a number and takes a token before it starts; the assembler gives the token back
//! once it has placed the step. So no more steps than tokens are ever on their way, however far
//! one worker is ahead of another.

use super::assemble::Assembler;
use super::parent::Parent;
use super::place::OwnSegments;
use super::{ManifestTail, Progress, WriterOptions, WrittenBackup};
use crate::cancel::{Cancel, CancelOnPanic, Canceled};
use crate::error::{Error, Result};
use crate::keys::{InstanceKey, Recipient, SegmentId};
use crate::manifest::{EntryHead, EntryTail};
use crate::repository::Repository;
use crate::segment::Encoder;
use crate::table::Record;
use crossbeam_channel::{Receiver, Sender, bounded, select};
use provado_model::time::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the assembler does next.
pub(super) enum Step {
    Head(Box<EntryHead>),
    Segment(Encoded),
    Tail(EntryTail),
    Finish(ManifestTail),
    Failed(Error),
}

/// A segment as a worker hands it on.
pub(super) struct Encoded {
    pub(super) id: SegmentId,
    pub(super) plain_bytes: u32,
    pub(super) body: EncodedBody,
}

/// What a worker found out about a segment.
pub(super) enum EncodedBody {
    /// The parent has it.
    OfParent(Record),
    /// This backup has it already.
    Own,
    /// Nobody has it: its stored bytes.
    New(Vec<u8>),
}

/// Time spent by workers, in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct WorkerTimes {
    pub(super) hash: AtomicU64,
    pub(super) compress: AtomicU64,
    pub(super) encrypt: AtomicU64,
}

/// What all threads of a writer look at.
pub(super) struct Shared {
    pub(super) key: InstanceKey,
    pub(super) parent: Parent,
    pub(super) own: OwnSegments,
    pub(super) progress: Arc<Progress>,
    pub(super) times: WorkerTimes,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) cancel: Cancel,
}

pub(super) type Numbered = (u64, Step);

struct Job {
    number: u64,
    plain: Vec<u8>,
}

/// The running threads. Dropped, it ends them and waits for them.
pub(super) struct Pipeline {
    jobs: Option<Sender<Job>>,
    steps: Option<Sender<Numbered>>,
    tokens: Receiver<()>,
    spare: Receiver<Vec<u8>>,
    workers: Vec<JoinHandle<()>>,
    assembler: Option<JoinHandle<Result<WrittenBackup>>>,
    /// Ends this writer's threads alone; the caller's flag is behind it.
    stop: Cancel,
    cancel: Cancel,
    progress: Arc<Progress>,
    next: u64,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl Pipeline {
    pub(super) fn start(
        repository: Repository,
        options: WriterOptions,
        recipients: &[Recipient],
        parent: Parent,
        key: InstanceKey,
    ) -> Result<Self> {
        let threads = options.threads;
        let in_flight = threads * 2 + 2;
        let (jobs, job_source) = bounded::<Job>(threads);
        let (steps, step_source) = bounded::<Numbered>(in_flight);
        let (token_return, tokens) = bounded(in_flight);
        let (spare_return, spare) = bounded(in_flight);
        for _ in 0..in_flight {
            // The channel has room for exactly these.
            let _ = token_return.try_send(());
        }
        let shared = Arc::new(Shared {
            key,
            parent,
            own: OwnSegments::new(options.own_segments_max),
            progress: Arc::default(),
            times: WorkerTimes::default(),
            clock: Arc::clone(&options.clock),
            cancel: options.cancel.clone(),
        });
        let mut pipeline = Self {
            jobs: Some(jobs),
            steps: Some(steps.clone()),
            tokens,
            spare,
            workers: Vec::new(),
            assembler: None,
            stop: Cancel::new(),
            cancel: options.cancel.clone(),
            progress: Arc::clone(&shared.progress),
            next: 0,
        };
        for number in 0..threads {
            let encoder = Encoder::new(recipients.to_vec(), options.compression_level)?;
            let worker = Worker {
                shared: Arc::clone(&shared),
                encoder,
                jobs: job_source.clone(),
                steps: steps.clone(),
                spare: spare_return.clone(),
            };
            let guard = CancelOnPanic(pipeline.stop.clone());
            let handle = spawn(&format!("segment-{number}"), move || {
                let _guard = guard;
                worker.run();
            })?;
            pipeline.workers.push(handle);
        }
        drop(steps);
        let stop = pipeline.stop.clone();
        let assembler = Assembler::new(repository, options, recipients, shared, stop)?;
        let run = move || assembler.run(&step_source, &token_return);
        pipeline.assembler = Some(spawn("assembler", run)?);
        Ok(pipeline)
    }

    /// Hands a step to the assembler, after all before it.
    pub(super) fn send(&mut self, step: Step) -> Result<()> {
        let number = self.number()?;
        match &self.steps {
            Some(steps) if steps.send((number, step)).is_ok() => Ok(()),
            _ => Err(self.failure()),
        }
    }

    /// Hands a segment to the workers.
    pub(super) fn encode(&mut self, plain: Vec<u8>) -> Result<()> {
        let number = self.number()?;
        let job = Job { number, plain };
        match &self.jobs {
            Some(jobs) if jobs.send(job).is_ok() => Ok(()),
            _ => Err(self.failure()),
        }
    }

    pub(super) fn recycle(&self) -> Option<Vec<u8>> {
        self.spare.try_recv().ok()
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    pub(super) fn finish(mut self, tail: ManifestTail) -> Result<WrittenBackup> {
        self.send(Step::Finish(tail))?;
        self.join()
    }

    /// The number of the next step, once there is room for it.
    fn number(&mut self) -> Result<u64> {
        let taken = select! {
            recv(self.tokens) -> token => token.is_ok(),
            recv(self.cancel.closed()) -> _ => false,
        };
        if !taken || self.cancel.is_canceled() {
            return Err(self.failure());
        }
        let number = self.next;
        self.next += 1;
        Ok(number)
    }

    /// Why the assembler ended.
    fn failure(&mut self) -> Error {
        if self.assembler.is_none() {
            return Error::Misuse("the writer was used after it had failed");
        }
        self.stop.cancel();
        match self.join() {
            Err(error) => error,
            Ok(_) => Error::Misuse("the assembler ended before the backup did"),
        }
    }

    fn join(&mut self) -> Result<WrittenBackup> {
        self.jobs = None;
        self.steps = None;
        let mut panicked = false;
        for worker in self.workers.drain(..) {
            panicked |= worker.join().is_err();
        }
        match self.assembler.take().map(JoinHandle::join) {
            Some(Ok(result)) if !panicked => result,
            Some(Ok(_) | Err(_)) | None => Err(Error::Misuse("a thread of the writer panicked")),
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if self.assembler.is_some() {
            self.stop.cancel();
            // What it says no longer matters: the backup was given up.
            let _ = self.join();
        }
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|source| Error::Spool {
            doing: "starting a thread",
            source,
        })
}

/// Names, compares, compresses and encrypts segments.
struct Worker {
    shared: Arc<Shared>,
    encoder: Encoder,
    jobs: Receiver<Job>,
    steps: Sender<Numbered>,
    spare: Sender<Vec<u8>>,
}

impl Worker {
    fn run(mut self) {
        while let Ok(job) = self.jobs.recv() {
            let step = match self.encode(&job.plain) {
                Ok(encoded) => Step::Segment(encoded),
                Err(error) => Step::Failed(error),
            };
            // Nobody needs it back if there is no room for it.
            let _ = self.spare.try_send(job.plain);
            if self.steps.send((job.number, step)).is_err() {
                return;
            }
        }
    }

    fn encode(&mut self, plain: &[u8]) -> Result<Encoded> {
        if self.shared.cancel.is_canceled() {
            return Err(Canceled.into());
        }
        let start = self.shared.clock.monotonic();
        let id = self.shared.key.segment_id(plain);
        let known = if self.shared.own.contains(&id) {
            Some(EncodedBody::Own)
        } else {
            self.shared.parent.find(&id)?.map(EncodedBody::OfParent)
        };
        let hashed = self.shared.clock.monotonic();
        add(&self.shared.times.hash, hashed.since(start));
        let body = match known {
            Some(body) => body,
            None => EncodedBody::New(self.store(plain)?),
        };
        Ok(Encoded {
            id,
            plain_bytes: u32::try_from(plain.len()).unwrap_or(u32::MAX),
            body,
        })
    }

    fn store(&mut self, plain: &[u8]) -> Result<Vec<u8>> {
        let clock = &self.shared.clock;
        let start = clock.monotonic();
        self.encoder.compress(plain)?;
        let compressed = clock.monotonic();
        let stored = self.encoder.encrypt()?;
        let encrypted = clock.monotonic();
        add(&self.shared.times.compress, compressed.since(start));
        add(&self.shared.times.encrypt, encrypted.since(compressed));
        Ok(stored)
    }
}

fn add(total: &AtomicU64, span: Duration) {
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    total.fetch_add(nanos, Ordering::Relaxed);
}
