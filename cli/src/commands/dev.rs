//! `provado dev`: placeholder until controller and agent can be started from here.

use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use provado_model::Kind;

/// Arguments of `dev`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How to reach the PostgreSQL server: `host=/var/run/postgresql user=postgres`.
    #[arg(long)]
    dsn: String,
}

/// Carries it out.
#[expect(clippy::unused_async, reason = "awaits once the daemons are linked")]
pub(crate) async fn run(_context: &Context, args: Args) -> Result<Exit> {
    Err(CliError::new(Kind::Unsupported, args.dsn))
}
