//! `provado-agent`: reads its arguments and its configuration, then runs the agent until a signal
//! ends it. Decides nothing else.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use provado_agent::app::Agent;
use provado_agent::config::Config;
use provado_agent::join;
use provado_agent::wait::pause;
use provado_model::random::OsEntropy;
use provado_model::time::SystemClock;
use provado_telemetry::TelemetryOptions;
use sd_notify::NotifyState;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Where the configuration is looked for when none is named.
const CONFIG: &str = "/etc/provado/agent.toml";
/// Threads that carry the agent's tasks; dumps and compression have threads of their own.
const WORKERS: usize = 2;
/// How long a thread for blocking calls stays without work.
const THREAD_IDLE: Duration = Duration::from_secs(2);

/// The Provado agent: backs up, checks and restores PostgreSQL on this host on command of its
/// controller. It dials out and listens on nothing.
#[derive(Debug, Parser)]
#[command(name = "provado-agent", version, max_term_width = 100)]
struct Arguments {
    /// The configuration. Without it, /etc/provado/agent.toml where that exists, else defaults.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent; the default.
    Run,
    /// Make this host an agent of the controller that a join string names. Needed once.
    #[command(after_help = "Example:\n  provado-agent join 'provado-join:...' --name db1")]
    Join {
        /// What `provado join-token create` printed, one word; `-` reads it from standard input.
        join_string: String,
        /// The name of the agent; left out, the host's name.
        #[arg(long)]
        name: Option<String>,
    },
    /// Look at the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether the configuration can be used; every problem at once.
    Check,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_keep_alive(THREAD_IDLE)
        .thread_name("agent")
        .enable_all()
        .build()
        .context("the runtime cannot start");
    match runtime.and_then(|runtime| runtime.block_on(Box::pin(serve(arguments)))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell it to when standard error is closed.
            let _ = writeln!(std::io::stderr(), "provado-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let config = load(arguments.config.as_deref())?;
    match arguments.command {
        None | Some(Command::Run) => run(config).await,
        Some(Command::Join { join_string, name }) => join(&config, join_string, name).await,
        Some(Command::Config {
            command: ConfigCommand::Check,
        }) => {
            telemetry(&config)?;
            print("the configuration can be used")
        }
    }
}

fn load(path: Option<&Path>) -> anyhow::Result<Config> {
    let default = Path::new(CONFIG);
    match path {
        Some(path) => Ok(Config::load(path)?),
        None if default.exists() => Ok(Config::load(default)?),
        None => Ok(Config::default()),
    }
}

fn telemetry(config: &Config) -> anyhow::Result<TelemetryOptions> {
    let mut options = TelemetryOptions::new("provado-agent");
    options.filter = config.log_level.parse().context("log_level")?;
    options.format = config.log_format.parse().context("log_format")?;
    Ok(options)
}

async fn join(config: &Config, join_string: String, name: Option<String>) -> anyhow::Result<()> {
    let join_string = match join_string.as_str() {
        "-" => std::io::read_to_string(std::io::stdin()).context("the join string")?,
        _ => join_string,
    };
    let clock = SystemClock::shared();
    let entropy = OsEntropy::shared();
    let joined = join::join(config, &join_string, name.as_deref(), clock, entropy).await?;
    print(&format!(
        "this host is now the agent {} ({}) of the controller {}; start it with \
         `systemctl enable --now provado-agent`, or run provado-agent",
        joined.agent_name, joined.agent_id, joined.controller
    ))
}

async fn run(config: Config) -> anyhow::Result<()> {
    let _guard = provado_telemetry::init(&telemetry(&config)?)?;
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals")?;
    let start = Agent::start(config, SystemClock::shared(), OsEntropy::shared());
    let mut running = Box::pin(start).await?;
    tracing::info!(
        agent.id = %running.agent_id(),
        agent.name = running.agent_name(),
        "the agent runs"
    );
    notify(&[NotifyState::Ready]);
    let broken = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = running.broken() => true,
        () = watchdog() => false,
    };
    tracing::info!("the agent stops");
    notify(&[NotifyState::Stopping]);
    tokio::select! {
        () = Box::pin(running.shutdown()) => {}
        _ = terminate.recv() => tracing::warn!("stopped at once, as asked a second time"),
        _ = interrupt.recv() => tracing::warn!("stopped at once, as asked a second time"),
    }
    if broken {
        anyhow::bail!("a task of the agent ended by a bug; its log says which");
    }
    Ok(())
}

/// Tells systemd that the runtime still turns, twice in each period it asks for. Never ends.
async fn watchdog() {
    let Some(period) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    loop {
        notify(&[NotifyState::Watchdog]);
        pause(period / 2).await;
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("systemd could not be told: {error}");
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("standard output")
}
