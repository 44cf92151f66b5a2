//! The signed note: a text that people can read and anyone can verify, with Ed25519 signatures
//! under it (C2SP signed-note, <https://c2sp.org/signed-note>).
//!
//! A note is the text, which ends in a newline, an empty line, and one line per signature:
//! an em dash, a space, the key's name, a space, and in base64 the key hash and the signature.
//! The key hash is the first four bytes of SHA-256 over name, newline, 0x01 (Ed25519) and key.
//! What the text says is the caller's; this module gives it no meaning.

use crate::digest::sha256_of;
use crate::signing::{PublicKey, Signature, SigningError, SigningKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::str::FromStr;

/// Most signatures that are read from one note.
pub const SIGNATURES_MAX: usize = 100;
/// Longest note that is read, in bytes.
pub const NOTE_BYTES_MAX: usize = 1024 * 1024;

const ED25519: u8 = 0x01;
const SEPARATOR: &str = "\n\n";
const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// Whose signature: a name without white space or `+`, and the public key. As text
/// `<name>+<key hash in hex>+<base64 of 0x01 and the key>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteKey {
    name: String,
    key: PublicKey,
}

/// A note as it was read: the text, and what its signature lines say. Nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct NoteSignature {
    name: String,
    hash: [u8; 4],
    bytes: Vec<u8>,
}

/// A note or a key of one cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// The name of a key.
    #[error("`{name}` cannot name a key: it must not be empty or hold white space or `+`")]
    Name {
        /// The name.
        name: String,
    },
    /// The text form of a key.
    #[error("`{text}` is not a key of the form name+hash+base64")]
    Key {
        /// The text, cut to 64 characters.
        text: String,
    },
    /// The text to sign.
    #[error("a note's text must end in a newline and hold no control character but newlines")]
    Text,
    /// Not a note.
    #[error("this is not a signed note: {problem}")]
    Malformed {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// None of the signatures is of the key asked for.
    #[error("the note is not signed by `{name}`")]
    NotSigned {
        /// The key's name.
        name: String,
    },
    /// There is a signature of the key, but it does not hold.
    #[error("the signature of `{name}` under the note does not hold; the text was changed")]
    BadSignature {
        /// The key's name.
        name: String,
        /// Which key.
        #[source]
        source: SigningError,
    },
    /// The signing key failed.
    #[error("the note could not be signed")]
    Signing(#[from] SigningError),
}

impl NoteKey {
    /// A key under a name.
    pub fn new(name: &str, key: PublicKey) -> Result<Self, NoteError> {
        let bad = name.is_empty()
            || name
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || c == '+');
        if bad {
            return Err(NoteError::Name { name: name.into() });
        }
        Ok(Self {
            name: name.into(),
            key,
        })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.key
    }

    fn hash(&self) -> [u8; 4] {
        let name = self.name.as_bytes();
        let digest = sha256_of(&[name, b"\n", &[ED25519], self.key.as_bytes()]);
        [digest[0], digest[1], digest[2], digest[3]]
    }
}

impl fmt::Display for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = data_encoding::HEXLOWER.encode(&self.hash());
        let mut key = vec![ED25519];
        key.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{hash}+{}", self.name, STANDARD.encode(key))
    }
}

impl FromStr for NoteKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let refuse = || NoteError::Key {
            text: text.chars().take(64).collect(),
        };
        // The base64 part may hold `+`, the name and the hash may not.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(hash), Some(encoded)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(refuse());
        };
        let bytes = STANDARD.decode(encoded).map_err(|_| refuse())?;
        let Some((&ED25519, key)) = bytes.split_first() else {
            return Err(refuse());
        };
        let key = PublicKey::from_slice(key).map_err(|_| refuse())?;
        let made = Self::new(name, key)?;
        if data_encoding::HEXLOWER.encode(&made.hash()) != hash {
            return Err(refuse());
        }
        Ok(made)
    }
}

/// Signs a text under a name and gives the whole note.
pub fn sign(text: &str, name: &str, key: &SigningKey) -> Result<String, NoteError> {
    let note_key = NoteKey::new(name, key.public_key())?;
    check_text(text)?;
    let line = signature_line(&note_key, key.sign(text.as_bytes())?);
    Ok(format!("{text}\n{line}"))
}

/// Adds a signature to a note, such as a witness's to a checkpoint, and gives the whole note.
/// The signatures that are there are kept as they are, verified or not.
pub fn cosign(note: &str, name: &str, key: &SigningKey) -> Result<String, NoteError> {
    let note_key = NoteKey::new(name, key.public_key())?;
    let parsed = Note::parse(note)?;
    let line = signature_line(&note_key, key.sign(parsed.text.as_bytes())?);
    Ok(format!("{note}{line}"))
}

impl Note {
    /// Reads a note; nothing in it is verified yet.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        let malformed = |problem| NoteError::Malformed { problem };
        if note.len() > NOTE_BYTES_MAX {
            return Err(malformed("it is too long"));
        }
        // The last empty line divides: the text may hold empty lines itself.
        let split = note
            .rfind(SEPARATOR)
            .ok_or(malformed("it has no empty line before signatures"))?;
        let (text, rest) = (&note[..=split], &note[split + SEPARATOR.len()..]);
        check_text(text)?;
        let lines = rest
            .strip_suffix('\n')
            .ok_or(malformed("it does not end in a newline"))?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == SIGNATURES_MAX {
                return Err(malformed("it has too many signatures"));
            }
            signatures.push(parse_line(line).ok_or(malformed("a signature line is damaged"))?);
        }
        Ok(Self {
            text: text.to_owned(),
            signatures,
        })
    }

    /// Checks that this key signed the text and gives the text. Signatures of other keys are
    /// passed over; one of this key that does not hold is an error even beside one that does.
    pub fn verify(&self, key: &NoteKey) -> Result<&str, NoteError> {
        let hash = key.hash();
        let mut found = false;
        for signature in &self.signatures {
            if signature.name != key.name || signature.hash != hash {
                continue;
            }
            key.key
                .verify(self.text.as_bytes(), &signature.bytes)
                .map_err(|source| NoteError::BadSignature {
                    name: key.name.clone(),
                    source,
                })?;
            found = true;
        }
        if found {
            return Ok(&self.text);
        }
        Err(NoteError::NotSigned {
            name: key.name.clone(),
        })
    }

    /// The text without any check. For display only.
    pub fn unverified_text(&self) -> &str {
        &self.text
    }
}

fn signature_line(key: &NoteKey, signature: Signature) -> String {
    let mut bytes = key.hash().to_vec();
    bytes.extend_from_slice(signature.as_ref());
    let encoded = STANDARD.encode(bytes);
    format!("{SIGNATURE_PREFIX}{} {encoded}\n", key.name)
}

fn parse_line(line: &str) -> Option<NoteSignature> {
    let (name, encoded) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
    let bytes = STANDARD.decode(encoded).ok()?;
    let (hash, signature) = bytes.split_first_chunk()?;
    let is_name = !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c == '+');
    (is_name && !signature.is_empty()).then(|| NoteSignature {
        name: name.to_owned(),
        hash: *hash,
        bytes: signature.to_vec(),
    })
}

fn check_text(text: &str) -> Result<(), NoteError> {
    let is_plain = text.chars().all(|c| c == '\n' || !c.is_control());
    if text.ends_with('\n') && is_plain {
        return Ok(());
    }
    Err(NoteError::Text)
}

#[cfg(test)]
mod tests;
