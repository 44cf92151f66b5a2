//! `provado dev`: a controller and an agent in this process, for a first look: real mTLS between
//! them on loopback, SQLite, a repository in a local directory. Nothing about it is pretended; it
//! is what runs apart in production, started from one place.

use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::output::{self, Report};
use crate::profile::Profile;
use provado_agent::app::Agent;
use provado_agent::config::{Config as AgentConfig, InstanceConfig};
use provado_agent::membership::Home;
use provado_agent::postgres::connection::Dsn;
use provado_controller::app::Controller;
use provado_controller::config::Config as ControllerConfig;
use provado_model::Reason;
use provado_proto::operator::v1::{
    Agent as Known, AgentState, CreateJoinTokenRequest, CreateRepositoryRequest, GetAgentRequest,
    GetRepositoryRequest, RepositoryKind, RepositoryState, RunInitRequest,
};
use provado_repository::keys::{Identity, IdentityFile};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// The name of the one agent, and of its instance where the DSN names none.
const NAME: &str = "dev";
/// The name of the repository.
const REPOSITORY: &str = "local";
/// How long the agent may take to connect.
const CONNECT: Duration = Duration::from_secs(30);

/// Arguments of `dev`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: provado dev --dsn 'host=/var/run/postgresql user=postgres'\n\n\
    Then, in another terminal, as it says: provado --profile …/profile.toml backup run dev/DATABASE"
)]
pub(crate) struct Args {
    /// How to reach the PostgreSQL server, in libpq's keyword form.
    #[arg(long)]
    dsn: String,
    /// Where state, key and backups go.
    #[arg(long, default_value = "provado-dev", value_name = "DIRECTORY")]
    directory: PathBuf,
}

/// Carries it out.
pub(crate) async fn run(context: &Context, args: Args) -> Result<Exit> {
    let _log = log()?;
    let dev = Dev::start(context, args).await?;
    let (profile, key) = (&dev.profile, &dev.key);
    let endpoint = Profile::load(Some(profile))?.endpoint;
    if context.is_json() {
        let facts = serde_json::json!({
            "profile": profile.display().to_string(),
            "endpoint": endpoint,
            "identityFile": key.display().to_string(),
        });
        output::line(&facts.to_string());
    } else {
        welcome(&endpoint, profile, key).print();
    }
    wait_for_the_end().await?;
    output::note("Stopping.");
    dev.stop().await;
    Ok(Exit::Done)
}

/// A controller and an agent that run, with a repository.
struct Dev {
    controller: provado_controller::app::Running,
    agent: provado_agent::app::Running,
    profile: PathBuf,
    key: PathBuf,
}

impl Dev {
    /// Starts both in the directory, making or bringing back what is not there.
    async fn start(context: &Context, args: Args) -> Result<Self> {
        let dsn = Dsn::parse(&args.dsn).map_err(|e| CliError::invalid(format!("--dsn: {e}")))?;
        let home = home(&args.directory)?;
        let clock = || Arc::clone(&context.clock);
        let entropy = || Arc::clone(&context.entropy);
        // This also replaces the operator's certificate where it has ended or will soon.
        let controller = Controller::start(controller_config(&home)?, clock(), entropy())
            .await
            .map_err(|e| trouble("the controller did not start", &e.chain()))?;
        let profile = home.join("controller/operator/profile.toml");
        let operator = context.with_profile(profile.clone());
        let key = key_file(context, &home)?;
        let address = controller.agent_address().to_string();
        let agent_config = agent_config(&home, &dsn, &address, &key);
        join_where_needed(&operator, &agent_config).await?;
        let agent = Agent::start(agent_config, clock(), entropy())
            .await
            .map_err(|e| trouble("the agent did not start", &chain(&e)))?;
        connected(&agent).await?;
        repository_once(&operator, &home, &key).await?;
        Ok(Self {
            controller,
            agent,
            profile,
            key,
        })
    }

    async fn stop(self) {
        self.agent.shutdown().await;
        self.controller.shutdown().await;
    }
}

fn home(directory: &Path) -> Result<PathBuf> {
    provado_identity::files::create_private_dir(directory).map_err(|e| {
        trouble(
            &format!("{} cannot be used", directory.display()),
            &chain(&e),
        )
    })?;
    directory
        .canonicalize()
        .map_err(|e| trouble(&format!("{} cannot be used", directory.display()), &e))
}

fn log() -> Result<provado_telemetry::Guard> {
    let filter = "warn"
        .parse()
        .map_err(|e: provado_telemetry::OptionError| {
            CliError::new(Reason::Internal, e.to_string())
        })?;
    provado_telemetry::init(&provado_telemetry::TelemetryOptions {
        filter,
        ..provado_telemetry::TelemetryOptions::new("provado-dev")
    })
    .map_err(|e| trouble("the log cannot be set up", &e))
}

fn controller_config(home: &Path) -> Result<ControllerConfig> {
    let text = format!(
        "data_dir = {}\n[agents]\nlisten = \"127.0.0.1:0\"\n[operators]\n\
         listen = \"127.0.0.1:0\"\n",
        toml::Value::from(home.join("controller").to_string_lossy().into_owned())
    );
    ControllerConfig::parse(&text).map_err(|e| trouble("the controller's configuration", &e))
}

fn agent_config(home: &Path, dsn: &Dsn, controller: &str, key: &Path) -> AgentConfig {
    let address = &dsn.address;
    AgentConfig {
        data_dir: home.join("agent"),
        controller: Some(controller.to_owned()),
        instances: vec![InstanceConfig {
            name: Some(NAME.to_owned()),
            host: address.host.clone(),
            port: address.port,
            user: address.user.clone(),
            passfile: address.passfile.clone(),
            sslmode: Some(address.ssl_mode.as_str().to_owned()),
            sslrootcert: address.ssl_root_cert.clone(),
        }],
        discover: false,
        repository_roots: vec![home.join("backups")],
        identity_files: vec![key.to_owned()],
        ..AgentConfig::default()
    }
}

/// The identity for drills, made on the first start.
fn key_file(context: &Context, home: &Path) -> Result<PathBuf> {
    let path = home.join("identity.key");
    if !path.exists() {
        let made = IdentityFile::generate(context.clock.now());
        provado_identity::files::write_private(&path, made.text.as_bytes())
            .map_err(|e| trouble("the key cannot be written", &chain(&e)))?;
    }
    Ok(path)
}

/// Joins the agent at the first start, and lets it come back where no certificate of its own would:
/// after a day without a start, or after it was locked. Both sides are this one's.
async fn join_where_needed(operator: &Context, config: &AgentConfig) -> Result<()> {
    let name = format!("agents/{NAME}");
    let mut request = CreateJoinTokenRequest {
        request_id: operator.request_id(),
        ..CreateJoinTokenRequest::default()
    };
    let wanted = GetAgentRequest { name: name.clone() };
    let known = match operator.fleet().await?.get_agent(wanted).await {
        Ok(answer) => answer.into_inner().agent,
        Err(status) if status.code() == tonic::Code::NotFound => None,
        Err(status) => return Err(status.into()),
    };
    match known {
        None => NAME.clone_into(&mut request.agent_name),
        Some(known) if can_connect(operator, config, &known)? => return Ok(()),
        Some(_) => request.agent = name,
    }
    let token = operator
        .access()
        .await?
        .create_join_token(request)
        .await?
        .into_inner();
    provado_agent::join::join(
        config,
        &token.join_string,
        Some(NAME),
        Arc::clone(&operator.clock),
        Arc::clone(&operator.entropy),
    )
    .await
    .map_err(|e| trouble("the agent did not join", &chain(&e)))?;
    Ok(())
}

/// Whether the agent is let in with the certificate that it has.
fn can_connect(operator: &Context, config: &AgentConfig, known: &Known) -> Result<bool> {
    let member = Home::open(&config.data_dir)
        .and_then(|home| home.membership())
        .map_err(|e| trouble("the agent's state cannot be read", &chain(&e)))?;
    let end = member.and_then(|member| member.certificate_end());
    Ok(known.state() == AgentState::Active && end.is_some_and(|end| end > operator.clock.now()))
}

async fn connected(agent: &provado_agent::app::Running) -> Result<()> {
    let mut connection = agent.connection();
    let seen = connection.wait_for(Option::is_some);
    match tokio::time::timeout(CONNECT, seen).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(trouble(
            "the agent did not reach its controller",
            &"see the lines above",
        )),
    }
}

/// Makes the repository where it is not ready: at the first start, or after one that was cut short.
async fn repository_once(operator: &Context, home: &Path, key: &Path) -> Result<()> {
    let text = std::fs::read_to_string(key).map_err(|e| trouble("the key cannot be read", &e))?;
    let identity = Identity::from_file_text(&text).map_err(|e| trouble("the key", &e))?;
    let backups = home.join("backups");
    provado_identity::files::create_private_dir(&backups)
        .map_err(|e| trouble("the directory for backups", &chain(&e)))?;
    let request = CreateRepositoryRequest {
        request_id: operator.request_id(),
        repository_id: REPOSITORY.to_owned(),
        kind: RepositoryKind::File.into(),
        agent: format!("agents/{NAME}"),
        path: backups.join(REPOSITORY).display().to_string(),
        recipients: vec![identity.recipient().to_string()],
        ..CreateRepositoryRequest::default()
    };
    let name = format!("repositories/{REPOSITORY}");
    let wanted = GetRepositoryRequest { name: name.clone() };
    let mut repositories = operator.repositories().await?;
    match repositories.get_repository(wanted).await {
        Ok(found) => {
            let found = found.into_inner().repository.unwrap_or_default();
            if found.state() == RepositoryState::Ready {
                return Ok(());
            }
        }
        Err(status) if status.code() == tonic::Code::NotFound => {
            repositories.create_repository(request).await?;
        }
        Err(status) => return Err(status.into()),
    }
    let request = RunInitRequest {
        request_id: operator.request_id(),
        repository: name,
        ..RunInitRequest::default()
    };
    let answer = operator.runs().await?.run_init(request).await?.into_inner();
    let run = answer.run.ok_or_else(|| CliError::answer("the run"))?;
    let ended = crate::watch::until_end(operator, &run.name).await?;
    match ended.failure {
        None => Ok(()),
        Some(failure) => Err(trouble(
            "the repository could not be made",
            &failure.message,
        )),
    }
}

/// What to do next, once both are up.
pub(crate) fn welcome(endpoint: &str, profile: &Path, key: &Path) -> Report {
    let mut report = Report::new();
    report.note(format!(
        "Controller and agent are running; operators connect to {endpoint}."
    ));
    report.note(format!(
        "The key that reads the backups is {}. Keep a copy elsewhere.",
        key.display()
    ));
    report.note("In another terminal:");
    report.line(format!("  export PROVADO_PROFILE={}", profile.display()));
    for command in [
        "provado instance show dev",
        "provado backup run dev/DATABASE",
        "provado drill run latest:dev/DATABASE",
        "provado restore run latest:dev/DATABASE --into COPY",
    ] {
        report.line(format!("  {command}"));
    }
    report.note("Ctrl-C stops both; what was stored stays, and the next start goes on with it.");
    report
}

async fn wait_for_the_end() -> Result<()> {
    let watch = |kind| signal(kind).map_err(|e| trouble("signals cannot be awaited", &e));
    let (mut interrupt, mut terminate) = (
        watch(SignalKind::interrupt())?,
        watch(SignalKind::terminate())?,
    );
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn trouble(what: &str, why: &dyn Display) -> CliError {
    CliError::new(Reason::ServiceUnavailable, format!("{what}: {why}"))
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    provado_telemetry::chain(error).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;
    use jiff::{SignedDuration, Timestamp};
    use provado_model::random::OsEntropy;
    use provado_model::time::{Clock, Monotonic, SystemClock};
    use std::sync::atomic::{AtomicI64, Ordering};

    /// The system's clock, moved by the test.
    #[derive(Debug)]
    struct MovedClock(Arc<dyn Clock>, AtomicI64);

    impl Clock for MovedClock {
        fn now(&self) -> Timestamp {
            self.0.now() + SignedDuration::from_hours(self.1.load(Ordering::SeqCst))
        }

        fn monotonic(&self) -> Monotonic {
            self.0.monotonic()
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_goes_on_after_more_time_than_any_of_its_certificates_lives() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(MovedClock(SystemClock::shared(), AtomicI64::new(0)));
        let clock_of = || Arc::<MovedClock>::clone(&clock);
        let context = Context::on(Format::Table, None, clock_of(), OsEntropy::shared());
        let args = || Args {
            dsn: "host=/nowhere user=nobody".to_owned(),
            directory: folder.path().join("dev"),
        };
        let first = Dev::start(&context, args()).await.unwrap();
        let id = first.agent.agent_id();
        first.stop().await;
        // Past the agent's certificate, then past the operator's too.
        for days in [2, 200] {
            clock.1.fetch_add(days * 24, Ordering::SeqCst);
            let again = Dev::start(&context, args()).await.unwrap();
            assert_eq!(again.agent.agent_id(), id);
            again.stop().await;
        }
        // A start with a certificate that still serves takes no token.
        let same_day = Dev::start(&context, args()).await.unwrap();
        let operator = context.with_profile(same_day.profile.clone());
        let wanted = GetAgentRequest {
            name: format!("agents/{NAME}"),
        };
        let known = operator.fleet().await.unwrap().get_agent(wanted).await;
        let known = known.unwrap().into_inner().agent.unwrap();
        assert_eq!(known.certificate_generation, 3);
        same_day.stop().await;
    }
}
