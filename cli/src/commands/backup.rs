//! `provado backup`: take one, list them, look at one, check one.

pub(crate) mod show;

use crate::args::{Part, Wait};
use crate::commands::sealing;
use crate::context::{Context, unary};
use crate::error::{CliError, Exit, Result};
use crate::listing::{self, Ask, Limit};
use crate::names::{InstanceAndDatabase, optional, resource};
use crate::watch;
use provado_model::label;
use provado_proto::common::v1::CheckLevel;
use provado_proto::operator::v1::keep::Rule;
use provado_proto::operator::v1::{
    BackupFilter, Keep, ListBackupsRequest, RunBackupRequest, RunCheckRequest,
};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What to do with backups.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Back up a database, or every database of an instance.
    #[command(
        after_help = "Examples:\n  provado backup run db1/shop\n  provado backup run db1\n  \
        provado backup run db1/shop --table 'public.orders*' --label why=release-42 --keep 7d\n  \
        provado backup run db1/shop --schema-only --keep forever --no-wait"
    )]
    Run(RunArgs),
    /// List backups, newest first.
    #[command(after_help = "Examples:\n  provado backup list db1/shop\n  \
        provado backup list --label why=release-42 --limit 200 -o json")]
    List(ListArgs),
    /// Show one backup.
    #[command(after_help = "Examples:\n  provado backup show latest:db1/shop\n  \
        provado backup show 01932f7e-1234")]
    Show {
        /// `latest:INSTANCE/DATABASE`, an id, or a unique beginning of one.
        backup: String,
    },
    /// Read a backup's stored data back.
    #[command(after_help = "Examples:\n  provado backup check latest:db1/shop\n  \
        provado backup check latest:db1/shop --level readable --identity offline.key")]
    Check(CheckArgs),
}

/// Arguments of `backup run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// `INSTANCE/DATABASE`, or `INSTANCE` for every database.
    #[arg(value_name = "INSTANCE[/DATABASE]")]
    target: String,
    #[command(flatten)]
    pub(crate) part: Part,
    /// The repository to put it into; may be left out while the instance's host has one.
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    /// A label to keep with the backup; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Keep it at least this long (`7d`, `12h`), or `forever`.
    #[arg(long, value_name = "SPAN")]
    keep: Option<String>,
    /// zstd level, 1 to 19.
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(i32).range(1..=19))]
    compression: Option<i32>,
    /// Fail rather than wait for another run on the same database.
    #[arg(long)]
    no_queue: bool,
    /// Check everything that can be checked now, change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    wait: Wait,
}

/// Arguments of `backup list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only of this instance or database.
    #[arg(value_name = "INSTANCE[/DATABASE]")]
    target: Option<String>,
    /// Only in this repository.
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    /// Only with this label; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Also those that are deleted.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    limit: Limit,
}

/// Arguments of `backup check`.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// `latest:INSTANCE/DATABASE`, an id, or a unique beginning of one.
    backup: String,
    /// How far to read.
    #[arg(long, value_enum, default_value = "intact")]
    level: Level,
    /// Identity file to read with; left out, the agent uses its own if it has one.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    #[command(flatten)]
    wait: Wait,
}

/// How far to read.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Level {
    /// Every object is there with the right size.
    Present,
    /// Every stored byte equals its checksum.
    Intact,
    /// Every segment decrypts, decompresses and has the right id.
    Readable,
}

/// Carries it out.
pub(crate) async fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::Run(args) => start(context, args).await,
        Command::List(args) => list(context, args).await,
        Command::Show { backup } => {
            let backup = sealing::backup(context, &backup).await?;
            context.print(&backup, show::facts)
        }
        Command::Check(args) => check(context, args).await,
    }
}

async fn start(context: &Context, args: RunArgs) -> Result<Exit> {
    let target = InstanceAndDatabase::parse(&args.target)?;
    let request = RunBackupRequest {
        request_id: context.request_id(),
        validate_only: args.dry_run,
        instance: resource("instances", &target.instance),
        database_name: target.database.unwrap_or_default(),
        repository: optional("repositories", args.repository.as_deref()),
        selection: Some(args.part.selection()),
        labels: parse_labels(&args.labels)?,
        keep: args.keep.as_deref().map(parse_keep).transpose()?,
        compression_level: args.compression.unwrap_or(0),
        no_queue: args.no_queue,
    };
    let answer = context
        .runs()
        .await?
        .run_backup(unary(request))
        .await?
        .into_inner();
    watch::follow(context, answer.run, args.wait.is_wanted()).await
}

async fn check(context: &Context, args: CheckArgs) -> Result<Exit> {
    let reading = sealing::reading(context, &args.backup, args.identity.as_deref()).await?;
    let request = RunCheckRequest {
        request_id: context.request_id(),
        validate_only: false,
        backup: reading.backup,
        level: match args.level {
            Level::Present => CheckLevel::Present,
            Level::Intact => CheckLevel::Intact,
            Level::Readable => CheckLevel::Readable,
        }
        .into(),
        sealed_identity: reading.sealed_identity,
    };
    let answer = context
        .runs()
        .await?
        .run_check(unary(request))
        .await?
        .into_inner();
    watch::follow(context, answer.run, args.wait.is_wanted()).await
}

async fn list(context: &Context, args: ListArgs) -> Result<Exit> {
    let target = args
        .target
        .as_deref()
        .map(InstanceAndDatabase::parse)
        .transpose()?;
    let filter = BackupFilter {
        instance: optional("instances", target.as_ref().map(|t| t.instance.as_str())),
        database_name: target.and_then(|t| t.database).unwrap_or_default(),
        repository: optional("repositories", args.repository.as_deref()),
        include_pruned: args.all,
        labels: parse_labels(&args.labels)?,
        ..BackupFilter::default()
    };
    let mut backups = context.backups().await?;
    let call = async |ask: Ask| {
        let request = ListBackupsRequest {
            page_size: ask.size,
            page_token: ask.token,
            filter: Some(filter.clone()),
        };
        Ok(backups.list_backups(unary(request)).await?.into_inner())
    };
    listing::print(context, args.limit.limit, call, show::table).await
}

/// `15.18` for 150018; `9.6.24` before 10.
pub(crate) fn version(number: i32) -> String {
    if number >= 100_000 {
        format!("{}.{}", number / 10_000, number % 10_000)
    } else {
        format!(
            "{}.{}.{}",
            number / 10_000,
            number / 100 % 100,
            number % 100
        )
    }
}

fn parse_labels(texts: &[String]) -> Result<BTreeMap<String, String>> {
    texts
        .iter()
        .map(|text| label::parse(text).map_err(|error| CliError::invalid(error.to_string())))
        .collect()
}

fn parse_keep(text: &str) -> Result<Keep> {
    if text == "forever" {
        return Ok(Keep {
            rule: Some(Rule::Forever(true)),
        });
    }
    let seconds = parse_span(text)?;
    Ok(Keep {
        rule: Some(Rule::Duration(prost_types::Duration { seconds, nanos: 0 })),
    })
}

/// Seconds of `30s`, `15m`, `12h`, `7d`, `4w`.
pub(crate) fn parse_span(text: &str) -> Result<i64> {
    let wrong = || {
        CliError::invalid(format!(
            "`{text}` is not a span of time like 30s, 15m, 12h, 7d or 4w"
        ))
    };
    let unit = text.chars().last().ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(wrong()),
    };
    let number: i64 = text
        .get(..text.len() - 1)
        .and_then(|n| n.parse().ok())
        .ok_or_else(wrong)?;
    number
        .checked_mul(factor)
        .filter(|seconds| *seconds > 0)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_versions() {
        assert_eq!(parse_span("7d").unwrap(), 604_800);
        assert_eq!(parse_span("15m").unwrap(), 900);
        for bad in ["", "d", "7", "-1d", "0h", "7y", "99999999999999999w", "7é"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
        assert_eq!(version(150_018), "15.18");
        assert_eq!(version(90_624), "9.6.24");
        assert!(matches!(
            parse_keep("forever").unwrap().rule,
            Some(Rule::Forever(true))
        ));
    }
}
