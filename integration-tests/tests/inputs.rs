//! Wrong input: a clear message, the right exit code, nothing changed. And hostile names, which
//! are not wrong at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
// A table of wrong inputs reads best in one piece.
#![allow(clippy::too_many_lines)]

use provado_integration_tests::data::hostile::{NAMES, quote};
use provado_integration_tests::harness::compare::assert_equal;
use provado_integration_tests::harness::{Fleet, Major, Place, Postgres};

#[test]
fn wrong_input_is_told_and_changes_nothing() {
    let place = Place::new().unwrap();
    let server = Postgres::start(&place, "pg", Major::V15).unwrap();
    server.sql("postgres", "CREATE DATABASE shop").unwrap();
    server
        .sql("shop", "CREATE TABLE t AS SELECT generate_series(1, 100) i")
        .unwrap();
    let fleet = Fleet::ready(place, &server).unwrap();
    let key = fleet.key_file("db1").to_string_lossy().into_owned();
    fleet
        .provado(&["backup", "run", "db1/shop"])
        .unwrap()
        .ok()
        .unwrap();
    let other = fleet
        .place
        .path()
        .join("other.key")
        .to_string_lossy()
        .into_owned();
    fleet
        .provado(&["key", "create", &other])
        .unwrap()
        .ok()
        .unwrap();
    let before = server.sql(
        "postgres",
        "SELECT string_agg(datname, ',') FROM pg_database",
    );
    let backups = fleet.json(&["backup", "list"]).unwrap();

    let check = |arguments: &[&str], code: i32, words: &[&str]| {
        let done = fleet.provado(arguments).unwrap();
        let said = format!("{}{}", done.stdout, done.stderr);
        assert_eq!(done.code, code, "{arguments:?}: {said}");
        for word in words {
            assert!(
                said.contains(word),
                "{arguments:?} does not say `{word}`: {said}"
            );
        }
    };
    check(
        &["backup", "run", "nowhere/shop"],
        3,
        &["nowhere", "INSTANCE_NOT_FOUND"],
    );
    check(
        &["backup", "run", "db1/nothing"],
        3,
        &["nothing", "DATABASE_NOT_FOUND"],
    );
    check(
        &["backup", "run", "db1/shop", "--repository", "x"],
        3,
        &["REPOSITORY_NOT_FOUND"],
    );
    check(
        &["backup", "run", "db1/shop", "--table", "none.*"],
        1,
        &["none.*", "PATTERN_MATCHES"],
    );
    check(
        &["backup", "run", "db1/shop", "--label", "Bad Key=1"],
        2,
        &["Bad Key"],
    );
    check(&["backup", "run", "db1/shop", "--keep", "7y"], 2, &["7y"]);
    check(&["backup", "show", "latest:db1/nothing"], 3, &["nothing"]);
    check(&["backup", "show", "ffffffff"], 3, &["ffffffff"]);
    let into = |name: &'static str| ["restore", "run", "latest:db1/shop", "--into", name];
    check(&into("shop"), 5, &["shop", "TARGET_EXISTS"]);
    let mut wrong_key = into("fresh").to_vec();
    wrong_key.extend(["--identity", &other]);
    check(&wrong_key, 1, &["IDENTITY_WRONG"]);
    check(&into("fresh"), 1, &["IDENTITY_MISSING"]);
    let mut no_match = into("fresh").to_vec();
    no_match.extend(["--identity", &key, "--table", "public.nope"]);
    check(&no_match, 1, &["public.nope", "PATTERN_MATCHES"]);
    check(&["run", "cancel", "ffffffff"], 3, &["RUN_NOT_FOUND"]);
    check(&["key", "create", &key], 5, &["overwritten"]);
    check(
        &[
            "repository",
            "init",
            "Bad",
            "--path",
            "/x",
            "--recipient",
            "age1x",
        ],
        2,
        &["repository_id", "recipients"],
    );

    assert_eq!(
        server
            .sql(
                "postgres",
                "SELECT string_agg(datname, ',') FROM pg_database"
            )
            .unwrap(),
        before.unwrap()
    );
    assert_eq!(fleet.json(&["backup", "list"]).unwrap(), backups);
}

#[test]
fn hostile_names_are_backed_up_and_restored_as_what_they_are() {
    let place = Place::new().unwrap();
    let server = Postgres::start(&place, "pg", Major::V15).unwrap();
    for name in NAMES {
        server
            .sql("postgres", &format!("CREATE DATABASE {}", quote(name)))
            .unwrap();
    }
    let (first, rest) = NAMES.split_first().unwrap();
    for name in NAMES {
        let q = quote(name);
        server.sql("postgres", &format!("CREATE ROLE {q}")).unwrap();
        let sql = format!(
            "CREATE SCHEMA {q} AUTHORIZATION {q}; CREATE TABLE {q}.{q} ({q} int, x text);
             INSERT INTO {q}.{q} VALUES (1, 'a'), (2, NULL); ALTER TABLE {q}.{q} OWNER TO {q};
             COMMENT ON TABLE {q}.{q} IS 'x'; CREATE INDEX ON {q}.{q} ({q})"
        );
        server.sql(first, &sql).unwrap();
        for other in rest {
            server
                .sql(other, "CREATE TABLE IF NOT EXISTS t AS SELECT 7 AS i")
                .unwrap();
        }
    }
    let fleet = Fleet::ready(place, &server).unwrap();
    let key = fleet.key_file("db1").to_string_lossy().into_owned();
    let all = fleet.json(&["backup", "run", "db1"]).unwrap();
    assert_eq!(all["state"], "RUN_STATE_SUCCEEDED", "{all}");
    for (index, name) in NAMES.iter().enumerate() {
        let backup = format!("latest:db1/{name}");
        let into = format!("{name}{index}")
            .chars()
            .take(50)
            .collect::<String>();
        let arguments = [
            "restore",
            "run",
            &backup,
            &format!("--into={into}"),
            "--identity",
            &key,
        ];
        fleet.provado(&arguments).unwrap().ok().unwrap();
        assert_equal((&server, name), (&server, &into)).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}
