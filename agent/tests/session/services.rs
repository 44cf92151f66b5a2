//! The services of the scripted controller: they write down what they hear and answer as told.

use crate::controller::{Stage, refusal};
use provado_proto::agent::v1::enrollment_service_server::{
    EnrollmentService, EnrollmentServiceServer,
};
use provado_proto::agent::v1::report_service_server::{ReportService, ReportServiceServer};
use provado_proto::agent::v1::session_request::Message as Up;
use provado_proto::agent::v1::session_response::Message as Down;
use provado_proto::agent::v1::session_service_server::{SessionService, SessionServiceServer};
use provado_proto::agent::v1::{
    AppendLogRequest, AppendLogResponse, EnrollRequest, EnrollResponse, HeartbeatAck,
    RenewCertificateRequest, RenewCertificateResponse, ReportAttemptRequest, ReportAttemptResponse,
    SessionRequest, SessionResponse, SyncInventoryRequest, SyncInventoryResponse,
};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

pub async fn serve(socket: TcpListener, acceptor: TlsAcceptor, stage: Arc<Stage>) {
    let (opened, streams) = mpsc::channel(16);
    let accept = async {
        while let Ok((stream, _)) = socket.accept().await {
            // One after the other is enough here.
            if let Ok(stream) = acceptor.accept(stream).await {
                let _ = opened.send(Ok::<_, std::io::Error>(stream)).await;
            }
        }
    };
    let server = tonic::transport::Server::builder()
        .add_service(EnrollmentServiceServer::new(Services(stage.clone())))
        .add_service(SessionServiceServer::new(Services(stage.clone())))
        .add_service(
            ReportServiceServer::new(Services(stage)).max_decoding_message_size(16 * 1024 * 1024),
        )
        .serve_with_incoming(ReceiverStream::new(streams));
    let ((), result) = tokio::join!(accept, server);
    result.unwrap();
}

#[derive(Debug)]
struct Services(Arc<Stage>);

#[tonic::async_trait]
impl EnrollmentService for Services {
    async fn enroll(
        &self,
        request: Request<EnrollRequest>,
    ) -> Result<Response<EnrollResponse>, Status> {
        let request = request.into_inner();
        let certificate_pem = self.0.issue(&request.certificate_request_pem);
        let (refusal, other, generation) = {
            let mut part = self.0.part();
            part.generation += 1;
            part.enrolls.push(request.clone());
            let refusal = part.enroll_refusal.take();
            (refusal, part.enroll_as.take(), part.generation)
        };
        if let Some((reason, message)) = refusal {
            let details = ErrorDetails::with_error_info(reason, "provado", []);
            let code = tonic::Code::InvalidArgument;
            return Err(Status::with_error_details(code, message, details));
        }
        let answer = EnrollResponse {
            agent_id: other.unwrap_or_else(|| self.0.agent_id.to_string()),
            agent_name: request.agent_name,
            certificate_pem,
            authority_pem: self.0.agents.certificate_pem(),
            generation,
            controller_public_key: self.0.signing.public_key().as_bytes().to_vec(),
        };
        self.0.news.notify_waiters();
        if self.0.lose() {
            return Err(Status::unavailable("lost on its way"));
        }
        Ok(Response::new(answer))
    }
}

#[tonic::async_trait]
impl SessionService for Services {
    type SessionStream = ReceiverStream<Result<SessionResponse, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut inbound = request.into_inner();
        let (down, up) = mpsc::channel(16);
        let Some(Ok(first)) = inbound.next().await else {
            return Err(Status::invalid_argument("no hello"));
        };
        let welcome = self.0.part().welcome.clone();
        let welcome = SessionResponse {
            sequence: 1,
            message: Some(Down::Welcome(welcome)),
        };
        down.send(Ok(welcome)).await.unwrap();
        {
            let mut part = self.0.part();
            part.streams += 1;
            part.ups.extend(first.message);
            part.down = Some(down.clone());
        }
        self.0.news.notify_waiters();
        let stage = Arc::clone(&self.0);
        tokio::spawn(async move {
            while let Some(Ok(request)) = inbound.next().await {
                if matches!(request.message, Some(Up::Heartbeat(_))) {
                    let ack = SessionResponse {
                        sequence: 0,
                        message: Some(Down::HeartbeatAck(HeartbeatAck::default())),
                    };
                    let _ = down.send(Ok(ack)).await;
                }
                stage.part().ups.extend(request.message);
                stage.news.notify_waiters();
            }
        });
        Ok(Response::new(ReceiverStream::new(up)))
    }

    async fn sync_inventory(
        &self,
        _request: Request<SyncInventoryRequest>,
    ) -> Result<Response<SyncInventoryResponse>, Status> {
        self.0.part().inventories += 1;
        self.0.news.notify_waiters();
        Ok(Response::new(SyncInventoryResponse::default()))
    }

    async fn renew_certificate(
        &self,
        request: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        let request = request.into_inner();
        let certificate_pem = self.0.issue(&request.certificate_request_pem);
        let generation = request.generation + 1;
        {
            let mut part = self.0.part();
            part.generation = generation;
            part.renewals.push(request);
        }
        self.0.news.notify_waiters();
        if self.0.lose() {
            return Err(Status::unavailable("lost on its way"));
        }
        Ok(Response::new(RenewCertificateResponse {
            certificate_pem,
            authority_pem: self.0.agents.certificate_pem(),
            generation,
        }))
    }
}

#[tonic::async_trait]
impl ReportService for Services {
    async fn report_attempt(
        &self,
        request: Request<ReportAttemptRequest>,
    ) -> Result<Response<ReportAttemptResponse>, Status> {
        let (refused, hold, answer) = {
            let mut part = self.0.part();
            part.reports.push(request.into_inner());
            let refused =
                (!part.report_refusals.is_empty()).then(|| part.report_refusals.remove(0));
            (refused, part.hold_reports, part.answer.clone())
        };
        self.0.news.notify_waiters();
        if hold {
            std::future::pending::<()>().await;
        }
        match refused {
            Some((code, reason)) => Err(refusal(code, reason)),
            None => Ok(Response::new(answer)),
        }
    }

    async fn append_log(
        &self,
        request: Request<AppendLogRequest>,
    ) -> Result<Response<AppendLogResponse>, Status> {
        let request = request.into_inner();
        let sequence = request.lines.last().map_or(0, |line| line.sequence);
        self.0.part().lines.push(request);
        self.0.news.notify_waiters();
        Ok(Response::new(AppendLogResponse { sequence }))
    }
}
