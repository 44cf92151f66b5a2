//! `provado run`: what was asked for, and what became of it.

use crate::context::{Context, unary};
use crate::error::{CliError, Exit, Result};
use crate::listing::{self, Ask, Limit};
use crate::names::{InstanceAndDatabase, optional, resource};
use crate::output::human::{self, Now};
use crate::output::{Column, Report, Table};
use crate::watch;
use provado_proto::operator::v1::{
    CancelRunRequest, GetRunRequest, ListRunsRequest, ListRunsResponse, Run, RunFilter, RunKind,
    RunState, StreamLogsRequest, StreamLogsResponse,
};

/// What to do with runs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List runs, newest first.
    #[command(after_help = "Examples:\n  provado run list db1 --state failed\n  \
        provado run list db1/shop --kind backup --kind drill --limit 200")]
    List(ListArgs),
    /// Show one run.
    #[command(after_help = "Example: provado run show 01932f7e-1234")]
    Show {
        /// An id, or a unique beginning of one.
        run: String,
    },
    /// Watch a run until it ends; the exit code is that of the run.
    #[command(after_help = "Example: provado run watch 01932f7e-1234")]
    Watch {
        /// An id, or a unique beginning of one.
        run: String,
    },
    /// Ask a run to end.
    #[command(after_help = "Example: provado run cancel 01932f7e-1234 --message 'wrong database'")]
    Cancel {
        /// An id, or a unique beginning of one.
        run: String,
        /// Why, for log and audit.
        #[arg(long, default_value = "")]
        message: String,
    },
    /// Print a run's log.
    #[command(after_help = "Example: provado run logs 01932f7e-1234 --follow")]
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
    /// Only of this kind: backup, restore, check, drill, prune, inspect, init; may be repeated.
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// Only in this state: requested, queued, dispatched, running, succeeded, failed, canceled,
    /// skipped; may be repeated.
    #[arg(long = "state", value_name = "STATE")]
    states: Vec<String>,
    /// Only parts of this run: an id, or a unique beginning of one.
    #[arg(long, value_name = "RUN")]
    parent: Option<String>,
    #[command(flatten)]
    limit: Limit,
}

/// Carries it out.
pub(crate) async fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::List(args) => list(context, args).await,
        Command::Show { run } => {
            let run = get(context, &run).await?;
            context.print(&run, facts)
        }
        Command::Watch { run } => {
            let ended = watch::until_end(context, &resource("runs", &run)).await?;
            watch::print_end(context, &ended).await
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
            context.print(&run, |run, _| canceling(run))
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
    let filter = RunFilter {
        kinds: kinds?,
        states: states?,
        instance: optional("instances", target.as_ref().map(|t| t.instance.as_str())),
        database_name: target.and_then(|t| t.database).unwrap_or_default(),
        parent_run: optional("runs", args.parent.as_deref()),
        ..RunFilter::default()
    };
    let mut runs = context.runs().await?;
    let call = async |ask: Ask| {
        let request = ListRunsRequest {
            page_size: ask.size,
            page_token: ask.token,
            filter: Some(filter.clone()),
        };
        Ok(runs.list_runs(unary(request)).await?.into_inner())
    };
    listing::print(context, args.limit.limit, call, table).await
}

/// The runs, one a line.
pub(crate) fn table(answer: &ListRunsResponse, now: &Now) -> Report {
    let mut table = Table::new(&[
        Column::Left("RUN"),
        Column::Left("KIND"),
        Column::Left("OF"),
        Column::Left("STATE"),
        Column::Left("ASKED FOR"),
        Column::Left("BY"),
        Column::Left("WHAT CAME OF IT"),
    ]);
    let chars = human::short_chars(answer.runs.iter().map(|it| it.name.as_str()));
    for run in &answer.runs {
        table.row([
            human::cut(&run.name, chars).to_owned(),
            watch::kind_word(run),
            watch::subject(run),
            watch::state_word(run.state()),
            now.show(run.create_time.as_ref()),
            human::last(&run.requester).to_owned(),
            watch::gist(run),
        ]);
    }
    let mut report = Report::new();
    report.table(&table, "No runs.");
    report
}

/// One run, a fact a line, and how it ended.
pub(crate) fn facts(run: &Run, now: &Now) -> Report {
    let mut report = Report::new();
    report.fact("run", human::last(&run.name));
    report.fact("kind", watch::kind_word(run));
    report.fact("of", watch::subject(run));
    report.fact("state", watch::state_word(run.state()));
    report.fact("asked for by", human::last(&run.requester));
    report.fact("asked for", now.show(run.create_time.as_ref()));
    report.fact("started", now.show(run.start_time.as_ref()));
    report.fact("ended", now.show(run.end_time.as_ref()));
    report.fact("attempts", run.attempt_count);
    report.fact_if_any("agent", human::last(&run.agent));
    report.fact_if_any("repository", human::last(&run.repository));
    report.fact_if_any("backup", human::short(&run.backup));
    report.fact_if_any("proof", human::short(&run.proof));
    // What one request made begins alike.
    report.fact_if_any("part of", human::last(&run.parent_run));
    if run.part_count > 0 {
        report.fact(
            "parts",
            format!("{} of {} ended", run.ended_part_count, run.part_count),
        );
    }
    report.fact("labels", human::labels(&run.labels));
    for step in run.outcome.iter().flat_map(|outcome| &outcome.steps) {
        report.fact(
            "step",
            format!(
                "{:<24}{}",
                step.step_name,
                human::millis(step.duration_millis)
            ),
        );
    }
    if watch::is_final(run) {
        report.append(watch::end(run));
    } else {
        report.fact("now", watch::describe(run));
    }
    report
}

/// What asking a run to end came to.
pub(crate) fn canceling(run: &Run) -> Report {
    let (name, state) = (watch::handle(run), watch::state_word(run.state()));
    let mut report = Report::new();
    if watch::is_final(run) {
        report.line(format!("run {name} is {state}"));
    } else {
        report.line(format!(
            "run {name} is {state}; it is canceled once its attempt has cleaned up: \
             provado run watch {name}"
        ));
    }
    report
}

async fn logs(context: &Context, text: &str, follow: bool) -> Result<Exit> {
    let request = StreamLogsRequest {
        name: resource("runs", text),
        follow,
    };
    let mut runs = context.runs().await?;
    let mut stream = runs.stream_logs(request).await?.into_inner();
    while let Some(entry) = stream.message().await? {
        context.print(&entry, log_line)?;
    }
    Ok(Exit::Done)
}

/// One line of a log.
pub(crate) fn log_line(entry: &StreamLogsResponse, now: &Now) -> Report {
    let mut report = Report::new();
    report.line(format!(
        "{} #{} {:<5} {}",
        now.line_time(entry.log_time.as_ref()),
        entry.attempt_number,
        entry.level,
        entry.message
    ));
    report
}

fn kind(text: &str) -> Result<i32> {
    let name = format!("RUN_KIND_{}", text.to_uppercase());
    RunKind::from_str_name(&name)
        .map(Into::into)
        .ok_or_else(|| {
            CliError::invalid(format!(
                "`{text}` is not a kind of run: backup, restore, check, drill, prune, inspect, init"
            ))
        })
}

fn state(text: &str) -> Result<i32> {
    let name = format!("RUN_STATE_{}", text.to_uppercase());
    RunState::from_str_name(&name)
        .map(Into::into)
        .ok_or_else(|| {
            CliError::invalid(format!(
                "`{text}` is not a state of runs: requested, queued, dispatched, running, \
                 succeeded, failed, canceled, skipped"
            ))
        })
}
