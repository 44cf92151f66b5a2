//! What an agent holds in memory: at work on databases of two sizes, and when it has nothing to do.

use super::Options;
use super::measure::{peak_bytes, proportional_bytes, settle};
use super::report::{Bar, Held, Report, float};
use super::setting::Setting;
use crate::data::tpch;
use anyhow::Result;

/// An agent that has just joined its work and has nothing to do.
pub(super) fn idle(setting: &mut Setting, options: &Options, report: &mut Report) -> Result<()> {
    setting.fresh_agent()?;
    settle(options.settle_seconds);
    let pid = setting.fleet.agent("db1").pid();
    let bytes = float(proportional_bytes(pid)?);
    report.figure(
        "agent idle, memory (PSS)",
        format!("{:.1} MiB", bytes / 1_048_576.0),
        format!("after {} s without work", options.settle_seconds),
        Held::mebibytes(bytes, Bar::Most(20.0)),
    );
    Ok(())
}

/// Peak of an agent that has done one backup and nothing else, for two sizes.
pub(super) fn peak(setting: &mut Setting, options: &Options, report: &mut Report) -> Result<()> {
    let mut peaks = Vec::new();
    for (index, scale) in options.memory_scales.iter().enumerate() {
        let database = format!("memory{index}");
        let make = format!("CREATE DATABASE {database}");
        setting.server.sql("postgres", &make)?;
        tpch::load(&setting.server, &database, *scale)?;
        setting.inspect()?;
        let repository = setting.new_repository()?;
        setting.fresh_agent()?;
        setting.backup(&repository, &database)?;
        let pid = setting.fleet.agent("db1").pid();
        let bytes = float(peak_bytes(pid)?);
        peaks.push(bytes);
        report.figure(
            &format!("agent's peak memory, backup at scale factor {scale}"),
            format!("{:.1} MiB", bytes / 1_048_576.0),
            String::new(),
            Held::mebibytes(bytes, Bar::Most(200.0)),
        );
    }
    settle(options.settle_seconds);
    let pid = setting.fleet.agent("db1").pid();
    let after = float(proportional_bytes(pid)?);
    report.figure(
        "agent idle after the larger backup (PSS)",
        format!("{:.1} MiB", after / 1_048_576.0),
        format!("after {} s without work", options.settle_seconds),
        Held::mebibytes(after, Bar::Told),
    );
    if let [small, large] = peaks[..] {
        report.figure(
            "agent's peak memory, large against small",
            format!("{:.1} MiB", large / 1_048_576.0),
            format!("{:.1} MiB", small / 1_048_576.0),
            Held::times(large / small, Bar::Most(1.1)),
        );
    }
    Ok(())
}
