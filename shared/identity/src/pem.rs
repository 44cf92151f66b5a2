//! PEM (RFC 7468) in and out: certificates and PKCS#8 keys.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::{Error as PemReadError, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

/// Largest PEM text that is read, in bytes: a chain or a bundle of roots with room to spare.
pub const PEM_BYTES_MAX: usize = 256 * 1024;

/// A PEM text could not be used.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// The text is longer than [`PEM_BYTES_MAX`].
    #[error(
        "the PEM text has {length_bytes} bytes, more than {PEM_BYTES_MAX}; give only the \
         certificates or the key"
    )]
    TooLarge {
        /// Its length.
        length_bytes: usize,
    },
    /// There is no block of the expected kind in it.
    #[error("the PEM text holds no {what}; check that the right file was given")]
    Missing {
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// A block is damaged.
    #[error("the PEM text is damaged at its {what}; copy the file again")]
    Damaged {
        /// `certificate` or `private key`.
        what: &'static str,
        /// What the parser said.
        #[source]
        source: PemReadError,
    },
}

/// Every certificate of the text, in order; at least one.
pub fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, PemError> {
    check_length(text)?;
    let what = "certificate";
    let mut found = Vec::new();
    for one in CertificateDer::pem_slice_iter(text.as_bytes()) {
        found.push(one.map_err(|source| PemError::Damaged { what, source })?);
    }
    if found.is_empty() {
        return Err(PemError::Missing { what });
    }
    Ok(found)
}

/// The first private key of the text.
pub fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, PemError> {
    check_length(text)?;
    let what = "private key";
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|source| match source {
        PemReadError::NoItemsFound => PemError::Missing { what },
        source => PemError::Damaged { what, source },
    })
}

/// The first private key of the text, which must be in PKCS#8 form (`PRIVATE KEY`).
pub(crate) fn pkcs8(text: &str) -> Result<PrivatePkcs8KeyDer<'static>, PemError> {
    match private_key(text)? {
        PrivateKeyDer::Pkcs8(key) => Ok(key),
        _ => Err(PemError::Missing {
            what: "private key in PKCS#8 form",
        }),
    }
}

/// The certificates as PEM text, in order.
pub fn encode_certificates<'a>(
    chain: impl IntoIterator<Item = &'a CertificateDer<'static>>,
) -> String {
    let mut text = String::new();
    for certificate in chain {
        text.push_str(&encode("CERTIFICATE", certificate));
    }
    text
}

/// A PKCS#10 request as PEM text (RFC 7468 section 7).
pub fn encode_request(der: &[u8]) -> String {
    encode("CERTIFICATE REQUEST", der).to_string()
}

/// One block of PEM text with the given label; wiped from memory when dropped.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    // Room for all of it at once: a buffer that grows would leave copies of a key behind.
    let capacity = body.len() + body.len() / 64 + 2 * label.len() + 64;
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    for (index, character) in body.char_indices() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

fn check_length(text: &str) -> Result<(), PemError> {
    if text.len() > PEM_BYTES_MAX {
        return Err(PemError::TooLarge {
            length_bytes: text.len(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for length in [1_usize, 47, 48, 49, 300] {
            let der = CertificateDer::from(vec![7_u8; length]);
            let text = encode_certificates([&der, &der]);
            assert!(text.lines().all(|line| line.len() <= 64));
            assert_eq!(certificates(&text).unwrap(), [der.clone(), der]);
        }
    }

    #[test]
    fn text_without_the_wanted_block_is_refused() {
        let certificate = encode("CERTIFICATE", b"x");
        assert!(matches!(
            private_key(&certificate),
            Err(PemError::Missing { .. })
        ));
        assert!(matches!(
            pkcs8(&encode("EC PRIVATE KEY", b"x")),
            Err(PemError::Missing { .. })
        ));
        assert!(matches!(
            certificates("hello"),
            Err(PemError::Missing { .. })
        ));
        let cut = &certificate[..certificate.len() - 10];
        assert!(certificates(cut).is_err());
        let long = "x".repeat(PEM_BYTES_MAX + 1);
        assert!(matches!(
            certificates(&long),
            Err(PemError::TooLarge { .. })
        ));
    }
}
