//! RepositoryService: declares, shows and lists repositories.

use super::model::{NewRepository, Repository, RepositoryKind, SegmentKey};
use super::store::{
    repository_by_id, repository_by_name, repository_by_prefix, repository_insert, repository_list,
    repository_list_of_agent,
};
use super::{plan, wire};
use crate::db::Tx;
use crate::events::Context;
use crate::fleet::model::{Agent, AgentState};
use crate::fleet::store::agent::agent_by_id;
use crate::lifecycle::backup::{Usage, backup_usage};
use crate::lifecycle::controller::Core;
use crate::request::{
    Caller, Page, PageTokens, Reference, Violations, answer_get, answer_or, answer_put, not_found,
    only, page_size, reference, request_digest, request_id_of, status,
};
use crate::resolve;
use provado_model::id::RepositoryId;
use provado_model::{Error, Reason};
use provado_proto::operator::v1::repository_service_server::RepositoryService;
use provado_proto::operator::v1::{
    CreateRepositoryRequest, CreateRepositoryResponse, GetRepositoryRequest, GetRepositoryResponse,
    ListRepositoriesRequest, ListRepositoriesResponse,
};
use tonic::{Request, Response, Status};

/// Repositories one agent may have.
const REPOSITORIES_OF_AGENT_MAX: u32 = 100;
const CREATE: &str = "CreateRepository";
const LIST: &str = "ListRepositories";

/// The service.
#[derive(Debug)]
pub struct Repositories {
    core: Core,
    pages: PageTokens,
}

impl Repositories {
    /// The service.
    pub fn new(core: &Core) -> Self {
        Self {
            core: core.clone(),
            pages: PageTokens::new(core.page_key()),
        }
    }
}

#[tonic::async_trait]
impl RepositoryService for Repositories {
    async fn create_repository(
        &self,
        request: Request<CreateRepositoryRequest>,
    ) -> Result<Response<CreateRepositoryResponse>, Status> {
        let caller = Caller::of_request(&request).map_err(status)?.clone();
        self.create(&caller, &request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn get_repository(
        &self,
        request: Request<GetRepositoryRequest>,
    ) -> Result<Response<GetRepositoryResponse>, Status> {
        self.get(&request.into_inner().name)
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn list_repositories(
        &self,
        request: Request<ListRepositoriesRequest>,
    ) -> Result<Response<ListRepositoriesResponse>, Status> {
        self.list(&request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }
}

impl Repositories {
    async fn create(
        &self,
        caller: &Caller,
        request: &CreateRepositoryRequest,
    ) -> Result<CreateRepositoryResponse, Error> {
        let mut violations = Violations::default();
        let request_id = violations.take(request_id_of(&request.request_id));
        plan::check(request, &mut violations);
        violations.finish()?;
        plan::check_encryption(request)?;
        let ctx = self.core.context(caller.actor(), request_id);
        let digest = request_digest(request);
        let mut tx = self.core.db.begin().await?;
        if let Some(answer) = answer_get(&mut tx, &ctx, CREATE, &digest).await? {
            return Ok(answer);
        }
        let (repository, agent) = match self.declare(&mut tx, &ctx, request).await {
            Ok(declared) => declared,
            Err(error) => {
                tx.rollback().await?;
                return answer_or(&self.core.db, &ctx, CREATE, &digest, error).await;
            }
        };
        let response = CreateRepositoryResponse {
            repository: Some(wire::repository(&repository, &agent.name, Usage::default())),
        };
        if request.validate_only {
            tx.rollback().await?;
        } else {
            answer_put(&mut tx, &ctx, CREATE, &digest, &response).await?;
            tx.commit().await?;
        }
        Ok(response)
    }

    async fn declare(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        request: &CreateRepositoryRequest,
    ) -> Result<(Repository, Agent), Error> {
        let agent = resolve::agent(tx, "agent", &request.agent).await?;
        if agent.state == AgentState::Revoked {
            let name = &agent.name;
            let message = format!("the agent {name} is revoked; name one that may still work");
            return Err(Error::new(Reason::AgentNotFound, message).with("agent", name));
        }
        let others = repository_list_of_agent(tx, agent.id, REPOSITORIES_OF_AGENT_MAX).await?;
        plan::check_place(&request.path, &others)
            .map_err(|problem| Violations::of("path", problem))?;
        let new = NewRepository {
            id: RepositoryId::new(self.core.clock.as_ref(), self.core.entropy.as_ref()),
            name: request.repository_id.clone(),
            kind: RepositoryKind::File,
            agent: agent.id,
            path: request.path.clone(),
            recipients: request.recipients.clone(),
            segment_key: SegmentKey::generate(self.core.entropy.as_ref()),
        };
        repository_insert(tx, ctx, &new).await?;
        let stored = repository_by_id(tx, new.id)
            .await?
            .ok_or_else(|| Error::internal(format!("repository {} vanished", new.id)))?;
        Ok((stored, agent))
    }

    async fn get(&self, name: &str) -> Result<GetRepositoryResponse, Error> {
        let mut tx = self.core.db.read().await?;
        let found = repository_find(&mut tx, "name", name).await?;
        let repository = Some(message(&mut tx, &found).await?);
        Ok(GetRepositoryResponse { repository })
    }

    async fn list(
        &self,
        request: &ListRepositoriesRequest,
    ) -> Result<ListRepositoriesResponse, Error> {
        let size = page_size(request.page_size)?;
        let after = self.pages.read(LIST, b"", &request.page_token)?;
        let mut tx = self.core.db.read().await?;
        let after = after.unwrap_or_default();
        let rows = repository_list(&mut tx, &after, size.saturating_add(1)).await?;
        let page = Page::cut(rows, size);
        let next_page_token = match page.rows.last() {
            Some(last) if page.has_more => self.pages.make(LIST, b"", &last.facts.name),
            Some(_) | None => String::new(),
        };
        let mut repositories = Vec::with_capacity(page.rows.len());
        for row in &page.rows {
            repositories.push(message(&mut tx, row).await?);
        }
        Ok(ListRepositoriesResponse {
            repositories,
            next_page_token,
        })
    }
}

async fn message(
    tx: &mut Tx,
    repository: &Repository,
) -> Result<provado_proto::operator::v1::Repository, Error> {
    let usage = backup_usage(tx, repository.facts.id).await?;
    let agent = agent_by_id(tx, repository.facts.agent).await?;
    let agent = agent.map_or_else(|| repository.facts.agent.to_string(), |agent| agent.name);
    Ok(wire::repository(repository, &agent, usage))
}

/// The repository that a name means. Errors: `REPOSITORY_NOT_FOUND`, `NAME_AMBIGUOUS`,
/// `INVALID_ARGUMENT`.
pub async fn repository_find(
    tx: &mut Tx,
    field: &'static str,
    name: &str,
) -> Result<Repository, Error> {
    let found = match reference::<RepositoryId>(field, "repositories", name)? {
        Reference::Id(id) => repository_by_id(tx, id).await?,
        Reference::Name(name) => repository_by_name(tx, &name).await?,
        Reference::Part(part) => {
            let named = repository_by_name(tx, &part).await?;
            if named.is_some() {
                named
            } else {
                let found = repository_by_prefix(tx, &part).await?;
                only(found, "repository", name, |it| it.facts.name.clone())?
            }
        }
    };
    found.ok_or_else(|| not_found(Reason::RepositoryNotFound, "repository", name))
}
