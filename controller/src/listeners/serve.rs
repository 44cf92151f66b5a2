//! One listener from its socket to its drain.

use super::accept::{Gate, accept};
use super::crowd::Crowd;
use super::identify::{Door, IdentifyLayer};
use super::warn::warn_layer;
use crate::request::{AuthoriseLayer, RefusalLog};
use provado_identity::TrustDomain;
use provado_model::limits::CALL_SECONDS_MAX;
use provado_model::{Error, Reason};
use rustls::ServerConfig;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;

/// How often a silent connection is asked whether it is there, and how long it may take to answer.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Calls at once over one connection; a stream counts while it is being opened.
const CALLS_PER_CONNECTION_MAX: usize = 32;
/// HTTP/2 streams at once over one connection.
const STREAMS_PER_CONNECTION_MAX: u32 = 128;
/// Largest headers of one call, in bytes.
const HEADER_BYTES_MAX: u32 = 16 * 1024;

/// How a listener treats whoever dials it.
pub struct Options {
    /// Its name in logs, such as `agents`.
    pub name: &'static str,
    /// The TLS configuration.
    pub tls: Arc<ServerConfig>,
    /// In whose name identities stand.
    pub trust_domain: TrustDomain,
    /// Connections that may be open at once.
    pub connections_max: u32,
    /// Connections that one peer may have at once.
    pub connections_each_max: u32,
    /// Tells who calls.
    pub door: Arc<dyn Door>,
    /// Writes refused calls down.
    pub refusals: Arc<dyn RefusalLog>,
    /// Whether the controller has amnesia; told with every answer.
    pub amnesia: Arc<AtomicBool>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A socket that listens and is not served yet.
#[derive(Debug)]
pub struct Doorway {
    listener: TcpListener,
    address: SocketAddr,
}

impl Doorway {
    /// Listens on an address; port 0 takes a free one. Error: `SERVICE_UNAVAILABLE` with what to
    /// do.
    pub async fn bind(name: &str, address: SocketAddr) -> Result<Self, Error> {
        let cannot = |source: std::io::Error| {
            Error::new(
                Reason::ServiceUnavailable,
                format!(
                    "the listener for {name} cannot listen on {address}: {source}; is another \
                     controller running, or is the address not this host's?"
                ),
            )
            .caused_by(source)
        };
        let listener = TcpListener::bind(address).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the routes until `stop`: then no connection is accepted any more, and those that are
    /// open end with their last call, or when `close` comes.
    pub fn serve(
        self,
        options: Options,
        routes: Routes,
        stop: &CancellationToken,
        close: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) {
        let name = options.name;
        let gate = Gate {
            name,
            tls: options.tls,
            trust_domain: options.trust_domain,
            connections_max: options.connections_max,
            crowd: Crowd::new(options.connections_each_max),
            door: Arc::clone(&options.door),
            stop: stop.clone(),
            close: close.clone(),
        };
        let incoming = ReceiverStream::new(accept(self.listener, gate, tasks));
        let assembled = Server::builder()
            .concurrency_limit_per_connection(CALLS_PER_CONNECTION_MAX)
            .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
            .http2_max_header_list_size(HEADER_BYTES_MAX)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE))
            .trace_fn(|request| tracing::debug_span!("call", rpc.method = request.uri().path()))
            .timeout(Duration::from_secs(CALL_SECONDS_MAX))
            .layer(IdentifyLayer::new(options.door))
            .layer(AuthoriseLayer::new(options.refusals))
            .layer(warn_layer(options.amnesia))
            .add_routes(routes);
        let (stop, close) = (stop.clone(), close.clone());
        tasks.spawn(async move {
            let served = assembled.serve_with_incoming_shutdown(incoming, stop.cancelled_owned());
            tokio::select! {
                // Connections end themselves at the same signal.
                () = close.cancelled() => {}
                served = served => if let Err(error) = served {
                    tracing::error!("the listener for {name} failed: {error}");
                },
            }
        });
    }
}
