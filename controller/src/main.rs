//! `provado-controller`: reads the configuration, runs the controller, obeys signals.

use clap::{Parser, Subcommand};
use provado_controller::app::{Controller, Ground, Running};
use provado_controller::config::Config;
use provado_controller::fleet::SessionTimes;
use provado_model::random::OsEntropy;
use provado_model::time::SystemClock;
use provado_model::{Error, Kind, Reason};
use provado_telemetry::TelemetryOptions;
use sd_notify::NotifyState;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The control plane of Provado.
#[derive(Debug, Parser)]
#[command(name = "provado-controller", version, about)]
struct Arguments {
    /// The configuration file.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/provado/controller.toml",
        global = true
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Looks at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Makes a new key, certificate and profile for the caller `admin`, after they were lost or
    /// have ended. Stop the controller first.
    RenewProfile,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Says whether the file can be used, and what is wrong with it.
    Check,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "provado-controller: {}", error.chain());
            ExitCode::from(error.kind.exit_code())
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    let config = Config::load(&arguments.config)?;
    if let Some(Command::Config(ConfigCommand::Check)) = &arguments.command {
        let text = format!("{} is right", arguments.config.display());
        return say(&text);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::internal("the runtime cannot start").caused_by(source))?;
    runtime.block_on(async {
        let _log = provado_telemetry::init(&TelemetryOptions {
            filter: config.log.level.clone(),
            format: config.log.format,
            ..TelemetryOptions::new("provado-controller")
        })
        .map_err(|source| {
            Error::new(Reason::InvalidArgument, format!("log: {source}")).caused_by(source)
        })?;
        match &arguments.command {
            Some(Command::RenewProfile) => {
                let ground = Ground {
                    clock: SystemClock::shared(),
                    entropy: OsEntropy::shared(),
                    times: SessionTimes::default(),
                };
                let path = Box::pin(Controller::renew_profile(&config, &ground)).await?;
                say(&format!("the profile of `admin` is {}", path.display()))
            }
            Some(Command::Config(_)) | None => serve(config).await,
        }
    })
}

fn say(text: &str) -> Result<(), Error> {
    writeln!(std::io::stdout(), "{text}")
        .map_err(|source| Error::internal("cannot write to standard output").caused_by(source))
}

/// The signals that are obeyed.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Error> {
        let of = |kind| {
            signal(kind)
                .map_err(|source| Error::internal("signals cannot be caught").caused_by(source))
        };
        Ok(Self {
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
            reload: of(SignalKind::hangup())?,
        })
    }
}

async fn serve(config: Config) -> Result<(), Error> {
    // Before the start, which may take a while: a signal that comes meanwhile is not lost.
    let mut signals = Signals::listen()?;
    let start = Controller::start(config, SystemClock::shared(), OsEntropy::shared());
    let mut running = tokio::select! {
        running = Box::pin(start) => running?,
        _ = signals.terminate.recv() => return Ok(()),
        _ = signals.interrupt.recv() => return Ok(()),
    };
    notify(&[NotifyState::Ready]);
    let outcome = watch(&mut running, &mut signals).await;
    notify(&[NotifyState::Stopping]);
    running.shutdown().await;
    outcome
}

/// Runs until a signal asks for the end or a part of the controller fails.
async fn watch(running: &mut Running, signals: &mut Signals) -> Result<(), Error> {
    // Twice within the time after which systemd takes the program for dead.
    let pulse = sd_notify::watchdog_enabled().map_or(Duration::from_hours(1), |time| time / 2);
    loop {
        let event = tokio::time::timeout(pulse, async {
            tokio::select! {
                _ = signals.terminate.recv() => Event::Stop,
                _ = signals.interrupt.recv() => Event::Stop,
                _ = signals.reload.recv() => Event::Reload,
                error = running.failed() => Event::Failed(error),
            }
        });
        match event.await {
            Err(_elapsed) => notify(&[NotifyState::Watchdog]),
            Ok(Event::Stop) => {
                tracing::info!("asked to stop");
                return Ok(());
            }
            Ok(Event::Reload) => reload(running),
            Ok(Event::Failed(error)) => return Err(error),
        }
    }
}

enum Event {
    Stop,
    Reload,
    Failed(Error),
}

fn reload(running: &Running) {
    match running.reload() {
        Ok(()) => tracing::info!("the listeners present new certificates"),
        Err(error) => tracing::error!(
            error.is_internal = error.kind == Kind::Internal,
            "the listeners keep their old certificates: {}",
            error.chain()
        ),
    }
}

/// Tells the service manager, where there is one.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("the service manager could not be told: {error}");
    }
}
