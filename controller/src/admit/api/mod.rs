//! RunService: one file for asking for backups, for other work, for reading, watching, canceling.

mod backup;
mod cancel;
mod follow;
mod read;
mod show;
mod target;
mod work;

use crate::fleet::{ProgressBoard, Sessions};
use crate::lifecycle::controller::Core;
use crate::request::{Caller, PageTokens, status};
use crate::sealed::SealedIdentities;
use futures_util::stream::BoxStream;
use provado_model::Reason;
use provado_proto::operator::v1::run_service_server::RunService;
use provado_proto::operator::v1::{
    CancelRunRequest, CancelRunResponse, GetRunRequest, GetRunResponse, ListRunsRequest,
    ListRunsResponse, RunBackupRequest, RunBackupResponse, RunCheckRequest, RunCheckResponse,
    RunDrillRequest, RunDrillResponse, RunInitRequest, RunInitResponse, RunInspectRequest,
    RunInspectResponse, RunPruneRequest, RunPruneResponse, RunRestoreRequest, RunRestoreResponse,
    RunScanRequest, RunScanResponse, StreamLogsRequest, StreamLogsResponse, WatchRunRequest,
    WatchRunResponse,
};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service. Cheap to clone; clones share.
#[derive(Debug, Clone)]
pub struct Runs {
    core: Core,
    sealed: SealedIdentities,
    sessions: Arc<dyn Sessions>,
    progress: Arc<ProgressBoard>,
    pages: Arc<PageTokens>,
}

impl Runs {
    /// The service over the agents' streams; `sealed` is shared with `dispatch`.
    pub fn new(
        core: &Core,
        sealed: SealedIdentities,
        sessions: Arc<dyn Sessions>,
        progress: Arc<ProgressBoard>,
    ) -> Self {
        Self {
            core: core.clone(),
            sealed,
            sessions,
            progress,
            pages: Arc::new(PageTokens::new(core.page_key())),
        }
    }
}

/// How often a request that lost a race is served anew before its caller must send it again.
const RETRIES_MAX: u32 = 3;

/// A unary method that asks for something: caller and request go to the method of the same name.
/// Of the same request sent twice at the same time, one finds the answer of the other.
macro_rules! asks {
    ($self:ident, $request:ident, $method:path) => {{
        let caller = Caller::of_request(&$request).map_err(status)?.clone();
        let request = $request.into_inner();
        let mut outcome = $method($self, &caller, &request).await;
        for _ in 0..RETRIES_MAX {
            match &outcome {
                Err(error) if error.reason == Reason::VersionStale => {
                    outcome = $method($self, &caller, &request).await;
                }
                Ok(_) | Err(_) => break,
            }
        }
        outcome.map(Response::new).map_err(status)
    }};
}

#[tonic::async_trait]
impl RunService for Runs {
    type WatchRunStream = BoxStream<'static, Result<WatchRunResponse, Status>>;
    type StreamLogsStream = BoxStream<'static, Result<StreamLogsResponse, Status>>;

    async fn run_backup(
        &self,
        request: Request<RunBackupRequest>,
    ) -> Result<Response<RunBackupResponse>, Status> {
        asks!(self, request, Self::backup)
    }

    async fn run_restore(
        &self,
        request: Request<RunRestoreRequest>,
    ) -> Result<Response<RunRestoreResponse>, Status> {
        asks!(self, request, Self::restore)
    }

    async fn run_check(
        &self,
        request: Request<RunCheckRequest>,
    ) -> Result<Response<RunCheckResponse>, Status> {
        asks!(self, request, Self::check)
    }

    async fn run_drill(
        &self,
        request: Request<RunDrillRequest>,
    ) -> Result<Response<RunDrillResponse>, Status> {
        asks!(self, request, Self::drill)
    }

    async fn run_prune(
        &self,
        request: Request<RunPruneRequest>,
    ) -> Result<Response<RunPruneResponse>, Status> {
        asks!(self, request, Self::prune)
    }

    async fn run_inspect(
        &self,
        request: Request<RunInspectRequest>,
    ) -> Result<Response<RunInspectResponse>, Status> {
        asks!(self, request, Self::inspect)
    }

    async fn run_init(
        &self,
        request: Request<RunInitRequest>,
    ) -> Result<Response<RunInitResponse>, Status> {
        asks!(self, request, Self::init)
    }

    async fn run_scan(
        &self,
        request: Request<RunScanRequest>,
    ) -> Result<Response<RunScanResponse>, Status> {
        asks!(self, request, Self::scan)
    }

    async fn get_run(
        &self,
        request: Request<GetRunRequest>,
    ) -> Result<Response<GetRunResponse>, Status> {
        let request = request.into_inner();
        let got = self.get(&request).await;
        got.map(Response::new).map_err(status)
    }

    async fn list_runs(
        &self,
        request: Request<ListRunsRequest>,
    ) -> Result<Response<ListRunsResponse>, Status> {
        let request = request.into_inner();
        let listed = self.list(&request).await;
        listed.map(Response::new).map_err(status)
    }

    async fn watch_run(
        &self,
        request: Request<WatchRunRequest>,
    ) -> Result<Response<Self::WatchRunStream>, Status> {
        let request = request.into_inner();
        let stream = self.watch(&request).await;
        stream.map(Response::new).map_err(status)
    }

    async fn stream_logs(
        &self,
        request: Request<StreamLogsRequest>,
    ) -> Result<Response<Self::StreamLogsStream>, Status> {
        let request = request.into_inner();
        let stream = self.logs(&request).await;
        stream.map(Response::new).map_err(status)
    }

    async fn cancel_run(
        &self,
        request: Request<CancelRunRequest>,
    ) -> Result<Response<CancelRunResponse>, Status> {
        asks!(self, request, Self::cancel)
    }
}
