//! What a child says on stderr: read line by line, bounded, each line given a severity.
//!
//! PostgreSQL's programs write `<program>: <severity>: <text>`; lines without that form belong
//! to the message before them. Exit status alone is not believed: a fatal line in the stderr of
//! a child that exits 0 makes it a failure (INV-EVIDENCE).

use super::spawner::LineSink;
use provado_model::limits::{LOG_LINE_BYTES_MAX, STDERR_TAIL_BYTES_MAX, STDERR_TAIL_LINES_MAX};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};

/// How bad a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Information, or a line that goes on from the one before.
    Notice,
    /// Something a person should see; the work goes on.
    Warning,
    /// One thing failed; some programs go on after it.
    Error,
    /// The program cannot go on.
    Fatal,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StderrLine {
    /// How bad it is.
    pub severity: Severity,
    /// Its text without the line end, cut to `LOG_LINE_BYTES_MAX`.
    pub text: String,
}

impl StderrLine {
    /// Classifies a line.
    pub fn new(text: String) -> Self {
        Self {
            severity: classify(&text),
            text,
        }
    }

    /// Whether the line starts a message of its own rather than going on from the one before.
    pub fn starts_message(&self) -> bool {
        after_program(&self.text)
            .is_some_and(|rest| SEVERITIES.iter().any(|(word, _)| rest.starts_with(word)))
    }
}

const SEVERITIES: &[(&str, Severity)] = &[
    ("fatal:", Severity::Fatal),
    ("error:", Severity::Error),
    ("warning:", Severity::Warning),
    ("FATAL:", Severity::Fatal),
    ("PANIC:", Severity::Fatal),
    ("ERROR:", Severity::Error),
    ("WARNING:", Severity::Warning),
];

/// What follows `<program>: `, where the line starts so.
fn after_program(line: &str) -> Option<&str> {
    let (program, rest) = line.split_once(": ")?;
    let is_name = !program.is_empty()
        && program
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'/' | b'.'));
    is_name.then_some(rest)
}

fn classify(line: &str) -> Severity {
    let rest = after_program(line);
    let word = SEVERITIES.iter().find(|(word, _)| {
        line.starts_with(word) || rest.is_some_and(|rest| rest.starts_with(word))
    });
    if let Some((_, severity)) = word {
        return *severity;
    }
    // setpriv could not become the program: nothing was done at all.
    if line.starts_with("setpriv: ") {
        return Severity::Fatal;
    }
    Severity::Notice
}

/// The end of what was said, and how much of each severity there was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StderrSummary {
    tail: VecDeque<StderrLine>,
    tail_bytes: usize,
    /// Lines in all.
    pub line_count: u64,
    /// Lines of severity warning.
    pub warning_count: u64,
    /// Lines of severity error.
    pub error_count: u64,
    /// Lines of severity fatal.
    pub fatal_count: u64,
    /// The first line of severity error or fatal: the rest often follow from it.
    pub first_error: Option<String>,
}

impl StderrSummary {
    fn push(&mut self, line: StderrLine) {
        self.line_count += 1;
        match line.severity {
            Severity::Notice => {}
            Severity::Warning => self.warning_count += 1,
            Severity::Error => self.error_count += 1,
            Severity::Fatal => self.fatal_count += 1,
        }
        if line.severity >= Severity::Error && self.first_error.is_none() {
            self.first_error = Some(line.text.clone());
        }
        self.tail_bytes += line.text.len();
        self.tail.push_back(line);
        while self.tail.len() > STDERR_TAIL_LINES_MAX || self.tail_bytes > STDERR_TAIL_BYTES_MAX {
            let Some(dropped) = self.tail.pop_front() else {
                break;
            };
            self.tail_bytes -= dropped.text.len();
        }
    }

    /// The last lines that were kept.
    pub fn tail(&self) -> impl Iterator<Item = &StderrLine> {
        self.tail.iter()
    }

    /// The last `lines` lines as text.
    pub fn tail_text(&self, lines: usize) -> String {
        let skip = self.tail.len().saturating_sub(lines);
        let texts: Vec<&str> = self
            .tail
            .iter()
            .skip(skip)
            .map(|l| l.text.as_str())
            .collect();
        texts.join("\n")
    }
}

/// Reads to the end of the stream; a line longer than the limit is cut, its rest is dropped.
pub(super) fn read_lines(stream: impl Read, mut sink: Option<LineSink>) -> StderrSummary {
    let mut reader = BufReader::new(stream);
    let mut summary = StderrSummary::default();
    let mut line = Vec::new();
    while let Ok(available) = reader.fill_buf() {
        if available.is_empty() {
            break;
        }
        let newline = available.iter().position(|b| *b == b'\n');
        let part = newline.map_or(available, |end| available.split_at(end).0);
        let room = LOG_LINE_BYTES_MAX.saturating_sub(line.len());
        line.extend(part.iter().take(room));
        let used = newline.map_or(available.len(), |end| end + 1);
        reader.consume(used);
        if newline.is_some() {
            emit(&mut summary, &mut line, &mut sink);
        }
    }
    if !line.is_empty() {
        emit(&mut summary, &mut line, &mut sink);
    }
    summary
}

fn emit(summary: &mut StderrSummary, line: &mut Vec<u8>, sink: &mut Option<LineSink>) {
    let text = String::from_utf8_lossy(line)
        .trim_end_matches('\r')
        .to_owned();
    line.clear();
    let line = StderrLine::new(text);
    if let Some(sink) = sink {
        sink(&line);
    }
    summary.push(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_get_the_severity_their_program_gave_them() {
        for (line, severity) in [
            ("pg_dump: error: query failed: ERROR:  x", Severity::Error),
            ("pg_dump: detail: Query was: LOCK TABLE x", Severity::Notice),
            ("pg_dump: warning: there are circular", Severity::Warning),
            ("/usr/bin/pg_restore: fatal: x", Severity::Fatal),
            ("Command was: CREATE TABLE error: x", Severity::Notice),
            ("FATAL:  role \"x\" does not exist", Severity::Fatal),
            ("setpriv: failed to execute /x", Severity::Fatal),
            ("plain words: error: quoted", Severity::Notice),
            ("", Severity::Notice),
        ] {
            assert_eq!(classify(line), severity, "{line}");
        }
        let starts = |text: &str| StderrLine::new(text.to_owned()).starts_message();
        assert!(starts("pg_restore: error: could not execute query"));
        assert!(!starts("Command was: CREATE"));
        assert!(!starts("pg_restore: detail: more"));
    }

    #[test]
    fn a_flood_is_bounded_and_counted() {
        let mut input = b"pg_dump: error: first\n".to_vec();
        for _ in 0..500 {
            input.extend(b"pg_dump: warning: again\n");
        }
        input.extend(vec![b'x'; 3 * LOG_LINE_BYTES_MAX]);
        let summary = read_lines(input.as_slice(), None);
        assert_eq!(summary.line_count, 502);
        assert_eq!(summary.warning_count, 500);
        assert_eq!(summary.error_count, 1);
        assert_eq!(
            summary.first_error.as_deref(),
            Some("pg_dump: error: first")
        );
        assert_eq!(summary.tail().count(), STDERR_TAIL_LINES_MAX);
        let last = summary.tail().last().unwrap();
        assert_eq!(last.text.len(), LOG_LINE_BYTES_MAX);
    }
}
