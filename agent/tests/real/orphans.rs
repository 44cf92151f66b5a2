//! kill -9 of an agent at work: no child lives on, and the next start removes what is left
//! (INV-NOORPHAN).

use crate::jobs::{databases, with_sample};
use crate::support::agent::{Agent, Recorder};
use provado_agent::jobs::sweep;
use provado_agent::postgres::ServerAddress;
use provado_model::id::RunId;
use provado_proto::agent::v1::RestoreJob;
use provado_proto::agent::v1::job::Kind;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Not a test: an agent at work that a test starts as a process of its own and kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the test below"]
async fn victim() {
    let Ok(host) = std::env::var("PROVADO_TEST_VICTIM_HOST") else {
        return;
    };
    let address = ServerAddress::socket(host, 5432, "postgres");
    let mut agent = Agent::at(std::slice::from_ref(&address));
    agent.config.tool_directories = crate::support::tool_directories();
    agent.recorder = Arc::new(Recorder {
        aloud: true,
        ..Recorder::default()
    });
    println!("directory {}", agent.directory.path().display());
    agent.init().await;
    let backup = agent
        .backup_as(agent.backup_job_at(&address, "source"))
        .await;
    for number in 0.. {
        let job = RestoreJob {
            backup: Some(agent.target(&backup)),
            instance: Some(agent.target_at(&address)),
            database_name: format!("copy {number} {}", backup.backup_id),
            create_roles: true,
            ..RestoreJob::default()
        };
        let outcome = agent.run(Kind::Restore(job)).await;
        assert_eq!(outcome.failure, None);
        let (outcome, _) = agent.drill(&backup).await;
        assert_eq!(outcome.failure, None);
    }
}

struct Victim {
    process: Child,
    output: BufReader<ChildStdout>,
    directory: PathBuf,
}

impl Victim {
    fn start(host: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "orphans::victim", "--ignored", "--nocapture"])
            .env("PROVADO_TEST_VICTIM_HOST", host)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut victim = Self {
            process,
            output,
            directory: PathBuf::new(),
        };
        let line = victim.line_with("directory ");
        victim.directory = line.rsplit_once("directory ").unwrap().1.into();
        victim
    }

    fn line_with(&mut self, wanted: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(
                self.output.read_line(&mut line).unwrap() > 0,
                "the victim ended"
            );
            if line.contains(wanted) {
                return line.trim_end().to_owned();
            }
        }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Processes, other than the test's own server, that have the victim's directory in their
/// command line or a run's name in their environment.
fn left_processes(directory: &Path, runs: &mut Vec<RunId>) -> Vec<String> {
    let wanted = directory.to_string_lossy().into_owned();
    let mut out = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |name| {
            let bytes = std::fs::read(entry.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let environment = read("environ");
        if let Some((_, rest)) = environment.split_once("PGAPPNAME=provado:") {
            let id = rest.split(' ').next().unwrap_or_default();
            runs.extend(id.parse::<RunId>().ok());
        }
        let command = read("cmdline");
        let is_child = command.contains(&wanted) && !command.contains("orphans::victim");
        if is_child {
            out.push(command);
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_killed_agent_is_left_after_the_next_start() {
    let server = with_sample(15).await;
    for phase in [
        "PHASE_CHECKING",
        "PHASE_INSPECTING",
        "PHASE_DUMPING",
        "PHASE_RESTORING",
        "PHASE_STARTING_INSTANCE",
        "PHASE_COMPARING",
        "PHASE_CLEANING_UP",
    ] {
        let mut victim = Victim::start(&server.address().host);
        victim.line_with(phase);
        let mut runs = Vec::new();
        left_processes(&victim.directory, &mut runs);
        victim.kill();
        // The kernel ends the children, the throw-away server ends its own.
        let start = Instant::now();
        loop {
            let left = left_processes(&victim.directory, &mut runs);
            if left.is_empty() {
                break;
            }
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "{phase}: {left:#?}"
            );
        }
        let mut agent = Agent::new(&[&server]);
        agent.config.data_dir = victim.directory.join("data");
        agent.config.drill_directory = victim.directory.join("d");
        sweep(&agent.config, &runs).await;
        let files = std::fs::read_dir(&agent.config.drill_directory)
            .unwrap()
            .count();
        assert_eq!(files, 0, "{phase}");
        let unfinished: Vec<String> = databases(&server)
            .await
            .into_iter()
            .filter(|name| name.starts_with("provado-restore-"))
            .collect();
        assert_eq!(unfinished, Vec::<String>::new(), "{phase}");
        std::fs::remove_dir_all(&victim.directory).unwrap();
    }
}
