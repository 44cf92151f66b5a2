//! The units under deploy/ are what systemd takes, and keep the daemons as confined as promised.
//!
//! systemd's own tools judge them, offline; no unit is ever started and nothing is installed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
// These tests run systemd's tools, in this one file.
#![allow(clippy::disallowed_methods)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const DAEMONS: &[&str] = &["provado-agent", "provado-controller"];

/// systemd rates exposure from 0 to 10; the bar is 2.0, and the tool takes tenths.
const EXPOSURE_TENTHS_MAX: u32 = 20;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("deploy")
}

/// A copy of the unit whose program exists on this machine, whether or not the daemon is installed.
fn unit_with_program(folder: &Path, daemon: &str, change: impl Fn(String) -> String) -> PathBuf {
    let text = unit(daemon);
    let installed = format!("/usr/bin/{daemon}");
    assert!(
        text.contains(&installed),
        "{daemon} is not started from {installed}"
    );
    let path = folder.join(format!("{daemon}.service"));
    std::fs::write(&path, change(text.replace(&installed, "/bin/true"))).unwrap();
    path
}

fn unit(daemon: &str) -> String {
    let path = deploy().join("systemd").join(format!("{daemon}.service"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn analyze(arguments: &[&str], unit: &Path) -> Output {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .arg(unit)
        .output();
    output.expect("systemd-analyze runs (scripts/setup installs it)")
}

fn verify(unit: &Path) -> Output {
    analyze(&["verify", "--man=no"], unit)
}

fn security(unit: &Path) -> Output {
    let threshold = format!("--threshold={EXPOSURE_TENTHS_MAX}");
    analyze(
        &["security", "--offline=true", "--no-pager", &threshold],
        unit,
    )
}

fn text_of(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn systemd_takes_the_units_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    for daemon in DAEMONS {
        let output = verify(&unit_with_program(folder.path(), daemon, |text| text));
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{}",
            text_of(&output)
        );
    }
}

#[test]
fn a_misspelled_setting_would_be_seen() {
    let folder = tempfile::tempdir().unwrap();
    let misspell = |text: String| text.replace("KillMode=", "KilMode=");
    let output = verify(&unit_with_program(folder.path(), DAEMONS[0], misspell));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("KilMode"),
        "{}",
        text_of(&output)
    );
}

#[test]
fn the_daemons_are_confined() {
    let folder = tempfile::tempdir().unwrap();
    for daemon in DAEMONS {
        let output = security(&unit_with_program(folder.path(), daemon, |text| text));
        assert!(output.status.success(), "{}", text_of(&output));
    }
}

#[test]
fn a_loosened_unit_would_be_seen() {
    let folder = tempfile::tempdir().unwrap();
    let loosen = |text: String| {
        let kept = |line: &&str| !line.starts_with("User=") && !line.starts_with("SystemCall");
        let kept: Vec<&str> = text.lines().filter(kept).collect();
        kept.join("\n")
    };
    let output = security(&unit_with_program(folder.path(), DAEMONS[0], loosen));
    assert!(!output.status.success(), "{}", text_of(&output));
}

#[test]
fn what_the_rating_does_not_weigh_is_there() {
    for daemon in DAEMONS {
        let unit = unit(daemon);
        let has = |setting: &str| unit.lines().any(|line| line == setting);
        for setting in [
            "Type=notify",
            "KillMode=control-group",
            "NoNewPrivileges=yes",
        ] {
            assert!(has(setting), "{daemon}: no {setting}");
        }
        for setting in ["WatchdogSec=", "MemoryMax=", "TasksMax=", "StateDirectory="] {
            assert!(
                unit.lines().any(|it| it.starts_with(setting)),
                "{daemon}: no {setting}"
            );
        }
        assert!(!has("User=root"), "{daemon} runs as root");
    }
}

#[test]
fn the_agent_does_not_take_the_servers_shared_memory_with_it() {
    // Both run as user postgres; RemoveIPC= is per user, not per unit.
    assert!(
        !unit("provado-agent")
            .lines()
            .any(|line| line.starts_with("RemoveIPC="))
    );
}

#[test]
fn the_controllers_user_can_be_made() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("etc")).unwrap();
    let source = deploy().join("systemd/provado.sysusers.conf");
    let output = Command::new("systemd-sysusers")
        .arg(format!("--root={}", folder.path().display()))
        .arg("-")
        .stdin(std::fs::File::open(source).unwrap())
        .output()
        .expect("systemd-sysusers runs (scripts/setup installs systemd)");
    assert!(output.status.success(), "{}", text_of(&output));
    let made = std::fs::read_to_string(folder.path().join("etc/passwd")).unwrap();
    assert!(made.starts_with("provado:"), "{made}");
}
