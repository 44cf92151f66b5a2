//! Completions and man pages, made from the command line's own description.

use crate::args::Cli;
use crate::error::{CliError, Exit, Result};
use crate::output;
use clap::CommandFactory as _;
use std::path::Path;

/// Prints the completions of a shell.
pub(super) fn completions(shell: clap_complete::Shell) {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "provado", &mut text);
    output::raw(&String::from_utf8_lossy(&text));
}

/// Writes one page a command into the directory.
pub(super) fn man_pages(directory: &Path) -> Result<Exit> {
    clap_mangen::generate_to(Cli::command(), directory)
        .map_err(|error| CliError::unwritable(directory, &error))?;
    Ok(Exit::Done)
}
