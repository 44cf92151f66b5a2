//! The one way to the controller: a tonic channel over TLS 1.3 with the operator's certificate.

use crate::error::{CliError, Result};
use crate::profile::Profile;
use hyper_util::rt::TokioIo;
use provado_identity::tls::{LiveCertificate, authenticated_client};
use provado_model::Kind;
use provado_model::time::Clock;
use rustls_pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

/// How long a connection may take to come about.
const CONNECT_SECONDS_MAX: u64 = 10;

/// Connects to the controller of the profile.
pub(crate) async fn connect(profile: &Profile, clock: Arc<dyn Clock>) -> Result<Channel> {
    let connector = connector(profile, clock)?;
    let host = profile
        .endpoint
        .rsplit_once(':')
        .map_or(profile.endpoint.as_str(), |(h, _)| h);
    let name = profile
        .server_name
        .as_deref()
        .unwrap_or(host)
        .trim_matches(['[', ']']);
    let name = ServerName::try_from(name.to_owned())
        .map_err(|error| CliError::invalid(format!("server name `{name}`: {error}")))?;
    let address = profile.endpoint.clone();
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| CliError::invalid(format!("endpoint `{address}`: {error}")))?
        .connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    let dial = tower::service_fn(move |_: Uri| {
        let (connector, name, address) = (connector.clone(), name.clone(), address.clone());
        async move {
            let stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    endpoint.connect_with_connector(dial).await.map_err(|error| {
        CliError::new(
            Kind::Unavailable,
            format!(
                "cannot reach the controller at {}: {}. Is it running, and is this its operator \
                 address?",
                profile.endpoint,
                innermost(&error)
            ),
        )
    })
}

fn connector(profile: &Profile, clock: Arc<dyn Clock>) -> Result<TlsConnector> {
    let trouble = |error: &dyn std::fmt::Display| {
        CliError::new(
            Kind::Unauthenticated,
            format!("the certificate of this profile cannot be used: {error}"),
        )
    };
    let roots = std::fs::read_to_string(&profile.authority_file)
        .map_err(|e| trouble(&format!("{}: {e}", profile.authority_file.display())))?;
    let roots = provado_identity::pem::certificates(&roots).map_err(|e| trouble(&e))?;
    let certificate = LiveCertificate::from_files(
        &profile.certificate_file,
        &profile.key_file,
        Arc::clone(&clock),
    )
    .map_err(|e| trouble(&e))?;
    if certificate.not_after() <= clock.now() {
        return Err(trouble(&format!(
            "it ended at {}; ask another operator for a new one with `provado caller create`",
            certificate.not_after()
        )));
    }
    let config = authenticated_client(&roots, certificate, clock).map_err(|e| trouble(&e))?;
    Ok(TlsConnector::from(config))
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
