//! Spans reach a collector: a real gRPC server on loopback that keeps what it is sent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use provado_telemetry::{TelemetryOptions, subscriber};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

struct Collector(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send(request.into_inner()).unwrap();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test]
async fn a_span_reaches_the_collector_with_the_programs_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, mut received) = mpsc::unbounded_channel();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(
        tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(Collector(sender)))
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );

    let mut options = TelemetryOptions::new("provado-test");
    options.otlp = Some(format!("http://127.0.0.1:{port}").parse().unwrap());
    let (dispatch, guard) = subscriber(&options, std::io::sink).unwrap();
    tracing::dispatcher::with_default(&dispatch, || {
        let foreign = tracing::info_span!(target: "h2", "not ours");
        let _foreign = foreign.entered();
        let own = tracing::info_span!(target: "provado_agent", "dump", run.id = "r1");
        let _own = own.entered();
    });
    // Dropping the guard sends what is left and waits for it, so it leaves this thread free.
    tokio::task::spawn_blocking(move || drop(guard))
        .await
        .unwrap();

    let sent = tokio::time::timeout(Duration::from_secs(30), received.recv());
    let sent = sent.await.unwrap().unwrap();
    let [of_resource] = &sent.resource_spans[..] else {
        panic!("{sent:?}");
    };
    let resource = format!("{:?}", of_resource.resource);
    assert!(resource.contains("provado-test"), "{resource}");
    let spans: Vec<_> = of_resource
        .scope_spans
        .iter()
        .flat_map(|scope| &scope.spans)
        .collect();
    let [span] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(span.name, "dump");
    let attributes = format!("{:?}", span.attributes);
    assert!(attributes.contains("run.id") && attributes.contains("r1"));
}
