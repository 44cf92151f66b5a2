//! `AccessService`: parse, call, reply. Who may call what was decided before.

use super::callers::{NewCaller, certificate_lifetime};
use super::model::JoinTokenRecord;
use super::wire::{check_bound, check_labels, request_der, role_in, show_caller, show_token};
use super::{Access, Agents, store, token};
use crate::db::Tx;
use crate::events::{AuditEntry, Context, audit_append};
use crate::request::wire::{seconds_of, size_out};
use crate::request::{
    self, Page, Violations, answer_get, answer_or, answer_put, collection_id, page_size,
    request_digest, request_id_of, status,
};
use jiff::SignedDuration;
use provado_identity::JoinToken;
use provado_model::id::{CallerId, JoinTokenId};
use provado_model::label;
use provado_model::{Error, Reason};
use provado_proto::operator::v1 as wire;
use provado_proto::operator::v1::access_service_server::AccessService;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
#[derive(Debug)]
pub struct AccessApi {
    access: Arc<Access>,
    agents: Arc<dyn Agents>,
}

impl AccessApi {
    /// The service over the slice, which asks `agents` whom a token may let come back.
    pub const fn new(access: Arc<Access>, agents: Arc<dyn Agents>) -> Self {
        Self { access, agents }
    }

    fn context<T>(&self, request: &Request<T>, id: &str) -> Result<Context, Error> {
        let actor = request::Caller::of_request(request)?.actor();
        let id = request_id_of(id)?;
        Ok(self.access.core.context(actor, Some(id)))
    }

    async fn token_create(
        &self,
        request: Request<wire::CreateJoinTokenRequest>,
    ) -> Result<wire::CreateJoinTokenResponse, Error> {
        const METHOD: &str = "CreateJoinToken";
        let ctx = self.context(&request, &request.get_ref().request_id)?;
        let creator = caller_id(&ctx)?;
        let request = request.into_inner();
        let mut wrong = Violations::default();
        let ttl = wrong
            .take(seconds_of("ttl", request.ttl.as_ref()))
            .flatten();
        let lifetime = wrong.take(token::token_lifetime(ttl.map(SignedDuration::from_secs)));
        check_labels(&mut wrong, &request.labels);
        if !request.agent_name.is_empty() && !label::name_is_valid(&request.agent_name) {
            let rule = "must have 2 to 63 characters of a-z, 0-9 and `-`, from a letter on";
            wrong.add("agent_name", rule);
        }
        check_bound(&mut wrong, &request);
        wrong.finish()?;
        let digest = request_digest(&request);
        let mut tx = self.access.core.db.begin().await?;
        if let Some(before) = answer_get(&mut tx, &ctx, METHOD, &digest).await? {
            tx.rollback().await?;
            return Ok(before);
        }
        let lifetime = lifetime.unwrap_or(token::TOKEN_LIFETIME_DEFAULT);
        let (mut record, secret) = self.new_token(&ctx, &request, lifetime)?;
        if !request.agent.is_empty() {
            let (id, name) = self.agents.returning(&mut tx, &request.agent).await?;
            (record.bound_agent, record.agent_name) = (Some(id), Some(name));
        }
        let hash = token::stored(&secret.hash_secret());
        store::token_insert(&mut tx, &record, &hash, creator).await?;
        let entry = AuditEntry::done("join-token.create", "join-token", record.id)
            .with("labels", serde_json::json!(record.labels))
            .with("agent_name", record.agent_name.clone())
            .with("bound_agent", record.bound_agent.map(|id| id.to_string()))
            .with("expire_time", record.expire_time.to_string());
        audit_append(&mut tx, &ctx, entry).await?;
        let mut answer = wire::CreateJoinTokenResponse {
            join_token: Some(show_token(&record)),
            join_string: String::new(),
        };
        // What is kept has no secret in it: a repeated request makes no second token and is told
        // no secret.
        answer_put(&mut tx, &ctx, METHOD, &digest, &answer).await?;
        if request.validate_only {
            tx.rollback().await?;
            return Ok(answer);
        }
        tx.commit().await?;
        secret.expose().as_str().clone_into(&mut answer.join_string);
        Ok(answer)
    }

    fn new_token(
        &self,
        ctx: &Context,
        request: &wire::CreateJoinTokenRequest,
        lifetime: SignedDuration,
    ) -> Result<(JoinTokenRecord, JoinToken), Error> {
        let core = &self.access.core;
        let pin = self.access.authorities.agents.pin().map_err(|source| {
            Error::internal("the authority of agents has no fingerprint").caused_by(source)
        })?;
        let secret = JoinToken::new(self.access.join_address(), pin, core.entropy.as_ref());
        let record = JoinTokenRecord {
            id: JoinTokenId::new(core.clock.as_ref(), core.entropy.as_ref()),
            labels: request.labels.clone(),
            agent_name: Some(request.agent_name.clone()).filter(|name| !name.is_empty()),
            bound_agent: None,
            create_time: ctx.now,
            expire_time: ctx.now.saturating_add(lifetime).unwrap_or(ctx.now),
            use_time: None,
            use_agent: None,
            revoke_time: None,
        };
        Ok((record, secret))
    }

    async fn tokens(
        &self,
        request: &wire::ListJoinTokensRequest,
    ) -> Result<wire::ListJoinTokensResponse, Error> {
        const METHOD: &str = "ListJoinTokens";
        let size = page_size(request.page_size)?;
        let pages = &self.access.pages;
        let before = pages.read(METHOD, b"", &request.page_token)?;
        let before = before
            .map(|id| id.parse())
            .transpose()
            .map_err(|source| Error::internal("a page token holds no id").caused_by(source))?;
        let mut tx = self.access.core.db.read().await?;
        let rows = store::token_list(&mut tx, before, size.saturating_add(1)).await?;
        tx.rollback().await?;
        let page = Page::cut(rows, size);
        let last = page.rows.last().filter(|_| page.has_more);
        Ok(wire::ListJoinTokensResponse {
            next_page_token: last
                .map(|last| pages.make(METHOD, b"", &last.id.to_string()))
                .unwrap_or_default(),
            join_tokens: page.rows.iter().map(show_token).collect(),
        })
    }

    async fn caller_create(
        &self,
        request: Request<wire::CreateCallerRequest>,
    ) -> Result<wire::CreateCallerResponse, Error> {
        const METHOD: &str = "CreateCaller";
        let ctx = self.context(&request, &request.get_ref().request_id)?;
        let creator = caller_id(&ctx)?;
        let request = request.into_inner();
        let mut wrong = Violations::default();
        if !label::name_is_valid(&request.caller_id) {
            let rule = "must have 2 to 63 characters of a-z, 0-9 and `-`, from a letter on";
            wrong.add("caller_id", rule);
        }
        let role = role_in(request.role());
        if role.is_none() {
            wrong.add("role", "must be dba, lead, devops or auditor");
        }
        let der = request_der(&request.certificate_request_pem);
        if der.is_none() {
            wrong.add(
                "certificate_request_pem",
                "must be a PKCS#10 request in PEM",
            );
        }
        let ttl = wrong
            .take(seconds_of("ttl", request.ttl.as_ref()))
            .flatten();
        let lifetime = wrong.take(certificate_lifetime(ttl.map(SignedDuration::from_secs)));
        wrong.finish()?;
        let (Some(role), Some(der), Some(lifetime)) = (role, der, lifetime) else {
            return Err(Error::internal("a caller was parsed without its parts"));
        };
        let digest = request_digest(&request);
        let mut tx = self.access.core.db.begin().await?;
        if let Some(before) = answer_get(&mut tx, &ctx, METHOD, &digest).await? {
            tx.rollback().await?;
            return Ok(before);
        }
        let new = NewCaller {
            name: &request.caller_id,
            role,
            certificate_request: &der,
            lifetime,
            creator: Some(creator),
        };
        let (caller, issued) = match self.access.caller_make(&mut tx, &ctx, &new).await {
            Ok(made) => made,
            Err(error) => {
                tx.rollback().await?;
                return answer_or(&self.access.core.db, &ctx, METHOD, &digest, error).await;
            }
        };
        let mut answer = wire::CreateCallerResponse {
            caller: Some(show_caller(&caller)),
            certificate_pem: issued.pem,
            authority_pem: self.access.authorities.operators.certificate_pem(),
        };
        if request.validate_only {
            tx.rollback().await?;
            // It was not recorded, so it would be of no use.
            answer.certificate_pem.clear();
            return Ok(answer);
        }
        answer_put(&mut tx, &ctx, METHOD, &digest, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    async fn callers(
        &self,
        request: &wire::ListCallersRequest,
    ) -> Result<wire::ListCallersResponse, Error> {
        const METHOD: &str = "ListCallers";
        let size = page_size(request.page_size)?;
        let pages = &self.access.pages;
        let after = pages
            .read(METHOD, b"", &request.page_token)?
            .unwrap_or_default();
        let mut tx = self.access.core.db.read().await?;
        let rows = store::caller_list(&mut tx, &after, size.saturating_add(1)).await?;
        tx.rollback().await?;
        let page = Page::cut(rows, size);
        let last = page.rows.last().filter(|_| page.has_more);
        Ok(wire::ListCallersResponse {
            next_page_token: last
                .map(|last| pages.make(METHOD, b"", &last.name))
                .unwrap_or_default(),
            callers: page.rows.iter().map(show_caller).collect(),
        })
    }

    async fn caller_revoke(
        &self,
        request: Request<wire::RevokeCallerRequest>,
    ) -> Result<wire::RevokeCallerResponse, Error> {
        const METHOD: &str = "RevokeCaller";
        let ctx = self.context(&request, &request.get_ref().request_id)?;
        let request = request.into_inner();
        let name = collection_id("name", "callers", &request.name)?.to_owned();
        let digest = request_digest(&request);
        let mut tx = self.access.core.db.begin().await?;
        if let Some(before) = answer_get(&mut tx, &ctx, METHOD, &digest).await? {
            tx.rollback().await?;
            return Ok(before);
        }
        let access = &self.access;
        let caller = access
            .caller_revoke(&mut tx, &ctx, &name, &request.message)
            .await?;
        let answer = wire::RevokeCallerResponse {
            caller: Some(show_caller(&caller)),
        };
        if request.validate_only {
            tx.rollback().await?;
            return Ok(answer);
        }
        answer_put(&mut tx, &ctx, METHOD, &digest, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    async fn itself(&self, caller: &request::Caller) -> Result<wire::GetSelfResponse, Error> {
        let mut tx = self.access.core.db.read().await?;
        let found = self_of(&mut tx, caller).await?;
        tx.rollback().await?;
        let key = self.access.authorities.signing.public_key();
        Ok(wire::GetSelfResponse {
            caller: Some(found),
            controller_version: env!("CARGO_PKG_VERSION").to_owned(),
            controller_id: self.access.core.id().to_string(),
            epoch: size_out(self.access.core.epoch()),
            controller_public_key: key.as_bytes().to_vec(),
        })
    }
}

async fn self_of(tx: &mut Tx, caller: &request::Caller) -> Result<wire::Caller, Error> {
    match &caller.identity {
        request::Identity::Operator { id, .. } => {
            let found = store::caller_by_id(tx, *id).await?;
            found.as_ref().map(show_caller).ok_or_else(|| {
                Error::internal(format!("caller {id} is on the live list and has no row"))
            })
        }
        request::Identity::Local { name } => Ok(wire::Caller {
            name: format!("callers/{name}"),
            role: wire::CallerRole::Dba.into(),
            ..wire::Caller::default()
        }),
        request::Identity::Agent { .. } | request::Identity::Anonymous => Err(Error::new(
            Reason::CertificateInvalid,
            "only an operator may ask who it is",
        )),
    }
}

/// The caller's own id, for what is written down as made by it.
fn caller_id(ctx: &Context) -> Result<CallerId, Error> {
    ctx.actor
        .id
        .parse()
        .map_err(|_| Error::new(Reason::RoleForbids, "this needs an operator's certificate"))
}

#[tonic::async_trait]
impl AccessService for AccessApi {
    async fn create_join_token(
        &self,
        request: Request<wire::CreateJoinTokenRequest>,
    ) -> Result<Response<wire::CreateJoinTokenResponse>, Status> {
        self.token_create(request)
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn list_join_tokens(
        &self,
        request: Request<wire::ListJoinTokensRequest>,
    ) -> Result<Response<wire::ListJoinTokensResponse>, Status> {
        let page = self.tokens(request.get_ref()).await;
        page.map(Response::new).map_err(status)
    }

    async fn create_caller(
        &self,
        request: Request<wire::CreateCallerRequest>,
    ) -> Result<Response<wire::CreateCallerResponse>, Status> {
        self.caller_create(request)
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn list_callers(
        &self,
        request: Request<wire::ListCallersRequest>,
    ) -> Result<Response<wire::ListCallersResponse>, Status> {
        let page = self.callers(request.get_ref()).await;
        page.map(Response::new).map_err(status)
    }

    async fn revoke_caller(
        &self,
        request: Request<wire::RevokeCallerRequest>,
    ) -> Result<Response<wire::RevokeCallerResponse>, Status> {
        self.caller_revoke(request)
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn get_self(
        &self,
        request: Request<wire::GetSelfRequest>,
    ) -> Result<Response<wire::GetSelfResponse>, Status> {
        let caller = request::Caller::of_request(&request).map_err(status)?;
        let answer = self.itself(caller).await;
        answer.map(Response::new).map_err(status)
    }
}
