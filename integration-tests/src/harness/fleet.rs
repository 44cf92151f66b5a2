//! A controller and its agents as separate programs, and the operator's command.

use super::place::{Place, as_user, own, program};
use super::postgres::{Major, Postgres};
use super::process::{Daemon, Finished, run, wait_until};
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long anything that should happen soon may take on a busy machine.
pub const SOON: Duration = Duration::from_mins(1);

/// How a fleet is set up.
#[derive(Debug, Clone, Default)]
pub struct FleetOptions {
    /// The store's address; empty means SQLite in the controller's own directory.
    pub store: String,
    /// Further lines of controller.toml.
    pub controller: String,
    /// Further lines of every agent.toml, before its instances.
    pub agent: String,
    /// Where the agents' client tools are; the server's own when left out.
    pub tools: Option<PathBuf>,
}

/// A controller and one agent.
#[derive(Debug)]
pub struct Fleet {
    pub place: Place,
    pub controller: Option<Daemon>,
    pub agents: Vec<AgentProcess>,
    options: FleetOptions,
    ports: (u16, u16),
}

/// One agent's process and files.
#[derive(Debug)]
pub struct AgentProcess {
    pub name: String,
    pub config: PathBuf,
    pub data: PathBuf,
    pub daemon: Option<Daemon>,
}

impl Fleet {
    /// Starts a controller in `place`.
    pub fn start(place: Place, options: FleetOptions) -> Result<Self> {
        let ports = (free_port()?, free_port()?);
        let mut fleet = Self {
            place,
            controller: None,
            agents: Vec::new(),
            options,
            ports,
        };
        fleet.start_controller()?;
        Ok(fleet)
    }

    /// A controller, an agent with one instance, and a repository `local` that is ready.
    pub fn ready(place: Place, server: &Postgres) -> Result<Self> {
        Self::ready_with(place, server, FleetOptions::default())
    }

    /// The same with options.
    pub fn ready_with(place: Place, server: &Postgres, options: FleetOptions) -> Result<Self> {
        let mut fleet = Self::start(place, options)?;
        fleet.join("db1", server)?;
        fleet.init_repository("local", "db1")?;
        Ok(fleet)
    }

    /// The same with client tools of the test's own.
    pub fn ready_with_tools(
        place: Place,
        server: &Postgres,
        mut options: FleetOptions,
        tools: &Path,
    ) -> Result<Self> {
        options.tools = Some(tools.to_owned());
        Self::ready_with(place, server, options)
    }

    /// Starts the controller, or starts it again after it ended.
    pub fn start_controller(&mut self) -> Result<()> {
        let data = self.place.directory("controller")?;
        let store = match self.options.store.as_str() {
            "" => String::new(),
            url => format!("[store]\nurl = {url:?}\n"),
        };
        let text = format!(
            "data_dir = {data:?}\n{store}[agents]\nlisten = \"127.0.0.1:{}\"\n[operators]\n\
             listen = \"127.0.0.1:{}\"\n{}",
            self.ports.0, self.ports.1, self.options.controller
        );
        let config = self.place.file("controller.toml", &text)?;
        let mut command = as_user(&program("provado-controller")?);
        command.arg("--config").arg(&config);
        let log = self.place.path().join("controller.log");
        self.controller = Some(Daemon::start("provado-controller", command, &log)?);
        wait_until("the controller answers", SOON, || {
            let alive = self.controller.as_mut().is_some_and(Daemon::is_running);
            anyhow::ensure!(alive, "it ended: {}", std::fs::read_to_string(&log)?);
            let answer = self.provado(&["caller", "self"])?;
            Ok((answer.code == 0).then_some(()))
        })
        .with_context(|| std::fs::read_to_string(&log).unwrap_or_default())
    }

    /// Lets a host join as `name`, with one instance of the same name, and starts its agent.
    pub fn join(&mut self, name: &str, server: &Postgres) -> Result<()> {
        let data = self.place.path().join(format!("agent-{name}"));
        let root = self.place.directory(&format!("backups-{name}"))?;
        let drills = self.place.directory(&format!("drills-{name}"))?;
        let tools = match &self.options.tools {
            Some(folder) => vec![folder.clone()],
            None => Major::ALL
                .iter()
                .map(|major| major.bin())
                .collect::<Result<_>>()?,
        };
        let text = format!(
            "data_dir = {data:?}\ndiscover = false\nrepository_roots = [{root:?}]\n\
             drill_directory = {drills:?}\ndisk_reserve_bytes = 1048576\n\
             tool_directories = {:?}\n{}\n[[instance]]\nname = {name:?}\nhost = {:?}\n\
             port = {}\nuser = \"postgres\"\n",
            tools,
            self.options.agent,
            server.socket(),
            server.port,
        );
        let config = self.place.file(&format!("agent-{name}.toml"), &text)?;
        let token = self
            .provado(&["join-token", "create", "--label", "env=test"])?
            .ok()?;
        join_as(&token, &config, &["--name", name])?;
        self.agents.push(AgentProcess {
            name: name.to_owned(),
            config,
            data,
            daemon: None,
        });
        self.start_agent(name)
    }

    /// Stops an agent and lets it come back with a token that is bound to it.
    pub fn come_back(&mut self, name: &str) -> Result<()> {
        self.agent(name).stop(SOON)?;
        let token = self
            .provado(&["join-token", "create", "--agent", name])?
            .ok()?;
        let agent = self.agents.iter().find(|agent| agent.name == name);
        let agent = agent.with_context(|| format!("no agent {name}"))?;
        join_as(&token, &agent.config, &[])?;
        self.start_agent(name)
    }

    /// Starts an agent that has joined, and waits until the controller knows its instance.
    pub fn start_agent(&mut self, name: &str) -> Result<()> {
        let log = self.place.path().join(format!("agent-{name}.log"));
        let agent = self.agents.iter_mut().find(|agent| agent.name == name);
        let agent = agent.with_context(|| format!("no agent {name}"))?;
        let mut command = as_user(&program("provado-agent")?);
        command.arg("--config").arg(&agent.config);
        agent.daemon = Some(Daemon::start("provado-agent", command, &log)?);
        wait_until(
            "the agent is connected and its instance known",
            SOON,
            || {
                let listed = self.json(&["instance", "list"])?;
                let up = listed["instances"].as_array().is_some_and(|all| {
                    all.iter().any(|one| {
                        one["name"] == format!("instances/{name}")
                            && one["connected"] == true
                            && one["databaseCount"].as_i64() > Some(0)
                    })
                });
                Ok(up.then_some(()))
            },
        )
        .with_context(|| std::fs::read_to_string(&log).unwrap_or_default())
    }

    /// The agent's process.
    pub fn agent(&mut self, name: &str) -> &mut Daemon {
        let agent = self
            .agents
            .iter_mut()
            .find(|agent| agent.name == name)
            .unwrap();
        agent.daemon.as_mut().unwrap()
    }

    /// Makes a key and a repository on an agent's host; the key is given to the agent for drills.
    pub fn init_repository(&mut self, repository: &str, agent: &str) -> Result<()> {
        let key = self.key_file(agent);
        let recipient = self
            .provado(&["key", "create", &key.to_string_lossy()])?
            .ok()?;
        let path = self
            .place
            .path()
            .join(format!("backups-{agent}/{repository}"));
        self.provado(&[
            "repository",
            "init",
            repository,
            "--agent",
            agent,
            "--path",
            &path.to_string_lossy(),
            "--recipient",
            recipient.trim(),
        ])?
        .ok()
        .map(drop)
    }

    /// Where the operator keeps the identity for an agent's repository.
    pub fn key_file(&self, agent: &str) -> PathBuf {
        self.place.path().join(format!("{agent}.key"))
    }

    /// The directory of a repository.
    pub fn repository(&self, agent: &str, repository: &str) -> PathBuf {
        self.place
            .path()
            .join(format!("backups-{agent}/{repository}"))
    }

    /// The first operator's profile.
    pub fn profile(&self) -> PathBuf {
        self.place.path().join("controller/operator/profile.toml")
    }

    /// Runs `provado` as the first operator.
    pub fn provado(&self, arguments: &[&str]) -> Result<Finished> {
        self.provado_as(&self.profile(), arguments)
    }

    /// Runs `provado` with a profile.
    pub fn provado_as(&self, profile: &Path, arguments: &[&str]) -> Result<Finished> {
        let mut command = as_user(&program("provado")?);
        command.arg("--profile").arg(profile).args(arguments);
        run(command)
    }

    /// Runs `provado -o json` and parses what it printed, whatever the exit code.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let mut all = vec!["-o", "json"];
        all.extend(arguments);
        let done = self.provado(&all)?;
        serde_json::from_str(&done.stdout)
            .with_context(|| format!("{arguments:?}: {} {}", done.stdout, done.stderr))
    }

    /// Gives a file of the test to the daemons' user.
    pub fn own(&self, path: &Path) -> Result<()> {
        own(path)
    }
}

fn join_as(token: &str, config: &Path, more: &[&str]) -> Result<()> {
    let mut join = as_user(&program("provado-agent")?);
    join.arg("join").arg(token.trim()).args(more);
    join.arg("--config").arg(config);
    run(join)?.ok().context("joining").map(drop)
}

/// A TCP port on loopback that nobody uses at this moment.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
