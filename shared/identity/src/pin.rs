//! The pin: by what a machine that has never spoken to a controller knows the right one.
//!
//! It is the SHA-256 of the authority's SubjectPublicKeyInfo (the form of RFC 7469 section 2.4),
//! so that it outlives a renewal of the authority's certificate under the same key.

use crate::digest::sha256;
use crate::names::parse;
use rustls_pki_types::CertificateDer;
use std::fmt;
use std::str::FromStr;
use subtle::ConstantTimeEq;

/// SHA-256 of an authority's public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin([u8; 32]);

/// A pin could not be read or made.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum PinError {
    /// Not `sha256:` and 64 hex digits.
    #[error("the fingerprint is not `sha256:` followed by 64 hex digits; copy it again")]
    Malformed,
    /// Not a certificate.
    #[error("the certificate whose fingerprint was asked for cannot be parsed")]
    Certificate,
}

impl Pin {
    /// The pin of an authority's certificate.
    pub fn of(authority: &CertificateDer<'_>) -> Result<Self, PinError> {
        let parsed = parse(authority).ok_or(PinError::Certificate)?;
        Ok(Self(sha256(parsed.public_key().raw)))
    }

    /// Whether the certificate holds the pinned key; compared in constant time.
    pub fn matches(&self, authority: &CertificateDer<'_>) -> bool {
        Self::of(authority).is_ok_and(|found| bool::from(found.0.ct_eq(&self.0)))
    }

    /// A pin from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let hex = text.strip_prefix("sha256:").ok_or(PinError::Malformed)?;
        let bytes = data_encoding::HEXLOWER_PERMISSIVE
            .decode(hex.as_bytes())
            .map_err(|_| PinError::Malformed)?;
        bytes.try_into().map(Self).map_err(|_| PinError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_reads_back_from_its_text() {
        let pin = Pin::from_bytes([0xab; 32]);
        assert_eq!(pin.to_string().parse(), Ok(pin));
        assert_eq!(pin.to_string().len(), 7 + 64);
        for bad in ["", "sha256:", "sha256:abc", "md5:00", &"a".repeat(64)] {
            assert_eq!(bad.parse::<Pin>(), Err(PinError::Malformed));
        }
        assert_eq!(
            Pin::of(&CertificateDer::from(vec![1, 2, 3])),
            Err(PinError::Certificate)
        );
    }
}
