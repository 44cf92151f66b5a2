//! Lines of runs' logs on their way to the controller: numbered, bounded, kept until they are
//! acknowledged or stored with the outcome.

use crate::jobs::{AttemptName, Level, wire_time};
use jiff::Timestamp;
use provado_model::id::AttemptId;
use provado_model::limits::{LOG_LINE_BYTES_MAX, LOG_LINES_MAX};
use provado_proto::agent::v1::LogLine;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Lines of one attempt that wait at most.
const WAITING_LINES_MAX: usize = 2_000;
/// Bytes of them.
const WAITING_BYTES_MAX: usize = 512 * 1024;
/// Bytes that one message carries at most.
const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Lines that one message carries at most; the controller takes no more.
const BATCH_LINES_MAX: usize = 1_000;
/// Bytes counted for a line besides its text.
const LINE_BYTES: usize = 48;

#[derive(Debug)]
struct Buffer {
    name: AttemptName,
    lines: VecDeque<LogLine>,
    bytes: usize,
    last_sequence: i64,
    left_out: u64,
}

/// The lines of all attempts in hand.
#[derive(Debug, Default)]
pub struct LogBook {
    buffers: Mutex<BTreeMap<AttemptId, Buffer>>,
    news: Notify,
}

impl LogBook {
    /// Begins the log of an attempt.
    pub fn open(&self, name: AttemptName) {
        let buffer = Buffer {
            name,
            lines: VecDeque::new(),
            bytes: 0,
            last_sequence: 0,
            left_out: 0,
        };
        self.buffers().entry(name.attempt).or_insert(buffer);
    }

    /// Adds a line. Beyond its bounds a log goes on with how many lines were left out.
    pub fn add(&self, attempt: AttemptId, now: Timestamp, level: Level, message: &str) {
        if let Some(buffer) = self.buffers().get_mut(&attempt) {
            buffer.add(now, level, message);
            self.news.notify_one();
        }
    }

    /// A batch of each attempt that has lines to send, oldest first.
    pub fn batches(&self) -> Vec<(AttemptName, Vec<LogLine>)> {
        let buffers = self.buffers();
        let waiting = buffers.values().filter(|buffer| !buffer.lines.is_empty());
        waiting
            .map(|buffer| (buffer.name, batch(buffer.lines.iter())))
            .collect()
    }

    /// Drops lines up to and with this sequence: the controller has them, or wants none.
    pub fn drop_to(&self, attempt: AttemptId, sequence: i64) {
        if let Some(buffer) = self.buffers().get_mut(&attempt) {
            while let Some(line) = buffer.lines.front()
                && line.sequence <= sequence
            {
                buffer.bytes = buffer.bytes.saturating_sub(size(line));
                buffer.lines.pop_front();
            }
        }
    }

    /// Ends the log of an attempt and gives what was not sent.
    pub fn close(&self, attempt: AttemptId, now: Timestamp) -> Vec<LogLine> {
        let Some(mut buffer) = self.buffers().remove(&attempt) else {
            return Vec::new();
        };
        buffer.tell_left_out(now);
        buffer.lines.into()
    }

    /// Ends when a line was added since the last call.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    fn buffers(&self) -> MutexGuard<'_, BTreeMap<AttemptId, Buffer>> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As many lines as go into one message, from the first on.
pub fn batch<'a>(lines: impl Iterator<Item = &'a LogLine>) -> Vec<LogLine> {
    let mut bytes = 0_usize;
    let mut out = Vec::new();
    for line in lines {
        bytes = bytes.saturating_add(size(line));
        if (bytes > BATCH_BYTES_MAX && !out.is_empty()) || out.len() >= BATCH_LINES_MAX {
            break;
        }
        out.push(line.clone());
    }
    out
}

fn size(line: &LogLine) -> usize {
    line.message.len().saturating_add(LINE_BYTES)
}

impl Buffer {
    fn add(&mut self, now: Timestamp, level: Level, message: &str) {
        let most = i64::try_from(LOG_LINES_MAX).unwrap_or(i64::MAX);
        // One place is kept for the word of what was left out.
        let is_full = self.lines.len() >= WAITING_LINES_MAX
            || self.bytes >= WAITING_BYTES_MAX
            || self.last_sequence >= most.saturating_sub(1);
        if is_full {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.tell_left_out(now);
        self.push(now, level, cut(message));
    }

    fn tell_left_out(&mut self, now: Timestamp) {
        if self.left_out > 0 {
            let message = format!("{} lines were left out here", self.left_out);
            self.left_out = 0;
            self.push(now, Level::Warn, message);
        }
    }

    fn push(&mut self, now: Timestamp, level: Level, message: String) {
        self.last_sequence = self.last_sequence.saturating_add(1);
        let line = LogLine {
            sequence: self.last_sequence,
            log_time: Some(wire_time(now)),
            level: level.as_str().to_owned(),
            message,
        };
        self.bytes = self.bytes.saturating_add(size(&line));
        self.lines.push_back(line);
    }
}

fn cut(message: &str) -> String {
    let mut end = message.len().min(LOG_LINE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    message.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_model::id::RunId;
    use uuid::Uuid;

    fn name() -> AttemptName {
        AttemptName {
            attempt: AttemptId::from_uuid(Uuid::from_u128(1)),
            run: RunId::from_uuid(Uuid::from_u128(2)),
            fence: 1,
        }
    }

    #[test]
    fn lines_are_numbered_kept_until_acknowledged_and_never_lost_silently() {
        let (book, name, now) = (LogBook::default(), name(), Timestamp::UNIX_EPOCH);
        book.open(name);
        for _ in 0..WAITING_LINES_MAX + 5 {
            book.add(name.attempt, now, Level::Info, "line");
        }
        let first = book.batches().remove(0).1;
        assert_eq!(first.first().unwrap().sequence, 1);
        assert_eq!(first.len(), BATCH_LINES_MAX);
        assert_eq!(book.batches().remove(0).1, first, "kept until acknowledged");
        book.drop_to(name.attempt, first.last().unwrap().sequence);
        book.add(name.attempt, now, Level::Info, "after");
        let rest = book.close(name.attempt, now);
        let tail: Vec<_> = rest.iter().map(|line| line.message.as_str()).collect();
        assert!(
            tail.ends_with(&["5 lines were left out here", "after"]),
            "{tail:?}"
        );
        let all = first.iter().chain(&rest);
        assert!(
            all.zip(1..)
                .all(|(line, sequence)| line.sequence == sequence)
        );
    }

    #[test]
    fn a_long_line_is_cut_at_a_character() {
        let (book, name) = (LogBook::default(), name());
        book.open(name);
        let long = "ä".repeat(LOG_LINE_BYTES_MAX);
        book.add(name.attempt, Timestamp::UNIX_EPOCH, Level::Warn, &long);
        let line = book.close(name.attempt, Timestamp::UNIX_EPOCH).remove(0);
        assert_eq!(line.message.len(), LOG_LINE_BYTES_MAX);
        assert_eq!(line.level, "warn");
    }
}
