//! `provado instance`: the PostgreSQL servers agents found.

use crate::context::{Context, unary};
use crate::error::{CliError, Exit, Result};
use crate::listing::{self, Ask, ROWS_MAX};
use crate::names::{optional, resource};
use crate::output::human::{self, Now};
use crate::output::{Column, Report, Table};
use provado_proto::operator::v1::{
    Database, GetInstanceRequest, Instance, ListInstancesRequest, ListInstancesResponse,
};

/// Settings of which a backup or a restore may depend; JSON has the others.
const SETTINGS_SHOWN: &[&str] = &[
    "data_checksums",
    "wal_level",
    "archive_mode",
    "shared_preload_libraries",
];

/// What to do with instances.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List instances.
    #[command(after_help = "Examples:\n  provado instance list\n  \
        provado instance list --agent db1")]
    List {
        /// Only of this agent: its name, its id, or a unique beginning of it.
        #[arg(long, value_name = "NAME")]
        agent: Option<String>,
    },
    /// Show an instance with its databases: version, sizes, extensions, collations.
    #[command(after_help = "Example: provado instance show db1")]
    Show {
        /// Its name, its id, or a unique beginning of it.
        instance: String,
    },
}

/// Carries it out.
pub(crate) async fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::List { agent } => list(context, agent.as_deref()).await,
        Command::Show { instance } => {
            let request = GetInstanceRequest {
                name: resource("instances", &instance),
            };
            let answer = context
                .fleet()
                .await?
                .get_instance(unary(request))
                .await?
                .into_inner();
            let instance = answer
                .instance
                .ok_or_else(|| CliError::answer("the instance"))?;
            context.print(&instance, facts)
        }
    }
}

async fn list(context: &Context, agent: Option<&str>) -> Result<Exit> {
    let mut fleet = context.fleet().await?;
    let call = async |ask: Ask| {
        let request = ListInstancesRequest {
            page_size: ask.size,
            page_token: ask.token,
            agent: optional("agents", agent),
        };
        Ok(fleet.list_instances(unary(request)).await?.into_inner())
    };
    listing::print(context, ROWS_MAX, call, table).await
}

/// The instances, one a line.
pub(crate) fn table(answer: &ListInstancesResponse, now: &Now) -> Report {
    let mut table = Table::new(&[
        Column::Left("INSTANCE"),
        Column::Left("AGENT"),
        Column::Left("VERSION"),
        Column::Right("DATABASES"),
        Column::Right("SIZE"),
        Column::Left("AT"),
        Column::Left("SEEN"),
        Column::Left("STATE"),
    ]);
    for instance in &answer.instances {
        table.row([
            human::last(&instance.name).to_owned(),
            human::last(&instance.agent).to_owned(),
            short_version(&instance.server_version),
            instance.database_count.to_string(),
            human::bytes(instance.size_bytes),
            format!("{}:{}", instance.host, instance.port),
            now.show(instance.last_seen_time.as_ref()),
            state(instance),
        ]);
    }
    let mut report = Report::new();
    report.table(
        &table,
        "No instances. Agents tell of them within seconds of joining; see `provado agent list`.",
    );
    report
}

/// One instance, a fact a line, and its databases.
pub(crate) fn facts(instance: &Instance, now: &Now) -> Report {
    let mut report = Report::new();
    report.fact("instance", human::last(&instance.name));
    report.fact("agent", human::last(&instance.agent));
    report.fact("state", state(instance));
    report.fact("version", &instance.server_version);
    report.fact("system identifier", &instance.system_identifier);
    report.fact("at", format!("{}:{}", instance.host, instance.port));
    report.fact("data directory", human::or_dash(&instance.data_directory));
    report.fact("client tools", human::or_dash(&instance.tool_version));
    report.fact("size", human::bytes(instance.size_bytes));
    report.fact("seen", now.show(instance.last_seen_time.as_ref()));
    let shown = SETTINGS_SHOWN
        .iter()
        .filter_map(|name| Some((*name, instance.settings.get(*name)?)))
        .filter(|(_, value)| !value.is_empty());
    for (name, value) in shown {
        report.fact("setting", format!("{name} = {value}"));
    }
    for warning in &instance.warnings {
        report.fact("warning", warning);
    }
    report.line("");
    report.table(
        &databases(&instance.databases, now),
        "It has no databases that allow connections.",
    );
    report
}

fn databases(databases: &[Database], now: &Now) -> Table {
    let mut table = Table::new(&[
        Column::Left("DATABASE"),
        Column::Right("SIZE"),
        Column::Left("OWNER"),
        Column::Left("ENCODING"),
        Column::Left("COLLATION"),
        Column::Left("EXTENSIONS"),
        Column::Left("NEWEST BACKUP"),
        Column::Left("LAST PROOF"),
    ]);
    for database in databases {
        table.row([
            database.database_name.clone(),
            human::bytes(database.size_bytes),
            database.owner.clone(),
            database.encoding.clone(),
            collation(database),
            human::or_dash(&database.extensions.join(", ")),
            now.show(database.latest_backup_time.as_ref()),
            now.show(database.latest_proof_time.as_ref()),
        ]);
    }
    table
}

fn collation(database: &Database) -> String {
    let mut text = format!("{} {}", database.locale_provider, database.collate);
    if !database.collation_version.is_empty() {
        text.push(' ');
        text.push_str(&database.collation_version);
        if database.collation_version != database.actual_collation_version {
            text.push_str(" (host has ");
            text.push_str(&database.actual_collation_version);
            text.push_str("!)");
        }
    }
    text
}

fn state(instance: &Instance) -> String {
    if !instance.connected {
        "agent offline".to_owned()
    } else if !instance.unreachable_message.is_empty() {
        format!("unreachable: {}", instance.unreachable_message)
    } else if instance.in_recovery {
        "standby".to_owned()
    } else {
        "up".to_owned()
    }
}

fn short_version(text: &str) -> String {
    text.split_whitespace().next().unwrap_or("-").to_owned()
}
