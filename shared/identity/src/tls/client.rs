//! The configurations of those who dial: an agent before and after enrollment, and an operator.

use super::verify::{ControllerVerifier, PinnedVerifier, common_trust_domain};
use super::{ALPN, ClockTime, LiveCertificate, TlsError, VERSIONS, failed, provider};
use crate::pin::Pin;
use provado_model::time::Clock;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::CertificateDer;
use std::sync::Arc;

/// For an agent that enrolls: it knows the pin of the join string and nothing else, and has no
/// certificate yet. The server must send its authority along, that authority must hold the pinned
/// key, and the server's certificate must be that of a controller, valid now, for the name dialed.
pub fn pinned_client(pin: Pin, clock: Arc<dyn Clock>) -> Result<Arc<ClientConfig>, TlsError> {
    let verifier = Arc::new(PinnedVerifier::new(pin));
    client(verifier, None, clock)
}

/// For an enrolled agent or an operator: the server's chain must end in one of the roots and its
/// identity be that of a controller in the roots' trust domain. Several roots are the old and the
/// new authority while one is replaced. `certificate` may be renewed in place.
pub fn authenticated_client(
    roots: &[CertificateDer<'static>],
    certificate: Arc<LiveCertificate>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let trust_domain = common_trust_domain(roots)?;
    let verifier = Arc::new(ControllerVerifier::new(roots, trust_domain)?);
    client(verifier, Some(certificate), clock)
}

fn client(
    verifier: Arc<dyn ServerCertVerifier>,
    certificate: Option<Arc<LiveCertificate>>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_details(provider(), Arc::new(ClockTime(clock)))
        .with_protocol_versions(VERSIONS)
        .map_err(failed("set up TLS 1.3 for a client"))?
        // rustls calls any verifier but its own dangerous; ours adds to its checks.
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match certificate {
        Some(certificate) => builder.with_client_cert_resolver(certificate),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(Arc::new(config))
}
