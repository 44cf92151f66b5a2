//! TLS keys and their certificate requests (PKCS#10, RFC 2986).
//!
//! The key is made where it is used and never leaves it; what travels is a request that proves
//! possession. Of a request only the public key is believed: names, usages and extensions in it
//! are not even read, since who the holder is was settled by how they authenticated.

use crate::pem::{self, PemError};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, SubjectPublicKeyInfo};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

/// Largest certificate request that is looked at, in bytes; ours have about 200.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// A P-256 key for TLS.
pub struct TlsKey {
    pair: KeyPair,
}

/// A key or a certificate request cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// More bytes than any honest request has.
    #[error("the certificate request has {length_bytes} bytes, more than {REQUEST_BYTES_MAX}")]
    TooLarge {
        /// Its length.
        length_bytes: usize,
    },
    /// Not a certificate request.
    #[error("the certificate request cannot be parsed as PKCS#10")]
    Malformed,
    /// The sender does not hold the private key.
    #[error("the certificate request is not signed by the key it holds")]
    NotProven,
    /// A key of another kind.
    #[error("the certificate request holds a key that is not P-256; make a new key")]
    WrongKey,
    /// A key could not be made or a request not be signed.
    #[error("cannot {action}")]
    Provider {
        /// What was tried.
        action: &'static str,
        /// What the library said.
        #[source]
        source: rcgen::Error,
    },
    /// A stored key cannot be read.
    #[error("the stored TLS key cannot be read")]
    Pem(#[from] PemError),
}

impl TlsKey {
    /// A new key, from the cryptographic provider's own random source.
    pub fn generate() -> Result<Self, RequestError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map(|pair| Self { pair })
            .map_err(provider("make a P-256 key"))
    }

    /// The key of a PKCS#8 PEM text.
    pub fn from_pem(text: &str) -> Result<Self, RequestError> {
        let der = pem::pkcs8(text)?;
        KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256)
            .map(|pair| Self { pair })
            .map_err(provider("use the stored key as a P-256 key"))
    }

    /// The key as PKCS#8 PEM, for [`crate::files::write_private`].
    pub fn to_pem(&self) -> Zeroizing<String> {
        pem::encode("PRIVATE KEY", self.pair.serialized_der())
    }

    /// The key as rustls takes it.
    pub fn to_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
            self.pair.serialized_der().to_vec(),
        ))
    }

    /// A certificate request in DER, signed by this key, without any name in it.
    pub fn request(&self) -> Result<Vec<u8>, RequestError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let request = params
            .serialize_request(&self.pair)
            .map_err(provider("sign the certificate request"))?;
        Ok(request.der().to_vec())
    }

    pub(crate) fn into_pair(self) -> KeyPair {
        self.pair
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }
}

impl fmt::Debug for TlsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsKey(redacted)")
    }
}

/// The public key of a request, once its signature shows that the sender holds the private one.
pub(crate) fn verified_public_key(request: &[u8]) -> Result<SubjectPublicKeyInfo, RequestError> {
    if request.len() > REQUEST_BYTES_MAX {
        return Err(RequestError::TooLarge {
            length_bytes: request.len(),
        });
    }
    let (rest, parsed) =
        X509CertificationRequest::from_der(request).map_err(|_| RequestError::Malformed)?;
    if !rest.is_empty() {
        return Err(RequestError::Malformed);
    }
    let raw_key = parsed.certification_request_info.subject_pki.raw;
    let key = SubjectPublicKeyInfo::from_der(raw_key).map_err(|_| RequestError::WrongKey)?;
    if rcgen::PublicKeyData::algorithm(&key) != &PKCS_ECDSA_P256_SHA256 {
        return Err(RequestError::WrongKey);
    }
    parsed
        .verify_signature()
        .map_err(|_| RequestError::NotProven)?;
    Ok(key)
}

fn provider(action: &'static str) -> impl FnOnce(rcgen::Error) -> RequestError {
    move |source| RequestError::Provider { action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_proves_possession_and_reads_back() {
        let key = TlsKey::generate().unwrap();
        let request = key.request().unwrap();
        let public = verified_public_key(&request).unwrap();
        let again = TlsKey::from_pem(&key.to_pem()).unwrap();
        let same = verified_public_key(&again.request().unwrap()).unwrap();
        assert_eq!(public, same);
        assert_eq!(format!("{key:?}"), "TlsKey(redacted)");
    }

    #[test]
    fn no_flipped_bit_yields_another_key() {
        let request = TlsKey::generate().unwrap().request().unwrap();
        let honest = verified_public_key(&request).unwrap();
        let mut refused = 0;
        for index in 0..request.len() {
            for bit in 0..8 {
                let mut bad = request.clone();
                bad[index] ^= 1 << bit;
                // The wrapping outside the signature may vary; what was signed may not.
                match verified_public_key(&bad) {
                    Ok(key) => assert_eq!(key, honest, "{index}.{bit}"),
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(refused > request.len() * 8 * 9 / 10, "{refused}");
        for end in 0..request.len() {
            assert!(verified_public_key(&request[..end]).is_err(), "{end}");
        }
        let mut longer = request;
        longer.push(0);
        assert!(matches!(
            verified_public_key(&longer),
            Err(RequestError::Malformed)
        ));
    }

    #[test]
    fn other_kinds_of_keys_and_giants_are_refused() {
        let params = CertificateParams::default();
        for algorithm in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let request = params.serialize_request(&pair).unwrap();
            let error = verified_public_key(request.der()).unwrap_err();
            assert!(matches!(error, RequestError::WrongKey), "{error}");
            assert!(TlsKey::from_pem(&pair.serialize_pem()).is_err());
        }
        let error = verified_public_key(&vec![0x30; REQUEST_BYTES_MAX + 1]).unwrap_err();
        assert!(matches!(error, RequestError::TooLarge { .. }), "{error}");
    }
}
