//! `provado`: the operator's command. It speaks to a controller and prints what it says; it holds
//! no state but a profile and never touches a database itself (`provado dev` apart, which runs a
//! controller and an agent in this process).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod args;
mod commands;
mod connect;
mod context;
mod error;
mod listing;
mod names;
mod output;
mod profile;
#[cfg(test)]
mod tests;
mod trust;
mod watch;

use args::Cli;
use clap::Parser as _;
use error::CliError;
use provado_model::Reason;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = CliError::new(
                Reason::Internal,
                format!(
                    "the program could not start its runtime: {error}. Look at the limits on \
                     processes and open files (`ulimit -a`)"
                ),
            );
            error.report().print();
            return ExitCode::from(error.exit_code());
        }
    };
    match runtime.block_on(commands::run(cli)) {
        Ok(exit) => exit.code(),
        Err(error) => {
            error.report().print();
            ExitCode::from(error.exit_code())
        }
    }
}
