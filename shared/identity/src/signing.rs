//! Ed25519 (RFC 8032): who wrote a manifest, a proof or an audit checkpoint.
//!
//! One key signs several kinds of message, so each kind must begin with words of its own that no
//! other kind begins with; a signature for one is then never a signature for another.

use crate::digest::sha256;
use crate::pem::{self, PemError};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use provado_model::random::{self, Entropy};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// A private signing key.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// A public signing key, 32 bytes; as text standard base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

/// The short name of a public key: the first 8 hex digits of its SHA-256. For people and for
/// look-up; it does not replace the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 4]);

/// A signature, 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

/// A key cannot be used or a signature does not hold.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The stored key is not an Ed25519 key in PKCS#8.
    #[error("the stored signing key is not an Ed25519 key in PKCS#8 form")]
    WrongKey,
    /// The stored key cannot be read.
    #[error("the stored signing key cannot be read")]
    Pem(#[from] PemError),
    /// The provider failed.
    #[error("the cryptographic provider could not {action}")]
    Provider {
        /// What was tried.
        action: &'static str,
    },
    /// Not 32 bytes in base64.
    #[error("a public signing key is 32 bytes in base64; `{text}` is not")]
    PublicKey {
        /// The text, cut to 64 characters.
        text: String,
    },
    /// The signature is not that of this key over this message.
    #[error("the signature is not that of key {key} over these bytes")]
    NotSigned {
        /// The key it was held against.
        key: KeyId,
    },
}

impl SigningKey {
    /// A new key whose seed comes from `entropy`.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, SigningError> {
        let seed = Zeroizing::new(random::bytes::<32>(entropy));
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice())
            .map_err(|_| wrong("make a key"))?;
        Self::from_pair(pair)
    }

    /// The key of a PKCS#8 PEM text (version 1 as RFC 8410 has it, or version 2).
    pub fn from_pem(text: &str) -> Result<Self, SigningError> {
        let der = pem::pkcs8(text)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
            .map_err(|_| SigningError::WrongKey)?;
        Self::from_pair(pair)
    }

    /// The key as PKCS#8 PEM, for [`crate::files::write_private`].
    pub fn to_pem(&self) -> Result<Zeroizing<String>, SigningError> {
        let document = self.pair.to_pkcs8v1().map_err(|_| wrong("write a key"))?;
        Ok(pem::encode("PRIVATE KEY", document.as_ref()))
    }

    /// The signature over the message.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, SigningError> {
        let signature = self.pair.try_sign(message).map_err(|_| wrong("sign"))?;
        signature
            .as_ref()
            .try_into()
            .map(Signature)
            .map_err(|_| wrong("sign"))
    }

    /// The public half.
    pub const fn public_key(&self) -> PublicKey {
        self.public
    }

    fn from_pair(pair: Ed25519KeyPair) -> Result<Self, SigningError> {
        let public = pair.public_key().as_ref();
        let public = public.try_into().map_err(|_| SigningError::WrongKey)?;
        Ok(Self {
            pair,
            public: PublicKey(public),
        })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.key_id())
    }
}

impl PublicKey {
    /// A key from its 32 bytes. Bytes that are no point of the curve verify nothing.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A key from bytes that came over the wire.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, SigningError> {
        let array = bytes.try_into().map_err(|_| SigningError::PublicKey {
            text: format!("{} bytes", bytes.len()),
        })?;
        Ok(Self(array))
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The short name.
    pub fn key_id(&self) -> KeyId {
        let [a, b, c, d, ..] = sha256(&self.0);
        KeyId([a, b, c, d])
    }

    /// Checks a signature over a message; an error says that it does not hold.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SigningError> {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(message, signature)
            .map_err(|_| SigningError::NotSigned { key: self.key_id() })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.key_id())
    }
}

impl FromStr for PublicKey {
    type Err = SigningError;

    fn from_str(text: &str) -> Result<Self, SigningError> {
        let refuse = || SigningError::PublicKey {
            text: text.chars().take(64).collect(),
        };
        let bytes = STANDARD.decode(text).map_err(|_| refuse())?;
        bytes.try_into().map(Self).map_err(|_| refuse())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl Signature {
    /// The bytes, as messages carry them.
    pub fn to_vec(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

impl AsRef<[u8]> for Signature {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// Checks a signature; see [`PublicKey::verify`].
pub fn verify(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), SigningError> {
    key.verify(message, signature)
}

fn wrong(action: &'static str) -> SigningError {
    SigningError::Provider { action }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_model::random::SeededEntropy;

    /// A source that gives one fixed seed, to hold the code against a published vector.
    #[derive(Debug)]
    struct Fixed([u8; 32]);

    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.copy_from_slice(&self.0);
        }
    }

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
        bytes.try_into().unwrap()
    }

    #[test]
    fn the_second_vector_of_rfc_8032_comes_out() {
        let seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let key = SigningKey::generate(&Fixed(seed)).unwrap();
        let public = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        assert_eq!(key.public_key().as_bytes(), &public);
        let expected: [u8; 64] = hex(concat!(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ));
        assert_eq!(key.sign(&[0x72]).unwrap().0, expected);
        key.public_key().verify(&[0x72], &expected).unwrap();
    }

    #[test]
    fn a_key_survives_its_text_form() {
        let key = SigningKey::generate(&SeededEntropy::new(3)).unwrap();
        let again = SigningKey::from_pem(&key.to_pem().unwrap()).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        let public: PublicKey = key.public_key().to_string().parse().unwrap();
        assert_eq!(public, key.public_key());
        assert_eq!(public.key_id().to_string().len(), 8);
        assert_eq!(
            format!("{key:?}"),
            format!("SigningKey({})", public.key_id())
        );
        assert!("AAAA".parse::<PublicKey>().is_err());
        assert!(PublicKey::from_slice(&[0; 31]).is_err());
    }

    #[test]
    fn nothing_but_the_signed_bytes_verifies() {
        let key = SigningKey::generate(&SeededEntropy::new(3)).unwrap();
        let other = SigningKey::generate(&SeededEntropy::new(4)).unwrap();
        let signature = key.sign(b"message").unwrap();
        let public = key.public_key();
        assert!(verify(&public, b"message", signature.as_ref()).is_ok());
        assert!(verify(&public, b"messagf", signature.as_ref()).is_err());
        assert!(verify(&public, b"message", &signature.0[..63]).is_err());
        assert!(verify(&other.public_key(), b"message", signature.as_ref()).is_err());
        for index in 0..64 {
            let mut bad = signature.0;
            bad[index] ^= 1;
            assert!(verify(&public, b"message", &bad).is_err());
        }
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let pem = crate::TlsKey::generate().unwrap().to_pem();
        assert!(matches!(
            SigningKey::from_pem(&pem),
            Err(SigningError::WrongKey)
        ));
    }
}
