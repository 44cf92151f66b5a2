//! `FleetService`: what operators see and decide about agents, instances and databases.

use super::show::{self, AgentFacts};
use crate::db::Tx;
use crate::events::Context;
use crate::fleet::model::{Agent, Instance};
use crate::fleet::store::{agent, certificate, database, instance};
use crate::fleet::{Fleet, Sessions};
use crate::lifecycle::attempt::attempt_count_live;
use crate::lifecycle::backup::{Selection, backup_latest, backup_proven_last};
use crate::request::{
    Caller, Page, PageBytes, Reference, answer_get, answer_put, not_found, only, page_size,
    reference, request_digest, request_id_of, status,
};
use provado_model::id::{AgentId, InstanceId};
use provado_model::{Error, Reason, limits};
use provado_proto::operator::v1 as wire;
use provado_proto::operator::v1::fleet_service_server::FleetService;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
#[derive(Debug)]
pub struct FleetApi {
    fleet: Arc<Fleet>,
}

/// A change that an operator asks for about an agent.
struct Change {
    method: &'static str,
    name: String,
    message: String,
    validate_only: bool,
    digest: String,
}

impl FleetApi {
    /// The service over the slice.
    pub const fn new(fleet: Arc<Fleet>) -> Self {
        Self { fleet }
    }

    async fn agent_get(&self, name: &str) -> Result<wire::Agent, Error> {
        let mut tx = self.fleet.core.db.read().await?;
        let found = resolve_agent(&mut tx, "name", name).await?;
        let shown = self.show_agent(&mut tx, &found).await?;
        tx.rollback().await?;
        Ok(shown)
    }

    async fn show_agent(&self, tx: &mut Tx, found: &Agent) -> Result<wire::Agent, Error> {
        let facts = AgentFacts {
            connected: self.fleet.sessions.is_connected(found.id),
            last_heard: self.fleet.heard.get(found.id),
            instance_count: instance::instance_count_of_agent(tx, found.id).await?,
            live_attempt_count: attempt_count_live(tx, found.id).await?,
            certificate: certificate::certificate_newest(tx, found.id).await?,
        };
        Ok(show::agent(found, &facts))
    }

    async fn agents(&self, size: i32, token: &str) -> Result<wire::ListAgentsResponse, Error> {
        const METHOD: &str = "ListAgents";
        let size = page_size(size)?;
        let after = self
            .fleet
            .pages
            .read(METHOD, b"", token)?
            .unwrap_or_default();
        let mut tx = self.fleet.core.db.read().await?;
        let rows = agent::agent_list(&mut tx, &after, size.saturating_add(1)).await?;
        let page = Page::cut(rows, size);
        let mut agents = Vec::with_capacity(page.rows.len());
        for row in &page.rows {
            agents.push(self.show_agent(&mut tx, row).await?);
        }
        tx.rollback().await?;
        let last = page.rows.last().filter(|_| page.has_more);
        Ok(wire::ListAgentsResponse {
            next_page_token: last
                .map(|last| self.fleet.pages.make(METHOD, b"", &last.name))
                .unwrap_or_default(),
            agents,
        })
    }

    async fn change(&self, ctx: &Context, change: Change) -> Result<wire::Agent, Error> {
        let fleet = &self.fleet;
        let mut tx = fleet.core.db.begin().await?;
        if let Some(before) =
            answer_get::<wire::RevokeAgentResponse>(&mut tx, ctx, change.method, &change.digest)
                .await?
        {
            tx.rollback().await?;
            return before
                .agent
                .ok_or_else(|| Error::internal("a kept answer has no agent"));
        }
        let found = resolve_agent(&mut tx, "name", &change.name).await?;
        match change.method {
            REVOKE => {
                fleet
                    .revoke_agent(&mut tx, ctx, &found, &change.message)
                    .await?;
            }
            _ => {
                fleet
                    .unlock_agent(&mut tx, ctx, &found, &change.message)
                    .await?;
            }
        }
        let now = agent::agent_by_id(&mut tx, found.id)
            .await?
            .unwrap_or(found);
        let mut shown = self.show_agent(&mut tx, &now).await?;
        if change.validate_only {
            tx.rollback().await?;
            return Ok(shown);
        }
        // The stream is cut by the commit below.
        shown.connected = shown.connected && change.method != REVOKE;
        // Both answers have the same form, so one type keeps them.
        let kept = wire::RevokeAgentResponse {
            agent: Some(shown.clone()),
        };
        answer_put(&mut tx, ctx, change.method, &change.digest, &kept).await?;
        tx.commit().await?;
        Ok(shown)
    }

    async fn instance_get(&self, name: &str) -> Result<wire::Instance, Error> {
        let mut tx = self.fleet.core.db.read().await?;
        let found = resolve_instance(&mut tx, name).await?;
        let mut shown = self
            .show_instance(&mut tx, &found, &mut HashMap::new())
            .await?;
        let bound = u32::try_from(limits::DATABASES_PER_RUN_MAX).unwrap_or(u32::MAX);
        let mut bytes = PageBytes::default();
        let databases = database::database_list(&mut tx, found.id, bound).await?;
        for one in &databases {
            let full = Some(Selection::Full);
            let latest = backup_latest(&mut tx, found.id, &one.name, None, full).await?;
            let proven = backup_proven_last(&mut tx, found.id, &one.name).await?;
            let database = show::database(one, &found.name, latest.as_ref(), proven);
            if !bytes.takes(&database) {
                break;
            }
            shown.databases.push(database);
        }
        let left_count = databases.len().saturating_sub(shown.databases.len());
        if left_count > 0 {
            shown.warnings.push(format!(
                "{left_count} more databases are not shown: the message would be too large"
            ));
        }
        tx.rollback().await?;
        Ok(shown)
    }

    async fn show_instance(
        &self,
        tx: &mut Tx,
        found: &Instance,
        names: &mut HashMap<AgentId, String>,
    ) -> Result<wire::Instance, Error> {
        let name = match names.entry(found.agent) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let row = agent::agent_by_id(tx, found.agent).await?;
                unknown.insert(row.map(|row| row.name).unwrap_or_default())
            }
        };
        let databases = database::database_count(tx, found.id).await?;
        let connected = self.fleet.sessions.is_connected(found.agent);
        Ok(show::instance(found, name, databases, connected))
    }

    async fn instances(
        &self,
        request: &wire::ListInstancesRequest,
    ) -> Result<wire::ListInstancesResponse, Error> {
        const METHOD: &str = "ListInstances";
        let size = page_size(request.page_size)?;
        let filter = request.agent.as_bytes();
        let token = &request.page_token;
        let after = self
            .fleet
            .pages
            .read(METHOD, filter, token)?
            .unwrap_or_default();
        let mut tx = self.fleet.core.db.read().await?;
        let agent = if request.agent.is_empty() {
            None
        } else {
            Some(resolve_agent(&mut tx, "agent", &request.agent).await?.id)
        };
        let rows = instance::instance_list(&mut tx, &after, agent, size.saturating_add(1)).await?;
        let page = Page::cut(rows, size);
        let mut names = HashMap::new();
        let mut instances = Vec::with_capacity(page.rows.len());
        for row in &page.rows {
            instances.push(self.show_instance(&mut tx, row, &mut names).await?);
        }
        tx.rollback().await?;
        let last = page.rows.last().filter(|_| page.has_more);
        Ok(wire::ListInstancesResponse {
            next_page_token: last
                .map(|last| self.fleet.pages.make(METHOD, filter, &last.name))
                .unwrap_or_default(),
            instances,
        })
    }
}

const REVOKE: &str = "RevokeAgent";
const UNLOCK: &str = "UnlockAgent";

/// The agent of `agents/{agent}` in a request: by name, id or unique beginning of an id. Errors:
/// `AGENT_NOT_FOUND`, `NAME_AMBIGUOUS`, `INVALID_ARGUMENT`.
pub(in crate::fleet) async fn resolve_agent(
    tx: &mut Tx,
    field: &'static str,
    name: &str,
) -> Result<Agent, Error> {
    let found = match reference::<AgentId>(field, "agents", name)? {
        Reference::Id(id) => agent::agent_by_id(tx, id).await?,
        Reference::Name(text) => agent::agent_by_name(tx, &text).await?,
        // Hexadecimal digits may be a name as well, and a name is never shortened.
        Reference::Part(part) => {
            let named = agent::agent_by_name(tx, &part).await?;
            if named.is_some() {
                named
            } else {
                let found = agent::agent_by_prefix(tx, &part).await?;
                only(found, "agent", name, |agent| agent.name.clone())?
            }
        }
    };
    found.ok_or_else(|| not_found(Reason::AgentNotFound, "agent", name))
}

/// The instance of `instances/{instance}`: by name, id or unique beginning of an id. Errors:
/// `INSTANCE_NOT_FOUND`, `NAME_AMBIGUOUS`, `INVALID_ARGUMENT`.
async fn resolve_instance(tx: &mut Tx, name: &str) -> Result<Instance, Error> {
    let found = match reference::<InstanceId>("name", "instances", name)? {
        Reference::Id(id) => instance::instance_by_id(tx, id).await?,
        Reference::Name(text) => instance::instance_by_name(tx, &text).await?,
        Reference::Part(part) => {
            let named = instance::instance_by_name(tx, &part).await?;
            if named.is_some() {
                named
            } else {
                let found = instance::instance_by_prefix(tx, &part).await?;
                only(found, "instance", name, |instance| instance.name.clone())?
            }
        }
    };
    found.ok_or_else(|| not_found(Reason::InstanceNotFound, "instance", name))
}

#[tonic::async_trait]
impl FleetService for FleetApi {
    async fn get_agent(
        &self,
        request: Request<wire::GetAgentRequest>,
    ) -> Result<Response<wire::GetAgentResponse>, Status> {
        let agent = self.agent_get(&request.into_inner().name).await;
        let agent = Some(agent.map_err(status)?);
        Ok(Response::new(wire::GetAgentResponse { agent }))
    }

    async fn list_agents(
        &self,
        request: Request<wire::ListAgentsRequest>,
    ) -> Result<Response<wire::ListAgentsResponse>, Status> {
        let request = request.into_inner();
        let page = self.agents(request.page_size, &request.page_token).await;
        page.map(Response::new).map_err(status)
    }

    async fn revoke_agent(
        &self,
        request: Request<wire::RevokeAgentRequest>,
    ) -> Result<Response<wire::RevokeAgentResponse>, Status> {
        let actor = Caller::of_request(&request).map_err(status)?.actor();
        let request = request.into_inner();
        let id = request_id_of(&request.request_id).map_err(status)?;
        let ctx = self.fleet.core.context(actor, Some(id));
        let change = Change {
            method: REVOKE,
            digest: request_digest(&request),
            name: request.name,
            message: request.message,
            validate_only: request.validate_only,
        };
        let agent = Some(self.change(&ctx, change).await.map_err(status)?);
        Ok(Response::new(wire::RevokeAgentResponse { agent }))
    }

    async fn unlock_agent(
        &self,
        request: Request<wire::UnlockAgentRequest>,
    ) -> Result<Response<wire::UnlockAgentResponse>, Status> {
        let actor = Caller::of_request(&request).map_err(status)?.actor();
        let request = request.into_inner();
        let id = request_id_of(&request.request_id).map_err(status)?;
        let ctx = self.fleet.core.context(actor, Some(id));
        let change = Change {
            method: UNLOCK,
            digest: request_digest(&request),
            name: request.name,
            message: request.message,
            validate_only: request.validate_only,
        };
        let agent = Some(self.change(&ctx, change).await.map_err(status)?);
        Ok(Response::new(wire::UnlockAgentResponse { agent }))
    }

    async fn get_instance(
        &self,
        request: Request<wire::GetInstanceRequest>,
    ) -> Result<Response<wire::GetInstanceResponse>, Status> {
        let instance = self.instance_get(&request.into_inner().name).await;
        let instance = Some(instance.map_err(status)?);
        Ok(Response::new(wire::GetInstanceResponse { instance }))
    }

    async fn list_instances(
        &self,
        request: Request<wire::ListInstancesRequest>,
    ) -> Result<Response<wire::ListInstancesResponse>, Status> {
        let page = self.instances(request.get_ref()).await;
        page.map(Response::new).map_err(status)
    }
}
