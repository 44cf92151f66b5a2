//! Reading back: check, one table, restore, drill.

use super::Options;
use super::backup::steps;
use super::measure::{files_below, median, timed};
use super::report::{Bar, Held, Report, float, megabytes, seconds};
use super::setting::{DATABASE, Pair, Setting};
use crate::harness::place::as_user;
use crate::harness::{Major, Postgres, process};
use anyhow::{Context as _, Result};
use provado_model::random::OsEntropy;
use provado_repository::backend::file::{CreateRoot, FileBackend, FileOptions};
use provado_repository::reader::ReadOptions;
use provado_repository::signature::Trust;
use provado_repository::{Cancel, Identity, Opening, Repository, SpoolPlace};
use std::path::Path;
use std::sync::Arc;

/// The table that is restored alone.
const TABLE: &str = "supplier";

/// Settings of the instance the drill is held against: those of a throw-away instance.
const TUNED: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "1h"),
    ("wal_init_zero", "off"),
    ("autovacuum", "off"),
    ("track_counts", "off"),
    ("update_process_title", "off"),
    ("jit", "off"),
    ("shared_buffers", "1024MB"),
    ("maintenance_work_mem", "512MB"),
];

/// Every stored byte against its digest, against `sha256sum` of the same files.
pub(super) fn check(setting: &mut Setting, options: &Options, report: &mut Report) -> Result<()> {
    let Pair {
        repository, backup, ..
    } = setting.pair()?;
    let files = files_below(&setting.fleet.repository("db1", &repository))?;
    let digest = || -> Result<()> {
        let mut command = as_user(Path::new("/usr/bin/sha256sum"));
        command.args(&files);
        process::run(command)?.ok().map(drop)
    };
    // Both find the files in the page cache.
    digest()?;
    let (mut theirs, mut ours, mut within) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        theirs.push(timed(digest)?.0);
        let seen = setting.run(&repository, &["backup", "check", &backup])?;
        ours.push(seen.seconds);
        within.push(seen.run_seconds);
    }
    let bytes: u64 = files
        .iter()
        .filter_map(|file| std::fs::metadata(file).ok())
        .map(|facts| facts.len())
        .sum();
    let (base, run) = (median(&theirs), median(&within));
    report.figure(
        "check *intact*, speed",
        format!("{} for {}", seconds(run), megabytes(bytes)),
        format!("`sha256sum` {}", seconds(base)),
        Held::times(base / run, Bar::Least(0.8)),
    );
    report.note(format!(
        "check: the run took {:.2} s, the operator's command {:.2} s",
        run,
        median(&ours)
    ));
    Ok(())
}

/// What is read from the repository for one small table.
pub(super) fn one_table(setting: &mut Setting, _: &Options, report: &mut Report) -> Result<()> {
    let Pair {
        repository, backup, ..
    } = setting.pair()?;
    let key = setting.key.clone();
    let pattern = format!("public.{TABLE}");
    let arguments = [
        "restore",
        "run",
        &backup,
        "--into",
        "one_table",
        "--table",
        &pattern,
        "--jobs",
        "2",
        "--identity",
        &key,
    ];
    let seen = setting.run(&repository, &arguments)?;
    setting.server.sql("postgres", "DROP DATABASE one_table")?;
    let read = seen.run["outcome"]["readBytes"].as_u64();
    let read = read.context("the outcome has no readBytes")?;
    let (table, manifest) = stored(setting, &repository)?;
    report.figure(
        "one table of eight: bytes read",
        megabytes(read),
        format!(
            "its stored bytes {} and the manifest {}",
            megabytes(table),
            megabytes(manifest)
        ),
        Held::times(float(read) / float(table + manifest), Bar::Most(1.1)),
    );
    report.note(format!("restore of one table: {}", steps(&seen)));
    Ok(())
}

/// Stored bytes of the table and of the manifest, as the repository itself has them.
fn stored(setting: &Setting, repository: &str) -> Result<(u64, u64)> {
    let options = FileOptions {
        create: CreateRoot::Never,
        free_bytes_min: 0,
        entropy: OsEntropy::shared(),
    };
    let root = setting.fleet.repository("db1", repository);
    let backend = Arc::new(FileBackend::open(&root, options)?);
    let identity = Identity::from_file_text(&std::fs::read_to_string(&setting.key)?)?;
    let reading = ReadOptions {
        trust: Trust::AnyKey,
        threads: 1,
        spool: SpoolPlace {
            directory: std::env::temp_dir(),
            entropy: OsEntropy::shared(),
        },
        cancel: Cancel::new(),
    };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let repository = Repository::open(backend, Opening::default()).await?;
        let instances = repository.instances().await?;
        let instance = instances.first().context("no instance is stored")?;
        let listed = repository.backups(*instance).await?;
        let backup = listed.first().context("no backup is stored")?.backup;
        let reader = repository.read_backup(backup, &identity, reading).await?;
        let entries = reader.entries().iter();
        let table = entries
            .filter(|entry| entry.head.table_name == TABLE)
            .map(|entry| entry.stored_bytes)
            .sum();
        Ok((table, reader.document().document.manifest.bytes))
    })
}

/// Into a new database of the same server, against `pg_restore` from a directory archive.
pub(super) fn restore(setting: &mut Setting, options: &Options, report: &mut Report) -> Result<()> {
    let Pair {
        repository,
        backup,
        archive,
    } = setting.pair()?;
    let key = setting.key.clone();
    let arguments = [
        "restore",
        "run",
        &backup,
        "--into",
        "ours",
        "--jobs",
        "2",
        "--identity",
        &key,
    ];
    let (mut theirs, mut ours, mut told) = (Vec::new(), Vec::new(), String::new());
    for _ in 0..options.rounds {
        theirs.push(pg_restore(&setting.server, &archive)?);
        let seen = setting.run(&repository, &arguments)?;
        setting
            .server
            .sql("postgres", "DROP DATABASE ours; CHECKPOINT")?;
        ours.push(seen.seconds);
        let p = seen.processor;
        told = format!(
            "processor seconds of a restore: server {:.2}, pg_restore {:.2}, agent {:.2}; \
             steps: {}",
            p.server,
            p.agent_tools,
            p.agent,
            steps(&seen)
        );
    }
    let (base, mine) = (median(&theirs), median(&ours));
    report.figure(
        "restore, 2 jobs",
        seconds(mine),
        format!("`pg_restore -j 2` of `-Fd -Z0` {}", seconds(base)),
        Held::times(mine / base, Bar::Most(1.10)),
    );
    report.note(told);
    Ok(())
}

/// Restores the directory archive into a new database of a server, and drops that.
fn pg_restore(server: &Postgres, archive: &Path) -> Result<f64> {
    server.sql("postgres", "CREATE DATABASE theirs TEMPLATE template0")?;
    let mut command = server.tool("pg_restore", "theirs");
    command.args(["-j", "2", "-d", "theirs"]).arg(archive);
    let (wall, finished) = timed(|| process::run(command))?;
    finished.ok()?;
    server.sql("postgres", "DROP DATABASE theirs; CHECKPOINT")?;
    Ok(wall)
}

/// From the command to the signed proof, against `pg_restore` into an instance that is as fast.
pub(super) fn drill(setting: &mut Setting, options: &Options, report: &mut Report) -> Result<()> {
    let Pair {
        repository,
        backup,
        archive,
    } = setting.pair()?;
    let key = setting.key.clone();
    let tuned = Postgres::start_with(&setting.fleet.place, "tuned", Major::V15, TUNED)?;
    let arguments = ["drill", "run", &backup, "--jobs", "2", "--identity", &key];
    let (mut theirs, mut ours, mut told) = (Vec::new(), Vec::new(), String::new());
    for _ in 0..options.rounds {
        theirs.push(pg_restore(&tuned, &archive)?);
        let seen = setting.run(&repository, &arguments)?;
        ours.push(seen.seconds);
        let p = seen.processor;
        told = format!(
            "drill of {DATABASE}: recovery {} ms as the proof tells it; processor seconds: agent \
             {:.2}, its children (tools and the throw-away server) {:.2}; steps: {}",
            seen.run["outcome"]["recoveryMillis"],
            p.agent,
            p.agent_tools,
            steps(&seen)
        );
    }
    let (base, mine) = (median(&theirs), median(&ours));
    report.figure(
        "drill, start to signed proof",
        seconds(mine),
        format!("`pg_restore -j 2`, tuned empty instance {}", seconds(base)),
        Held::times(mine / base, Bar::Most(1.5)),
    );
    report.note(told);
    Ok(())
}
