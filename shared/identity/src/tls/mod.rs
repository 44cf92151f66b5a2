//! TLS as both sides speak it: version 1.3, aws-lc-rs, HTTP/2, no resumption.
//!
//! | file | owns |
//! |---|---|
//! | `server` | the configurations of both listeners |
//! | `client` | the configurations of agents (before and after enrollment) and operators |
//! | `verify` | who is let in: chain, identity, and the caller's live allow-list |
//! | `live` | the certificate in use, replaced without a restart |
//!
//! Resumption is off on purpose: a resumed session would skip the check of the certificate, and a
//! revoked one would come back in. The provider and the clock are named in every configuration;
//! nothing here reads or sets rustls' process-wide default.

mod client;
mod live;
mod server;
mod verify;

pub use client::{authenticated_client, pinned_client};
pub use live::LiveCertificate;
pub use server::{ListenerTls, agent_listener, operator_listener};
pub use verify::{ClientCertAllow, Refusal};

use crate::csr::RequestError;
use crate::files::FileError;
use crate::names::NameError;
use crate::pem::PemError;
use jiff::Timestamp;
use provado_model::time::Clock;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// The application protocol of every connection (RFC 7301): HTTP/2, for gRPC.
pub const ALPN: &[u8] = b"h2";

/// The only version of TLS that is offered or accepted.
const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// A TLS configuration could not be made or a certificate not be taken into use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The library refused.
    #[error("cannot {action}")]
    Rustls {
        /// What was tried.
        action: &'static str,
        /// What the library said.
        #[source]
        source: rustls::Error,
    },
    /// The verifier could not be built.
    #[error("the roots of trust cannot be used")]
    Roots(#[source] rustls::server::VerifierBuilderError),
    /// A root does not say whose it is.
    #[error("a root of trust carries no trust domain")]
    RootName(#[from] NameError),
    /// No roots, or roots of several trust domains.
    #[error("the roots of trust must be one or more of the same trust domain")]
    RootSet,
    /// Validity.
    #[error("the certificate is valid from {not_before} to {not_after}, and now is {now}")]
    NotValidNow {
        /// From.
        not_before: Timestamp,
        /// Until.
        not_after: Timestamp,
        /// By the clock given.
        now: Timestamp,
    },
    /// Not a certificate.
    #[error("the certificate cannot be parsed")]
    Certificate,
    /// PEM.
    #[error("the certificate or its key cannot be read")]
    Pem(#[from] PemError),
    /// The files.
    #[error("the certificate or its key cannot be read")]
    File(#[from] FileError),
    /// The key.
    #[error("the key cannot be used")]
    Key(#[from] RequestError),
}

/// aws-lc-rs with the suites of TLS 1.3 only; the hybrid post-quantum exchange first.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    use aws_lc_rs::{cipher_suite, kx_group};
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![
            kx_group::X25519MLKEM768,
            kx_group::X25519,
            kx_group::SECP256R1,
        ],
        ..aws_lc_rs::default_provider()
    })
});

/// The one cryptographic provider, for those who build a rustls configuration of their own.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

/// The [`Clock`] as rustls asks for it, so that tests decide what has expired.
#[derive(Debug)]
pub struct ClockTime(pub Arc<dyn Clock>);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        // A clock before 1970 is no clock: without a time the handshake fails.
        let second = u64::try_from(self.0.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(second)))
    }
}

fn root_store(roots: &[CertificateDer<'static>]) -> Result<Arc<RootCertStore>, TlsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store
            .add(root.clone())
            .map_err(failed("use a root of trust"))?;
    }
    Ok(Arc::new(store))
}

fn failed(action: &'static str) -> impl FnOnce(rustls::Error) -> TlsError {
    move |source| TlsError::Rustls { action, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_model::time::ManualClock;
    use rustls::ProtocolVersion;

    #[test]
    fn the_provider_is_aws_lc_and_knows_tls_1_3_only() {
        let provider = provider();
        assert_eq!(format!("{:?}", provider.key_provider), "AwsLcRs");
        for suite in &provider.cipher_suites {
            assert_eq!(suite.version().version, ProtocolVersion::TLSv1_3);
        }
        assert!(CryptoProvider::get_default().is_none());
    }

    #[test]
    fn a_clock_before_1970_gives_no_time() {
        let time = |second| ClockTime(Arc::new(ManualClock::at_second(second))).current_time();
        assert_eq!(time(-1), None);
        let hundred = UnixTime::since_unix_epoch(Duration::from_secs(100));
        assert_eq!(time(100), Some(hundred));
    }
}
