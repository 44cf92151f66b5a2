//! The gRPC service of this slice.

use super::store::chain_verify;
use super::wire;
use crate::events::{AuditFilter, audit_list, checkpoint_list};
use crate::lifecycle::controller::Core;
use crate::request::{Page, PageTokens, Violations, page_size, status};
use provado_identity::signed_note::NoteKey;
use provado_identity::signing::PublicKey;
use provado_model::{Error, Reason};
use provado_proto::operator::v1;
use provado_proto::operator::v1::audit_service_server::AuditService;
use tonic::{Request, Response, Status};

/// Serves `provado.operator.v1.AuditService`.
#[derive(Debug)]
pub struct AuditApi {
    core: Core,
    tokens: PageTokens,
    key: NoteKey,
    public_key: PublicKey,
}

impl AuditApi {
    /// `key` is what this controller's checkpoints are signed with.
    pub fn new(core: Core, public_key: PublicKey) -> Result<Self, Error> {
        let tokens = PageTokens::new(core.page_key());
        let key = super::origin(core.id(), public_key)?;
        Ok(Self {
            core,
            tokens,
            key,
            public_key,
        })
    }

    async fn events(
        &self,
        request: v1::ListAuditEventsRequest,
    ) -> Result<v1::ListAuditEventsResponse, Error> {
        const METHOD: &str = "ListAuditEvents";
        let size = page_size(request.page_size)?;
        let first = u64::try_from(request.after_sequence)
            .map_err(|_| Violations::of("after_sequence", "must not be negative"))?;
        let filter = AuditFilter {
            resource_kind: some(&request.resource_kind),
            resource_name: some(&request.resource_name),
            ..AuditFilter::default()
        };
        let bound = format!(
            "{first}\n{}\n{}",
            request.resource_kind, request.resource_name
        );
        let after = self
            .after(METHOD, &bound, &request.page_token)?
            .unwrap_or(first);
        let mut tx = self.core.db.read().await?;
        let rows = audit_list(&mut tx, &filter, after, size.saturating_add(1)).await?;
        drop(tx);
        let page = Page::cut(rows, size);
        let last = page.rows.last().map(|event| event.sequence);
        Ok(v1::ListAuditEventsResponse {
            next_page_token: self.token(METHOD, &bound, page.has_more, last),
            events: page
                .rows
                .into_iter()
                .map(wire::event)
                .collect::<Result<_, _>>()?,
        })
    }

    async fn checkpoints(
        &self,
        request: v1::ListCheckpointsRequest,
    ) -> Result<v1::ListCheckpointsResponse, Error> {
        const METHOD: &str = "ListCheckpoints";
        let size = page_size(request.page_size)?;
        let after = self.after(METHOD, "", &request.page_token)?.unwrap_or(0);
        let mut tx = self.core.db.read().await?;
        let rows = checkpoint_list(&mut tx, after, size.saturating_add(1)).await?;
        drop(tx);
        let page = Page::cut(rows, size);
        let last = page.rows.last().map(|checkpoint| checkpoint.head.sequence);
        Ok(v1::ListCheckpointsResponse {
            next_page_token: self.token(METHOD, "", page.has_more, last),
            checkpoints: page
                .rows
                .into_iter()
                .map(wire::checkpoint)
                .collect::<Result<_, _>>()?,
            controller_public_key: self.public_key.as_bytes().to_vec(),
        })
    }

    async fn verify(&self) -> Result<v1::VerifyChainResponse, Error> {
        let mut tx = self.core.db.read().await?;
        let summary = chain_verify(&mut tx, &self.key).await?;
        drop(tx);
        Ok(v1::VerifyChainResponse {
            event_count: wire::number(summary.event_count)?,
            checkpoint_count: wire::number(summary.checkpoint_count)?,
            head_sha256: wire::bytes(&summary.head.hash)?,
        })
    }

    fn after(&self, method: &str, bound: &str, token: &str) -> Result<Option<u64>, Error> {
        let Some(key) = self.tokens.read(method, bound.as_bytes(), token)? else {
            return Ok(None);
        };
        key.parse()
            .map(Some)
            .map_err(|_| Error::new(Reason::PageTokenInvalid, "the page token holds no sequence"))
    }

    fn token(&self, method: &str, bound: &str, has_more: bool, last: Option<u64>) -> String {
        match last {
            Some(last) if has_more => self
                .tokens
                .make(method, bound.as_bytes(), &last.to_string()),
            Some(_) | None => String::new(),
        }
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[tonic::async_trait]
impl AuditService for AuditApi {
    async fn list_audit_events(
        &self,
        request: Request<v1::ListAuditEventsRequest>,
    ) -> Result<Response<v1::ListAuditEventsResponse>, Status> {
        let answer = self.events(request.into_inner()).await;
        answer.map(Response::new).map_err(status)
    }

    async fn list_checkpoints(
        &self,
        request: Request<v1::ListCheckpointsRequest>,
    ) -> Result<Response<v1::ListCheckpointsResponse>, Status> {
        let answer = self.checkpoints(request.into_inner()).await;
        answer.map(Response::new).map_err(status)
    }

    async fn verify_chain(
        &self,
        _request: Request<v1::VerifyChainRequest>,
    ) -> Result<Response<v1::VerifyChainResponse>, Status> {
        self.verify().await.map(Response::new).map_err(status)
    }
}
