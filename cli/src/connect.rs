//! The one way to the controller: a tonic channel over TLS 1.3 with the operator's certificate.

use crate::error::{CliError, Result};
use crate::output::{self, human::Now};
use crate::profile::Profile;
use crate::trust;
use hyper_util::rt::TokioIo;
use provado_identity::tls::{LiveCertificate, TlsError, authenticated_client};
use provado_model::Reason;
use provado_model::error::{WARNING_HEADER, help_url};
use provado_model::time::Clock;
use rustls_pki_types::ServerName;
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Response};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::util::MapResponse;

/// How long a connection may take to come about.
const CONNECT_SECONDS_MAX: u64 = 10;

/// The line to the controller: what it says beside its answers is told, once.
pub(crate) type Line = MapResponse<Channel, fn(Response<Body>) -> Response<Body>>;

/// Connects to the controller of the profile.
pub(crate) async fn connect(profile: &Profile, clock: Arc<dyn Clock>) -> Result<Line> {
    let channel = dial(profile, clock).await?;
    let heard: fn(Response<Body>) -> Response<Body> = heard;
    Ok(MapResponse::new(channel, heard))
}

fn heard(response: Response<Body>) -> Response<Body> {
    static TOLD: Once = Once::new();
    if let Some(text) = warning(response.headers()) {
        TOLD.call_once(|| output::note(&format!("provado: {text}")));
    }
    response
}

/// What the headers of an answer warn of.
fn warning(headers: &HeaderMap) -> Option<String> {
    let reason: Reason = headers.get(WARNING_HEADER)?.to_str().ok()?.parse().ok()?;
    let what = match reason {
        Reason::ControllerAmnesia => {
            "the controller's database is older than what agents know; restores and deletes wait. \
             See `provado controller show`"
        }
        _ => "the controller warns",
    };
    let page = help_url(reason.as_str());
    Some(format!("warning: {what} ({page})"))
}

async fn dial(profile: &Profile, clock: Arc<dyn Clock>) -> Result<Channel> {
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
    endpoint
        .connect_with_connector(dial)
        .await
        .map_err(|error| unreachable(profile, &error))
}

/// Why there is no connection.
pub(crate) fn unreachable(
    profile: &Profile,
    error: &(dyn std::error::Error + 'static),
) -> CliError {
    let endpoint = &profile.endpoint;
    if let Some(refused) = trust::refusal(error) {
        return CliError::new(
            Reason::CertificateInvalid,
            format!("no connection to the controller at {endpoint}: {refused}"),
        );
    }
    CliError::new(
        Reason::ControllerUnreachable,
        format!(
            "cannot reach the controller at {endpoint}: {}. See whether it runs (`systemctl status \
             provado-controller` on its host) and whether this is its operator address; it stands \
             in the profile {}",
            trust::innermost(error),
            profile.file.display()
        ),
    )
}

fn connector(profile: &Profile, clock: Arc<dyn Clock>) -> Result<TlsConnector> {
    let now = Now::here(&*clock);
    let trouble = |error: &TlsError| unusable(profile, error, &now);
    let roots = std::fs::read_to_string(&profile.authority_file).map_err(|error| {
        CliError::unreadable("the profile's authority", &profile.authority_file, &error)
    })?;
    let roots = provado_identity::pem::certificates(&roots).map_err(|e| trouble(&e.into()))?;
    let certificate = LiveCertificate::from_files(
        &profile.certificate_file,
        &profile.key_file,
        Arc::clone(&clock),
    )
    .map_err(|e| trouble(&e))?;
    let config = authenticated_client(&roots, certificate, clock).map_err(|e| trouble(&e))?;
    Ok(TlsConnector::from(config))
}

/// Why the certificate of the profile is of no use, and what to do about it.
pub(crate) fn unusable(profile: &Profile, error: &TlsError, now: &Now) -> CliError {
    let file = profile.file.display();
    let message = match error {
        TlsError::NotValidNow { not_after, .. } if *not_after <= now.time => format!(
            "the certificate of the profile {file} ended {}. Ask another operator for a new one: \
             `provado caller create NAME --role ROLE --into DIRECTORY`. If nobody has one, \
             whoever runs the controller makes the first operator's anew with \
             `provado-controller renew-profile`",
            now.instant(*not_after)
        ),
        TlsError::NotValidNow { not_before, .. } => format!(
            "the certificate of the profile {file} begins {}. The clock of this host is behind, \
             or the controller's is ahead: compare `date` on both",
            now.instant(*not_before)
        ),
        other => format!(
            "the certificate of the profile {file} cannot be used: {}. Put the files right, or \
             use another profile (--profile, PROVADO_PROFILE)",
            provado_telemetry::chain(other)
        ),
    };
    CliError::new(Reason::CertificateInvalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_told_if_it_is_one_that_is_known() {
        let warned = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(WARNING_HEADER, value.parse().unwrap());
            warning(&headers)
        };
        let told = warned("CONTROLLER_AMNESIA").unwrap();
        assert!(told.contains("provado controller show"), "{told}");
        // What a header may hold and a terminal must not be shown.
        assert!(warned("\u{e9}[2J").is_none() && warned("hello").is_none());
        assert!(warning(&HeaderMap::new()).is_none());
    }
}
