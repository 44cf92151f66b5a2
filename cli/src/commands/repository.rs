//! `provado repository`: places for backups.

use crate::args::Wait;
use crate::commands::backup::parse_span;
use crate::commands::sealing::seal_for_agent;
use crate::context::{Context, unary};
use crate::error::{CliError, Exit, Result};
use crate::listing::{self, Ask, ROWS_MAX};
use crate::names::resource;
use crate::output::human::{self, Now};
use crate::output::{Column, Report, Table};
use crate::watch;
use provado_model::Reason;
use provado_proto::operator::v1::{
    CreateRepositoryRequest, GetRepositoryRequest, ListAgentsRequest, ListRepositoriesRequest,
    ListRepositoriesResponse, Repository, RepositoryKind, RepositoryState, RunInitRequest,
    RunPruneRequest, RunScanRequest,
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
    #[command(after_help = "Example: provado repository list")]
    List,
    /// Show one repository.
    #[command(after_help = "Example: provado repository show local")]
    Show {
        /// Its name, its id, or a unique beginning of it.
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
    #[command(
        after_help = "Examples:\n  provado repository sweep local --dry-run\n  \
        provado repository sweep local --grace 7d"
    )]
    Sweep {
        /// Its name, its id, or a unique beginning of it.
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
    /// The agent on whose host it lies: its name, its id, or a unique beginning of it; may be
    /// left out while there is one agent.
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
            context.print(&repository, facts)
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
            let unfinished = known.filter(|r| r.state() == RepositoryState::Declared);
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
        let exit = watch::print_end(context, &ended).await?;
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
            Reason::AgentNotFound,
            "there is no agent yet that could keep a repository; make a token with `provado \
             join-token create`, then run `provado-agent join` on the host",
        )),
        _ => Err(CliError::invalid(
            "there are several agents; say with --agent NAME which one keeps the repository, \
             see `provado agent list`",
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
    let mut repositories = context.repositories().await?;
    let call = async |ask: Ask| {
        let request = ListRepositoriesRequest {
            page_size: ask.size,
            page_token: ask.token,
        };
        let answer = repositories.list_repositories(unary(request)).await?;
        Ok(answer.into_inner())
    };
    listing::print(context, ROWS_MAX, call, table).await
}

/// The repositories, one a line.
pub(crate) fn table(answer: &ListRepositoriesResponse, _: &Now) -> Report {
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
    let mut report = Report::new();
    report.table(
        &table,
        "No repositories. Make one with `provado repository init`.",
    );
    for repository in &answer.repositories {
        warn(&mut report, repository);
    }
    report
}

/// One repository, a fact a line.
pub(crate) fn facts(repository: &Repository, now: &Now) -> Report {
    let mut report = Report::new();
    report.fact("repository", human::last(&repository.name));
    report.fact("id", &repository.uid);
    report.fact("state", state(repository));
    report.fact("agent", human::last(&repository.agent));
    report.fact("path", &repository.path);
    report.fact("declared", now.show(repository.create_time.as_ref()));
    report.fact("backups", human::count(repository.backup_count));
    report.fact(
        "stored",
        format!(
            "{} for {} of backups",
            human::bytes(repository.stored_bytes),
            human::bytes(repository.plain_bytes)
        ),
    );
    for recipient in &repository.recipients {
        report.fact("recipient", recipient);
    }
    for (name, value) in &repository.capabilities {
        report.fact("backend", format!("{name}: {value}"));
    }
    warn(&mut report, repository);
    report
}

fn warn(report: &mut Report, repository: &Repository) {
    for warning in &repository.warnings {
        let name = human::last(&repository.name);
        report.note(format!("warning: repository {name}: {warning}"));
    }
}

fn state(repository: &Repository) -> String {
    human::word(repository.state().as_str_name(), "REPOSITORY_STATE_")
}
