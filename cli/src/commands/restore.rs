//! `provado restore`: bring a backup back into a new database.

use crate::args::{Part, Wait};
use crate::commands::sealing;
use crate::context::{Context, unary};
use crate::error::{Exit, Result};
use crate::names::optional;
use crate::watch;
use provado_proto::operator::v1::RunRestoreRequest;
use std::path::PathBuf;

/// What to do about restores.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Restore a backup into a new database.
    #[command(
        after_help = "Examples:\n  provado restore run latest:db1/shop --into shop_restored\n  \
        provado restore run 01932f7e-1234 --into shop_old --identity offline.key --create-roles\n  \
        provado restore run latest:db1/shop --into shop_orders --table 'public.orders'\n\n\
        Only new databases are made, and one without tables takes no rows: --data-only is refused."
    )]
    Run(RunArgs),
}

/// Arguments of `restore run`.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// `latest:INSTANCE/DATABASE`, an id, or a unique beginning of one.
    backup: String,
    /// The database to make; it must not exist.
    #[arg(long, value_name = "DATABASE", allow_hyphen_values = true)]
    pub(crate) into: String,
    /// The instance to make it in: its name, its id, or a unique beginning of it; left out, the
    /// one the backup came from.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    #[command(flatten)]
    pub(crate) part: Part,
    /// Parallel jobs; left out, one a processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=64))]
    pub(crate) jobs: Option<i32>,
    /// Leave everything owned by the restoring role.
    #[arg(long)]
    no_owner: bool,
    /// Leave grants out.
    #[arg(long)]
    no_acl: bool,
    /// Create roles that are missing, without passwords.
    #[arg(long)]
    create_roles: bool,
    /// Identity file to read with; left out, the agent uses its own if it has one.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Check everything that can be checked now, change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    wait: Wait,
}

/// Carries it out.
pub(crate) async fn run(context: &Context, command: Command) -> Result<Exit> {
    let Command::Run(args) = command;
    let reading = sealing::reading(context, &args.backup, args.identity.as_deref()).await?;
    let request = RunRestoreRequest {
        request_id: context.request_id(),
        validate_only: args.dry_run,
        backup: reading.backup,
        instance: optional("instances", args.instance.as_deref()),
        database_name: args.into,
        selection: Some(args.part.selection()),
        jobs_count: args.jobs.unwrap_or(0),
        no_owner: args.no_owner,
        no_acl: args.no_acl,
        create_roles: args.create_roles,
        sealed_identity: reading.sealed_identity,
    };
    let answer = context
        .runs()
        .await?
        .run_restore(unary(request))
        .await?
        .into_inner();
    watch::follow(context, answer.run, args.wait.is_wanted()).await
}
