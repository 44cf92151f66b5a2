//! Who is let in. rustls checks chain, validity and usage; this adds the identity and, for
//! clients, the live allow-list, so that a revoked certificate ends at the handshake.

use super::{TlsError, provider, root_store};
use crate::ca::is_self_signed_authority;
use crate::names::{self, NameError, PeerCertificate, PeerIdentity, TrustDomain};
use crate::pin::Pin;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::fmt;
use std::sync::Arc;

/// The caller's live list of certificates that are still wanted.
pub trait ClientCertAllow: Send + Sync + fmt::Debug {
    /// Whether a peer with this identity and this certificate (SHA-256 of its DER) may connect.
    /// Called within the handshake: it must answer from memory, and an unknown one is a no.
    fn allowed(&self, identity: &PeerIdentity, cert_sha256: [u8; 32]) -> bool;
}

/// Why a certificate with a good chain was refused.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// Its names are not what they must be.
    #[error("the certificate's identity is refused")]
    Name(#[from] NameError),
    /// It is somebody, but not who belongs here.
    #[error("this listener or server is not for `{uri}`")]
    WrongPeer {
        /// The identity.
        uri: String,
    },
    /// No certificate of the chain holds the pinned key.
    #[error(
        "the server is not the controller of this join string: no authority it presents has the \
         fingerprint {pin}"
    )]
    PinMismatch {
        /// What was expected.
        pin: Pin,
    },
    /// The pinned key is there, but not as that of an authority that is valid now.
    #[error("the authority with the fingerprint of the join string is not valid")]
    BadAuthority,
}

impl Refusal {
    /// The refusal at the root of a failed connection, however deep it lies: rustls shows it in
    /// its debugging form only, and whoever reads the message needs the sentence.
    pub fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(Error::InvalidCertificate(CertificateError::Other(other))) =
                error.downcast_ref::<Error>()
            {
                return other.0.downcast_ref::<Self>();
            }
            // An I/O error that wraps another hides it from `source` and shows it here.
            next = match error.downcast_ref::<std::io::Error>() {
                Some(wrapper) => wrapper.get_ref().map(|inner| inner as _),
                None => error.source(),
            };
        }
        None
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        CertificateError::Other(OtherError(Arc::new(refusal))).into()
    }
}

/// What verifiers of clients and of controllers have alike: whose key signed the handshake.
macro_rules! handshake_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            // Never reached: version 1.2 is neither offered nor accepted.
            Err(Error::General("TLS 1.2 is not spoken here".into()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &provider().signature_verification_algorithms;
            rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            provider()
                .signature_verification_algorithms
                .supported_schemes()
        }
    };
}

/// Which kind of peer a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// Agents; one without a certificate may connect, to enroll.
    Agents,
    /// Operators; a certificate is required.
    Operators,
}

#[derive(Debug)]
pub(super) struct ClientVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    trust_domain: TrustDomain,
    audience: Audience,
    allow: Arc<dyn ClientCertAllow>,
}

impl ClientVerifier {
    pub(super) fn new(
        roots: &[CertificateDer<'static>],
        trust_domain: TrustDomain,
        audience: Audience,
        allow: Arc<dyn ClientCertAllow>,
    ) -> Result<Self, TlsError> {
        let builder = WebPkiClientVerifier::builder_with_provider(root_store(roots)?, provider());
        let builder = match audience {
            Audience::Agents => builder.allow_unauthenticated(),
            Audience::Operators => builder,
        };
        Ok(Self {
            chain: builder.build().map_err(TlsError::Roots)?,
            trust_domain,
            audience,
            allow,
        })
    }

    fn admit(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let peer = PeerCertificate::read(certificate, &self.trust_domain).map_err(Refusal::Name)?;
        let belongs = match peer.identity {
            PeerIdentity::Agent(_) => self.audience == Audience::Agents,
            PeerIdentity::Operator(_) => self.audience == Audience::Operators,
            PeerIdentity::Controller => false,
        };
        if !belongs {
            let uri = peer.identity.uri(&self.trust_domain);
            return Err(Refusal::WrongPeer { uri }.into());
        }
        if !self.allow.allowed(&peer.identity, peer.sha256) {
            return Err(CertificateError::Revoked.into());
        }
        Ok(())
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn offer_client_auth(&self) -> bool {
        self.chain.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now)?;
        self.admit(end_entity)?;
        Ok(verified)
    }

    handshake_signatures!();
}

/// Accepts a controller whose chain ends in one of the roots.
#[derive(Debug)]
pub(super) struct ControllerVerifier {
    chain: Arc<WebPkiServerVerifier>,
    trust_domain: TrustDomain,
}

impl ControllerVerifier {
    pub(super) fn new(
        roots: &[CertificateDer<'static>],
        trust_domain: TrustDomain,
    ) -> Result<Self, TlsError> {
        let builder = WebPkiServerVerifier::builder_with_provider(root_store(roots)?, provider());
        Ok(Self {
            chain: builder.build().map_err(TlsError::Roots)?,
            trust_domain,
        })
    }
}

impl ServerCertVerifier for ControllerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.chain.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        // A chain alone would let any holder of a certificate with the right host name pose as
        // the controller; the identity says that it is one.
        let identity = PeerIdentity::from_certificate(end_entity, &self.trust_domain)
            .map_err(Refusal::Name)?;
        if identity != PeerIdentity::Controller {
            let uri = identity.uri(&self.trust_domain);
            return Err(Refusal::WrongPeer { uri }.into());
        }
        Ok(verified)
    }

    handshake_signatures!();
}

/// Accepts a controller whose authority, sent along in the handshake, holds the pinned key.
/// Everything else (chain, host name, validity, identity) is checked against that authority.
#[derive(Debug)]
pub(super) struct PinnedVerifier {
    pin: Pin,
}

impl PinnedVerifier {
    pub(super) const fn new(pin: Pin) -> Self {
        Self { pin }
    }

    fn authority(
        &self,
        presented: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ControllerVerifier, Error> {
        let pinned = presented
            .iter()
            .find(|certificate| self.pin.matches(certificate))
            .ok_or(Refusal::PinMismatch { pin: self.pin })?;
        // rustls takes a root as given; here it came from the other side, so it is checked.
        if !is_self_signed_authority(pinned) || !is_valid_at(pinned, now) {
            return Err(Refusal::BadAuthority.into());
        }
        let trust_domain = TrustDomain::from_authority(pinned).map_err(Refusal::Name)?;
        let roots = [pinned.clone().into_owned()];
        ControllerVerifier::new(&roots, trust_domain).map_err(|_| Refusal::BadAuthority.into())
    }
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.authority(intermediates, now)?.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )
    }

    handshake_signatures!();
}

/// The trust domain that all the roots share.
pub(super) fn common_trust_domain(
    roots: &[CertificateDer<'static>],
) -> Result<TrustDomain, TlsError> {
    let mut found = None;
    for root in roots {
        let name = TrustDomain::from_authority(root)?;
        if *found.get_or_insert_with(|| name.clone()) != name {
            return Err(TlsError::RootSet);
        }
    }
    found.ok_or(TlsError::RootSet)
}

fn is_valid_at(certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
    let Ok(now) = i64::try_from(now.as_secs()) else {
        return false;
    };
    names::parse(certificate).is_some_and(|parsed| {
        let validity = parsed.validity();
        (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now)
    })
}
