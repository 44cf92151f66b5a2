//! kill -9 of agent, controller, pg_dump, pg_restore or PostgreSQL at many moments: afterwards no
//! run is stuck, no child or backend is left, nothing half-written is listed, the chain verifies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
// Which moment is hit is the point of these tests, so they look at the clock and kill by hand.
#![allow(clippy::disallowed_methods)]

use provado_integration_tests::data::tpch;
use provado_integration_tests::harness::compare::assert_equal;
use provado_integration_tests::harness::process::{run, wait_until};
use provado_integration_tests::harness::{Fleet, FleetOptions, Major, Place, Postgres};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

/// What is killed.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Agent,
    Controller,
    Tool(&'static str),
    Server,
}

fn setup() -> (Fleet, Postgres, String) {
    let place = Place::new().unwrap();
    let server = Postgres::start(&place, "pg", Major::V15).unwrap();
    server.sql("postgres", "CREATE DATABASE shop").unwrap();
    tpch::load(&server, "shop", 0.1).unwrap();
    let options = FleetOptions {
        controller: "[limits]\nlease_seconds = 15\n".into(),
        ..FleetOptions::default()
    };
    let fleet = Fleet::ready_with(place, &server, options).unwrap();
    let key = fleet.key_file("db1").to_string_lossy().into_owned();
    fleet
        .provado(&["backup", "run", "db1/shop"])
        .unwrap()
        .ok()
        .unwrap();
    (fleet, server, key)
}

fn strike(fleet: &mut Fleet, server: &Postgres, victim: Victim) {
    match victim {
        Victim::Agent => {
            fleet.agent("db1").kill();
            fleet.start_agent("db1").unwrap();
        }
        Victim::Controller => {
            fleet.controller.as_mut().unwrap().kill();
            fleet.start_controller().unwrap();
        }
        Victim::Tool(name) => {
            let agent = fleet.agent("db1").pid();
            kill_descendants(agent, &format!("{}/{name}", server.bin().display()));
        }
        Victim::Server => {
            server.stop("immediate").unwrap();
            server.restart().unwrap();
        }
    }
}

/// Kills what the agent has started of this program, and no other process of the machine: other
/// tests run the same program at the same time.
fn kill_descendants(agent: u32, program: &str) {
    let parents = parents();
    for pid in parents.keys() {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let is_program = command.split(|byte| *byte == 0).next() == Some(program.as_bytes());
        let mut above = *pid;
        while above != agent && above > 1 {
            above = parents.get(&above).copied().unwrap_or(0);
        }
        let pid = i32::try_from(*pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid.filter(|_| is_program && above == agent) {
            // It may have ended by itself in the meantime.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// The parent of every process.
fn parents() -> BTreeMap<u32, u32> {
    let mut parents = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let name = entry.unwrap().file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // The parent is the second field after the name, which stands in brackets.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        if let Some(parent) = rest
            .split(' ')
            .nth(1)
            .and_then(|parent| parent.parse().ok())
        {
            parents.insert(pid, parent);
        }
    }
    parents
}

/// Waits until the run has ended, however it ended.
fn ended(fleet: &Fleet, name: &str) -> String {
    wait_until(
        &format!("run {name} has ended"),
        Duration::from_mins(3),
        || {
            let run = fleet.json(&["run", "show", name])?;
            let state = run["state"].as_str().unwrap_or_default().to_owned();
            let over = ["SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"]
                .iter()
                .any(|s| state.ends_with(s));
            Ok(over.then_some(state))
        },
    )
    .unwrap()
}

fn nothing_is_left(fleet: &Fleet, server: &Postgres) {
    wait_until(
        "no child and no backend is left",
        Duration::from_secs(30),
        || {
            let mut children = Command::new("pgrep");
            children.args([
                "-f",
                &format!("{}/pg_(dump|restore)", server.bin().display()),
            ]);
            let mut drills = Command::new("pgrep");
            drills.args([
                "-f",
                &fleet.place.path().join("drills-db1").to_string_lossy(),
            ]);
            let backends = server.sql(
                "postgres",
                "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'provado:%'",
            )?;
            let quiet = run(children)?.stdout.is_empty() && run(drills)?.stdout.is_empty();
            Ok((quiet && backends == "0").then_some(()))
        },
    )
    .unwrap();
    fleet.provado(&["audit", "verify"]).unwrap().ok().unwrap();
}

fn kill_during_backups(victim: Victim, moments_millis: &[u64]) {
    let (mut fleet, server, key) = setup();
    for moment in moments_millis {
        let asked = fleet
            .json(&["backup", "run", "db1/shop", "--no-wait"])
            .unwrap();
        let name = asked["name"]
            .as_str()
            .unwrap()
            .trim_start_matches("runs/")
            .to_owned();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(*moment) {
            std::thread::sleep(Duration::from_millis(5));
        }
        strike(&mut fleet, &server, victim);
        ended(&fleet, &name);
        nothing_is_left(&fleet, &server);
        let listed = fleet.json(&["backup", "list"]).unwrap();
        for backup in listed["backups"].as_array().unwrap() {
            let id = backup["name"]
                .as_str()
                .unwrap()
                .trim_start_matches("backups/");
            fleet
                .provado(&["backup", "check", id])
                .unwrap()
                .ok()
                .unwrap();
        }
    }
    let last = fleet.json(&["backup", "run", "db1/shop"]).unwrap();
    assert_eq!(last["state"], "RUN_STATE_SUCCEEDED", "{last}");
    let into = [
        "restore",
        "run",
        "latest:db1/shop",
        "--into",
        "again",
        "--identity",
        &key,
    ];
    fleet.provado(&into).unwrap().ok().unwrap();
    assert_equal((&server, "shop"), (&server, "again")).unwrap();
}

const MOMENTS: &[u64] = &[0, 30, 100, 250, 500, 900, 1500];

#[test]
fn the_agent_is_killed_during_backups() {
    kill_during_backups(Victim::Agent, MOMENTS);
}

#[test]
fn the_controller_is_killed_during_backups() {
    kill_during_backups(Victim::Controller, MOMENTS);
}

#[test]
fn pg_dump_is_killed_during_backups() {
    kill_during_backups(Victim::Tool("pg_dump"), &[100, 300, 600, 1000]);
}

#[test]
fn the_server_is_stopped_during_backups() {
    kill_during_backups(Victim::Server, &[50, 300, 800]);
}

#[test]
fn restores_and_drills_that_are_struck_leave_nothing() {
    let (mut fleet, server, key) = setup();
    let jobs: [(&str, Victim); 5] = [
        ("restore", Victim::Agent),
        ("restore", Victim::Tool("pg_restore")),
        ("restore", Victim::Controller),
        ("drill", Victim::Agent),
        ("drill", Victim::Controller),
    ];
    for (index, (kind, victim)) in jobs.iter().enumerate() {
        for moment in [200_u64, 1200] {
            let into = format!("r{index}x{moment}");
            let mut arguments = vec![*kind, "run", "latest:db1/shop", "--identity", &key];
            if *kind == "restore" {
                arguments.extend(["--into", &into]);
            }
            arguments.push("--no-wait");
            let asked = fleet.json(&arguments).unwrap();
            let name = asked["name"]
                .as_str()
                .unwrap()
                .trim_start_matches("runs/")
                .to_owned();
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(moment) {
                std::thread::sleep(Duration::from_millis(5));
            }
            strike(&mut fleet, &server, *victim);
            let state = ended(&fleet, &name);
            nothing_is_left(&fleet, &server);
            let there = format!("SELECT count(*) FROM pg_database WHERE datname = '{into}'");
            let there = server.sql("postgres", &there).unwrap();
            let expected = if *kind == "restore" && state.ends_with("SUCCEEDED") {
                "1"
            } else {
                "0"
            };
            assert_eq!(there, expected, "{kind} {victim:?} {moment}: {state}");
        }
    }
}
