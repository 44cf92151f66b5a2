//! An agent that comes back with a token of its own goes on where it was: the same instance, the
//! same repository.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use provado_integration_tests::data::{shop, tpch};
use provado_integration_tests::harness::compare::assert_equal;
use provado_integration_tests::harness::{Fleet, Major, Place, Postgres};

#[test]
fn an_agent_that_comes_back_goes_on_in_its_repository() {
    let place = Place::new().unwrap();
    let server = Postgres::start(&place, "pg", Major::V15).unwrap();
    server.sql("postgres", "CREATE DATABASE shop").unwrap();
    shop::load(&server, "shop", 300).unwrap();
    tpch::load(&server, "shop", 0.01).unwrap();
    let mut fleet = Fleet::ready(place, &server).unwrap();
    let key = fleet.key_file("db1").to_string_lossy().into_owned();
    let backup = |fleet: &Fleet| {
        let run = fleet.json(&["backup", "run", "db1/shop"]).unwrap();
        assert_eq!(run["state"], "RUN_STATE_SUCCEEDED", "{run}");
        run["outcome"]["addedBytes"].as_i64().unwrap()
    };
    let first = backup(&fleet);
    let agent = |fleet: &Fleet| fleet.json(&["agent", "show", "db1"]).unwrap();
    let before = agent(&fleet);
    fleet.come_back("db1").unwrap();
    let after = agent(&fleet);
    assert_eq!(after["uid"], before["uid"]);
    assert_eq!(after["connected"], true, "{after}");
    assert_eq!(after["instanceCount"], before["instanceCount"]);
    assert_eq!(after["certificateGeneration"].as_i64(), Some(2), "{after}");
    // The next backup goes on from the one before, and both are read with what was there before.
    let second = backup(&fleet);
    assert!(second * 5 < first, "{first} {second}");
    let into = ["--into", "again", "--identity", &key];
    let restore = ["restore", "run", "latest:db1/shop"];
    let restored = fleet.provado(&[&restore[..], &into[..]].concat()).unwrap();
    restored.ok().unwrap();
    assert_equal((&server, "shop"), (&server, "again")).unwrap();
    fleet.provado(&["audit", "verify"]).unwrap().ok().unwrap();
}
