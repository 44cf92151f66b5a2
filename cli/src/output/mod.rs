//! The only place that writes to stdout and stderr: results to stdout, everything else to stderr.

pub(crate) mod human;
mod json;
mod report;
mod table;

pub(crate) use json::print_json;
#[cfg(test)]
pub(crate) use json::to_json;
pub(crate) use report::Report;
pub(crate) use table::{Column, Table};

use std::io::{IsTerminal as _, Write as _};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For reading.
    Table,
    /// For scripts: the API's messages as proto3 JSON.
    Json,
}

/// Writes a line of the result. A reader that has gone away (`| head`) ends the program quietly.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").is_err() {
        reader_is_gone();
    }
}

/// Writes text of the result as it is, without a line end.
pub(crate) fn raw(text: &str) {
    let mut out = std::io::stdout().lock();
    if out
        .write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {
        reader_is_gone();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "nobody reads on, and the command holds nothing that must be put away"
)]
fn reader_is_gone() -> ! {
    std::process::exit(0)
}

/// Writes a line beside the result. When even stderr is gone there is nobody left to tell.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Whether stderr is a terminal, so that a live line makes sense.
pub(crate) fn is_live() -> bool {
    std::io::stderr().is_terminal()
}

/// A name from a database, safe for one line of a terminal.
pub(crate) fn one_line(text: &str) -> String {
    table::one_line(text)
}
