//! `provado run`: what was asked for, and what became of it.

use crate::context::{Context, unary};
use crate::error::{CliError, Exit, Result};
use crate::names::{InstanceAndDatabase, optional, resource};
use crate::output::{self, Column, Table, human};
use crate::watch;
use provado_proto::operator::v1::{
    CancelRunRequest, GetRunRequest, ListRunsRequest, Run, RunFilter, RunKind, RunState,
    StreamLogsRequest,
};

/// What to do with runs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List runs, newest first.
    #[command(after_help = "Example: provado run list db1 --state failed")]
    List(ListArgs),
    /// Show one run.
    Show {
        /// An id, or a unique beginning of one.
        run: String,
    },
    /// Watch a run until it ends.
    Watch {
        /// An id, or a unique beginning of one.
        run: String,
    },
    /// Ask a run to end.
    Cancel {
        /// An id, or a unique beginning of one.
        run: String,
        /// Why, for log and audit.
        #[arg(long, default_value = "")]
        message: String,
    },
    /// Print a run's log.
    Logs {
        /// An id, or a unique beginning of one.
        run: String,
        /// Go on until the run has ended.
        #[arg(short, long)]
        follow: bool,
    },
}

/// Arguments of `run list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only of this instance or database.
    #[arg(value_name = "INSTANCE[/DATABASE]")]
    target: Option<String>,
    /// Only of this kind: backup, restore, check, drill, prune, inspect, init.
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// Only in this state: queued, running, succeeded, failed and so on.
    #[arg(long = "state", value_name = "STATE")]
    states: Vec<String>,
    /// Only parts of this run.
    #[arg(long, value_name = "RUN")]
    parent: Option<String>,
    /// How many at most.
    #[arg(long, default_value = "50", value_name = "COUNT")]
    limit: i32,
}

/// Carries it out.
pub(crate) async fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::List(args) => list(context, args).await,
        Command::Show { run } => {
            let run = get(context, &run).await?;
            if context.is_json() {
                output::print_json(&run)?;
            } else {
                print(context, &run)?;
            }
            Ok(Exit::Done)
        }
        Command::Watch { run } => {
            let ended = watch::until_end(context, &resource("runs", &run)).await?;
            watch::print_end(context, &ended)
        }
        Command::Cancel { run, message } => {
            let request = CancelRunRequest {
                request_id: context.request_id(),
                name: resource("runs", &run),
                message,
                validate_only: false,
            };
            let answer = context
                .runs()
                .await?
                .cancel_run(unary(request))
                .await?
                .into_inner();
            let run = answer.run.ok_or_else(|| CliError::answer("the run"))?;
            if context.is_json() {
                output::print_json(&run)?;
            } else {
                output::line(&format!(
                    "run {} is {}; it is canceled once its attempt has cleaned up",
                    human::short(&run.name),
                    watch::state_word(run.state())
                ));
            }
            Ok(Exit::Done)
        }
        Command::Logs { run, follow } => logs(context, &run, follow).await,
    }
}

async fn get(context: &Context, text: &str) -> Result<Run> {
    let request = GetRunRequest {
        name: resource("runs", text),
    };
    let answer = context
        .runs()
        .await?
        .get_run(unary(request))
        .await?
        .into_inner();
    answer.run.ok_or_else(|| CliError::answer("the run"))
}

async fn list(context: &Context, args: ListArgs) -> Result<Exit> {
    let target = args
        .target
        .as_deref()
        .map(InstanceAndDatabase::parse)
        .transpose()?;
    let kinds: Result<Vec<i32>> = args.kinds.iter().map(|text| kind(text)).collect();
    let states: Result<Vec<i32>> = args.states.iter().map(|text| state(text)).collect();
    let request = ListRunsRequest {
        page_size: args.limit,
        page_token: String::new(),
        filter: Some(RunFilter {
            kinds: kinds?,
            states: states?,
            instance: optional("instances", target.as_ref().map(|t| t.instance.as_str())),
            database_name: target.and_then(|t| t.database).unwrap_or_default(),
            parent_run: optional("runs", args.parent.as_deref()),
            ..RunFilter::default()
        }),
    };
    let answer = context
        .runs()
        .await?
        .list_runs(unary(request))
        .await?
        .into_inner();
    if context.is_json() {
        output::print_json(&answer)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&[
        Column::Left("RUN"),
        Column::Left("KIND"),
        Column::Left("OF"),
        Column::Left("STATE"),
        Column::Left("ASKED FOR"),
        Column::Left("BY"),
        Column::Left("WHAT CAME OF IT"),
    ]);
    for run in &answer.runs {
        let came = match (&run.failure, run.state()) {
            (Some(failure), _) => failure.message.clone(),
            (None, RunState::Running) => watch::describe(run),
            (None, _) => run.message.clone(),
        };
        table.row([
            human::short(&run.name).to_owned(),
            watch::kind_word(run),
            watch::subject(run),
            watch::state_word(run.state()),
            human::instant(run.create_time.as_ref(), context.now()),
            human::last(&run.requester).to_owned(),
            came.chars().take(80).collect(),
        ]);
    }
    table.print("No runs.");
    Ok(Exit::Done)
}

fn print(context: &Context, run: &Run) -> Result<()> {
    let now = context.now();
    let field = |name: &str, value: String| output::line(&format!("{name:<16}{value}"));
    field("run", human::last(&run.name).to_owned());
    field("kind", watch::kind_word(run));
    field("of", watch::subject(run));
    field("state", watch::state_word(run.state()));
    field("asked for by", human::last(&run.requester).to_owned());
    field("asked for", human::instant(run.create_time.as_ref(), now));
    field("started", human::instant(run.start_time.as_ref(), now));
    field("ended", human::instant(run.end_time.as_ref(), now));
    field("attempts", run.attempt_count.to_string());
    for (name, value) in [
        ("agent", &run.agent),
        ("repository", &run.repository),
        ("backup", &run.backup),
        ("proof", &run.proof),
        ("part of", &run.parent_run),
    ] {
        if !value.is_empty() {
            field(name, human::last(value).to_owned());
        }
    }
    if run.part_count > 0 {
        field(
            "parts",
            format!("{} of {} ended", run.ended_part_count, run.part_count),
        );
    }
    field("labels", human::labels(&run.labels));
    if let Some(outcome) = &run.outcome {
        for step in &outcome.steps {
            field(
                "",
                format!(
                    "{:<24}{}",
                    step.step_name,
                    human::millis(step.duration_millis)
                ),
            );
        }
    }
    if watch::is_final(run) {
        watch::print_end(context, run)?;
    } else {
        field("now", watch::describe(run));
    }
    Ok(())
}

async fn logs(context: &Context, text: &str, follow: bool) -> Result<Exit> {
    let request = StreamLogsRequest {
        name: resource("runs", text),
        follow,
    };
    let mut stream = context
        .runs()
        .await?
        .stream_logs(request)
        .await?
        .into_inner();
    while let Some(entry) = stream.message().await? {
        if context.is_json() {
            output::print_json(&entry)?;
            continue;
        }
        let time = entry.log_time.as_ref().and_then(human::timestamp);
        let time = time
            .map(|t| t.strftime("%H:%M:%S%.3f").to_string())
            .unwrap_or_default();
        output::line(&format!(
            "{time} #{} {:<5} {}",
            entry.attempt_number,
            entry.level,
            output::human_line(&entry.message)
        ));
    }
    Ok(Exit::Done)
}

fn kind(text: &str) -> Result<i32> {
    let name = format!("RUN_KIND_{}", text.to_uppercase());
    RunKind::from_str_name(&name)
        .map(Into::into)
        .ok_or_else(|| CliError::invalid(format!("`{text}` is not a kind of run")))
}

fn state(text: &str) -> Result<i32> {
    let name = format!("RUN_STATE_{}", text.to_uppercase());
    RunState::from_str_name(&name)
        .map(Into::into)
        .ok_or_else(|| CliError::invalid(format!("`{text}` is not a state of runs")))
}
