//! `make demo`: the whole story on a real database, in plain lines with figures. Everything lives
//! in a temporary directory and is gone at the end.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use anyhow::{Context as _, Result, ensure};
use provado_integration_tests::data::{shop, tpch};
use provado_integration_tests::harness::process::Finished;
use provado_integration_tests::harness::{Fleet, FleetOptions, Major, Place, Postgres};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// TPC-H scale factor of the demonstration: about 200 MB of rows.
const SCALE: f64 = 0.2;

fn main() -> Result<()> {
    let start = Instant::now();
    let place = Place::new()?;
    say("A database: TPC-H, and a schema with everything that is hard to back up");
    let server = Postgres::start(&place, "pg", Major::V15)?;
    server.sql("postgres", "CREATE DATABASE shop")?;
    tpch::load(&server, "shop", SCALE)?;
    shop::load(&server, "shop", 20_000)?;
    let size = server.sql("shop", "SELECT pg_size_pretty(pg_database_size('shop'))")?;
    let tables = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace >= 16384 \
                  OR relkind = 'r' AND relnamespace = 'public'::regnamespace";
    let tables = server.sql("shop", tables)?;
    tell(&format!(
        "PostgreSQL {}, database shop: {size}, {tables} tables, partitions, jsonb, bytea, arrays, \
         7 large objects, views, functions, row security",
        server.sql("shop", "SHOW server_version")?
    ));
    let story = Story::begin(place, &server)?;
    story.backups(&server)?;
    let damaged = story.checks_and_drill()?;
    story.damage(&damaged)?;
    story.restore(&server)?;
    story.audit()?;
    let seconds = start.elapsed().as_secs();
    drop(story);
    drop(server);
    say(&format!("Done in {seconds} s. Nothing is left behind."));
    Ok(())
}

struct Story {
    fleet: Fleet,
    key: PathBuf,
}

impl Story {
    fn begin(place: Place, server: &Postgres) -> Result<Self> {
        say("A controller, and an agent that joins with a one-time token");
        let mut fleet = Fleet::start(place, FleetOptions::default())?;
        fleet.join("db1", server)?;
        let story = Self {
            key: fleet.key_file("db1"),
            fleet,
        };
        story.show(&["agent", "list"])?;
        story.show(&["instance", "list"])?;
        say("A key, kept by the operator, and a repository that is encrypted to it");
        let recipient = story.show(&["key", "create", &text(&story.key)])?.ok()?;
        let path = story.fleet.repository("db1", "local");
        story
            .show(&[
                "repository",
                "init",
                "local",
                "--path",
                &text(&path),
                "--recipient",
                recipient.trim(),
            ])?
            .ok()?;
        Ok(story)
    }

    fn backups(&self, server: &Postgres) -> Result<()> {
        say("The first backup");
        self.show(&["backup", "run", "db1/shop"])?.ok()?;
        say("A small change: 500 orders side by side, and 1,000 new events");
        server.sql(
            "shop",
            "UPDATE orders SET o_comment = 'changed' WHERE o_orderkey BETWEEN 100000 AND 102000;
             INSERT INTO shop.event SELECT timestamptz '2026-03-01 00:00+00' + i * interval '1 s',
               i, 'paid', 'late' FROM generate_series(1, 1000) i",
        )?;
        say("The second backup restores as a full, and costs what changed");
        self.show(&["backup", "run", "db1/shop"])?.ok()?;
        self.show(&["backup", "list"])?.ok().map(drop)
    }

    /// Returns the second backup as the catalogue has it.
    fn checks_and_drill(&self) -> Result<Value> {
        let key = text(&self.key);
        say("A check: every stored byte against its checksum, no key needed");
        self.show(&["backup", "check", "latest:db1/shop"])?.ok()?;
        say("A drill: restored into a throw-away instance, every row compared");
        self.show(&["drill", "run", "latest:db1/shop", "--identity", &key])?
            .ok()?;
        self.show(&["proof", "list"])?.ok()?;
        let listed = self.fleet.json(&["proof", "list"])?;
        let proof = listed["proofs"][0]["name"]
            .as_str()
            .context("no proof")?
            .to_owned();
        self.show(&["proof", "verify", proof.trim_start_matches("proofs/")])?
            .ok()?;
        self.fleet.json(&["backup", "show", "latest:db1/shop"])
    }

    /// Damages what only the second backup needs, and shows that it does not go unseen.
    fn damage(&self, second: &Value) -> Result<()> {
        say("Somebody flips one bit in a stored pack");
        let first = self.first()?;
        let ids = |backup: &Value| -> Vec<String> {
            let packs = backup["packs"].as_array().cloned().unwrap_or_default();
            packs
                .iter()
                .filter_map(|p| p["packId"].as_str().map(str::to_owned))
                .collect()
        };
        let old = ids(&self.fleet.json(&["backup", "show", &first])?);
        let new = ids(second).into_iter().find(|id| !old.contains(id));
        let new = new.context("the second backup added no pack")?;
        let file = find(
            &self.fleet.repository("db1", "local"),
            &format!("{new}.pack"),
        )?;
        let file = file.with_context(|| format!("pack {new} is not in the repository"))?;
        flip(&file)?;
        tell(&format!("pack {new}, one bit in the middle"));
        let key = text(&self.key);
        let arguments = [
            "backup",
            "check",
            "latest:db1/shop",
            "--level",
            "readable",
            "--identity",
            &key,
        ];
        let found = self.show(&arguments)?;
        ensure!(
            found.code == 9,
            "the damage went unseen: exit code {}",
            found.code
        );
        tell("exit code 9: the check found it, named the tables, and the backup is marked corrupt");
        Ok(())
    }

    fn restore(&self, server: &Postgres) -> Result<()> {
        say("The first backup is whole: restored into a new database");
        let first = self.first()?;
        let key = text(&self.key);
        let into = "shop_restored";
        self.show(&["restore", "run", &first, "--into", into, "--identity", &key])?
            .ok()?;
        let count = "SELECT count(*) FROM lineitem";
        let (live, restored) = (server.sql("shop", count)?, server.sql(into, count)?);
        ensure!(
            live == restored,
            "lineitem: {live} rows live, {restored} restored"
        );
        tell(&format!("{into}: lineitem has {restored} rows, as it had"));
        Ok(())
    }

    fn audit(&self) -> Result<()> {
        say("Who did what, in a chain that anybody can verify");
        self.show(&["audit", "list", "--limit", "8"])?.ok()?;
        self.show(&["audit", "verify"])?.ok()?;
        let export = text(&self.fleet.place.path().join("controller/audit.jsonl"));
        self.show(&["audit", "export", &export])?.ok()?;
        self.show(&["audit", "verify", &export])?.ok().map(drop)
    }

    fn first(&self) -> Result<String> {
        let listed = self.fleet.json(&["backup", "list", "db1/shop"])?;
        let all = listed["backups"].as_array().context("no backups")?;
        let name = all
            .last()
            .and_then(|b| b["name"].as_str())
            .context("no backup")?;
        Ok(name.trim_start_matches("backups/").to_owned())
    }

    /// Shows a command line and what it prints.
    fn show(&self, arguments: &[&str]) -> Result<Finished> {
        let line: Vec<String> = arguments
            .iter()
            .map(|a| quoted(&self.shortened(a)))
            .collect();
        println!("\n  $ provado {}", line.join(" "));
        let done = self.fleet.provado(arguments)?;
        for line in done.stderr.lines().chain(done.stdout.lines()) {
            println!("  {}", self.shortened(line));
        }
        Ok(done)
    }

    /// Paths of the temporary directory add nothing to the story.
    fn shortened(&self, text: &str) -> String {
        text.replace(&*self.fleet.place.path().to_string_lossy(), "/demo")
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn quoted(text: &str) -> String {
    let plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_./:=".contains(c));
    if plain {
        text.to_owned()
    } else {
        format!("'{text}'")
    }
}

fn say(text: &str) {
    println!("\n== {text}");
}

fn tell(text: &str) {
    println!("  {text}");
}

fn flip(file: &Path) -> Result<()> {
    use std::os::unix::fs::FileExt as _;
    let open = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(file)?;
    let middle = open.metadata()?.len() / 2;
    let mut byte = [0];
    open.read_exact_at(&mut byte, middle)?;
    open.write_all_at(&[byte[0] ^ 1], middle)?;
    Ok(())
}

fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if let Some(found) = find(&path, name)? {
                return Ok(Some(found));
            }
        } else if path.file_name().is_some_and(|n| n == name) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
