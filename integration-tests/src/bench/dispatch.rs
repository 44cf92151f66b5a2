//! From a run's row to the agent's journal.

use super::Options;
use super::measure::percentile;
use super::report::{Bar, Held, Report};
use super::setting::Setting;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::collections::HashMap;

/// Small runs one after another; the times are those of the audit chain. The first is taken before
/// the run's row is committed and the last when the agent's acceptance has come back, which it
/// sends once its journal has the attempt: what is told is more than what is asked for.
pub(super) fn measure(setting: &mut Setting, options: &Options, report: &mut Report) -> Result<()> {
    for _ in 0..options.dispatch_runs {
        setting.inspect()?;
    }
    let file = setting.fleet.place.path().join("controller/bench.jsonl");
    let path = file.to_string_lossy().into_owned();
    setting.fleet.provado(&["audit", "export", &path])?.ok()?;
    let text = std::fs::read_to_string(&file)?;
    std::fs::remove_file(&file)?;
    let mut asked: HashMap<String, f64> = HashMap::new();
    let mut latencies = Vec::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line)?;
        let time = event["time_micros"]
            .as_f64()
            .context("an event without time")?;
        let name = event["resource_name"].as_str().unwrap_or_default();
        match event["action"].as_str().unwrap_or_default() {
            "run.admit" => drop(asked.insert(name.to_owned(), time)),
            "attempt.accept" => {
                let detail = event["detail_json"].as_str().unwrap_or("{}");
                let detail: Value = serde_json::from_str(detail)?;
                let run = detail["run"].as_str().unwrap_or_default();
                if let Some(start) = asked.remove(run) {
                    latencies.push((time - start) / 1e6);
                }
            }
            _ => {}
        }
    }
    ensure!(
        latencies.len() >= options.dispatch_runs,
        "{} of {} runs are in the audit chain with both times",
        latencies.len(),
        options.dispatch_runs
    );
    let (half, most) = (percentile(&latencies, 50), percentile(&latencies, 99));
    report.figure(
        "dispatch: admitted to accepted by the agent, p99",
        format!("{:.1} ms", most * 1e3),
        format!("p50 {:.1} ms of {} runs", half * 1e3, latencies.len()),
        Held::milliseconds(most, Bar::Most(50.0)),
    );
    Ok(())
}
