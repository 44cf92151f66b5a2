//! Forty lying tools: whatever pg_dump does instead of its work, no backup comes of it, and the
//! backup before stays what it was (INV-EVIDENCE, RELIABILITY 2.1).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
// One table of lies, and tools that are run to be sure that they lie.
#![allow(
    clippy::disallowed_methods,
    clippy::too_many_lines,
    clippy::unnecessary_debug_formatting
)]

use provado_integration_tests::harness::process::run;
use provado_integration_tests::harness::{Fleet, FleetOptions, Major, Place, Postgres};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// A directory of client tools whose pg_dump does what the file `mode` beside it says.
fn lying_tools(place: &Place, real: &Path) -> PathBuf {
    let folder = place.directory("tools").unwrap();
    for entry in std::fs::read_dir(real).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if name != "pg_dump" {
            symlink(&path, folder.join(name)).unwrap();
        }
    }
    let script = format!(
        "#!/bin/bash\nreal={real:?}/pg_dump\nset -o pipefail\n\
         if [ \"$1\" = --version ]; then exec \"$real\" --version; fi\n\
         . {:?}\n",
        folder.join("mode")
    );
    let file = folder.join("pg_dump");
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn no_lie_becomes_a_backup() {
    let place = Place::new().unwrap();
    let server = Postgres::start(&place, "pg", Major::V15).unwrap();
    server.sql("postgres", "CREATE DATABASE shop").unwrap();
    let sql = "CREATE TABLE a AS SELECT i, md5(i::text) x FROM generate_series(1, 2000) i;
               CREATE TABLE b AS SELECT i, md5(i::text) x FROM generate_series(1, 2000) i;
               SELECT lo_from_bytea(0, decode(repeat(md5('x'), 100), 'hex'))";
    server.sql("shop", sql).unwrap();
    let mut real = server.tool("pg_dump", "shop");
    real.args(["-Fc", "-Z0"]);
    let size = real.output().unwrap().stdout.len();
    assert!(size > 100_000);
    let tools = lying_tools(&place, server.bin());
    let mode = |text: &str| {
        std::fs::write(tools.join("mode"), text).unwrap();
        std::fs::set_permissions(tools.join("mode"), std::fs::Permissions::from_mode(0o644))
            .unwrap();
    };
    mode("exec \"$real\" \"$@\"");
    let options = FleetOptions {
        agent: "stall_seconds_max = 60\n".into(),
        ..FleetOptions::default()
    };
    let fleet = Fleet::ready_with_tools(place, &server, options, &tools).unwrap();
    let honest = fleet.json(&["backup", "run", "db1/shop"]).unwrap();
    assert_eq!(honest["state"], "RUN_STATE_SUCCEEDED", "{honest}");
    let before = fleet.json(&["backup", "list"]).unwrap();

    let mut lies: Vec<(String, String)> = Vec::new();
    for percent in [
        1, 2, 3, 5, 8, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 95, 97, 98, 99,
    ] {
        let cut = size * percent / 100;
        lies.push((
            format!("cut at {percent} %"),
            format!("\"$real\" \"$@\" | head -c {cut}; exit 0"),
        ));
    }
    for bytes in [1, 2, 5, 11, 100] {
        let cut = size - bytes;
        lies.push((
            format!("the last {bytes} bytes missing"),
            format!("\"$real\" \"$@\" | head -c {cut}; exit 0"),
        ));
    }
    for (name, script) in [
        ("nothing, exit 0", "exit 0"),
        ("nothing, exit 1", "exit 1"),
        ("everything, exit 1", "\"$real\" \"$@\"; exit 1"),
        ("everything, exit 3", "\"$real\" \"$@\"; exit 3"),
        ("everything, then killed", "\"$real\" \"$@\"; kill -9 $$"),
        (
            "half, then killed",
            "\"$real\" \"$@\" | head -c 90000; kill -9 $$",
        ),
        (
            "half, then terminated",
            "\"$real\" \"$@\" | head -c 90000; kill -15 $$",
        ),
        ("garbage", "head -c 200000 /dev/urandom; exit 0"),
        ("zeros", "head -c 200000 /dev/zero; exit 0"),
        ("only the magic", "printf PGDMP; exit 0"),
        (
            "a text dump",
            "\"$real\" \"${@/-Fc/-Fp}\"; echo '-- done'; exit 0",
        ),
        (
            "stderr only",
            "echo 'pg_dump: error: out of disk' >&2; exit 0",
        ),
        (
            "everything and an error",
            "\"$real\" \"$@\"; echo 'pg_dump: error: query failed' >&2",
        ),
        ("everything twice", "\"$real\" \"$@\"; \"$real\" \"$@\""),
        (
            "something behind the end",
            "\"$real\" \"$@\"; printf 'more than was asked for'",
        ),
        (
            "through a terminal",
            "\"$real\" \"$@\" | sed 's/$/\\r/'; exit 0",
        ),
        ("without newlines", "\"$real\" \"$@\" | tr -d '\\n'; exit 0"),
        (
            "the first block missing",
            "\"$real\" \"$@\" | tail -c +5000; exit 0",
        ),
        (
            "a hole",
            "\"$real\" \"$@\" | (head -c 60000; head -c 999 >/dev/null; cat); exit 0",
        ),
        (
            "it hangs",
            "\"$real\" \"$@\" | head -c 90000; exec sleep 10000",
        ),
    ] {
        lies.push((name.to_owned(), script.to_owned()));
    }
    assert!(lies.len() >= 40, "{}", lies.len());
    for (name, script) in &lies {
        mode(script);
        let run = fleet.json(&["backup", "run", "db1/shop"]).unwrap();
        assert_eq!(run["state"], "RUN_STATE_FAILED", "{name}: {run}");
        let message = run["failure"]["message"].as_str().unwrap_or_default();
        assert!(message.len() > 20, "{name}: says only `{message}`");
        assert_eq!(fleet.json(&["backup", "list"]).unwrap(), before, "{name}");
    }
    mode("exec \"$real\" \"$@\"");
    fleet
        .provado(&["backup", "check", "latest:db1/shop"])
        .unwrap()
        .ok()
        .unwrap();
    let again = fleet.json(&["backup", "run", "db1/shop"]).unwrap();
    assert_eq!(again["state"], "RUN_STATE_SUCCEEDED", "{again}");
    let mut ps = std::process::Command::new("pgrep");
    ps.args(["-f", &tools.to_string_lossy()]);
    assert_eq!(run(ps).unwrap().stdout, "", "a child outlived its attempt");
}
