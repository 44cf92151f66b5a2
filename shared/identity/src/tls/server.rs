//! The configurations of the two listeners, which differ in root, in audience, and in whether a
//! peer without a certificate is let in.

use super::verify::{Audience, ClientCertAllow, ClientVerifier};
use super::{ALPN, ClockTime, LiveCertificate, TlsError, VERSIONS, failed, provider};
use crate::names::TrustDomain;
use provado_model::time::Clock;
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use rustls_pki_types::CertificateDer;
use std::sync::Arc;

/// What a listener needs.
#[derive(Debug, Clone)]
pub struct ListenerTls {
    /// What it presents; replaced in place when renewed.
    pub certificate: Arc<LiveCertificate>,
    /// The authorities of its peers: one, or the old and the new while one is replaced.
    pub client_roots: Vec<CertificateDer<'static>>,
    /// In whose name its peers' identities must stand.
    pub trust_domain: TrustDomain,
    /// Which certificates are still wanted.
    pub allow: Arc<dyn ClientCertAllow>,
    /// By what validity is judged.
    pub clock: Arc<dyn Clock>,
}

/// For the listener that agents dial. A peer without a certificate is let in, because enrollment
/// comes before the certificate: whoever serves the calls must allow such a peer nothing else.
/// One with a certificate must be an agent in good standing.
pub fn agent_listener(options: &ListenerTls) -> Result<Arc<ServerConfig>, TlsError> {
    listener(options, Audience::Agents)
}

/// For the listener that operators dial: a certificate of an operator in good standing is needed.
pub fn operator_listener(options: &ListenerTls) -> Result<Arc<ServerConfig>, TlsError> {
    listener(options, Audience::Operators)
}

fn listener(options: &ListenerTls, audience: Audience) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = ClientVerifier::new(
        &options.client_roots,
        options.trust_domain.clone(),
        audience,
        Arc::clone(&options.allow),
    )?;
    let time = Arc::new(ClockTime(Arc::clone(&options.clock)));
    let certificate = Arc::clone(&options.certificate);
    let mut config = ServerConfig::builder_with_details(provider(), time)
        .with_protocol_versions(VERSIONS)
        .map_err(failed("set up TLS 1.3 for a listener"))?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}
