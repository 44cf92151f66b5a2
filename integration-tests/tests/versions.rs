//! Backups of one major version restored on another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use provado_integration_tests::data::shop;
use provado_integration_tests::harness::compare::assert_equal;
use provado_integration_tests::harness::{Fleet, Major, Place, Postgres};

#[test]
fn fifteen_goes_to_eighteen_and_eighteen_does_not_go_to_fifteen() {
    let place = Place::new().unwrap();
    let old = Postgres::start(&place, "old", Major::V15).unwrap();
    let new = Postgres::start(&place, "new", Major::V18).unwrap();
    for server in [&old, &new] {
        server.sql("postgres", "CREATE DATABASE shop").unwrap();
        server
            .sql(
                "shop",
                "CREATE TABLE t AS SELECT i, i::text x FROM generate_series(1, 999) i",
            )
            .unwrap();
    }
    shop::load(&new, "shop", 50).unwrap();
    let options = provado_integration_tests::harness::FleetOptions {
        agent: format!(
            "[[instance]]\nname = \"new\"\nhost = {:?}\nuser = \"postgres\"\n",
            new.socket()
        ),
        ..Default::default()
    };
    let fleet = Fleet::ready_with(place, &old, options).unwrap();
    let key = fleet.key_file("db1").to_string_lossy().into_owned();
    for target in ["db1/shop", "new/shop"] {
        let run = fleet.json(&["backup", "run", target]).unwrap();
        assert_eq!(run["state"], "RUN_STATE_SUCCEEDED", "{run}");
    }
    let up = [
        "restore",
        "run",
        "latest:db1/shop",
        "--instance",
        "new",
        "--into",
        "up",
        "--identity",
        &key,
    ];
    fleet.provado(&up).unwrap().ok().unwrap();
    assert_equal((&old, "shop"), (&new, "up")).unwrap();
    let down = [
        "restore",
        "run",
        "latest:new/shop",
        "--instance",
        "db1",
        "--into",
        "down",
        "--identity",
        &key,
    ];
    let refused = fleet.provado(&down).unwrap();
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.stderr.contains("TARGET_TOO_OLD"), "{refused:?}");
    assert_eq!(
        old.sql(
            "postgres",
            "SELECT 1 FROM pg_database WHERE datname = 'down'"
        )
        .unwrap(),
        ""
    );
}
