//! `provado agent`: the daemons on database hosts.

use crate::context::{Context, unary};
use crate::error::{CliError, Exit, Result};
use crate::names::resource;
use crate::output::{self, Column, Table, human};
use provado_proto::operator::v1::{
    Agent, AgentState, GetAgentRequest, ListAgentsRequest, RevokeAgentRequest, RunInspectRequest,
    UnlockAgentRequest,
};

/// What to do with agents.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List agents.
    List,
    /// Show one agent.
    Show {
        /// Its name, or its id.
        agent: String,
    },
    /// Make an agent look at its instances anew.
    Inspect {
        /// Its name, or its id.
        agent: String,
        #[command(flatten)]
        wait: crate::args::Wait,
    },
    /// End an agent's access for good and cut its connection.
    Revoke {
        /// Its name, or its id.
        agent: String,
        /// Why, for the audit.
        #[arg(long)]
        message: String,
    },
    /// Take the lock off an agent that showed itself cloned, once the copy is gone.
    Unlock {
        /// Its name, or its id.
        agent: String,
        /// Why, for the audit.
        #[arg(long)]
        message: String,
    },
}

/// Carries it out.
pub(crate) async fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::List => list(context).await,
        Command::Show { agent } => {
            let request = GetAgentRequest {
                name: resource("agents", &agent),
            };
            let answer = context
                .fleet()
                .await?
                .get_agent(unary(request))
                .await?
                .into_inner();
            show(context, answer.agent)
        }
        Command::Inspect { agent, wait } => {
            let request = RunInspectRequest {
                request_id: context.request_id(),
                validate_only: false,
                agent: resource("agents", &agent),
            };
            let answer = context
                .runs()
                .await?
                .run_inspect(unary(request))
                .await?
                .into_inner();
            crate::watch::follow(context, answer.run, wait.is_wanted()).await
        }
        Command::Revoke { agent, message } => {
            let request = RevokeAgentRequest {
                request_id: context.request_id(),
                name: resource("agents", &agent),
                message,
                validate_only: false,
            };
            let answer = context
                .fleet()
                .await?
                .revoke_agent(unary(request))
                .await?
                .into_inner();
            show(context, answer.agent)
        }
        Command::Unlock { agent, message } => {
            let request = UnlockAgentRequest {
                request_id: context.request_id(),
                name: resource("agents", &agent),
                message,
                validate_only: false,
            };
            let answer = context
                .fleet()
                .await?
                .unlock_agent(unary(request))
                .await?
                .into_inner();
            show(context, answer.agent)
        }
    }
}

async fn list(context: &Context) -> Result<Exit> {
    let request = ListAgentsRequest {
        page_size: 1000,
        page_token: String::new(),
    };
    let answer = context
        .fleet()
        .await?
        .list_agents(unary(request))
        .await?
        .into_inner();
    if context.is_json() {
        output::print_json(&answer)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&[
        Column::Left("AGENT"),
        Column::Left("STATE"),
        Column::Left("HOST"),
        Column::Left("LABELS"),
        Column::Right("INSTANCES"),
        Column::Right("BUSY WITH"),
        Column::Left("VERSION"),
        Column::Left("LAST HEARD"),
        Column::Left("CERTIFICATE ENDS"),
    ]);
    for agent in &answer.agents {
        table.row([
            human::last(&agent.name).to_owned(),
            state(agent),
            agent.hostname.clone(),
            human::labels(&agent.labels),
            agent.instance_count.to_string(),
            agent.live_attempt_count.to_string(),
            agent.agent_version.clone(),
            human::instant(agent.last_seen_time.as_ref(), context.now()),
            human::instant(agent.certificate_expire_time.as_ref(), context.now()),
        ]);
    }
    table.print(
        "No agents. Make a token with `provado join-token create`, then run `provado-agent join` \
         on the host.",
    );
    Ok(Exit::Done)
}

fn show(context: &Context, agent: Option<Agent>) -> Result<Exit> {
    let agent = agent.ok_or_else(|| CliError::answer("the agent"))?;
    if context.is_json() {
        output::print_json(&agent)?;
        return Ok(Exit::Done);
    }
    let now = context.now();
    let field = |name: &str, value: String| output::line(&format!("{name:<18}{value}"));
    field("agent", human::last(&agent.name).to_owned());
    field("id", agent.uid.clone());
    field("state", state(&agent));
    if !agent.message.is_empty() {
        field("why", output::human_line(&agent.message));
    }
    field("host", format!("{} ({})", agent.hostname, agent.os));
    field("version", agent.agent_version.clone());
    field("labels", human::labels(&agent.labels));
    field("joined", human::instant(agent.create_time.as_ref(), now));
    field(
        "last heard",
        human::instant(agent.last_seen_time.as_ref(), now),
    );
    field(
        "certificate",
        format!(
            "generation {}, ends {}",
            agent.certificate_generation,
            human::instant(agent.certificate_expire_time.as_ref(), now)
        ),
    );
    field("seals to", agent.sealing_recipient.clone());
    field("instances", agent.instance_count.to_string());
    field(
        "busy with",
        format!("{} attempts", agent.live_attempt_count),
    );
    Ok(Exit::Done)
}

fn state(agent: &Agent) -> String {
    match (agent.state(), agent.connected) {
        (AgentState::Active, true) => "connected".to_owned(),
        (AgentState::Active, false) => "offline".to_owned(),
        (other, _) => human::word(other.as_str_name(), "AGENT_STATE_"),
    }
}
