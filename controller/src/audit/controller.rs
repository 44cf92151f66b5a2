//! The gRPC service about the controller itself: its epoch, and whether it has amnesia.

use crate::lifecycle::controller::{ControllerState, Core, amnesia_clear, controller_get};
use crate::request::wire::{size_out, time_out};
use crate::request::{
    Caller, Violations, answer_get, answer_put, request_digest, request_id_of, status,
};
use provado_model::Error;
use provado_proto::operator::v1;
use provado_proto::operator::v1::controller_service_server::ControllerService;
use tonic::{Request, Response, Status};

const ACCEPT: &str = "AcceptAmnesia";
/// Longest reason an operator may give, in bytes.
const MESSAGE_BYTES_MAX: usize = 1_000;

/// Serves `provado.operator.v1.ControllerService`.
#[derive(Debug)]
pub struct ControllerApi {
    core: Core,
}

impl ControllerApi {
    /// The service.
    pub fn new(core: &Core) -> Self {
        Self { core: core.clone() }
    }

    async fn get(&self) -> Result<v1::GetControllerResponse, Error> {
        let mut tx = self.core.db.read().await?;
        let state = controller_get(&mut tx).await?;
        Ok(v1::GetControllerResponse {
            controller: Some(message(&state)),
        })
    }

    async fn accept(
        &self,
        caller: &Caller,
        request: &v1::AcceptAmnesiaRequest,
    ) -> Result<v1::AcceptAmnesiaResponse, Error> {
        let mut violations = Violations::default();
        let request_id = violations.take(request_id_of(&request.request_id));
        let epoch = u64::try_from(request.epoch).unwrap_or(0);
        if epoch == 0 {
            violations.add("epoch", "must be the epoch that GetController has shown");
        }
        if request.message.trim().is_empty() || request.message.len() > MESSAGE_BYTES_MAX {
            let problem = format!("must say why, in 1 to {MESSAGE_BYTES_MAX} bytes");
            violations.add("message", problem);
        }
        violations.finish()?;
        let ctx = self.core.context(caller.actor(), request_id);
        let digest = request_digest(request);
        let mut tx = self.core.db.begin().await?;
        if let Some(answer) = answer_get(&mut tx, &ctx, ACCEPT, &digest).await? {
            return Ok(answer);
        }
        let accepted = amnesia_clear(&mut tx, &ctx, epoch, &request.message).await?;
        let state = controller_get(&mut tx).await?;
        let response = v1::AcceptAmnesiaResponse {
            controller: Some(message(&state)),
        };
        if request.validate_only {
            tx.rollback().await?;
            return Ok(response);
        }
        answer_put(&mut tx, &ctx, ACCEPT, &digest, &response).await?;
        tx.commit().await?;
        self.core.refresh_amnesia().await?;
        if accepted {
            tracing::warn!(
                controller.epoch = state.epoch,
                caller.name = ctx.actor.name,
                "{} agreed to go on with an older copy of the database: {}",
                ctx.actor.name,
                request.message
            );
        }
        Ok(response)
    }
}

fn message(state: &ControllerState) -> v1::Controller {
    let amnesia = state.amnesia_reason.as_ref().map(|why| v1::Amnesia {
        message: why.clone(),
        notice_time: state.amnesia_time.map(time_out),
    });
    v1::Controller {
        uid: state.id.to_string(),
        epoch: size_out(state.epoch),
        amnesia,
        accepted_epoch: size_out(state.accepted_epoch),
    }
}

#[tonic::async_trait]
impl ControllerService for ControllerApi {
    async fn get_controller(
        &self,
        _request: Request<v1::GetControllerRequest>,
    ) -> Result<Response<v1::GetControllerResponse>, Status> {
        self.get().await.map(Response::new).map_err(status)
    }

    async fn accept_amnesia(
        &self,
        request: Request<v1::AcceptAmnesiaRequest>,
    ) -> Result<Response<v1::AcceptAmnesiaResponse>, Status> {
        let caller = Caller::of_request(&request).map_err(status)?.clone();
        let answer = self.accept(&caller, &request.into_inner()).await;
        answer.map(Response::new).map_err(status)
    }
}
