//! A server with TPC-H, a fleet of one, and repositories as many as a part asks for.

use super::measure::{Processor, Watched, run_seconds, timed};
use crate::data::tpch;
use crate::harness::{Fleet, FleetOptions, Major, Place, Postgres, process};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The database most parts work on.
pub(super) const DATABASE: &str = "tpch";

/// Settings of the server under test: sized for the data, and quiet between measurements.
const SERVER: &[(&str, &str)] = &[
    ("shared_buffers", "1GB"),
    ("maintenance_work_mem", "256MB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "1h"),
    ("autovacuum", "off"),
];

/// One backup and the same data as a directory archive.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) repository: String,
    pub(super) backup: String,
    pub(super) archive: PathBuf,
}

/// Everything that is measured.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) fleet: Fleet,
    pub(super) server: Postgres,
    pub(super) key: String,
    /// The first backup of each round, as measured by the backup part.
    pub(super) firsts: Vec<Seen>,
    recipient: String,
    repository_count: usize,
    pair: Option<Pair>,
}

/// A run as it was seen.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) repository: String,
    pub(super) run: Value,
    /// Wall seconds of the operator's command.
    pub(super) seconds: f64,
    /// Wall seconds of the run by the controller's clock.
    pub(super) run_seconds: f64,
    pub(super) processor: Processor,
    /// Bytes the repository's directory grew by.
    pub(super) grown_bytes: u64,
}

impl Setting {
    pub(super) fn new(scale: f64) -> Result<Self> {
        let place = Place::new()?;
        let server = Postgres::start_with(&place, "pg", Major::V15, SERVER)?;
        server.sql("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
        eprintln!("-- TPC-H, scale factor {scale}");
        tpch::load(&server, DATABASE, scale)?;
        server.sql(DATABASE, "CHECKPOINT")?;
        let mut fleet = Fleet::start(place, FleetOptions::default())?;
        fleet.join("db1", &server)?;
        let key = fleet.key_file("db1").to_string_lossy().into_owned();
        let recipient = fleet.provado(&["key", "create", &key])?.ok()?;
        Ok(Self {
            fleet,
            server,
            key,
            firsts: Vec::new(),
            recipient: recipient.trim().to_owned(),
            repository_count: 0,
            pair: None,
        })
    }

    /// The processes whose time is counted.
    fn watched(&mut self) -> Result<Watched> {
        let file = self.server.data().join("postmaster.pid");
        let text = std::fs::read_to_string(file)?;
        let postmaster = text.lines().next().context("an empty postmaster.pid")?;
        let controller = self.fleet.controller.as_ref().context("no controller")?;
        Ok(Watched {
            controller: controller.pid(),
            agent: self.fleet.agent("db1").pid(),
            postmaster: postmaster.parse()?,
        })
    }

    /// The processor time so far, once the server has none of our sessions left to count.
    pub(super) fn processor(&mut self) -> Result<Processor> {
        let busy = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{DATABASE}' \
             AND backend_type = 'client backend'"
        );
        process::wait_until("no session is left", crate::harness::fleet::SOON, || {
            Ok((self.server.sql("postgres", &busy)? == "0").then_some(()))
        })?;
        Processor::now(self.watched()?)
    }

    /// A repository that nothing was stored in yet.
    pub(super) fn new_repository(&mut self) -> Result<String> {
        self.repository_count += 1;
        let name = format!("r{}", self.repository_count);
        let path = self.fleet.repository("db1", &name);
        let arguments = [
            "repository",
            "init",
            &name,
            "--agent",
            "db1",
            "--path",
            &path.to_string_lossy(),
            "--recipient",
            &self.recipient,
        ];
        self.fleet.provado(&arguments)?.ok()?;
        Ok(name)
    }

    /// Runs a command of the operator to its end; an error unless the run has succeeded.
    pub(super) fn run(&mut self, repository: &str, arguments: &[&str]) -> Result<Seen> {
        let folder = self.fleet.repository("db1", repository);
        let bytes = super::measure::bytes_below(&folder)?;
        let before = self.processor()?;
        let (seconds, run) = timed(|| self.fleet.json(arguments))?;
        let processor = self.processor()?.since(before);
        ensure!(
            run["state"] == "RUN_STATE_SUCCEEDED",
            "{arguments:?} did not succeed: {run}"
        );
        Ok(Seen {
            repository: repository.to_owned(),
            run_seconds: run_seconds(&run)?,
            run,
            seconds,
            processor,
            grown_bytes: super::measure::bytes_below(&folder)?.saturating_sub(bytes),
        })
    }

    /// Backs a database up with defaults.
    pub(super) fn backup(&mut self, repository: &str, database: &str) -> Result<Seen> {
        let target = format!("db1/{database}");
        self.run(
            repository,
            &["backup", "run", &target, "--repository", repository],
        )
    }

    /// A backup of the database as it is now, and its uncompressed directory archive.
    pub(super) fn pair(&mut self) -> Result<Pair> {
        if let Some(pair) = &self.pair {
            return Ok(pair.clone());
        }
        let repository = self.new_repository()?;
        let seen = self.backup(&repository, DATABASE)?;
        let archive = self.fleet.place.path().join("archive");
        let mut dump = self.server.tool("pg_dump", DATABASE);
        dump.args(["-Fd", "-Z0", "-j2", "-f"]).arg(&archive);
        process::run(dump)?.ok()?;
        let pair = Pair {
            repository,
            backup: backup_of(&seen.run)?,
            archive,
        };
        self.pair = Some(pair.clone());
        Ok(pair)
    }

    /// Makes the agent and the controller know databases that were made since.
    pub(super) fn inspect(&self) -> Result<()> {
        self.fleet
            .provado(&["agent", "inspect", "db1"])?
            .ok()
            .map(drop)
    }

    /// Ends the agent and starts it again: a fresh process.
    pub(super) fn fresh_agent(&mut self) -> Result<()> {
        self.fleet.agent("db1").stop(crate::harness::fleet::SOON)?;
        self.fleet.start_agent("db1")
    }
}

/// The id of the backup that a run has made.
pub(super) fn backup_of(run: &Value) -> Result<String> {
    let name = run["backup"].as_str().context("the run names no backup")?;
    Ok(name.trim_start_matches("backups/").to_owned())
}

/// A tool that writes its output to nowhere; an error unless it succeeds.
pub(super) fn to_nowhere(mut command: Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}
