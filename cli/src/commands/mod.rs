//! The commands, one file a noun. Each asks the controller and prints the answer.

pub(crate) mod access;
pub(crate) mod agent;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod controller;
pub(crate) mod dev;
pub(crate) mod drill;
pub(crate) mod instance;
pub(crate) mod key;
pub(crate) mod proof;
pub(crate) mod repository;
pub(crate) mod restore;
pub(crate) mod run;
mod sealing;
mod shell;

use crate::args::{Cli, Command};
use crate::context::Context;
use crate::error::{Exit, Result};

/// Carries out the command line.
pub(crate) async fn run(cli: Cli) -> Result<Exit> {
    let context = Context::new(cli.output, cli.profile);
    match cli.command {
        Command::Dev(args) => dev::run(&context, args).await,
        Command::Agent(command) => agent::run(&context, command).await,
        Command::JoinToken(command) => access::run_token(&context, command).await,
        Command::Caller(command) => access::run_caller(&context, command).await,
        Command::Instance(command) => instance::run(&context, command).await,
        Command::Backup(command) => backup::run(&context, command).await,
        Command::Restore(command) => restore::run(&context, command).await,
        Command::Drill(command) => drill::run(&context, command).await,
        Command::Proof(command) => proof::run(&context, command).await,
        Command::Run(command) => run::run(&context, command).await,
        Command::Repository(command) => repository::run(&context, command).await,
        Command::Key(command) => key::run(&context, command),
        Command::Controller(command) => controller::run(&context, command).await,
        Command::Audit(command) => audit::run(&context, command).await,
        Command::Completions { shell } => {
            shell::completions(shell);
            Ok(Exit::Done)
        }
        Command::Man { directory } => shell::man_pages(&directory),
    }
}
