//! The main job, end to end, with separate programs and real servers: join, back up, back up
//! again, check, drill, prove, restore, verify.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
// The story is told in one piece.
#![allow(clippy::too_many_lines)]

use provado_integration_tests::data::{shop, tpch};
use provado_integration_tests::harness::compare::assert_equal;
use provado_integration_tests::harness::{Fleet, FleetOptions, Major, Place, Postgres};

fn story(major: Major, store_on_postgres: bool) {
    let place = Place::new().unwrap();
    let server = Postgres::start(&place, "pg", major).unwrap();
    server.sql("postgres", "CREATE DATABASE shop").unwrap();
    shop::load(&server, "shop", 300).unwrap();
    tpch::load(&server, "shop", 0.01).unwrap();
    let mut options = FleetOptions::default();
    if store_on_postgres {
        server.sql("postgres", "CREATE DATABASE provado").unwrap();
        let host = server.socket().to_string_lossy().replace('/', "%2F");
        options.store = format!("postgres://postgres@{host}:{}/provado", server.port);
    }
    let fleet = Fleet::ready_with(place, &server, options).unwrap();
    let key = fleet.key_file("db1").to_string_lossy().into_owned();

    let dry = fleet
        .provado(&["backup", "run", "db1/shop", "--dry-run"])
        .unwrap();
    dry.ok().unwrap();
    let first = fleet
        .json(&["backup", "run", "db1/shop", "--label", "why=test"])
        .unwrap();
    assert_eq!(first["state"], "RUN_STATE_SUCCEEDED", "{first}");
    server
        .sql("shop", "INSERT INTO shop.parent VALUES (4, 1)")
        .unwrap();
    let second = fleet.json(&["backup", "run", "db1/shop"]).unwrap();
    assert_eq!(second["state"], "RUN_STATE_SUCCEEDED", "{second}");
    let added = |run: &serde_json::Value| run["outcome"]["addedBytes"].as_i64().unwrap();
    assert!(
        added(&second) * 5 < added(&first),
        "{} {}",
        added(&first),
        added(&second)
    );

    for level in ["present", "intact", "readable"] {
        let arguments = [
            "backup",
            "check",
            "latest:db1/shop",
            "--level",
            level,
            "--identity",
            &key,
        ];
        fleet.provado(&arguments).unwrap().ok().unwrap();
    }
    let drill = fleet
        .json(&["drill", "run", "latest:db1/shop", "--identity", &key])
        .unwrap();
    assert_eq!(drill["state"], "RUN_STATE_SUCCEEDED", "{drill}");
    let shown = fleet.json(&["backup", "show", "latest:db1/shop"]).unwrap();
    assert_eq!(shown["checkState"], "BACKUP_CHECK_STATE_PROVEN");
    let proof = drill["proof"]
        .as_str()
        .unwrap()
        .trim_start_matches("proofs/");
    fleet
        .provado(&["proof", "verify", proof])
        .unwrap()
        .ok()
        .unwrap();

    let dry = fleet
        .provado(&[
            "restore",
            "run",
            "latest:db1/shop",
            "--into",
            "again",
            "--dry-run",
        ])
        .unwrap();
    dry.ok().unwrap();
    let restored = fleet
        .provado(&[
            "restore",
            "run",
            "latest:db1/shop",
            "--into",
            "again",
            "--identity",
            &key,
        ])
        .unwrap();
    restored.ok().unwrap();
    assert_equal((&server, "shop"), (&server, "again")).unwrap();

    fleet.provado(&["audit", "verify"]).unwrap().ok().unwrap();
    let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'provado:%'";
    assert_eq!(server.sql("postgres", left).unwrap(), "0");
}

#[test]
fn postgres_15_with_the_store_on_sqlite() {
    story(Major::V15, false);
}

#[test]
fn postgres_15_with_the_store_on_postgresql() {
    story(Major::V15, true);
}

#[test]
fn postgres_16() {
    story(Major::V16, false);
}

#[test]
fn postgres_18() {
    story(Major::V18, false);
}
