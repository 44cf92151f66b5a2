//! Identities as SPIFFE URIs (SPIFFE ID and X.509-SVID standards, spiffe.io), read strictly.
//!
//! A certificate says who its holder is by exactly one URI: `spiffe://<trust domain>/agent/<id>`,
//! `/operator/<id>` or `/controller`; that of an authority is the trust domain alone. Roles are
//! never in a certificate: what a caller may do is looked up when it calls.

use crate::digest::sha256;
use jiff::Timestamp;
use provado_model::id::{AgentId, CallerId};
use rustls_pki_types::CertificateDer;
use std::fmt;
use std::str::FromStr;
use x509_parser::prelude::{GeneralName, X509Certificate};

/// Longest name of a trust domain, in bytes (SPIFFE ID standard, section 2.1).
pub const TRUST_DOMAIN_BYTES_MAX: usize = 255;

/// The name under which one controller's identities live, such as `provado.example.org`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TrustDomain(String);

/// Who the other side of a connection is, as its certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerIdentity {
    /// An agent on a database host.
    Agent(AgentId),
    /// One who may call the operator API, as far as the access rules let them.
    Operator(CallerId),
    /// A controller: what agents and operators dial.
    Controller,
}

/// What a request handler wants to know of the certificate its caller came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Who it is.
    pub identity: PeerIdentity,
    /// SHA-256 of the certificate's DER: what the allow-list is keyed by.
    pub sha256: [u8; 32],
    /// The serial number in lower-case hex, as when it was issued.
    pub serial_hex: String,
    /// When the certificate ends.
    pub not_after: Timestamp,
}

/// A name or a certificate's identity is not what it must be.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    /// Not a trust domain.
    #[error(
        "`{text}` is not a trust domain: 1 to 255 of a-z, 0-9, dot, hyphen and underscore, \
         such as `provado.example.org`"
    )]
    TrustDomain {
        /// The text, cut to 64 characters.
        text: String,
    },
    /// Not a certificate.
    #[error("the certificate cannot be parsed")]
    Certificate,
    /// No identity or more than one.
    #[error("the certificate carries {found} URI names where exactly one is needed")]
    UriCount {
        /// How many.
        found: usize,
    },
    /// Names that a certificate of this kind does not have.
    #[error("the certificate of `{uri}` carries other names beside its identity")]
    OtherNames {
        /// The identity.
        uri: String,
    },
    /// Not one of ours, or of another trust domain.
    #[error("`{uri}` is no identity of trust domain `{trust_domain}`")]
    Foreign {
        /// The URI, cut to 64 characters.
        uri: String,
        /// What was expected.
        trust_domain: TrustDomain,
    },
}

impl TrustDomain {
    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `spiffe://<name>`: what an authority's own certificate carries.
    pub fn uri(&self) -> String {
        format!("spiffe://{}", self.0)
    }

    /// The trust domain that an authority's certificate names.
    pub fn from_authority(certificate: &CertificateDer<'_>) -> Result<Self, NameError> {
        let uri = read(certificate)?.uri;
        match uri.strip_prefix("spiffe://") {
            Some(name) => name.parse(),
            None => Err(NameError::TrustDomain { text: cut(&uri) }),
        }
    }
}

impl FromStr for TrustDomain {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
        };
        if text.is_empty() || text.len() > TRUST_DOMAIN_BYTES_MAX || !text.bytes().all(allowed) {
            return Err(NameError::TrustDomain { text: cut(text) });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PeerIdentity {
    /// The SPIFFE URI of this identity in a trust domain.
    pub fn uri(&self, trust_domain: &TrustDomain) -> String {
        match self {
            Self::Agent(id) => format!("spiffe://{trust_domain}/agent/{id}"),
            Self::Operator(id) => format!("spiffe://{trust_domain}/operator/{id}"),
            Self::Controller => format!("spiffe://{trust_domain}/controller"),
        }
    }

    /// The identity that a URI states. Only the exact text that [`Self::uri`] makes is accepted:
    /// no other case, no escapes, no query, no trailing slash.
    pub fn from_uri(uri: &str, trust_domain: &TrustDomain) -> Result<Self, NameError> {
        let parsed = uri
            .strip_prefix("spiffe://")
            .and_then(|rest| rest.strip_prefix(trust_domain.as_str()))
            .and_then(Self::from_path);
        match parsed {
            Some(identity) if identity.uri(trust_domain) == uri => Ok(identity),
            _ => Err(NameError::Foreign {
                uri: cut(uri),
                trust_domain: trust_domain.clone(),
            }),
        }
    }

    /// The identity of a certificate whose chain has been verified. A certificate without exactly
    /// one URI is refused, as is one of an agent or operator with any other name beside it.
    pub fn from_certificate(
        certificate: &CertificateDer<'_>,
        trust_domain: &TrustDomain,
    ) -> Result<Self, NameError> {
        Ok(PeerCertificate::read(certificate, trust_domain)?.identity)
    }

    fn from_path(path: &str) -> Option<Self> {
        if path == "/controller" {
            return Some(Self::Controller);
        }
        if let Some(id) = path.strip_prefix("/agent/") {
            return id.parse().ok().map(Self::Agent);
        }
        let id = path.strip_prefix("/operator/")?;
        id.parse().ok().map(Self::Operator)
    }
}

impl PeerCertificate {
    /// Reads the certificate of a peer whose chain has been verified; see
    /// [`PeerIdentity::from_certificate`] for what is refused.
    pub fn read(
        certificate: &CertificateDer<'_>,
        trust_domain: &TrustDomain,
    ) -> Result<Self, NameError> {
        let facts = read(certificate)?;
        let identity = PeerIdentity::from_uri(&facts.uri, trust_domain)?;
        let has_others = facts.other_count > 0;
        if has_others && identity != PeerIdentity::Controller {
            return Err(NameError::OtherNames { uri: facts.uri });
        }
        Ok(Self {
            identity,
            sha256: sha256(certificate),
            serial_hex: facts.serial_hex,
            not_after: facts.not_after,
        })
    }
}

struct Facts {
    uri: String,
    other_count: usize,
    serial_hex: String,
    not_after: Timestamp,
}

fn read(certificate: &CertificateDer<'_>) -> Result<Facts, NameError> {
    let parsed = parse(certificate).ok_or(NameError::Certificate)?;
    // An extension that stands twice is an error here, not a choice between two.
    let names = parsed
        .subject_alternative_name()
        .map_err(|_| NameError::Certificate)?
        .map_or(&[][..], |extension| &extension.value.general_names);
    let uris: Vec<&str> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect();
    let [uri] = uris[..] else {
        return Err(NameError::UriCount { found: uris.len() });
    };
    let not_after = parsed.validity().not_after.timestamp();
    Ok(Facts {
        uri: uri.to_owned(),
        other_count: names.len() - 1,
        serial_hex: serial_hex(parsed.raw_serial()),
        not_after: Timestamp::from_second(not_after).map_err(|_| NameError::Certificate)?,
    })
}

/// The certificate, if the bytes are one and nothing more.
pub(crate) fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    match x509_parser::parse_x509_certificate(certificate.as_ref()) {
        Ok(([], parsed)) => Some(parsed),
        _ => None,
    }
}

pub(crate) fn serial_hex(serial: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(serial)
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    fn domain() -> TrustDomain {
        "test.example".parse().unwrap()
    }

    #[test]
    fn an_identity_reads_back_from_its_uri() {
        for identity in [
            PeerIdentity::Agent(ID.parse().unwrap()),
            PeerIdentity::Operator(ID.parse().unwrap()),
            PeerIdentity::Controller,
        ] {
            let uri = identity.uri(&domain());
            assert_eq!(PeerIdentity::from_uri(&uri, &domain()), Ok(identity));
            let other = "other.example".parse().unwrap();
            assert!(PeerIdentity::from_uri(&uri, &other).is_err());
        }
    }

    #[test]
    fn no_variation_of_a_uri_is_accepted() {
        let upper = ID.to_uppercase();
        for uri in [
            String::new(),
            "spiffe://test.example".into(),
            "spiffe://test.example/".into(),
            "spiffe://test.example/controller/".into(),
            "spiffe://test.example/controller?x=1".into(),
            "spiffe://test.example.evil/controller".into(),
            "spiffe://evil/test.example/controller".into(),
            "SPIFFE://test.example/controller".into(),
            "https://test.example/controller".into(),
            "spiffe://Test.example/controller".into(),
            "spiffe://test.example:443/controller".into(),
            format!("spiffe://test.example/agent/{upper}"),
            format!("spiffe://test.example/agent/{ID}/x"),
            format!("spiffe://test.example/agent//{ID}"),
            format!("spiffe://test.example/agent/{{{ID}}}"),
            format!("spiffe://test.example/Agent/{ID}"),
            format!("spiffe://test.example/lead/{ID}"),
            format!("spiffe://test.example/agent/{ID}#"),
            format!("spiffe://test.example/agent/%30{}", &ID[1..]),
        ] {
            let read = PeerIdentity::from_uri(&uri, &domain());
            assert!(matches!(read, Err(NameError::Foreign { .. })), "{uri}");
        }
    }

    #[test]
    fn a_trust_domain_is_a_plain_name() {
        assert!("a".parse::<TrustDomain>().is_ok());
        assert!("a".repeat(255).parse::<TrustDomain>().is_ok());
        let long = "a".repeat(256);
        for bad in ["", "A", "a/b", "a:1", "a b", "ä", "a\n", &long] {
            assert!(bad.parse::<TrustDomain>().is_err(), "{bad}");
        }
    }
}
