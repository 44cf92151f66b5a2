//! ProofService: shows and lists proofs.

use super::model::Proof;
use super::store::{ProofFilter, proof_get, proof_list, proof_resolve};
use super::wire::{self, Document};
use crate::db::Tx;
use crate::fleet::store::instance::instance_by_id;
use crate::lifecycle::controller::Core;
use crate::request::{Page, PageTokens, Reference, not_found, only, page_size, reference, status};
use crate::resolve;
use prost::Message;
use provado_identity::PublicKey;
use provado_model::id::ProofId;
use provado_model::{Error, Reason};
use provado_proto::operator::v1::proof_service_server::ProofService;
use provado_proto::operator::v1::{
    self as operator, GetProofRequest, GetProofResponse, ListProofsRequest, ListProofsResponse,
};
use std::sync::Arc;
use tonic::{Request, Response, Status};

const LIST: &str = "ListProofs";

/// The service.
#[derive(Debug, Clone)]
pub struct Proofs {
    core: Core,
    pages: Arc<PageTokens>,
    key: PublicKey,
}

impl Proofs {
    /// The service; `key` is the public half of what countersigned the proofs.
    pub fn new(core: &Core, key: PublicKey) -> Self {
        Self {
            core: core.clone(),
            pages: Arc::new(PageTokens::new(core.page_key())),
            key,
        }
    }
}

#[tonic::async_trait]
impl ProofService for Proofs {
    async fn get_proof(
        &self,
        request: Request<GetProofRequest>,
    ) -> Result<Response<GetProofResponse>, Status> {
        self.get(&request.into_inner().name)
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn list_proofs(
        &self,
        request: Request<ListProofsRequest>,
    ) -> Result<Response<ListProofsResponse>, Status> {
        self.list(&request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }
}

impl Proofs {
    async fn get(&self, name: &str) -> Result<GetProofResponse, Error> {
        let mut tx = self.core.db.read().await?;
        let id = match reference::<ProofId>("name", "proofs", name)? {
            Reference::Id(id) => Some(id),
            Reference::Name(_) => None,
            Reference::Part(part) => {
                let found = proof_resolve(&mut tx, &part).await?;
                only(found, "proof", name, ToString::to_string)?
            }
        };
        let found = match id {
            Some(id) => proof_get(&mut tx, id).await?,
            None => None,
        };
        let found = found.ok_or_else(|| not_found(Reason::ProofNotFound, "proof", name))?;
        let proof = Some(self.show(&mut tx, &found, Document::Shown).await?);
        Ok(GetProofResponse { proof })
    }

    async fn list(&self, request: &ListProofsRequest) -> Result<ListProofsResponse, Error> {
        let size = page_size(request.page_size)?;
        let bound = ListProofsRequest {
            page_size: 0,
            page_token: String::new(),
            ..request.clone()
        }
        .encode_to_vec();
        let after = self.pages.read(LIST, &bound, &request.page_token)?;
        let after = after.map(|key| key.parse::<ProofId>()).transpose();
        let after = after.map_err(|source| {
            let message = "the page token cannot be understood; begin at the first page";
            Error::new(Reason::PageTokenInvalid, message).caused_by(source)
        })?;
        let mut tx = self.core.db.read().await?;
        let filter = filter_of(&mut tx, request).await?;
        let rows = proof_list(&mut tx, &filter, after, size.saturating_add(1)).await?;
        let page = Page::cut(rows, size);
        let next_page_token = match page.rows.last() {
            Some(last) if page.has_more => self.pages.make(LIST, &bound, &last.id.to_string()),
            Some(_) | None => String::new(),
        };
        let mut proofs = Vec::with_capacity(page.rows.len());
        for row in &page.rows {
            proofs.push(self.show(&mut tx, row, Document::Left).await?);
        }
        Ok(ListProofsResponse {
            proofs,
            next_page_token,
        })
    }

    async fn show(
        &self,
        tx: &mut Tx,
        proof: &Proof,
        document: Document,
    ) -> Result<operator::Proof, Error> {
        let instance = instance_by_id(tx, proof.instance_id).await?;
        let instance = instance.map_or_else(|| proof.instance_name.clone(), |it| it.name);
        wire::proof(proof, instance, &self.key, document)
    }
}

async fn filter_of(tx: &mut Tx, request: &ListProofsRequest) -> Result<ProofFilter, Error> {
    let mut filter = ProofFilter::default();
    if !request.instance.is_empty() {
        let instance = resolve::instance(tx, "instance", &request.instance).await?;
        filter.instance = Some(instance.id);
    }
    if !request.database_name.is_empty() {
        filter.database_name = Some(request.database_name.clone());
    }
    if !request.backup.is_empty() {
        let backup = resolve::backup(tx, "backup", &request.backup).await?;
        filter.backup = Some(backup.facts.id);
    }
    Ok(filter)
}
