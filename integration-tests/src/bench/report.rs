//! The table: figure, value, against, ratio, bar, verdict.

use super::Options;
use super::setting::{DATABASE, Setting};
use std::fmt::Write as _;

/// What a figure is held against.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bar {
    /// At most.
    Most(f64),
    /// At least.
    Least(f64),
    /// Only told.
    Told,
}

#[derive(Debug, Clone)]
struct Figure {
    cells: [String; 5],
    verdict: &'static str,
}

/// What was measured.
#[derive(Debug)]
pub struct Report {
    figures: Vec<Figure>,
    notes: Vec<String>,
    setting: Vec<String>,
    failures: usize,
    missed: usize,
}

impl Report {
    pub(super) fn new(options: &Options) -> Self {
        let mut report = Self {
            figures: Vec::new(),
            notes: Vec::new(),
            setting: Vec::new(),
            failures: 0,
            missed: 0,
        };
        let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find_map(|l| l.strip_prefix("model name\t: "));
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        report.setting.push(format!(
            "{cores} cores, {}; Linux {}; TPC-H scale factor {}, medians of {}",
            model.unwrap_or("processor unknown"),
            read("/proc/sys/kernel/osrelease").trim(),
            options.scale,
            options.rounds
        ));
        report
            .setting
            .push(format!("load when it began: {}", load()));
        report
    }

    pub(super) fn versions(&mut self, setting: &Setting) {
        let server = setting.server.sql("postgres", "SHOW server_version");
        let size = format!("SELECT pg_size_pretty(pg_database_size('{DATABASE}'))");
        let size = setting.server.sql("postgres", &size);
        self.setting.push(format!(
            "PostgreSQL {}, database of {}; Provado {}",
            server.unwrap_or_default(),
            size.unwrap_or_default(),
            env!("CARGO_PKG_VERSION")
        ));
    }

    /// Adds a figure: name, value, what it is held against, and the ratio that the bar is for.
    pub(super) fn figure(&mut self, name: &str, value: String, against: String, held: Held) {
        let (met, bar) = match held.bar {
            Bar::Most(most) => (Some(held.value <= most), format!("≤ {most}{}", held.unit)),
            Bar::Least(least) => (Some(held.value >= least), format!("≥ {least}{}", held.unit)),
            Bar::Told => (None, "told".to_owned()),
        };
        let verdict = match met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "told",
        };
        self.missed += usize::from(met == Some(false));
        let ratio = format!("{:.*}{}", held.digits, held.value, held.unit);
        eprintln!("   {name}: {value} against {against}: {ratio} (bar {bar}) {verdict}");
        self.figures.push(Figure {
            cells: [name.to_owned(), value, against, ratio, bar],
            verdict,
        });
    }

    /// Adds a line below the table.
    pub(super) fn note(&mut self, text: String) {
        eprintln!("   {text}");
        self.notes.push(text);
    }

    /// A part that could not be measured.
    pub(super) fn failed(&mut self, part: &str, error: &anyhow::Error) {
        self.failures += 1;
        let text = format!("{error:#}").replace('|', "/");
        let line: String = text.lines().flat_map(str::chars).take(160).collect();
        self.figures.push(Figure {
            cells: [part, "not measured", &line, "", ""].map(str::to_owned),
            verdict: "not measured",
        });
    }

    pub(super) fn end(&mut self) {
        self.setting.push(format!("load when it ended: {}", load()));
    }

    /// Whether every part was measured.
    pub fn is_complete(&self) -> bool {
        self.failures == 0
    }

    /// Bars that were missed.
    pub fn missed(&self) -> usize {
        self.missed
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        for line in &self.setting {
            let _ = writeln!(out, "- {line}");
        }
        out.push_str("\n| figure | value | against | ratio | bar | verdict |\n");
        out.push_str("|---|---|---|---|---|---|\n");
        for figure in &self.figures {
            let cells = figure.cells.join(" | ");
            let _ = writeln!(out, "| {cells} | {} |", figure.verdict);
        }
        out.push('\n');
        for note in &self.notes {
            let _ = writeln!(out, "- {note}");
        }
        out
    }
}

/// The number that the bar is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    value: f64,
    unit: &'static str,
    digits: usize,
    bar: Bar,
}

impl Held {
    /// So many times the other.
    pub(super) fn times(value: f64, bar: Bar) -> Self {
        Self {
            value,
            unit: " ×",
            digits: 2,
            bar,
        }
    }

    pub(super) fn percent(value: f64, bar: Bar) -> Self {
        Self {
            value,
            unit: " %",
            digits: 2,
            bar,
        }
    }

    pub(super) fn mebibytes(bytes: f64, bar: Bar) -> Self {
        Self {
            value: bytes / 1_048_576.0,
            unit: " MiB",
            digits: 1,
            bar,
        }
    }

    pub(super) fn milliseconds(seconds: f64, bar: Bar) -> Self {
        Self {
            value: seconds * 1e3,
            unit: " ms",
            digits: 1,
            bar,
        }
    }
}

pub(super) fn seconds(value: f64) -> String {
    format!("{value:.2} s")
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
pub(super) fn float(bytes: u64) -> f64 {
    bytes as f64
}

pub(super) fn megabytes(bytes: u64) -> String {
    let mega = float(bytes) / 1e6;
    match bytes {
        0..10_000_000 => format!("{mega:.3} MB"),
        _ => format!("{mega:.1} MB"),
    }
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
