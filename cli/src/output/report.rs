//! What a command has to say, line by line, before any of it is written: results and remarks in
//! their order. Renderers make reports from messages and a clock, so that tests read the same text
//! as operators do. It never lets a name from a database break a line or steer a terminal.

use super::table::{Table, one_line};
use super::{human, line, note};
use std::fmt::{self, Display};

/// How wide the names of facts are set.
const FACT_COLUMNS: usize = 18;

/// Lines of a result, and remarks beside it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
}

#[derive(Debug)]
enum Line {
    /// To stdout.
    Outcome(String),
    /// To stderr.
    Remark(String),
}

impl Report {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A line of the result.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) {
        self.lines.push(Line::Outcome(one_line(text.as_ref())));
    }

    /// Lines of the result that are a document of their own and stay as they are.
    pub(crate) fn document(&mut self, text: &str) {
        let lines = text.lines().map(|text| Line::Outcome(text.to_owned()));
        self.lines.extend(lines);
    }

    /// A fact: its name, then what it is.
    pub(crate) fn fact(&mut self, name: &str, value: impl Display) {
        let value = human::or_dash(&value.to_string());
        self.line(format!("{name:<FACT_COLUMNS$}{value}"));
    }

    /// A fact, where there is something to tell.
    pub(crate) fn fact_if_any(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.fact(name, value);
        }
    }

    /// Everything another report says.
    pub(crate) fn append(&mut self, other: Self) {
        self.lines.extend(other.lines);
    }

    /// A remark beside the result; line ends in it stay.
    pub(crate) fn note(&mut self, text: impl AsRef<str>) {
        let lines = text.as_ref().lines();
        self.lines
            .extend(lines.map(|text| Line::Remark(one_line(text))));
    }

    /// An error beside the result.
    pub(crate) fn problem(&mut self, text: &str) {
        self.note(format!("provado: {text}"));
    }

    /// A table, or a remark where it has no rows.
    pub(crate) fn table(&mut self, table: &Table, nothing: &str) {
        if table.is_empty() {
            self.note(nothing);
        }
        // Cells are clean already.
        self.lines
            .extend(table.lines().into_iter().map(Line::Outcome));
    }

    /// Writes it.
    pub(crate) fn print(&self) {
        for text in &self.lines {
            match text {
                Line::Outcome(text) => line(text),
                Line::Remark(text) => note(text),
            }
        }
    }
}

/// As a test reads it: remarks are marked.
impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for text in &self.lines {
            match text {
                Line::Outcome(text) => writeln!(f, "{text}")?,
                Line::Remark(text) => writeln!(f, "2> {text}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Column;
    use super::*;

    #[test]
    fn a_hostile_name_stays_on_its_line_and_a_message_keeps_its_lines() {
        let mut report = Report::new();
        report.fact("of", "a\nb\u{1b}[2J\u{202e}");
        report.fact_if_any("why", "");
        report.problem("two things\n1. one\n2. \u{7}two");
        report.table(&Table::new(&[Column::Left("A")]), "Nothing.");
        assert_eq!(
            report.to_string(),
            "of                a\\nb\\u{1b}[2J\\u{202e}\n2> provado: two things\n2> 1. one\n\
             2> 2. \\u{7}two\n2> Nothing.\n"
        );
    }
}
