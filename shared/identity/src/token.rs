//! The join token: a one-time secret and the one word that carries it to a new agent.
//!
//! The word is `provado-join:v1:` and, in base64url without padding (RFC 4648 section 5):
//!
//! | bytes | |
//! |---|---|
//! | 32 | pin: SHA-256 of the public key of the authority of agents |
//! | 32 | secret |
//! | 1 to 261 | address, `host:port` |
//! | 8 | the first bytes of SHA-256 over `provado-join:v1:` and all that stands before |
//!
//! The checksum makes a damaged copy a clear error here instead of a refused token there. The
//! module keeps no record of tokens: lifetime, labels and single use are the controller's.

use crate::digest::{sha256, sha256_of};
use crate::pin::Pin;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use provado_model::random::{self, Entropy};
use rustls_pki_types::ServerName;
use std::fmt;
use std::str::FromStr;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const PREFIX: &str = "provado-join:v1:";
const ANY_PREFIX: &str = "provado-join:";
/// What the message that a joining host signs begins with.
const MESSAGE_PREFIX: &[u8] = b"provado join request v1\n";
const FIXED_BYTES: usize = 32 + 32;
const CHECKSUM_BYTES: usize = 8;
/// Longest address, in bytes: a host name of 255 and a port.
pub const ADDRESS_BYTES_MAX: usize = 261;
/// Longest join string, in bytes; a longer one is not looked at.
pub const JOIN_STRING_BYTES_MAX: usize = 1024;

/// What a new agent is given: whom to dial, how to know them, and the secret that lets it in.
#[derive(Clone)]
pub struct JoinToken {
    /// Where the controller listens for agents.
    pub address: Address,
    /// The pin of the authority of agents.
    pub pin: Pin,
    secret: Zeroizing<[u8; 32]>,
}

/// The secret's SHA-256: all that the controller keeps. The secret has 256 random bits, so that a
/// plain hash gives nothing to guess by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

/// `host:port`; an IPv6 host stands in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

/// A join string cannot be used.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum TokenError {
    /// Not a join string.
    #[error("a join string begins with `{PREFIX}`; this one does not. Copy the whole word again")]
    Prefix,
    /// A join string of a later version.
    #[error("this join string is of a version that this program does not know; update the agent")]
    Version,
    /// Broken by copying over several lines or through a chat program.
    #[error(
        "the join string is broken by a space or line break after {offset} characters; \
         it is one word: copy it again without line breaks"
    )]
    Whitespace {
        /// How many characters stand before it.
        offset: usize,
    },
    /// A character that base64url does not have.
    #[error("the join string has a character in it that does not belong; copy it again")]
    Alphabet,
    /// Too short or too long to be whole.
    #[error("the join string is cut short or has something added; copy the whole word again")]
    Length,
    /// The checksum does not agree.
    #[error("the join string was damaged in copying: its checksum does not agree; copy it again")]
    Checksum,
    /// The address in it or given for it is none.
    #[error("`{text}` is not an address of the form host:port, such as `provado.example.org:7443`")]
    Address {
        /// The text, cut to 64 characters.
        text: String,
    },
}

impl JoinToken {
    /// A new token with a fresh secret.
    pub fn new(address: Address, pin: Pin, entropy: &dyn Entropy) -> Self {
        Self {
            address,
            pin,
            secret: Zeroizing::new(random::bytes(entropy)),
        }
    }

    /// The secret, to be sent once over a connection whose authority matches the pin.
    pub fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// What the controller keeps of the secret.
    pub fn hash_secret(&self) -> TokenHash {
        TokenHash::of(self.secret.as_slice())
    }

    /// The join string. It holds the secret: show it once, never log it.
    pub fn expose(&self) -> Zeroizing<String> {
        let address = self.address.to_string();
        let length = FIXED_BYTES + address.len() + CHECKSUM_BYTES;
        let mut payload = Zeroizing::new(Vec::with_capacity(length));
        payload.extend_from_slice(self.pin.as_bytes());
        payload.extend_from_slice(self.secret.as_slice());
        payload.extend_from_slice(address.as_bytes());
        let checksum = checksum(&payload);
        payload.extend_from_slice(&checksum);
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + length * 2));
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(payload.as_slice(), &mut text);
        text
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    /// Reads a join string; white space around it is ignored, inside it is reported.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if let Some(offset) = text.chars().position(char::is_whitespace) {
            return Err(TokenError::Whitespace { offset });
        }
        let encoded = text
            .strip_prefix(PREFIX)
            .ok_or(if text.starts_with(ANY_PREFIX) {
                TokenError::Version
            } else {
                TokenError::Prefix
            })?;
        if text.len() > JOIN_STRING_BYTES_MAX {
            return Err(TokenError::Length);
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(encoded)
            .map(Zeroizing::new)
            .map_err(|error| match error {
                base64::DecodeError::InvalidByte(..) => TokenError::Alphabet,
                _ => TokenError::Length,
            })?;
        let (payload, found) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or(TokenError::Length)?;
        if payload.len() <= FIXED_BYTES {
            return Err(TokenError::Length);
        }
        if checksum(payload) != *found {
            return Err(TokenError::Checksum);
        }
        let (pin, rest) = payload.split_first_chunk().ok_or(TokenError::Length)?;
        let (secret, address) = rest.split_first_chunk().ok_or(TokenError::Length)?;
        let address = std::str::from_utf8(address).map_err(|_| TokenError::Checksum)?;
        Ok(Self {
            address: address.parse()?,
            pin: Pin::from_bytes(*pin),
            secret: Zeroizing::new(*secret),
        })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("address", &self.address)
            .field("pin", &self.pin)
            .field("secret", &"redacted")
            .finish()
    }
}

impl TokenHash {
    /// The hash of a secret as it came over the wire, of whatever length.
    pub fn of(secret: &[u8]) -> Self {
        Self(sha256(secret))
    }

    /// What a host signs with its signing key when it joins with this token: that the certificate
    /// asked for (PKCS#10 in DER) is for the holder of that key.
    pub fn join_message(&self, certificate_request: &[u8]) -> Vec<u8> {
        [MESSAGE_PREFIX, &self.0, certificate_request].concat()
    }

    /// Whether this is the hash of the secret; compared in constant time.
    pub fn matches(&self, secret: &[u8]) -> bool {
        self.0.ct_eq(&Self::of(secret).0).into()
    }
}

impl Address {
    /// The host: a DNS name or an IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port, 1 to 65535.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name that the server's certificate must carry.
    pub fn server_name(&self) -> Result<ServerName<'static>, TokenError> {
        ServerName::try_from(self.host.clone()).map_err(|_| TokenError::Address {
            text: self.host.chars().take(64).collect(),
        })
    }
}

impl FromStr for Address {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let refuse = || TokenError::Address {
            text: text.chars().take(64).collect(),
        };
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(refuse());
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(refuse)?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        // A bare `fe80::1` would lose its last group to the port.
        let ambiguous = bracketed.is_none() && host.contains(':');
        let host = bracketed.unwrap_or(host);
        let canonical = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
        let port: u16 = port.parse().map_err(|_| refuse())?;
        let name = ServerName::try_from(host).map_err(|_| refuse())?;
        let is_v6 = matches!(
            &name,
            ServerName::IpAddress(rustls_pki_types::IpAddr::V6(_))
        );
        if ambiguous || !canonical || is_v6 != bracketed.is_some() {
            return Err(refuse());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn checksum(payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = sha256_of(&[PREFIX.as_bytes(), payload]);
    let mut out = [0; CHECKSUM_BYTES];
    out.copy_from_slice(&digest[..CHECKSUM_BYTES]);
    out
}

#[cfg(test)]
mod tests;
