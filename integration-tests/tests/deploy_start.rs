//! Both daemons start from the example configurations, as their units start them: they say that
//! they are ready and alive the way systemd asks, and stop when told to.
//!
//! Only places and ports differ from the examples: a test has neither /var/lib nor fixed ports.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use provado_integration_tests::harness::fleet::{SOON, free_port};
use provado_integration_tests::harness::place::{Place, as_user, own, program};
use provado_integration_tests::harness::process::{Daemon, run};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// An example with some options set otherwise; every one of them must be there.
fn example(name: &str, options: &[(&str, String)]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut text = std::fs::read_to_string(root.join("deploy/config").join(name)).unwrap();
    for (from, to) in options {
        assert!(text.contains(from), "{name} has no `{from}`");
        text = text.replacen(from, to, 1);
    }
    text
}

/// A daemon under what looks to it like systemd.
struct Unit {
    daemon: Daemon,
    notices: UnixDatagram,
}

impl Unit {
    fn start(place: &Place, name: &str, config: &Path) -> Self {
        let socket = place.path().join(format!("{name}.notify"));
        let notices = UnixDatagram::bind(&socket).unwrap();
        notices.set_read_timeout(Some(SOON)).unwrap();
        own(&socket).unwrap();
        let mut command = as_user(&program(name).unwrap());
        command.arg("--config").arg(config);
        command
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "1000000");
        let log = place.path().join(format!("{name}.log"));
        Self {
            daemon: Daemon::start(name, command, &log).unwrap(),
            notices,
        }
    }

    /// Waits until the daemon has said this.
    #[track_caller]
    fn says(&self, what: &str) {
        let mut heard = Vec::new();
        while !heard
            .iter()
            .any(|notice: &String| notice.lines().any(|line| line == what))
        {
            let mut bytes = [0; 4096];
            match self.notices.recv(&mut bytes) {
                Ok(length) => heard.push(String::from_utf8_lossy(&bytes[..length]).into_owned()),
                Err(error) => panic!("no {what}: {error}; {heard:?}\n{}", self.daemon.log()),
            }
        }
    }

    fn stop(mut self) {
        self.daemon.stop(SOON).unwrap();
        self.says("STOPPING=1");
        assert!(
            !self.daemon.log().contains("ERROR"),
            "{}",
            self.daemon.log()
        );
    }
}

fn quoted(path: &Path) -> String {
    format!("{:?}", path.to_str().unwrap())
}

fn controller_config(place: &Place) -> (PathBuf, PathBuf) {
    let data = place.directory("controller").unwrap();
    let listen = || format!("127.0.0.1:{}", free_port().unwrap());
    let text = example(
        "controller.toml",
        &[
            ("\"/var/lib/provado-controller\"", quoted(&data)),
            ("127.0.0.1:7443", listen()),
            ("127.0.0.1:7444", listen()),
        ],
    );
    (
        place.file("controller.toml", &text).unwrap(),
        data.join("operator/profile.toml"),
    )
}

fn agent_config(place: &Place) -> PathBuf {
    let folder = |name: &str| quoted(&place.directory(name).unwrap());
    let text = example(
        "agent.toml",
        &[
            ("\"/var/lib/provado-agent\"", folder("agent")),
            (
                "[\"/var/run/postgresql\", \"/tmp\"]",
                format!("[{}]", folder("sockets")),
            ),
            ("\"/var/backups/provado\"", folder("backups")),
            ("\"/var/tmp\"", folder("drills")),
        ],
    );
    place.file("agent.toml", &text).unwrap()
}

#[test]
fn both_daemons_start_from_the_examples_and_stop_when_told() {
    let place = Place::new().unwrap();
    let (config, profile) = controller_config(&place);
    let controller = Unit::start(&place, "provado-controller", &config);
    controller.says("READY=1");
    controller.says("WATCHDOG=1");

    let mut token = as_user(&program("provado").unwrap());
    token
        .arg("--profile")
        .arg(&profile)
        .args(["join-token", "create"]);
    let token = run(token).unwrap().ok().unwrap();
    let config = agent_config(&place);
    let mut join = as_user(&program("provado-agent").unwrap());
    join.args(["join", token.trim(), "--name", "db1", "--config"])
        .arg(&config);
    run(join).unwrap().ok().unwrap();

    let agent = Unit::start(&place, "provado-agent", &config);
    agent.says("READY=1");
    agent.says("WATCHDOG=1");
    agent.stop();
    controller.stop();
}
