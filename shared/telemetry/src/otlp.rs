//! Spans to an OpenTelemetry collector (OTLP over gRPC).
//!
//! The collector is one on the same host or network that is trusted as the log is: the connection
//! is plain `http://`, and who wants TLS lets the local collector forward. Only spans of Provado's
//! own crates leave, so that the exporter's own requests are not traced in turn. What cannot be
//! delivered is dropped: tracing never holds up a backup.

use crate::options::{OptionError, OtlpEndpoint};
use crate::setup::InitError;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use std::time::Duration;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// Seconds that the end of the program waits for the last spans.
const SHUTDOWN_SECONDS_MAX: u64 = 5;
/// Seconds that one delivery may take.
const EXPORT_SECONDS_MAX: u64 = 10;

/// The connection to the collector; the last spans are sent when it is dropped.
#[derive(Debug)]
pub(crate) struct Exporter {
    provider: SdkTracerProvider,
}

impl Exporter {
    pub(crate) fn new(service: &'static str, endpoint: &OtlpEndpoint) -> Result<Self, InitError> {
        // The client library starts its connection as a task, and panics where there is no runtime.
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(InitError::NoRuntime);
        }
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint.as_str())
            .with_timeout(Duration::from_secs(EXPORT_SECONDS_MAX))
            .build()
            .map_err(|_| OptionError::Endpoint {
                text: endpoint.as_str().to_owned(),
            })?;
        let resource = Resource::builder_empty().with_service_name(service).build();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
            .with_resource(resource)
            .with_batch_exporter(exporter)
            .build();
        Ok(Self { provider })
    }

    pub(crate) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let own = |metadata: &Metadata<'_>| metadata.target().starts_with("provado");
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("provado"))
            .with_filter(filter_fn(own))
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let limit = Duration::from_secs(SHUTDOWN_SECONDS_MAX);
        if let Err(error) = self.provider.shutdown_with_timeout(limit) {
            tracing::warn!(error = %crate::chain(&error), "the last spans were not delivered");
        }
    }
}
