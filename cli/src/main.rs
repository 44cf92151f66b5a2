//! `provado`: the operator's command. It speaks to a controller and prints what it says; it holds
//! no state but a profile and never touches a database itself (`provado dev` apart, which runs a
//! controller and an agent in this process).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod args;
mod commands;
mod connect;
mod context;
mod error;
mod names;
mod output;
mod profile;
mod watch;

use args::Cli;
use clap::Parser as _;
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
            output::problem(&format!("the program could not start its runtime: {error}"));
            return ExitCode::from(70);
        }
    };
    match runtime.block_on(commands::run(cli)) {
        Ok(exit) => exit.code(),
        Err(error) => {
            error.print();
            ExitCode::from(error.exit_code())
        }
    }
}
