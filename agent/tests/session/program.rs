//! The program itself: what it says to people and to systemd, and how it ends.

use crate::world::{BOUND, World, attempt};
use provado_proto::agent::v1::AttemptResult;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn program(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_provado-agent"));
    command.env_clear().arg("--config").arg(config);
    command
}

fn configure(world: &World) -> std::path::PathBuf {
    let path = world.folder.path().join("agent.toml");
    let text = format!(
        "data_dir = '{}'\ndrill_directory = '{}'\ndiscover = false\n",
        world.config().data_dir.display(),
        world.folder.path().display()
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Ends the process with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn heard(socket: &UnixDatagram, wanted: &str) {
    let mut bytes = [0_u8; 512];
    loop {
        let length = socket.recv(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        if text.lines().any(|line| line == wanted) {
            return;
        }
    }
}

#[test]
fn mistakes_are_told_and_nothing_is_changed() {
    let world = World::new();
    let config = configure(&world);
    let not_joined = program(&config).output().unwrap();
    assert_eq!(not_joined.status.code(), Some(1));
    assert!(
        said(&not_joined).contains("join-token create"),
        "{not_joined:?}"
    );
    let bad_string = program(&config).args(["join", "hello"]).output().unwrap();
    assert_eq!(bad_string.status.code(), Some(1));
    let good = program(&config).args(["config", "check"]).output().unwrap();
    assert!(good.status.success(), "{good:?}");
    std::fs::write(&config, "attempts_max = 0\nlog_level = 'x'\n").unwrap();
    let wrong = program(&config).args(["config", "check"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(said(&wrong).contains("attempts_max"), "{wrong:?}");
    std::fs::write(&config, "log_level = 'loud'\n").unwrap();
    let wrong = program(&config).args(["config", "check"]).output().unwrap();
    assert!(said(&wrong).contains("loud"), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_joins_tells_systemd_works_and_ends_when_asked() {
    let world = World::new();
    let config = configure(&world);
    let join_string = world.controller.join_string();
    let joined = program(&config)
        .args(["join", &join_string, "--name", "db1"])
        .output()
        .unwrap();
    assert!(joined.status.success(), "{joined:?}");
    let path = world.folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(BOUND)).unwrap();
    let mut agent = Running(
        program(&config)
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "200000")
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    heard(&socket, "READY=1");
    heard(&socket, "WATCHDOG=1");
    // A job without its repository: the real one, which refuses.
    let named = attempt(1);
    world.start_attempt(&named, 1).await;
    world
        .controller
        .until("the outcome comes", |part| part.reports.len() == 1)
        .await;
    let outcome = world.controller.part().reports[0].outcome.clone().unwrap();
    assert_eq!(outcome.result(), AttemptResult::Failed);
    let pid = Pid::from_child(&agent.0);
    kill_process(pid, Signal::TERM).unwrap();
    heard(&socket, "STOPPING=1");
    assert!(agent.0.wait().unwrap().success());
}
