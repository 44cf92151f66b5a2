//! A controller that is started again from an older copy of its database: nothing runs twice,
//! nothing is lost, everybody is told, and an operator can agree and go on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
// The story is told in one piece.
#![allow(clippy::too_many_lines)]

use provado_integration_tests::data::shop;
use provado_integration_tests::harness::compare::assert_equal;
use provado_integration_tests::harness::fleet::SOON;
use provado_integration_tests::harness::process::wait_until;
use provado_integration_tests::harness::{Fleet, Major, Place, Postgres};
use serde_json::Value;
use std::path::Path;

const DATABASE: [&str; 3] = ["controller.db", "controller.db-wal", "controller.db-shm"];

/// Copies the controller's database, which nobody has open.
fn copy(fleet: &Fleet, from: &Path, to: &Path) {
    for name in DATABASE {
        let (source, copied) = (from.join(name), to.join(name));
        let _ = std::fs::remove_file(&copied);
        if source.exists() {
            std::fs::copy(source, &copied).unwrap();
            fleet.own(&copied).unwrap();
        }
    }
}

fn stop_controller(fleet: &mut Fleet) {
    fleet.controller.as_mut().unwrap().stop(SOON).unwrap();
}

/// Starts the controller and waits until its agent is connected again.
fn start_controller(fleet: &mut Fleet) {
    fleet.start_controller().unwrap();
    wait_until("the agent is connected again", SOON, || {
        let agent = fleet.json(&["agent", "show", "db1"])?;
        Ok((agent["connected"] == true).then_some(()))
    })
    .unwrap();
}

fn controller(fleet: &Fleet) -> Value {
    fleet.json(&["controller", "show"]).unwrap()
}

fn backups(fleet: &Fleet) -> Vec<String> {
    let listed = fleet.json(&["backup", "list"]).unwrap();
    let listed = listed["backups"].as_array().unwrap();
    let name = |backup: &Value| {
        let name = backup["name"].as_str().unwrap();
        name.trim_start_matches("backups/").to_owned()
    };
    listed.iter().map(name).collect()
}

/// How many backups lie in the repository: one manifest each.
fn manifests(fleet: &Fleet) -> usize {
    let mut count = 0;
    let mut folders = vec![fleet.repository("db1", "local")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "manifest") {
                count += 1;
            }
        }
    }
    count
}

#[test]
fn a_controller_restored_from_an_older_copy_loses_nothing_and_repeats_nothing() {
    let place = Place::new().unwrap();
    let server = Postgres::start(&place, "pg", Major::V15).unwrap();
    server.sql("postgres", "CREATE DATABASE shop").unwrap();
    shop::load(&server, "shop", 100).unwrap();
    let kept = place.directory("kept").unwrap();
    let mut fleet = Fleet::ready(place, &server).unwrap();
    let data = fleet.place.path().join("controller");
    let key = fleet.key_file("db1").to_string_lossy().into_owned();
    let first = fleet.json(&["backup", "run", "db1/shop"]).unwrap();
    assert_eq!(first["state"], "RUN_STATE_SUCCEEDED", "{first}");

    // In the copy a third run waits for the agent, which carries it out in the life that is lost.
    fleet.agent("db1").stop(SOON).unwrap();
    let waiting = fleet
        .json(&["backup", "run", "db1/shop", "--no-wait"])
        .unwrap();
    let waiting = waiting["name"].as_str().unwrap().to_owned();
    stop_controller(&mut fleet);
    copy(&fleet, &data, &kept);
    fleet.start_controller().unwrap();
    fleet.start_agent("db1").unwrap();
    fleet
        .provado(&["run", "watch", &waiting])
        .unwrap()
        .ok()
        .unwrap();
    server
        .sql("shop", "INSERT INTO shop.parent VALUES (4711, 1)")
        .unwrap();
    let second = fleet.json(&["backup", "run", "db1/shop"]).unwrap();
    assert_eq!(second["state"], "RUN_STATE_SUCCEEDED", "{second}");
    let second_run = second["name"].as_str().unwrap().trim_start_matches("runs/");
    let second_backup = second["backup"].as_str().unwrap();
    let second_backup = second_backup.trim_start_matches("backups/").to_owned();
    let all = backups(&fleet);
    assert_eq!((all.len(), manifests(&fleet)), (3, 3));
    let epoch = controller(&fleet)["epoch"].as_i64().unwrap();

    stop_controller(&mut fleet);
    copy(&fleet, &kept, &data);
    start_controller(&mut fleet);

    // It is noticed and told, also by commands that ask for something else.
    let now = controller(&fleet);
    assert!(now["epoch"].as_i64().unwrap() > epoch, "{now}");
    let message = now["amnesia"]["message"].as_str().unwrap();
    assert!(message.contains("it was shown"), "{message}");
    let listed = fleet.provado(&["backup", "list"]).unwrap();
    assert_eq!(
        listed.stderr.matches("CONTROLLER_AMNESIA").count(),
        1,
        "{listed:?}"
    );
    assert_eq!(backups(&fleet).len(), 1);

    // The run that was carried out already ends without being carried out again.
    let watched = fleet.provado(&["run", "watch", &waiting]).unwrap();
    assert_eq!(watched.code, 1, "{watched:?}");
    assert!(watched.stderr.contains("RUN_ENDED"), "{watched:?}");
    assert_eq!(fleet.provado(&["run", "show", second_run]).unwrap().code, 3);

    // Restores and deletes wait; backups go on.
    let restore = |backup: &str, into: &str| {
        let line = ["restore", "run", backup, "--into", into, "--identity", &key];
        fleet.provado(&line).unwrap()
    };
    for refused in [
        restore("latest:db1/shop", "refused"),
        fleet.provado(&["repository", "sweep", "local"]).unwrap(),
    ] {
        assert_eq!(refused.code, 5, "{refused:?}");
        assert!(refused.stderr.contains("accept-amnesia"), "{refused:?}");
    }
    let fourth = fleet.json(&["backup", "run", "db1/shop"]).unwrap();
    assert_eq!(fourth["state"], "RUN_STATE_SUCCEEDED", "{fourth}");
    assert_eq!(manifests(&fleet), 4);

    // A scan brings back what is in the repository, once; the newest stays the newest.
    let scan = ["repository", "scan", "local", "--identity", &key];
    for came in [2, 0] {
        let scanned = fleet.json(&scan).unwrap();
        assert_eq!(scanned["outcome"]["objectCount"], came, "{scanned}");
    }
    let mut again = backups(&fleet);
    assert_eq!(again.len(), 4);
    assert!(all.iter().all(|backup| again.contains(backup)));
    let newest = fleet.json(&["backup", "show", "latest:db1/shop"]).unwrap();
    assert_eq!(newest["name"], fourth["backup"]);
    let shown = fleet.json(&["backup", "show", &second_backup]).unwrap();
    assert_eq!(shown["rowCount"], fourth["outcome"]["rowCount"]);
    assert_eq!(shown["checkState"], "BACKUP_CHECK_STATE_UNCHECKED");
    for backup in &again {
        fleet
            .provado(&["backup", "check", backup])
            .unwrap()
            .ok()
            .unwrap();
    }

    // An operator agrees to what was read, and to nothing else.
    let told = now["epoch"].to_string();
    let accept = |epoch: &str| {
        let line = [
            "controller",
            "accept-amnesia",
            "--epoch",
            epoch,
            "--message",
            "copy lost",
        ];
        fleet.provado(&line).unwrap()
    };
    assert_eq!(accept("1").code, 5);
    accept(&told).ok().unwrap();
    assert!(controller(&fleet)["amnesia"].is_null());
    let listed = fleet.provado(&["backup", "list"]).unwrap();
    assert!(listed.stderr.is_empty(), "{listed:?}");
    restore(&second_backup, "again").ok().unwrap();
    assert_equal((&server, "shop"), (&server, "again")).unwrap();
    let drill = ["drill", "run", &second_backup, "--identity", &key];
    fleet.provado(&drill).unwrap().ok().unwrap();
    fleet.provado(&["audit", "verify"]).unwrap().ok().unwrap();

    // What was agreed to is no news after another start.
    stop_controller(&mut fleet);
    start_controller(&mut fleet);
    assert!(controller(&fleet)["amnesia"].is_null());
    again.sort();
    let mut last = backups(&fleet);
    last.sort();
    assert_eq!(last, again);
    fleet.provado(&["audit", "verify"]).unwrap().ok().unwrap();
}
