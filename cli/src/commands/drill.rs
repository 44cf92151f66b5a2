//! `provado drill`: restore into a throw-away instance and compare.

use crate::args::Wait;
use crate::commands::sealing;
use crate::context::{Context, unary};
use crate::error::{Exit, Result};
use crate::watch;
use provado_proto::operator::v1::RunDrillRequest;
use std::path::PathBuf;

/// What to do about drills.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Restore a backup into a throw-away instance and compare every row.
    #[command(after_help = "Examples:\n  provado drill run latest:db1/shop\n  \
        provado drill run 01932f7e-1234 --identity offline.key --jobs 4")]
    Run(RunArgs),
}

/// Arguments of `drill run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// `latest:INSTANCE/DATABASE`, an id, or a unique beginning of one.
    backup: String,
    /// Parallel jobs; left out, one a processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=64))]
    jobs: Option<i32>,
    /// Identity file to read with; left out, the agent uses its own if it has one.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// Carries it out.
pub(crate) async fn run(context: &Context, command: Command) -> Result<Exit> {
    let Command::Run(args) = command;
    let reading = sealing::reading(context, &args.backup, args.identity.as_deref()).await?;
    let request = RunDrillRequest {
        request_id: context.request_id(),
        validate_only: false,
        backup: reading.backup,
        jobs_count: args.jobs.unwrap_or(0),
        sealed_identity: reading.sealed_identity,
    };
    let answer = context
        .runs()
        .await?
        .run_drill(unary(request))
        .await?
        .into_inner();
    watch::follow(context, answer.run, args.wait.is_wanted()).await
}
