//! Signed documents: one line of JSON, and a second line with an Ed25519 signature over it.
//!
//! The signed bytes are a context line, then the first line with its newline. Both lines have
//! exactly one form, which is compared byte by byte, so that no byte of such an object can be
//! another and go unseen. Nothing here decides whose key is trusted.

use crate::error::{Error, Result};
use crate::hash::{from_hex, to_hex};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

/// Makes Ed25519 signatures: the agent's key, the controller's key.
pub trait Signer: Send + Sync + fmt::Debug {
    /// The key that verifies what it signs.
    fn public_key(&self) -> PublicKey;

    /// Signs a message.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], Box<dyn std::error::Error + Send + Sync>>;
}

/// A signer whose key is at hand.
pub struct Ed25519Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ed25519Signer of {}", self.public)
    }
}

impl Ed25519Signer {
    /// The signer of a 32-byte seed (RFC 8032).
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self> {
        use aws_lc_rs::signature::KeyPair as _;
        let refused = || Error::BadKey {
            what: "the seed is not one of an Ed25519 key".to_owned(),
        };
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| refused())?;
        let public = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| refused())?;
        Ok(Self {
            pair,
            public: PublicKey(public),
        })
    }
}

impl Signer for Ed25519Signer {
    fn public_key(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.pair.sign(message).as_ref().try_into()?)
    }
}

/// Whether `signature` is that of `key` over `message`.
pub fn verify(key: PublicKey, message: &[u8], signature: &[u8; 64]) -> bool {
    UnparsedPublicKey::new(&ED25519, key.0)
        .verify(message, signature)
        .is_ok()
}

/// Which keys may have signed.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'a> {
    /// The signature must be that of one of these.
    Keys(&'a [PublicKey]),
    /// The signature must be right; who made it is for the caller to judge.
    AnyKey,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureLine {
    algorithm: String,
    public_key: String,
    signature: String,
}

/// A signed document that was verified.
#[derive(Debug, Clone)]
pub(crate) struct Signed<T> {
    pub(crate) document: T,
    pub(crate) signer: PublicKey,
}

/// The bytes of a signed document.
pub(crate) fn write<T: Serialize>(
    context: &str,
    document: &T,
    signer: &dyn Signer,
) -> Result<Vec<u8>> {
    let mut bytes = line(document)?;
    let signature = signer
        .sign(&message(context, &bytes))
        .map_err(Error::Signing)?;
    bytes.extend(line(&SignatureLine {
        algorithm: "ed25519".to_owned(),
        public_key: to_hex(&signer.public_key().0),
        signature: to_hex(&signature),
    })?);
    Ok(bytes)
}

/// Verifies and parses the bytes of a signed document. `object` names it in errors.
pub(crate) fn read<T: Serialize + DeserializeOwned>(
    context: &str,
    bytes: &[u8],
    trust: Trust<'_>,
    object: &str,
) -> Result<Signed<T>> {
    let damaged = |what: &str| Error::damaged(object, what);
    let end = bytes.iter().position(|b| *b == b'\n').map(|at| at + 1);
    let (first, second) = bytes.split_at(end.ok_or_else(|| damaged("its first line has no end"))?);
    let signature: SignatureLine = exact(second, object)?;
    let not_a_signature = || damaged("its second line is not a signature");
    if signature.algorithm != "ed25519" {
        return Err(not_a_signature());
    }
    let key = PublicKey(from_hex(&signature.public_key).ok_or_else(not_a_signature)?);
    let value: [u8; 64] = from_hex(&signature.signature).ok_or_else(not_a_signature)?;
    if !verify(key, &message(context, first), &value) {
        return Err(damaged("its signature does not fit its content"));
    }
    match trust {
        Trust::Keys(keys) if !keys.contains(&key) => {
            return Err(Error::damaged(
                object,
                format!("it is signed by an unknown key, {key}"),
            ));
        }
        Trust::Keys(_) | Trust::AnyKey => {}
    }
    Ok(Signed {
        document: exact(first, object)?,
        signer: key,
    })
}

/// One line of JSON in the form the format has: fields in order, no blanks, a newline.
pub(crate) fn line<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(value).map_err(|e| Error::Codec {
        doing: "writing a document",
        source: Box::new(e),
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Parses a line and refuses it if it is not exactly what [`line`] writes.
pub(crate) fn exact<T: Serialize + DeserializeOwned>(bytes: &[u8], object: &str) -> Result<T> {
    let value: T = serde_json::from_slice(bytes)
        .map_err(|e| Error::damaged(object, format!("it does not parse ({e})")))?;
    if line(&value)? != bytes {
        return Err(Error::damaged(
            object,
            "it is not in the form it is written in",
        ));
    }
    Ok(value)
}

fn message(context: &str, line: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(context.len() + 1 + line.len());
    out.extend_from_slice(context.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(line);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_verifies_for_its_key_and_context_only() {
        let signer = Ed25519Signer::from_seed(&[7; 32]).unwrap();
        let other = Ed25519Signer::from_seed(&[8; 32]).unwrap();
        let text = "document".to_owned();
        let bytes = write("context", &text, &signer).unwrap();
        let key = signer.public_key();
        let read = |context, bytes: &[u8], trust| read::<String>(context, bytes, trust, "it");
        let keys = [key];
        let found = read("context", &bytes, Trust::Keys(&keys)).unwrap();
        assert_eq!((found.document, found.signer), (text, key));
        assert!(read("context", &bytes, Trust::AnyKey).is_ok());
        assert!(read("other", &bytes, Trust::AnyKey).is_err());
        let others = [other.public_key()];
        assert!(read("context", &bytes, Trust::Keys(&others)).is_err());
        assert!(read("context", &bytes, Trust::Keys(&[])).is_err());
    }

    #[test]
    fn every_flip_and_cut_is_found() {
        let signer = Ed25519Signer::from_seed(&[7; 32]).unwrap();
        let bytes = write("context", &vec![1, 2, 3], &signer).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                assert!(read::<Vec<u8>>("context", &bad, Trust::AnyKey, "it").is_err());
            }
            assert!(read::<Vec<u8>>("context", &bytes[..at], Trust::AnyKey, "it").is_err());
        }
    }
}
