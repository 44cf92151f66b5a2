//! The embedded certificate authorities: made on first start, kept on the controller's disk.
//!
//! There are two, because the two listeners trust different roots: one for agents, one for
//! operators. An authority believes nothing that a request says about its sender. It keeps no
//! list of what it issued: the controller stores fingerprint and generation and decides, at every
//! handshake, whether a certificate is still wanted.

mod authorities;
mod issue;

pub use authorities::Authorities;
pub use issue::{IssuedCertificate, ServerCredential, ServerNames};

use crate::csr::{RequestError, TlsKey};
use crate::digest::sha256;
use crate::files::FileError;
use crate::names::{self, TrustDomain};
use crate::pem;
use crate::pin::{Pin, PinError};
use jiff::{SignedDuration, Timestamp};
use provado_model::random::Entropy;
use provado_model::time::Clock;
use rcgen::{
    BasicConstraints, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType,
};
use rustls_pki_types::CertificateDer;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Days that an authority's own certificate lives: ten years. Its key is what agents pin.
const AUTHORITY_DAYS: i64 = 3653;

/// Whom an authority vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorityKind {
    /// Agents, and the server they dial.
    Agents,
    /// Operators, and the server they dial.
    Operators,
}

impl AuthorityKind {
    /// The word for it in names of files and certificates.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agents => "agents",
            Self::Operators => "operators",
        }
    }
}

impl fmt::Display for AuthorityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One certificate authority: a P-256 key and the self-signed certificate over it.
pub struct Authority {
    kind: AuthorityKind,
    trust_domain: TrustDomain,
    certificate: CertificateDer<'static>,
    not_after: Timestamp,
    issuer: Issuer<'static, KeyPair>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// An authority could not be made, loaded or did not issue.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The certificate request was refused.
    #[error("the certificate request was refused")]
    Request(#[from] RequestError),
    /// The authority of agents was asked for an operator's certificate, or the reverse.
    #[error("the authority of {kind} does not issue certificates for {subject}")]
    WrongAuthority {
        /// The authority asked.
        kind: AuthorityKind,
        /// For whom.
        subject: &'static str,
    },
    /// The authority's own certificate has ended.
    #[error(
        "the certificate of the authority of {kind} ended on {not_after}; make new authorities"
    )]
    Expired {
        /// The authority.
        kind: AuthorityKind,
        /// When it ended.
        not_after: Timestamp,
    },
    /// A lifetime of nothing, or beyond what a calendar holds.
    #[error("a certificate cannot live {seconds} seconds")]
    Lifetime {
        /// What was asked for.
        seconds: i64,
    },
    /// A server certificate without a name would be accepted by nobody.
    #[error("a server certificate needs at least one DNS name or IP address that is dialed")]
    NoServerName,
    /// A name that does not fit into a certificate.
    #[error("`{name}` cannot be a name in a certificate")]
    BadServerName {
        /// The name.
        name: String,
    },
    /// The library refused to build or sign the certificate.
    #[error("cannot {action}")]
    Build {
        /// What was tried.
        action: &'static str,
        /// What the library said.
        #[source]
        source: rcgen::Error,
    },
    /// Reading or writing the authority's files failed.
    #[error("the authorities cannot be read or written")]
    File(#[from] FileError),
    /// A stored part is damaged.
    #[error("the stored authority of {kind} is damaged; restore it from a copy")]
    Damaged {
        /// The authority.
        kind: AuthorityKind,
        /// Which part does not fit.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The stored authorities are those of another trust domain.
    #[error("the stored authorities are those of trust domain `{found}`, not `{expected}`")]
    OtherTrustDomain {
        /// Of the stored ones.
        found: TrustDomain,
        /// As configured.
        expected: TrustDomain,
    },
    /// The signing key failed.
    #[error("the controller's signing key cannot be used")]
    Signing(#[from] crate::signing::SigningError),
}

/// A stored authority's certificate and key do not belong together.
#[derive(Debug, thiserror::Error)]
enum Misfit {
    #[error("the certificate is not that of the key")]
    Key,
    #[error("the certificate is not that of an authority, or not signed by its own key")]
    NotAuthority,
    #[error("the text is not UTF-8")]
    Text,
}

impl Authority {
    /// A new authority with a new key. Serial numbers come from `entropy`, the key from the
    /// cryptographic provider's own random source.
    pub fn create(
        kind: AuthorityKind,
        trust_domain: &TrustDomain,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, CaError> {
        let key = TlsKey::generate()?;
        let now = clock.now();
        let lifetime = SignedDuration::from_hours(AUTHORITY_DAYS * 24);
        let mut params = issue::params(now, lifetime, entropy.as_ref())?;
        params.distinguished_name = subject(kind, key.pair());
        params.subject_alt_names = vec![uri_name(&trust_domain.uri())?];
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = false;
        let certificate = params
            .self_signed(key.pair())
            .map_err(build("sign the authority's certificate"))?;
        Self::assemble(kind, certificate.into(), key, clock, entropy)
    }

    /// The authority of a PEM text that holds its key and its certificate, as [`Self::to_pem`]
    /// writes it. A key and a certificate that do not belong together are refused.
    pub fn from_pem(
        kind: AuthorityKind,
        text: &str,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, CaError> {
        let mut certificates = pem::certificates(text).map_err(damaged(kind))?;
        let key = TlsKey::from_pem(text).map_err(damaged(kind))?;
        Self::assemble(kind, certificates.swap_remove(0), key, clock, entropy)
    }

    /// Key and certificate as one PEM text, so that one atomic write keeps them together.
    pub fn to_pem(&self) -> Zeroizing<String> {
        let key = pem::encode("PRIVATE KEY", self.issuer.key().serialized_der());
        let certificate = self.certificate_pem();
        let mut text = Zeroizing::new(String::with_capacity(key.len() + certificate.len()));
        text.push_str(&key);
        text.push_str(&certificate);
        text
    }

    /// Whom it vouches for.
    pub const fn kind(&self) -> AuthorityKind {
        self.kind
    }

    /// The trust domain in whose name it issues.
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Its own certificate, the root that peers trust.
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its own certificate as PEM.
    pub fn certificate_pem(&self) -> String {
        pem::encode_certificates([&self.certificate])
    }

    /// When its own certificate ends.
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The fingerprint by which a new agent knows it.
    pub fn pin(&self) -> Result<Pin, PinError> {
        Pin::of(&self.certificate)
    }

    fn assemble(
        kind: AuthorityKind,
        certificate: CertificateDer<'static>,
        key: TlsKey,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, CaError> {
        let refuse = |misfit: Misfit| damaged(kind)(misfit);
        let parsed = names::parse(&certificate).ok_or_else(|| refuse(Misfit::NotAuthority))?;
        if parsed.public_key().raw != key.pair().subject_public_key_info() {
            return Err(refuse(Misfit::Key));
        }
        if !is_self_signed_authority(&certificate) {
            return Err(refuse(Misfit::NotAuthority));
        }
        let not_after = Timestamp::from_second(parsed.validity().not_after.timestamp())
            .map_err(damaged(kind))?;
        drop(parsed);
        let trust_domain = TrustDomain::from_authority(&certificate).map_err(damaged(kind))?;
        let issuer =
            Issuer::from_ca_cert_der(&certificate, key.into_pair()).map_err(damaged(kind))?;
        Ok(Self {
            kind,
            trust_domain,
            certificate,
            not_after,
            issuer,
            clock,
            entropy,
        })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("kind", &self.kind)
            .field("trust_domain", &self.trust_domain)
            .field("not_after", &self.not_after)
            .field("key", &"redacted")
            .finish_non_exhaustive()
    }
}

/// Whether a certificate is an authority's and its own key signed it. A pinned key alone would
/// say nothing about the other fields; the self-signature does.
pub(crate) fn is_self_signed_authority(certificate: &CertificateDer<'_>) -> bool {
    names::parse(certificate)
        .is_some_and(|parsed| parsed.is_ca() && parsed.verify_signature(None).is_ok())
}

/// Two authorities of one kind must not share a name, or a chain to the old one would be tried
/// against the new one; so the name ends in the key's fingerprint.
fn subject(kind: AuthorityKind, key: &KeyPair) -> DistinguishedName {
    let fingerprint = sha256(&key.subject_public_key_info());
    let short = data_encoding::HEXLOWER.encode(&fingerprint[..4]);
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Provado");
    name.push(DnType::CommonName, format!("Provado {kind} {short}"));
    name
}

fn uri_name(uri: &str) -> Result<SanType, CaError> {
    uri.try_into()
        .map(SanType::URI)
        .map_err(build("write the identity into the certificate"))
}

fn build(action: &'static str) -> impl FnOnce(rcgen::Error) -> CaError {
    move |source| CaError::Build { action, source }
}

fn damaged<E>(kind: AuthorityKind) -> impl FnOnce(E) -> CaError
where
    E: std::error::Error + Send + Sync + 'static,
{
    move |source| CaError::Damaged {
        kind,
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests;
