//! `EnrollmentService`: open to callers without a certificate, so bounded before anything else.

use super::rate::JoinRate;
use crate::fleet::{Enroll, Fleet};
use crate::request::{Caller, status};
use provado_model::{Error, Reason};
use provado_proto::agent::v1::enrollment_service_server::EnrollmentService;
use provado_proto::agent::v1::{EnrollRequest, EnrollResponse};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tonic::{Request, Response, Status};

/// The service.
#[derive(Debug)]
pub struct EnrollmentApi {
    fleet: Arc<Fleet>,
    rate: Mutex<JoinRate>,
}

impl EnrollmentApi {
    /// The service over the slice.
    pub fn new(fleet: Arc<Fleet>) -> Self {
        let rate = Mutex::new(JoinRate::new());
        Self { fleet, rate }
    }

    async fn serve(&self, request: Request<EnrollRequest>) -> Result<EnrollResponse, Error> {
        let caller = Caller::of_request(&request)?.clone();
        let now = self.fleet.core.clock.monotonic();
        let address = caller.peer.as_deref().and_then(ip_of);
        let allowed = {
            let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
            rate.allows(address, now)
        };
        if !allowed {
            return Err(Error::new(
                Reason::Busy,
                "too many hosts try to join at once; try again in a few seconds",
            ));
        }
        let enroll = Enroll::parse(request.get_ref())?;
        let ctx = self
            .fleet
            .core
            .context(caller.actor(), Some(enroll.request_id));
        self.fleet.enroll(&ctx, enroll).await
    }
}

/// The address of `address:port`.
fn ip_of(peer: &str) -> Option<IpAddr> {
    let socket = peer.parse::<SocketAddr>().map(|socket| socket.ip());
    socket.or_else(|_| peer.parse()).ok()
}

#[tonic::async_trait]
impl EnrollmentService for EnrollmentApi {
    async fn enroll(
        &self,
        request: Request<EnrollRequest>,
    ) -> Result<Response<EnrollResponse>, Status> {
        self.serve(request).await.map(Response::new).map_err(status)
    }
}
