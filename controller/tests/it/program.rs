//! `provado-controller` as a service manager sees it.

use crate::world::PATIENCE;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

#[expect(
    clippy::disallowed_methods,
    reason = "the program under test, with an environment that is given here"
)]
fn program(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_provado-controller"));
    command.env_clear().arg("--config").arg(config);
    command
}

fn write_config(directory: &Path, more: &str) -> std::path::PathBuf {
    let path = directory.join("controller.toml");
    let data = directory.join("data");
    let text = format!(
        "data_dir = {:?}\n{more}\n[agents]\nlisten = \"127.0.0.1:0\"\n[operators]\nlisten = \
         \"127.0.0.1:0\"\n",
        data.display().to_string()
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "signals the program under test, by its id"
)]
fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args([name, &id]).status().unwrap();
    assert!(sent.success());
}

/// What the program tells its service manager next, watchdog pulses left out.
fn told(socket: &UnixDatagram) -> String {
    let mut buffer = [0_u8; 512];
    loop {
        let length = socket.recv(&mut buffer).unwrap();
        let message = String::from_utf8_lossy(&buffer[..length]).trim().to_owned();
        if message != "WATCHDOG=1" {
            return message;
        }
    }
}

#[test]
fn it_tells_when_it_is_ready_and_when_it_stops() {
    let directory = tempfile::tempdir().unwrap();
    let config = write_config(directory.path(), "");
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = program(&config);
    command
        .env("NOTIFY_SOCKET", &path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    assert_eq!(told(&socket), "READY=1");
    assert!(directory.path().join("data/operator/profile.toml").exists());
    // A reload does not end it.
    signal(&child, "-HUP");
    signal(&child, "-TERM");
    assert_eq!(told(&socket), "STOPPING=1");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(!text(&output).contains("ERROR"), "{}", text(&output));
}

#[test]
fn a_configuration_is_checked_without_a_start() {
    let directory = tempfile::tempdir().unwrap();
    let config = write_config(directory.path(), "");
    let good = program(&config).args(["config", "check"]).output().unwrap();
    assert!(good.status.success(), "{}", text(&good));
    assert!(!directory.path().join("data").exists());

    let config = write_config(directory.path(), "colour = \"red\"");
    for arguments in [&["config", "check"][..], &[]] {
        let bad = program(&config).args(arguments).output().unwrap();
        assert_eq!(bad.status.code(), Some(2), "{}", text(&bad));
        let said = text(&bad);
        assert!(
            said.contains("colour") && said.contains("controller.toml"),
            "{said}"
        );
    }
    let missing = directory.path().join("missing.toml");
    let output = program(&missing).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("missing.toml"), "{}", text(&output));
}

#[test]
fn a_lost_profile_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let config = write_config(directory.path(), "");
    let made = program(&config).arg("renew-profile").output().unwrap();
    assert!(made.status.success(), "{}", text(&made));
    let key = directory.path().join("data/operator/admin.key");
    let first = std::fs::read(&key).unwrap();
    std::fs::remove_dir_all(directory.path().join("data/operator")).unwrap();
    let again = program(&config).arg("renew-profile").output().unwrap();
    assert!(again.status.success(), "{}", text(&again));
    assert_ne!(first, std::fs::read(&key).unwrap());
}

#[test]
fn a_data_directory_that_others_may_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&data, open).unwrap();
    let config = write_config(directory.path(), "");
    let output = program(&config).output().unwrap();
    assert_eq!(output.status.code(), Some(8), "{}", text(&output));
    assert!(text(&output).contains("chmod"), "{}", text(&output));
}
