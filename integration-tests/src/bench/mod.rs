//! `make bench`: what Provado costs against the tools it stands on, as ratios of figures that
//! were taken in one run on one machine. `docs/benchmarks.md` tells the method.
//!
//! A part that fails is told as not measured; a bar that is missed is told as missed. Nothing here
//! decides what is good enough.

mod backup;
mod dispatch;
mod measure;
mod memory;
mod report;
mod restore;
mod setting;

pub use report::Report;

use anyhow::Result;
use setting::Setting;
use std::path::PathBuf;

/// What is measured, and how large.
#[derive(Debug, Clone)]
pub struct Options {
    /// TPC-H scale factor of most parts; 1 is about 1.3 GB of rows.
    pub scale: f64,
    /// Scale factors of the two databases of the memory figure.
    pub memory_scales: [f64; 2],
    /// Times each pair of figures is taken; the median counts.
    pub rounds: usize,
    /// Runs of the dispatch figure.
    pub dispatch_runs: usize,
    /// Seconds an agent has to settle before it counts as idle.
    pub settle_seconds: u64,
    /// Names of the parts to do; empty for all.
    pub only: Vec<String>,
    /// Where the table goes as Markdown.
    pub out: Option<PathBuf>,
}

impl Options {
    /// As `docs/benchmarks.md` has it.
    pub fn full() -> Self {
        Self {
            scale: 1.0,
            memory_scales: [0.25, 2.5],
            rounds: 3,
            dispatch_runs: 1000,
            settle_seconds: 60,
            only: Vec::new(),
            out: None,
        }
    }

    /// Small, to see that it works.
    pub fn quick() -> Self {
        Self {
            scale: 0.1,
            memory_scales: [0.05, 0.3],
            dispatch_runs: 100,
            settle_seconds: 20,
            ..Self::full()
        }
    }
}

type Part = fn(&mut Setting, &Options, &mut Report) -> Result<()>;

/// The parts, in the order in which they do not disturb each other.
const PARTS: &[(&str, Part)] = &[
    ("dispatch", dispatch::measure),
    ("idle", memory::idle),
    ("backup", backup::first),
    ("runbook", backup::runbook),
    ("second", backup::second),
    ("check", restore::check),
    ("table", restore::one_table),
    ("restore", restore::restore),
    ("drill", restore::drill),
    ("memory", memory::peak),
];

/// Measures.
pub fn run(options: &Options) -> Result<Report> {
    let mut report = Report::new(options);
    let mut setting = Setting::new(options.scale)?;
    report.versions(&setting);
    for (name, part) in PARTS {
        if !options.only.is_empty() && !options.only.iter().any(|wanted| wanted == name) {
            continue;
        }
        eprintln!("-- {name}");
        if let Err(error) = part(&mut setting, options, &mut report) {
            eprintln!("{name}: {error:#}");
            report.failed(name, &error);
        }
    }
    report.end();
    Ok(report)
}
