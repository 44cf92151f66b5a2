//! Feeds the named pipes: waits until `pg_restore` opens one, and writes that entry's content.
//!
//! A pipe can be opened for writing without blocking only once somebody reads it (`ENXIO` before,
//! open(2)). So one thread tries the pipes that come next in `pg_restore`'s order, which is that
//! of the archive, and now and then the others; as many threads as it has jobs do the writing.

use crate::jobs::source::read_error;
use crate::jobs::work::{Hands, Meter};
use crate::postgres::tools::Killer;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use provado_model::{Error, Reason};
use provado_repository::reader::BackupReader;
use rustix::fs::{CWD, Mode, OFlags, fcntl_setfl, openat};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Pipes tried on every look; `pg_restore` opens at most as many at once as it has jobs.
const WINDOW: usize = 32;
/// Further pipes tried on every look, in turn.
const OTHERS: usize = 64;
/// Between two looks: short after something was opened, longer when nothing is.
const LOOK_MIN: Duration = Duration::from_micros(100);
const LOOK_MAX: Duration = Duration::from_millis(4);

/// One pipe and what goes in.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) path: PathBuf,
    /// Position of the entry in the backup.
    pub(super) entry: u64,
    pub(super) name: String,
    pub(super) row_count: u64,
    /// Not a large object.
    pub(super) is_table: bool,
}

/// What was written to the end.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::jobs) struct Served {
    /// Tables with rows, and other data of archive entries; large objects are not among them.
    pub(in crate::jobs) table_count: u64,
    pub(in crate::jobs) row_count: u64,
    pub(in crate::jobs) byte_count: u64,
}

/// What the threads share.
#[derive(Debug)]
struct Shared {
    reader: BackupReader,
    meter: Arc<Meter>,
    killer: Killer,
    served: Mutex<Served>,
    failure: Mutex<Option<Error>>,
}

/// The threads that feed one `pg_restore`.
#[derive(Debug)]
pub(super) struct Server {
    shared: Arc<Shared>,
    stop: Option<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts one thread that looks and `jobs` that write.
    pub(super) fn start(
        reader: BackupReader,
        tasks: Vec<Task>,
        jobs: usize,
        killer: Killer,
        hands: &Hands,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            reader,
            meter: Arc::clone(&hands.meter),
            killer,
            served: Mutex::default(),
            failure: Mutex::default(),
        });
        let (stop, stopped) = bounded(0);
        let (sender, opened) = bounded(0);
        let mut server = Self {
            shared: Arc::clone(&shared),
            stop: Some(stop),
            threads: Vec::new(),
        };
        for _ in 0..jobs {
            let (shared, opened) = (Arc::clone(&shared), opened.clone());
            server.thread("provado-pipe", move || write_all(&shared, &opened))?;
        }
        server.thread("provado-pipes", move || {
            look(&shared, tasks.into(), &sender, &stopped);
        })?;
        Ok(server)
    }

    fn thread(&mut self, name: &str, f: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(f)
            .map_err(|error| Error::new(Reason::Busy, "cannot start a thread").caused_by(error))?;
        self.threads.push(thread);
        Ok(())
    }

    /// Ends the threads, after `pg_restore` has ended, and tells what was written; fails with
    /// the first error of reading the backup.
    pub(super) fn finish(mut self) -> Result<Served, Error> {
        self.join();
        let failure = self.shared.failure.lock();
        if let Some(error) = failure.unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        let served = self.shared.served.lock();
        Ok(*served.unwrap_or_else(PoisonError::into_inner))
    }

    fn join(&mut self) {
        drop(self.stop.take());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.join();
    }
}

type Opened = (File, Task);

/// Looks for pipes that are being read and hands them to the writers.
fn look(
    shared: &Shared,
    mut waiting: VecDeque<Task>,
    sender: &Sender<Opened>,
    stopped: &Receiver<()>,
) {
    let mut pause = LOOK_MIN;
    let mut turn = WINDOW;
    while !waiting.is_empty() {
        let mut candidates: Vec<usize> = (0..waiting.len().min(WINDOW)).collect();
        if turn >= waiting.len() {
            turn = WINDOW;
        }
        candidates.extend(turn..waiting.len().min(turn + OTHERS));
        turn += OTHERS;
        let mut found = None;
        for index in candidates {
            let Some(task) = waiting.get(index) else {
                continue;
            };
            match open(task) {
                Ok(None) => {}
                Ok(Some(file)) => {
                    found = Some((index, file));
                    break;
                }
                Err(error) => {
                    fail(shared, error);
                    return;
                }
            }
        }
        if let Some((index, file)) = found
            && let Some(task) = waiting.remove(index)
        {
            pause = LOOK_MIN;
            let sent = crossbeam_channel::select! {
                send(sender, (file, task)) -> sent => sent.is_ok(),
                recv(stopped) -> _ => false,
            };
            if !sent {
                return;
            }
            continue;
        }
        match stopped.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => pause = (pause * 2).min(LOOK_MAX),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// The write end, if somebody reads; blocking from then on.
fn open(task: &Task) -> Result<Option<File>, Error> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let failed = |errno: rustix::io::Errno| {
        Error::new(Reason::Internal, "cannot open a pipe to pg_restore")
            .caused_by(std::io::Error::from(errno))
    };
    let fd: OwnedFd = match openat(CWD, &task.path, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(rustix::io::Errno::NXIO) => return Ok(None),
        Err(errno) => return Err(failed(errno)),
    };
    fcntl_setfl(&fd, OFlags::empty()).map_err(failed)?;
    // Only speed is lost where the pipe stays small.
    let _ = rustix::pipe::fcntl_setpipe_size(&fd, 1024 * 1024);
    Ok(Some(File::from(fd)))
}

fn write_all(shared: &Shared, opened: &Receiver<Opened>) {
    for (file, task) in opened {
        shared.meter.item(&task.name);
        match write_one(shared, &file, &task) {
            Ok(()) => {}
            Err(error) => {
                fail(shared, error);
                return;
            }
        }
        // Closed only now: before this line an error has killed the reader.
        drop(file);
    }
}

fn write_one(shared: &Shared, mut file: &File, task: &Task) -> Result<(), Error> {
    let mut bytes = 0_u64;
    for segment in shared.reader.entry_reader(task.entry)? {
        let segment = segment?;
        if let Err(error) = file.write_all(&segment) {
            if error.kind() == std::io::ErrorKind::BrokenPipe {
                // pg_restore gave this entry up; its own words say why.
                return Ok(());
            }
            return Err(read_error(error));
        }
        bytes += segment.len() as u64;
        shared.meter.bytes(segment.len() as u64);
    }
    let mut served = shared.served.lock().unwrap_or_else(PoisonError::into_inner);
    served.table_count += u64::from(task.is_table);
    served.row_count += task.row_count;
    served.byte_count += bytes;
    shared.meter.one();
    Ok(())
}

/// Keeps the first error and kills `pg_restore` while its pipe is still open.
fn fail(shared: &Shared, error: Error) {
    let mut failure = shared
        .failure
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    failure.get_or_insert(error);
    shared.killer.kill();
}
