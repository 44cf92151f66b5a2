//! `SessionService`: the stream, the inventory and the renewal of one agent, each about itself.

use crate::events::Context;
use crate::fleet::{AgentPeer, Fleet, SessionStream, wire};
use crate::request::{Caller, Violations, request_digest, request_id_of, status};
use provado_model::Error;
use provado_proto::agent::v1::session_service_server::SessionService;
use provado_proto::agent::v1::{
    RenewCertificateRequest, RenewCertificateResponse, SessionRequest, SyncInventoryRequest,
    SyncInventoryResponse,
};
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

/// The service.
#[derive(Debug)]
pub struct SessionApi {
    fleet: Arc<Fleet>,
}

impl SessionApi {
    /// The service over the slice.
    pub const fn new(fleet: Arc<Fleet>) -> Self {
        Self { fleet }
    }

    fn who<T>(&self, request: &Request<T>) -> Result<(AgentPeer, Context), Error> {
        let actor = Caller::of_request(request)?.actor();
        Ok((
            AgentPeer::of(request)?,
            self.fleet.core.context(actor, None),
        ))
    }

    async fn sync(
        &self,
        request: Request<SyncInventoryRequest>,
    ) -> Result<SyncInventoryResponse, Error> {
        let (peer, ctx) = self.who(&request)?;
        let told = wire::told_instances(request.into_inner().instances)?;
        let instances = self.fleet.sync_inventory(&ctx, &peer, &told).await?;
        Ok(SyncInventoryResponse { instances })
    }

    async fn renew(
        &self,
        request: Request<RenewCertificateRequest>,
    ) -> Result<RenewCertificateResponse, Error> {
        let (peer, mut ctx) = self.who(&request)?;
        let request = request.into_inner();
        let mut wrong = Violations::default();
        let request_id = wrong.take(request_id_of(&request.request_id));
        let der = wire::certificate_request(&request.certificate_request_pem);
        if der.is_none() {
            wrong.add(
                "certificate_request_pem",
                "must be a PKCS#10 request in PEM",
            );
        }
        let generation = u64::try_from(request.generation).ok();
        if generation.is_none() {
            wrong.add(
                "generation",
                "must be the generation of the certificate in use",
            );
        }
        wrong.finish()?;
        ctx.request_id = request_id;
        let digest = request_digest(&request);
        self.fleet
            .renew(
                &ctx,
                &peer,
                generation.unwrap_or(0),
                &der.unwrap_or_default(),
                &digest,
            )
            .await
    }
}

#[tonic::async_trait]
impl SessionService for SessionApi {
    type SessionStream = SessionStream;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let actor = Caller::of_request(&request).map_err(status)?.actor();
        let peer = AgentPeer::of(&request).map_err(status)?;
        let inbound = request.into_inner();
        Ok(Response::new(self.fleet.serve_stream(peer, actor, inbound)))
    }

    async fn sync_inventory(
        &self,
        request: Request<SyncInventoryRequest>,
    ) -> Result<Response<SyncInventoryResponse>, Status> {
        self.sync(request).await.map(Response::new).map_err(status)
    }

    async fn renew_certificate(
        &self,
        request: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        self.renew(request).await.map(Response::new).map_err(status)
    }
}
