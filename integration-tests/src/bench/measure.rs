//! Clocks and counters, from outside of what is measured.

use anyhow::{Context as _, Result};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// The kernel counts in hundredths of a second on every architecture in use.
const TICKS_PER_SECOND: f64 = 100.0;

/// How long something took, and what it gave.
pub(super) fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let start = Instant::now();
    let out = work()?;
    Ok((start.elapsed().as_secs_f64(), out))
}

/// The middle one.
pub(super) fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// The value that so many percent do not exceed (nearest rank).
pub(super) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

/// Processor seconds of processes, by what they are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Processor {
    /// The agent itself.
    pub(super) agent: f64,
    /// Its children that have ended: the client tools.
    pub(super) agent_tools: f64,
    /// Backends that have ended.
    pub(super) server: f64,
    /// The controller.
    pub(super) controller: f64,
    /// Children of the benchmark that have ended.
    pub(super) own_tools: f64,
}

/// Which processes are watched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watched {
    pub(super) agent: u32,
    pub(super) postmaster: u32,
    pub(super) controller: u32,
}

impl Processor {
    pub(super) fn now(watched: Watched) -> Result<Self> {
        let agent = ticks(watched.agent)?;
        Ok(Self {
            agent: agent.0,
            agent_tools: agent.1,
            server: ticks(watched.postmaster)?.1,
            controller: ticks(watched.controller)?.0,
            own_tools: ticks(std::process::id())?.1,
        })
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            agent: self.agent - before.agent,
            agent_tools: self.agent_tools - before.agent_tools,
            server: self.server - before.server,
            controller: self.controller - before.controller,
            own_tools: self.own_tools - before.own_tools,
        }
    }
}

/// Processor seconds of a process, and of its children that have ended.
fn ticks(pid: u32) -> Result<(f64, f64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap_or("").split(' ').collect();
    let field = |index: usize| -> Result<f64> {
        let text = fields.get(index).context("a short /proc/PID/stat")?;
        Ok(text.parse::<f64>()? / TICKS_PER_SECOND)
    };
    Ok((field(11)? + field(12)?, field(13)? + field(14)?))
}

/// Peak resident bytes of a process since it started.
pub(super) fn peak_bytes(pid: u32) -> Result<u64> {
    kib_of(&format!("/proc/{pid}/status"), "VmHWM:")
}

/// Resident bytes of a process, shared pages divided by those who share them.
pub(super) fn proportional_bytes(pid: u32) -> Result<u64> {
    kib_of(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

fn kib_of(file: &str, field: &str) -> Result<u64> {
    let text = std::fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let line = line.with_context(|| format!("{file} has no {field}"))?;
    let number = line.trim().trim_end_matches(" kB").trim();
    Ok(number.parse::<u64>()? * 1024)
}

/// Bytes of all files below a directory.
pub(super) fn bytes_below(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for file in files_below(folder)? {
        bytes += std::fs::metadata(file)?.len();
    }
    Ok(bytes)
}

/// All files below a directory.
pub(super) fn files_below(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            out.extend(files_below(&path)?);
        } else {
            out.push(path);
        }
    }
    Ok(out)
}

/// Seconds from the start to the end of a run, by the controller's clock.
pub(super) fn run_seconds(run: &Value) -> Result<f64> {
    let at = |field: &str| -> Result<f64> {
        let text = run[field].as_str().unwrap_or_default();
        second_of_day(text).with_context(|| format!("{field} of the run: {text:?}"))
    };
    Ok((at("endTime")? - at("startTime")?).rem_euclid(86_400.0))
}

/// Seconds since midnight of `2026-03-01T12:00:00.5Z`.
fn second_of_day(text: &str) -> Option<f64> {
    let time = text.split('T').nth(1)?.trim_end_matches('Z');
    let mut parts = time.split(':').map(str::parse::<f64>);
    let mut next = || parts.next()?.ok();
    Some(next()? * 3600.0 + next()? * 60.0 + next()?)
}

/// Lets time pass, where the passing of time is what is measured.
pub(super) fn settle(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_and_times() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert!((percentile(&hundred, 99) - 99.0).abs() < 1e-9);
        let run = serde_json::json!({
            "startTime": "2026-03-01T23:59:59.250Z", "endTime": "2026-03-02T00:00:01Z"
        });
        assert!((run_seconds(&run).unwrap() - 1.75).abs() < 1e-6);
        assert!(run_seconds(&serde_json::json!({})).is_err());
    }
}
