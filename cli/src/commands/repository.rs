//! `provado repository`: places for backups.

use crate::args::Wait;
use crate::commands::backup::parse_span;
use crate::commands::sealing::seal_for_agent;
use crate::context::{Context, unary};
use crate::error::{CliError, Exit, Result};
use crate::names::resource;
use crate::output::{self, Column, Table, human};
use crate::watch;
use provado_model::Kind;
use provado_proto::operator::v1::{
    CreateRepositoryRequest, GetRepositoryRequest, ListAgentsRequest, ListRepositoriesRequest,
    Repository, RepositoryKind, RunInitRequest, RunPruneRequest, RunScanRequest,
};
use std::path::{Path, PathBuf};

/// What to do with repositories.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Declare a repository and make it where its agent keeps it.
    #[command(after_help = "Example:\n  provado key create /root/offline.key\n  \
        provado repository init local --agent db1 --path /var/backups/provado \\\n    \
        --recipient age1… --recipient age1…")]
    Init(InitArgs),
    /// List repositories.
    List,
    /// Show one repository.
    Show {
        /// Its name.
        repository: String,
    },
    /// Look for backups that the controller does not know, and take them into the catalogue.
    ///
    /// For after the controller's database came back from an older copy. Nothing in the repository
    /// is changed; a backup that is known stays as it is.
    #[command(after_help = "Example: provado repository scan local --identity /root/offline.key")]
    Scan {
        /// Its name.
        repository: String,
        /// An identity that opens its backups, so that they tell of which database they are; it is
        /// sealed to the agent. Without one only backups with a known parent come back.
        #[arg(long, value_name = "FILE")]
        identity: Option<PathBuf>,
    },
    /// Remove orphans: objects that belong to no backup.
    #[command(after_help = "Example: provado repository sweep local --dry-run")]
    Sweep {
        /// Its name.
        repository: String,
        /// Leave alone what is younger than this.
        #[arg(long, default_value = "24h", value_name = "SPAN")]
        grace: String,
        /// Tell what would go; delete nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        wait: Wait,
    },
}

/// Arguments of `repository init`.
#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// The name to give it.
    name: String,
    /// The agent on whose host it lies; may be left out while there is one agent.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// The directory on that host; it must lie under one of the agent's repository roots.
    #[arg(long, value_name = "DIRECTORY")]
    path: String,
    /// Who may read the backups (`age1…`); give two, and keep one of the identities offline.
    #[arg(long = "recipient", value_name = "RECIPIENT", required = true)]
    recipients: Vec<String>,
    #[command(flatten)]
    wait: Wait,
}

/// Carries it out.
pub(crate) async fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::Init(args) => init(context, args).await,
        Command::List => list(context).await,
        Command::Show { repository } => {
            let repository = get(context, &repository).await?;
            if context.is_json() {
                output::print_json(&repository)?;
            } else {
                print(context, &repository);
            }
            Ok(Exit::Done)
        }
        Command::Scan {
            repository,
            identity,
        } => scan(context, &repository, identity.as_deref()).await,
        Command::Sweep {
            repository,
            grace,
            dry_run,
            wait,
        } => {
            let request = RunPruneRequest {
                request_id: context.request_id(),
                validate_only: dry_run,
                repository: resource("repositories", &repository),
                grace: Some(prost_types::Duration {
                    seconds: parse_span(&grace)?,
                    nanos: 0,
                }),
            };
            let answer = context
                .runs()
                .await?
                .run_prune(unary(request))
                .await?
                .into_inner();
            watch::follow(context, answer.run, wait.is_wanted()).await
        }
    }
}

async fn init(context: &Context, args: InitArgs) -> Result<Exit> {
    let agent = match args.agent {
        Some(agent) => resource("agents", &agent),
        None => only_agent(context).await?,
    };
    let request = CreateRepositoryRequest {
        request_id: context.request_id(),
        validate_only: false,
        repository_id: args.name.clone(),
        kind: RepositoryKind::File.into(),
        agent,
        path: args.path,
        recipients: args.recipients,
    };
    let mut repositories = context.repositories().await?;
    let name = match repositories.create_repository(unary(request)).await {
        Ok(answer) => {
            let made = answer.into_inner().repository;
            made.ok_or_else(|| CliError::answer("the repository"))?.name
        }
        // Declared before, and not yet made: go on with the making.
        Err(status) => {
            let name = resource("repositories", &args.name);
            let known = get(context, &name).await.ok();
            let unfinished = known
                .filter(|r| r.state() == provado_proto::operator::v1::RepositoryState::Declared);
            unfinished.ok_or_else(|| CliError::from(status))?.name
        }
    };
    let request = RunInitRequest {
        request_id: context.request_id(),
        validate_only: false,
        repository: name,
    };
    let answer = context
        .runs()
        .await?
        .run_init(unary(request))
        .await?
        .into_inner();
    watch::follow(context, answer.run, args.wait.is_wanted()).await
}

/// One run after another until the repository is looked through.
async fn scan(context: &Context, repository: &str, identity: Option<&Path>) -> Result<Exit> {
    let repository = get(context, repository).await?;
    let mut after_backup = String::new();
    loop {
        let sealed_identity = match identity {
            Some(file) => seal_for_agent(context, &repository.agent, file).await?,
            None => String::new(),
        };
        let request = RunScanRequest {
            request_id: context.request_id(),
            validate_only: false,
            repository: repository.name.clone(),
            after_backup,
            sealed_identity,
        };
        let mut runs = context.runs().await?;
        let answer = runs.run_scan(unary(request)).await?.into_inner();
        let run = answer.run.ok_or_else(|| CliError::answer("the run"))?;
        let ended = watch::until_end(context, &run.name).await?;
        let exit = watch::print_end(context, &ended)?;
        after_backup = ended
            .outcome
            .map(|outcome| outcome.next_after_backup)
            .unwrap_or_default();
        if exit != Exit::Done || after_backup.is_empty() {
            return Ok(exit);
        }
    }
}

async fn only_agent(context: &Context) -> Result<String> {
    let request = ListAgentsRequest {
        page_size: 2,
        page_token: String::new(),
    };
    let answer = context
        .fleet()
        .await?
        .list_agents(unary(request))
        .await?
        .into_inner();
    match answer.agents.as_slice() {
        [agent] => Ok(agent.name.clone()),
        [] => Err(CliError::new(
            Kind::NotFound,
            "there is no agent yet; see `provado join-token`",
        )),
        _ => Err(CliError::invalid(
            "there are several agents; say which with --agent NAME",
        )),
    }
}

async fn get(context: &Context, text: &str) -> Result<Repository> {
    let request = GetRepositoryRequest {
        name: resource("repositories", text),
    };
    let answer = context
        .repositories()
        .await?
        .get_repository(unary(request))
        .await?
        .into_inner();
    answer
        .repository
        .ok_or_else(|| CliError::answer("the repository"))
}

async fn list(context: &Context) -> Result<Exit> {
    let request = ListRepositoriesRequest {
        page_size: 1000,
        page_token: String::new(),
    };
    let mut repositories = context.repositories().await?;
    let answer = repositories
        .list_repositories(unary(request))
        .await?
        .into_inner();
    if context.is_json() {
        output::print_json(&answer)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&[
        Column::Left("REPOSITORY"),
        Column::Left("STATE"),
        Column::Left("AGENT"),
        Column::Left("PATH"),
        Column::Right("BACKUPS"),
        Column::Right("STORED"),
        Column::Right("HOLDS"),
        Column::Right("RECIPIENTS"),
    ]);
    for repository in &answer.repositories {
        table.row([
            human::last(&repository.name).to_owned(),
            state(repository),
            human::last(&repository.agent).to_owned(),
            repository.path.clone(),
            human::count(repository.backup_count),
            human::bytes(repository.stored_bytes),
            human::bytes(repository.plain_bytes),
            repository.recipients.len().to_string(),
        ]);
    }
    table.print("No repositories. Make one with `provado repository init`.");
    for repository in &answer.repositories {
        warn(repository);
    }
    Ok(Exit::Done)
}

fn print(context: &Context, repository: &Repository) {
    let field = |name: &str, value: String| output::line(&format!("{name:<16}{value}"));
    field("repository", human::last(&repository.name).to_owned());
    field("id", repository.uid.clone());
    field("state", state(repository));
    field("agent", human::last(&repository.agent).to_owned());
    field("path", repository.path.clone());
    field(
        "declared",
        human::instant(repository.create_time.as_ref(), context.now()),
    );
    field("backups", human::count(repository.backup_count));
    field(
        "stored",
        format!(
            "{} for {} of backups",
            human::bytes(repository.stored_bytes),
            human::bytes(repository.plain_bytes)
        ),
    );
    for recipient in &repository.recipients {
        field("recipient", recipient.clone());
    }
    for (name, value) in &repository.capabilities {
        field("backend", format!("{name}: {value}"));
    }
    warn(repository);
}

fn warn(repository: &Repository) {
    for warning in &repository.warnings {
        let name = human::last(&repository.name);
        output::note(&format!("warning: repository {name}: {warning}"));
    }
}

fn state(repository: &Repository) -> String {
    human::word(repository.state().as_str_name(), "REPOSITORY_STATE_")
}
