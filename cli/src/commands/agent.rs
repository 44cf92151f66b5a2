//! `provado agent`: the daemons on database hosts.

use crate::context::{Context, unary};
use crate::error::{CliError, Exit, Result};
use crate::listing::{self, Ask, ROWS_MAX};
use crate::names::resource;
use crate::output::human::{self, Now};
use crate::output::{Column, Report, Table};
use jiff::Timestamp;
use provado_proto::operator::v1::{
    Agent, AgentState, GetAgentRequest, ListAgentsRequest, ListAgentsResponse, RevokeAgentRequest,
    RunInspectRequest, UnlockAgentRequest,
};

/// What to do with agents.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List agents.
    #[command(after_help = "Examples:\n  provado agent list\n  \
        provado agent list -o json | jq -r '.agents[] | select(.connected | not) | .name'")]
    List,
    /// Show one agent.
    #[command(after_help = "Example: provado agent show db1")]
    Show {
        /// Its name, its id, or a unique beginning of it.
        agent: String,
    },
    /// Make an agent look at its instances anew.
    #[command(after_help = "Example: provado agent inspect db1")]
    Inspect {
        /// Its name, its id, or a unique beginning of it.
        agent: String,
        #[command(flatten)]
        wait: crate::args::Wait,
    },
    /// End an agent's access for good and cut its connection.
    #[command(after_help = "Example: provado agent revoke db1 --message 'host is decommissioned'")]
    Revoke {
        /// Its name, its id, or a unique beginning of it.
        agent: String,
        /// Why, for the audit.
        #[arg(long)]
        message: String,
    },
    /// Take the lock off an agent that showed itself cloned, once the copy is gone.
    #[command(
        after_help = "Example: provado agent unlock db1 --message 'the copied VM is deleted'"
    )]
    Unlock {
        /// Its name, its id, or a unique beginning of it.
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
    let mut fleet = context.fleet().await?;
    let call = async |ask: Ask| {
        let request = ListAgentsRequest {
            page_size: ask.size,
            page_token: ask.token,
        };
        Ok(fleet.list_agents(unary(request)).await?.into_inner())
    };
    listing::print(context, ROWS_MAX, call, table).await
}

/// The agents, one a line.
pub(crate) fn table(answer: &ListAgentsResponse, now: &Now) -> Report {
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
            now.show(agent.last_seen_time.as_ref()),
            now.show(agent.certificate_expire_time.as_ref()),
        ]);
    }
    let mut report = Report::new();
    report.table(
        &table,
        "No agents. Make a token with `provado join-token create`, then run `provado-agent join` \
         on the host.",
    );
    for agent in &answer.agents {
        note_shut_out(&mut report, agent, now);
    }
    report
}

fn show(context: &Context, agent: Option<Agent>) -> Result<Exit> {
    let agent = agent.ok_or_else(|| CliError::answer("the agent"))?;
    context.print(&agent, facts)
}

/// One agent, a fact a line.
pub(crate) fn facts(agent: &Agent, now: &Now) -> Report {
    let mut report = Report::new();
    report.fact("agent", human::last(&agent.name));
    report.fact("id", &agent.uid);
    report.fact("state", state(agent));
    report.fact_if_any("why", &agent.message);
    report.fact("host", format!("{} ({})", agent.hostname, agent.os));
    report.fact("version", &agent.agent_version);
    report.fact("labels", human::labels(&agent.labels));
    report.fact("joined", now.show(agent.create_time.as_ref()));
    report.fact("last heard", now.show(agent.last_seen_time.as_ref()));
    report.fact(
        "certificate",
        format!(
            "generation {}, ends {}",
            agent.certificate_generation,
            now.show(agent.certificate_expire_time.as_ref())
        ),
    );
    report.fact("seals to", &agent.sealing_recipient);
    report.fact("instances", agent.instance_count);
    report.fact(
        "busy with",
        format!("{} attempts", agent.live_attempt_count),
    );
    note_shut_out(&mut report, agent, now);
    report
}

/// Whether it is offline and cannot come back by itself, since its certificate has ended.
fn is_shut_out(agent: &Agent, now: Timestamp) -> bool {
    let end = agent
        .certificate_expire_time
        .as_ref()
        .and_then(human::timestamp);
    agent.state() == AgentState::Active && !agent.connected && end.is_some_and(|end| end <= now)
}

/// Says how an agent comes back that cannot by itself.
fn note_shut_out(report: &mut Report, agent: &Agent, now: &Now) {
    if is_shut_out(agent, now.time) {
        report.note(format!(
            "The certificate of {name} has ended: make a token with `provado join-token create \
             --agent {name}`, then run `provado-agent join` on its host.",
            name = human::last(&agent.name)
        ));
    }
}

fn state(agent: &Agent) -> String {
    match (agent.state(), agent.connected) {
        (AgentState::Active, true) => "connected".to_owned(),
        (AgentState::Active, false) => "offline".to_owned(),
        (other, _) => human::word(other.as_str_name(), "AGENT_STATE_"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_whose_certificate_has_ended_is_offline_and_shut_out() {
        let now = Timestamp::from_second(1_000).unwrap();
        let ends = |seconds| Agent {
            state: AgentState::Active.into(),
            certificate_expire_time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
            ..Agent::default()
        };
        assert!(is_shut_out(&ends(1_000), now));
        assert_eq!(state(&ends(1_000)), "offline");
        assert!(!is_shut_out(&ends(1_001), now));
        let revoked = Agent {
            state: AgentState::Revoked.into(),
            ..ends(1)
        };
        assert!(!is_shut_out(&revoked, now));
    }
}
