//! The command line: one subcommand a noun, verbs under it.

use crate::commands::{
    access, agent, audit, backup, controller, dev, drill, instance, key, proof, repository,
    restore, run,
};
use crate::output::Format;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// PostgreSQL backups for a whole fleet, proven by restore.
#[derive(Debug, Parser)]
#[command(
    name = "provado",
    version,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done · 1 the run failed · 2 wrong input · 3 not found · \
                  4 not allowed · 5 exists, stale or not now · 6 unsupported · 7 exhausted · \
                  8 unavailable · 9 a check, drill or restore found a difference · 70 a bug · \
                  130 given up"
)]
pub(crate) struct Cli {
    /// How results are printed.
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub(crate) output: Format,
    /// Profile file: which controller, and with which certificate.
    #[arg(
        long,
        global = true,
        env = "PROVADO_PROFILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(crate) profile: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a controller and an agent in this process, for a first look.
    Dev(dev::Args),
    /// Agents: the daemons on database hosts.
    #[command(subcommand)]
    Agent(agent::Command),
    /// One-time tokens with which hosts join.
    #[command(subcommand)]
    JoinToken(access::TokenCommand),
    /// Operators and what they may do.
    #[command(subcommand)]
    Caller(access::CallerCommand),
    /// PostgreSQL servers.
    #[command(subcommand)]
    Instance(instance::Command),
    /// Backups.
    #[command(subcommand)]
    Backup(backup::Command),
    /// Bring a backup back.
    #[command(subcommand)]
    Restore(restore::Command),
    /// Restore into a throw-away instance and compare.
    #[command(subcommand)]
    Drill(drill::Command),
    /// Signed results of drills.
    #[command(subcommand)]
    Proof(proof::Command),
    /// Runs: everything that was asked for, and what became of it.
    #[command(subcommand)]
    Run(run::Command),
    /// Places for backups.
    #[command(subcommand)]
    Repository(repository::Command),
    /// Keys that backups are encrypted to.
    #[command(subcommand)]
    Key(key::Command),
    /// The controller itself.
    #[command(subcommand)]
    Controller(controller::Command),
    /// The chain of what was done, by whom.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Print shell completions.
    #[command(
        after_help = "Examples:\n  provado completions bash > /etc/bash_completion.d/provado\n  \
        provado completions zsh > ~/.zfunc/_provado"
    )]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Write man pages into a directory, one a command.
    #[command(after_help = "Example: provado man /usr/local/share/man/man1")]
    Man {
        /// The directory; it must exist.
        directory: PathBuf,
    },
}

/// Whether to wait for a run to end.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Wait {
    /// Wait for the run to end, showing progress (the default).
    #[arg(long, overrides_with = "no_wait")]
    wait: bool,
    /// Return as soon as the run is asked for.
    #[arg(long)]
    no_wait: bool,
}

impl Wait {
    /// Whether to wait.
    pub(crate) fn is_wanted(self) -> bool {
        self.wait || !self.no_wait
    }
}

/// What part of a database.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Part {
    /// Definitions only.
    #[arg(long, conflicts_with = "data_only")]
    pub(crate) schema_only: bool,
    /// Data only.
    #[arg(long)]
    pub(crate) data_only: bool,
    /// Only tables that match, in pg_dump's form (`schema.table`, `*`, `?`); may be repeated.
    #[arg(long = "table", value_name = "PATTERN", allow_hyphen_values = true)]
    pub(crate) tables: Vec<String>,
}

impl Part {
    /// As the API has it.
    pub(crate) fn selection(&self) -> provado_proto::common::v1::Selection {
        use provado_proto::common::v1::{Scope, Selection};
        let scope = if self.schema_only {
            Scope::SchemaOnly
        } else if self.data_only {
            Scope::DataOnly
        } else {
            Scope::Everything
        };
        Selection {
            scope: scope.into(),
            table_patterns: self.tables.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_token_for_an_agent_that_comes_back_takes_nothing_of_a_new_one() {
        let line = |more: &[&str]| {
            let fixed = ["provado", "join-token", "create"];
            Cli::try_parse_from(fixed.iter().chain(more))
        };
        assert!(line(&["--agent", "db1", "--ttl", "15m"]).is_ok());
        assert!(line(&["--agent", "db1", "--name", "db2"]).is_err());
        assert!(line(&["--agent", "db1", "--label", "a=b"]).is_err());
    }

    #[test]
    fn waiting_is_the_default_and_the_last_word_counts() {
        let wait = |line: &[&str]| {
            let cli = Cli::try_parse_from(line).unwrap();
            let Command::Drill(drill::Command::Run(args)) = cli.command else {
                panic!("{line:?}");
            };
            args.wait.is_wanted()
        };
        assert!(wait(&["provado", "drill", "run", "latest:a/b"]));
        assert!(!wait(&[
            "provado",
            "drill",
            "run",
            "latest:a/b",
            "--no-wait"
        ]));
        assert!(wait(&["provado", "drill", "run", "latest:a/b", "--wait"]));
    }

    #[test]
    fn names_from_a_database_may_begin_with_dashes() {
        let line = [
            "provado",
            "restore",
            "run",
            "latest:a/b",
            "--into",
            "--clean",
            "--table",
            "-t",
            "--table=--all",
            "--jobs",
            "2",
        ];
        let cli = Cli::try_parse_from(line).unwrap();
        let Command::Restore(restore::Command::Run(args)) = cli.command else {
            panic!("{line:?}");
        };
        assert_eq!(args.into, "--clean");
        assert_eq!(args.part.tables, ["-t", "--all"]);
        assert_eq!(args.jobs, Some(2));
        // An instance's name begins with a letter, and so does what stands before its database.
        let line = ["provado", "backup", "run", "db1/--clean", "--table", "--t"];
        let cli = Cli::try_parse_from(line).unwrap();
        let Command::Backup(backup::Command::Run(args)) = cli.command else {
            panic!("{line:?}");
        };
        assert_eq!(args.part.tables, ["--t"]);
    }
}
