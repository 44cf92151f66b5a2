//! The content of one entry, segment by segment, read ahead by a few threads.
//!
//! A thread takes a token, then the next group of neighboring segments, fetches them by one range
//! read, decodes them and hands them on; the consumer puts groups in order and gives the token
//! back. So no more groups than tokens are ever in memory.

use super::{Entry, Inner};
use crate::backend::read_all;
use crate::cancel::{Cancel, CancelOnPanic, Canceled};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::limits::FETCH_BYTES_MAX;
use crate::repository::absent_or;
use crate::segment::Decoder;
use crate::table::{RECORD_BYTES, Record};
use crossbeam_channel::{Receiver, Sender, bounded, select};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

type Group = Result<Vec<Vec<u8>>>;

/// Gives the content of an entry in order: as an iterator over segments, or as a reader over
/// bytes. After an error it gives nothing more.
pub struct EntryReader {
    inner: Arc<Inner>,
    source: Source,
    ready: VecDeque<Vec<u8>>,
    /// Bytes of the first ready segment that [`Read`] has given already.
    given: usize,
    left_bytes: u64,
    ended: bool,
}

enum Source {
    /// So little that threads are not worth it.
    Inline(Box<Fetcher>),
    Threads(Threads),
}

struct Threads {
    groups: Receiver<(u64, Group)>,
    tokens: Sender<()>,
    early: BTreeMap<u64, Group>,
    next: u64,
    stop: Cancel,
    handles: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for EntryReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EntryReader")
            .field("left_bytes", &self.left_bytes)
            .finish_non_exhaustive()
    }
}

impl EntryReader {
    pub(super) fn start(inner: Arc<Inner>, entry: &Entry) -> Result<Self> {
        let plan = Plan {
            next: entry.first_segment,
            end: entry.first_segment + entry.tail.segment_count,
            number: 0,
        };
        let little = entry.tail.byte_count <= FETCH_BYTES_MAX;
        let source = if little {
            Source::Inline(Box::new(Fetcher::new(
                Arc::clone(&inner),
                Arc::new(Mutex::new(plan)),
                Cancel::new(),
            )?))
        } else {
            Source::Threads(Threads::start(&inner, plan)?)
        };
        Ok(Self {
            inner,
            source,
            ready: VecDeque::new(),
            given: 0,
            left_bytes: entry.tail.byte_count,
            ended: false,
        })
    }

    /// The next segment, or `None` after the last.
    fn next_segment(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(mut segment) = self.ready.pop_front() {
                segment.drain(..std::mem::take(&mut self.given));
                self.left_bytes = self
                    .left_bytes
                    .checked_sub(segment.len() as u64)
                    .ok_or(Error::Misuse("an entry gave more bytes than it has"))?;
                return Ok(Some(segment));
            }
            if self.ended {
                return Ok(None);
            }
            let group = match &mut self.source {
                Source::Inline(fetcher) => fetcher.next().map(|(_, group)| group),
                Source::Threads(threads) => threads.next(&self.inner.cancel),
            };
            match group {
                Some(Ok(segments)) => self.ready.extend(segments),
                Some(Err(error)) => {
                    self.ended = true;
                    return Err(error);
                }
                None => {
                    self.ended = true;
                    self.inner.cancel.check()?;
                    if self.left_bytes > 0 {
                        return Err(Error::Misuse("an entry gave less bytes than it has"));
                    }
                }
            }
        }
    }
}

impl Iterator for EntryReader {
    type Item = Result<Vec<u8>>;
    fn next(&mut self) -> Option<Self::Item> {
        self.next_segment().transpose()
    }
}

impl Read for EntryReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        if self.ready.is_empty() {
            match self.next_segment().map_err(io::Error::other)? {
                Some(segment) => {
                    self.left_bytes += segment.len() as u64;
                    self.ready.push_front(segment);
                }
                None => return Ok(0),
            }
        }
        let Some(segment) = self.ready.front() else {
            return Ok(0);
        };
        let rest = segment.get(self.given..).unwrap_or_default();
        let count = rest.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.given += count;
        self.left_bytes -= count as u64;
        if self.given == segment.len() {
            self.given = 0;
            self.ready.pop_front();
        }
        Ok(count)
    }
}

impl Threads {
    fn start(inner: &Arc<Inner>, plan: Plan) -> Result<Self> {
        let in_flight = inner.threads + 1;
        let plan = Arc::new(Mutex::new(plan));
        let (tokens, token_source) = bounded(in_flight);
        let (sender, groups) = bounded(in_flight);
        for _ in 0..in_flight {
            // The channel has room for exactly these.
            let _ = tokens.try_send(());
        }
        let mut threads = Self {
            groups,
            tokens,
            early: BTreeMap::new(),
            next: 0,
            stop: Cancel::new(),
            handles: Vec::new(),
        };
        for number in 0..inner.threads {
            let stop = threads.stop.clone();
            let mut fetcher = Fetcher::new(Arc::clone(inner), Arc::clone(&plan), stop)?;
            let (tokens, sender) = (token_source.clone(), sender.clone());
            let guard = CancelOnPanic(threads.stop.clone());
            let handle = std::thread::Builder::new()
                .name(format!("entry-{number}"))
                .spawn(move || {
                    let _guard = guard;
                    fetcher.run(&tokens, &sender);
                })
                .map_err(|source| Error::Spool {
                    doing: "starting a thread",
                    source,
                })?;
            threads.handles.push(handle);
        }
        Ok(threads)
    }

    fn next(&mut self, cancel: &Cancel) -> Option<Group> {
        loop {
            if let Some(group) = self.early.remove(&self.next) {
                self.next += 1;
                // There is room: the token was taken out of this channel.
                let _ = self.tokens.try_send(());
                return Some(group);
            }
            let received = select! {
                recv(self.groups) -> group => group.ok(),
                recv(cancel.closed()) -> _ => return Some(Err(Canceled.into())),
                recv(self.stop.closed()) -> _ => {
                    return Some(Err(Error::Misuse("a thread of the reader panicked")));
                }
            };
            let (number, group) = received?;
            self.early.insert(number, group);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.cancel();
        for handle in self.handles.drain(..) {
            // A thread that panicked has shown it as a group that never came.
            let _ = handle.join();
        }
    }
}

/// Which segments come next.
struct Plan {
    next: u64,
    end: u64,
    number: u64,
}

/// Fetches and decodes groups.
struct Fetcher {
    inner: Arc<Inner>,
    plan: Arc<Mutex<Plan>>,
    decoder: Decoder,
    stop: Cancel,
}

impl Fetcher {
    fn new(inner: Arc<Inner>, plan: Arc<Mutex<Plan>>, stop: Cancel) -> Result<Self> {
        let decoder = Decoder::new(inner.identity.clone(), Some(inner.key.clone()))?;
        Ok(Self {
            inner,
            plan,
            decoder,
            stop,
        })
    }

    fn run(&mut self, tokens: &Receiver<()>, groups: &Sender<(u64, Group)>) {
        loop {
            let token = select! {
                recv(tokens) -> token => token.is_ok(),
                recv(self.stop.closed()) -> _ => false,
            };
            if !token || self.stop.is_canceled() {
                return;
            }
            let Some(group) = self.next() else {
                return;
            };
            if groups.send(group).is_err() {
                return;
            }
        }
    }

    /// The next group and its number; `None` after the last.
    fn next(&mut self) -> Option<(u64, Group)> {
        let (number, records) = {
            let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
            if plan.next == plan.end {
                return None;
            }
            let number = plan.number;
            plan.number += 1;
            match self.group(&mut plan) {
                Ok(records) => (number, records),
                Err(error) => {
                    plan.next = plan.end;
                    return Some((number, Err(error)));
                }
            }
        };
        Some((number, self.fetch(&records)))
    }

    /// Neighbors in one pack, up to [`FETCH_BYTES_MAX`] stored and plain, at least one.
    fn group(&self, plan: &mut Plan) -> Result<Vec<Record>> {
        let mut records: Vec<Record> = Vec::new();
        let (mut stored_sum, mut plain_sum) = (0_u64, 0_u64);
        while plan.next < plan.end {
            let mut bytes = [0; RECORD_BYTES];
            let at = plan.next * RECORD_BYTES as u64;
            self.inner.places.read_exact_at(&mut bytes, at)?;
            let record = Record::from_bytes(&bytes)
                .ok_or(Error::Misuse("a spooled place is not what was written"))?;
            stored_sum += u64::from(record.stored_bytes);
            plain_sum += u64::from(record.plain_bytes);
            if let Some(last) = records.last() {
                let neighbor =
                    last.pack_index == record.pack_index && last.end_bytes() == record.offset_bytes;
                if !neighbor || stored_sum > FETCH_BYTES_MAX || plain_sum > FETCH_BYTES_MAX {
                    break;
                }
            }
            records.push(record);
            plan.next += 1;
        }
        Ok(records)
    }

    fn fetch(&mut self, records: &[Record]) -> Group {
        let (Some(first), Some(last)) = (records.first(), records.last()) else {
            return Ok(Vec::new());
        };
        let pack = usize::try_from(first.pack_index)
            .ok()
            .and_then(|index| self.inner.packs.get(index))
            .ok_or(Error::Misuse("a segment is in no pack"))?;
        let key = Key::pack(self.inner.document.document.instance_id, *pack);
        let range = first.offset_bytes..last.end_bytes();
        let length = range.end - range.start;
        let doing = || format!("reading {key}");
        let backend = &self.inner.repository.backend;
        let read = async {
            match backend.get(&key, Some(range)).await {
                Ok(body) => read_all(body, length)
                    .await
                    .map_err(Error::backend(doing())),
                Err(error) => Err(absent_or(error, &key, doing())),
            }
        };
        let bytes = self.inner.repository.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.stop.canceled() => Err(Canceled.into()),
                () = self.inner.cancel.canceled() => Err(Canceled.into()),
                bytes = read => bytes,
            }
        })?;
        self.inner.bytes_read.fetch_add(length, Ordering::Relaxed);
        let mut rest = &bytes[..];
        let mut out = Vec::with_capacity(records.len());
        for record in records {
            let count = usize::try_from(record.stored_bytes).unwrap_or(usize::MAX);
            let Some((stored, behind)) = rest.split_at_checked(count) else {
                return Err(Error::damaged(&key, "a range of it came back short"));
            };
            rest = behind;
            let what = || format!("the segment at byte {} of {key}", record.offset_bytes);
            out.push(
                self.decoder
                    .decode(stored, record.plain_bytes, record.id, what)?,
            );
        }
        Ok(out)
    }
}
