//! First and later backups, against plain `pg_dump` and against what runbooks do by hand.

use super::Options;
use super::measure::{Processor, median, timed};
use super::report::{Bar, Held, Report, float, megabytes, seconds};
use super::setting::{DATABASE, Seen, Setting, to_nowhere};
use crate::harness::place::as_user;
use crate::harness::process;
use anyhow::{Context as _, Result};
use std::path::Path;

/// Rows of one percent of each large table, side by side by key.
const SIDE_BY_SIDE: &str = "
WITH k AS (SELECT max(o_orderkey) AS top FROM orders) UPDATE orders
  SET o_comment = 'changed ' || o_comment FROM k
  WHERE o_orderkey BETWEEN top * 0.30 AND top * 0.31;
WITH k AS (SELECT max(o_orderkey) AS top FROM orders) UPDATE lineitem
  SET l_comment = 'changed ' || l_comment FROM k
  WHERE l_orderkey BETWEEN top * 0.30 AND top * 0.31;
WITH k AS (SELECT max(c_custkey) AS top FROM customer) UPDATE customer
  SET c_comment = 'changed ' || c_comment FROM k
  WHERE c_custkey BETWEEN top * 0.30 AND top * 0.31;
WITH k AS (SELECT max(p_partkey) AS top FROM part) UPDATE part
  SET p_comment = 'changed ' || p_comment FROM k WHERE p_partkey BETWEEN top * 0.30 AND top * 0.31;
WITH k AS (SELECT max(p_partkey) AS top FROM part) UPDATE partsupp
  SET ps_comment = 'changed ' || ps_comment FROM k
  WHERE ps_partkey BETWEEN top * 0.30 AND top * 0.31;
";

/// One row in a hundred of the same tables.
const SCATTERED: &str = "
UPDATE orders SET o_comment = 'moved ' || o_comment WHERE hashint8(o_orderkey) % 100 = 0;
UPDATE lineitem SET l_comment = 'moved ' || l_comment
  WHERE hashint8(l_orderkey * 8 + l_linenumber) % 100 = 0;
UPDATE customer SET c_comment = 'moved ' || c_comment WHERE hashint8(c_custkey) % 100 = 0;
UPDATE part SET p_comment = 'moved ' || p_comment WHERE hashint8(p_partkey) % 100 = 0;
UPDATE partsupp SET ps_comment = 'moved ' || ps_comment
  WHERE hashint8(ps_partkey * 80000 + ps_suppkey) % 100 = 0;
";

/// A first backup with defaults, each into a repository of its own, and plain `pg_dump` between.
pub(super) fn first(setting: &mut Setting, options: &Options, report: &mut Report) -> Result<()> {
    let mut plain = Vec::new();
    let mut plain_processor = Processor::default();
    for _ in 0..options.rounds {
        let before = setting.processor()?;
        let mut dump = setting.server.tool("pg_dump", DATABASE);
        dump.args(["-Fc", "-Z0"]);
        plain.push(timed(|| to_nowhere(dump))?.0);
        plain_processor = setting.processor()?.since(before);
        let repository = setting.new_repository()?;
        let seen = setting.backup(&repository, DATABASE)?;
        setting.firsts.push(seen);
    }
    let base = median(&plain);
    let ours = median_seconds(&setting.firsts);
    report.figure(
        "backup with defaults, first",
        seconds(ours),
        format!("`pg_dump -Fc -Z0 >/dev/null` {}", seconds(base)),
        Held::times(ours / base, Bar::Most(1.35)),
    );
    let last = setting.firsts.last().context("no backup")?;
    let p = last.processor;
    report.note(format!(
        "processor seconds of a backup: server {:.2}, pg_dump and other tools {:.2}, agent {:.2}, \
         controller {:.2}; of plain pg_dump: server {:.2}, pg_dump {:.2}",
        p.server,
        p.agent_tools,
        p.agent,
        p.controller,
        plain_processor.server,
        plain_processor.own_tools
    ));
    report.note(format!(
        "the run by the controller's clock took {:.2} s of the command's {:.2} s; steps: {}",
        last.run_seconds,
        last.seconds,
        steps(last)
    ));
    Ok(())
}

/// Steps of a run, as its outcome tells them.
pub(super) fn steps(seen: &Seen) -> String {
    let steps = seen.run["outcome"]["steps"].as_array();
    let one = |step: &serde_json::Value| {
        let name = step["stepName"].as_str().unwrap_or_default();
        let millis = step["durationMillis"].as_i64().unwrap_or_default();
        format!("{name} {millis} ms")
    };
    let all: Vec<String> = steps.into_iter().flatten().map(one).collect();
    all.join(", ")
}

/// Dump with the strongest compression, digest, list, copy: once, since it takes long.
pub(super) fn runbook(setting: &mut Setting, _: &Options, report: &mut Report) -> Result<()> {
    let folder = setting.fleet.place.directory("runbook")?;
    let (file, copy) = (folder.join("db.dump"), folder.join("db.copy"));
    let (wall, ()) = timed(|| {
        let mut dump = setting.server.tool("pg_dump", DATABASE);
        dump.args(["-Fc", "-Z9", "-f"]).arg(&file);
        process::run(dump)?.ok()?;
        let mut digest = as_user(Path::new("/usr/bin/sha256sum"));
        digest.arg(&file);
        process::run(digest)?.ok()?;
        let mut list = setting.server.tool("pg_restore", DATABASE);
        list.arg("--list").arg(&file);
        to_nowhere(list)?;
        let mut copying = as_user(Path::new("/usr/bin/cp"));
        copying.arg(&file).arg(&copy);
        process::run(copying)?.ok().map(drop)
    })?;
    let bytes = std::fs::metadata(&file)?.len();
    std::fs::remove_dir_all(&folder)?;
    let stored = one_first(setting)?.grown_bytes;
    let ours = median_seconds(&setting.firsts);
    report.figure(
        "the same, speed",
        seconds(ours),
        format!(
            "runbooks: `-Fc -Z9`, sha256sum, `--list`, cp {}",
            seconds(wall)
        ),
        Held::times(wall / ours, Bar::Least(7.0)),
    );
    report.figure(
        "the same, bytes stored",
        megabytes(stored),
        format!("one copy of the runbooks' file {}", megabytes(bytes)),
        Held::times(float(stored) / float(bytes), Bar::Most(1.15)),
    );
    Ok(())
}

/// What a later backup adds: nothing changed, one percent side by side, one percent scattered.
pub(super) fn second(setting: &mut Setting, options: &Options, report: &mut Report) -> Result<()> {
    let first = one_first(setting)?;
    let stored = float(first.grown_bytes);
    let mut unchanged = Vec::new();
    for _ in 0..options.rounds {
        unchanged.push(setting.backup(&first.repository, DATABASE)?);
    }
    let added: Vec<f64> = unchanged.iter().map(|s| float(s.grown_bytes)).collect();
    let worst = unchanged.iter().map(|s| s.grown_bytes).max().unwrap_or(0);
    let against = format!("bytes of the first {}", megabytes(first.grown_bytes));
    report.figure(
        "second backup, nothing changed: bytes",
        megabytes(worst),
        against.clone(),
        Held::percent(
            100.0 * added.iter().copied().fold(0.0, f64::max) / stored,
            Bar::Most(0.5),
        ),
    );
    let (ours, base) = (median_seconds(&unchanged), median_seconds(&setting.firsts));
    report.figure(
        "second backup, nothing changed: wall",
        seconds(ours),
        format!("the first {}", seconds(base)),
        Held::times(ours / base, Bar::Most(1.0)),
    );
    if let Some(last) = unchanged.last() {
        report.note(format!(
            "second backup, processor seconds: server {:.2}, tools {:.2}, agent {:.2}; steps: {}",
            last.processor.server,
            last.processor.agent_tools,
            last.processor.agent,
            steps(last)
        ));
    }
    for (what, change, bar) in [
        (
            "1 % of rows changed side by side",
            SIDE_BY_SIDE,
            Bar::Most(5.0),
        ),
        ("1 % of rows changed scattered", SCATTERED, Bar::Told),
    ] {
        setting.server.sql(DATABASE, change)?;
        let seen = setting.backup(&first.repository, DATABASE)?;
        report.figure(
            &format!("second backup, {what}: bytes"),
            megabytes(seen.grown_bytes),
            against.clone(),
            Held::percent(100.0 * float(seen.grown_bytes) / stored, bar),
        );
    }
    Ok(())
}

/// A first backup: the last of the backup part, or one made now.
fn one_first(setting: &mut Setting) -> Result<Seen> {
    if setting.firsts.is_empty() {
        let repository = setting.new_repository()?;
        let seen = setting.backup(&repository, DATABASE)?;
        setting.firsts.push(seen);
    }
    setting.firsts.last().cloned().context("no backup")
}

fn median_seconds(seen: &[Seen]) -> f64 {
    median(&seen.iter().map(|seen| seen.seconds).collect::<Vec<_>>())
}
