//! `provado instance`: the PostgreSQL servers agents found.

use crate::context::{Context, unary};
use crate::error::{CliError, Exit, Result};
use crate::names::{optional, resource};
use crate::output::{self, Column, Table, human};
use provado_proto::operator::v1::{GetInstanceRequest, Instance, ListInstancesRequest};

/// What to do with instances.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List instances.
    List {
        /// Only of this agent.
        #[arg(long, value_name = "NAME")]
        agent: Option<String>,
    },
    /// Show an instance with its databases.
    #[command(after_help = "Example: provado instance show db1")]
    Show {
        /// Its name, or its id.
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
            if context.is_json() {
                output::print_json(&instance)?;
            } else {
                print(context, &instance);
            }
            Ok(Exit::Done)
        }
    }
}

async fn list(context: &Context, agent: Option<&str>) -> Result<Exit> {
    let request = ListInstancesRequest {
        page_size: 1000,
        page_token: String::new(),
        agent: optional("agents", agent),
    };
    let answer = context
        .fleet()
        .await?
        .list_instances(unary(request))
        .await?
        .into_inner();
    if context.is_json() {
        output::print_json(&answer)?;
        return Ok(Exit::Done);
    }
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
            human::instant(instance.last_seen_time.as_ref(), context.now()),
            state(instance),
        ]);
    }
    table.print(
        "No instances. Agents tell of them within seconds of joining; see `provado agent list`.",
    );
    Ok(Exit::Done)
}

fn print(context: &Context, instance: &Instance) {
    let now = context.now();
    let field = |name: &str, value: String| output::line(&format!("{name:<18}{value}"));
    field("instance", human::last(&instance.name).to_owned());
    field("agent", human::last(&instance.agent).to_owned());
    field("state", state(instance));
    field("version", instance.server_version.clone());
    field("system identifier", instance.system_identifier.clone());
    field("at", format!("{}:{}", instance.host, instance.port));
    field("data directory", human::or_dash(&instance.data_directory));
    field("client tools", human::or_dash(&instance.tool_version));
    field("size", human::bytes(instance.size_bytes));
    field(
        "seen",
        human::instant(instance.last_seen_time.as_ref(), now),
    );
    for warning in &instance.warnings {
        field("warning", output::human_line(warning));
    }
    output::line("");
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
    for database in &instance.databases {
        table.row([
            database.database_name.clone(),
            human::bytes(database.size_bytes),
            database.owner.clone(),
            database.encoding.clone(),
            collation(database),
            human::or_dash(&database.extensions.join(", ")),
            human::instant(database.latest_backup_time.as_ref(), now),
            human::instant(database.latest_proof_time.as_ref(), now),
        ]);
    }
    table.print("It has no databases that allow connections.");
}

fn collation(database: &provado_proto::operator::v1::Database) -> String {
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
