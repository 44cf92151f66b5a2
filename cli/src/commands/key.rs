//! `provado key`: identities that can read backups. Made and kept by operators; the controller
//! never sees one.

use crate::commands::sealing::read_identity;
use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::output;
use provado_repository::keys::{Identity, IdentityFile};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a new identity file and print its recipient.
    #[command(
        after_help = "Example: provado key create /root/provado-offline.key\n\n\
        Print the file, or put it on a medium that leaves the building: whoever has it can read \
        the backups, and without it nobody can."
    )]
    Create {
        /// The file to make; it must not exist.
        file: PathBuf,
    },
    /// Print the recipient of an identity file.
    #[command(after_help = "Example: provado key show /root/provado-offline.key")]
    Show {
        /// The identity file.
        file: PathBuf,
    },
}

/// Carries it out.
pub(crate) fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::Create { file } => create(context, &file),
        Command::Show { file } => {
            let identity = Identity::from_file_text(&read_identity(&file)?)
                .map_err(|error| CliError::invalid(format!("{}: {error}", file.display())))?;
            print(context, &identity.recipient().to_string());
            Ok(Exit::Done)
        }
    }
}

fn create(context: &Context, file: &Path) -> Result<Exit> {
    let made = IdentityFile::generate(context.clock.now());
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut out| {
            out.write_all(made.text.as_bytes())?;
            out.sync_all()
        });
    written.map_err(|error| CliError::unwritable(file, &error))?;
    print(context, &made.recipient.to_string());
    output::note(&format!(
        "The identity is in {}. Whoever has it can read the backups; without it nobody can.",
        file.display()
    ));
    Ok(Exit::Done)
}

fn print(context: &Context, recipient: &str) {
    if context.is_json() {
        output::line(&serde_json::json!({ "recipient": recipient }).to_string());
    } else {
        output::line(recipient);
    }
}
