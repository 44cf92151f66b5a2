//! Keys: age identities (secret) and recipients (public), sealing of small secrets, and the
//! repository's segment key. Secrets have no `Debug` of their contents and are cleared after use.

mod segment_key;

use crate::error::{Error, Result};
use crate::limits::{RECIPIENTS_MAX, SECRET_BYTES_MAX};
use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::secrecy::ExposeSecret as _;
use age::{DecryptError, Decryptor, Encryptor, x25519};
use jiff::Timestamp;
use std::fmt;
use std::io::{Read, Write};
use std::str::FromStr;
use std::sync::Arc;
use zeroize::Zeroizing;

pub use segment_key::{InstanceKey, SegmentId, SegmentKey};

/// Prefix of an age X25519 identity (age specification, "The X25519 recipient type").
const SECRET_PREFIX: &str = "AGE-SECRET-KEY-1";

/// Who may read what is stored: an age X25519 public key.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient(x25519::Recipient);

impl FromStr for Recipient {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        x25519::Recipient::from_str(text)
            .map(Self)
            .map_err(|_| Error::BadKey {
                what: format!(
                    "`{}` is not an age recipient; one starts with `age1` and is printed by \
                     `provado key show`",
                    text.chars().take(80).collect::<String>()
                ),
            })
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Parses recipients; fails on the first bad one, on none and on too many.
pub fn parse_recipients<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<Recipient>> {
    let recipients = texts
        .into_iter()
        .map(str::parse)
        .collect::<Result<Vec<Recipient>>>()?;
    check_recipients(&recipients)?;
    Ok(recipients)
}

/// Fails if there is nobody to encrypt to, or more than the format allows.
pub(crate) fn check_recipients(recipients: &[Recipient]) -> Result<()> {
    if recipients.is_empty() {
        return Err(Error::NoRecipients);
    }
    if recipients.len() > RECIPIENTS_MAX {
        return Err(Error::Limit {
            what: "the number of recipients",
            found: recipients.len() as u64,
            limit: RECIPIENTS_MAX as u64,
        });
    }
    Ok(())
}

/// What reads backups: an age X25519 secret key. Cheap to clone; cleared from memory at the end.
#[derive(Clone)]
pub struct Identity(Arc<x25519::Identity>);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity of {}", self.recipient())
    }
}

impl Identity {
    /// Reads the one identity of an identity file as `age-keygen` writes it: blank lines and
    /// lines that start with `#` are left out. Fails if there is none or more than one.
    pub fn from_file_text(text: &str) -> Result<Self> {
        let mut lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let bad = |what: &str| Error::BadKey {
            what: what.to_owned(),
        };
        let line = lines
            .next()
            .ok_or_else(|| bad("the identity file holds no identity"))?;
        if lines.next().is_some() {
            return Err(bad(
                "the identity file holds more than one line of key; give one identity",
            ));
        }
        if !line.starts_with(SECRET_PREFIX) {
            return Err(bad(
                "the identity file holds no line that starts with AGE-SECRET-KEY-1; \
                 a recipient (age1...) cannot read backups",
            ));
        }
        x25519::Identity::from_str(line)
            .map(|identity| Self(Arc::new(identity)))
            .map_err(|_| {
                bad("the identity file's AGE-SECRET-KEY-1 line is not valid: mistyped or cut")
            })
    }

    /// The recipient that goes with it.
    pub fn recipient(&self) -> Recipient {
        Recipient(self.0.to_public())
    }

    pub(crate) fn as_age(&self) -> &dyn age::Identity {
        &*self.0
    }
}

/// A new identity as the text of a file, and its recipient.
pub struct IdentityFile {
    /// What the file holds, as `age-keygen` would write it. Store it with mode 0600.
    pub text: Zeroizing<String>,
    /// The recipient that goes with it.
    pub recipient: Recipient,
}

impl fmt::Debug for IdentityFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityFile of {}", self.recipient)
    }
}

impl IdentityFile {
    /// Makes a new identity. age draws it from the operating system's random source itself.
    pub fn generate(now: Timestamp) -> Self {
        let identity = x25519::Identity::generate();
        let recipient = Recipient(identity.to_public());
        let secret = identity.to_string();
        let secret = secret.expose_secret();
        let text = Zeroizing::new(format!(
            "# created: {now:.0}\n# public key: {recipient}\n{secret}\n"
        ));
        Self { text, recipient }
    }
}

/// Encrypts a small secret to recipients, as ASCII-armored age.
pub fn seal(secret: &[u8], recipients: &[Recipient]) -> Result<String> {
    check_recipients(recipients)?;
    if secret.len() > SECRET_BYTES_MAX {
        return Err(Error::Limit {
            what: "the length of the secret",
            found: secret.len() as u64,
            limit: SECRET_BYTES_MAX as u64,
        });
    }
    let failed = |source| codec("sealing a secret", source);
    let armored = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor).map_err(failed)?;
    let mut writer = encryptor(recipients)?
        .wrap_output(armored)
        .map_err(failed)?;
    writer.write_all(secret).map_err(failed)?;
    let bytes = writer
        .finish()
        .and_then(ArmoredWriter::finish)
        .map_err(failed)?;
    String::from_utf8(bytes).map_err(|e| codec("sealing a secret", std::io::Error::other(e)))
}

/// Opens what [`seal`] made. `what` names it in errors.
pub fn open(sealed: &str, identity: &Identity, what: &str) -> Result<Zeroizing<Vec<u8>>> {
    let reader = ArmoredReader::new(sealed.as_bytes());
    let decryptor = Decryptor::new_buffered(reader).map_err(|e| decrypt_error(e, what))?;
    let mut reader = decryptor
        .decrypt(std::iter::once(identity.as_age()))
        .map_err(|e| decrypt_error(e, what))?
        .take(SECRET_BYTES_MAX as u64 + 1);
    let mut out = Zeroizing::new(Vec::new());
    reader
        .read_to_end(&mut out)
        .map_err(|_| Error::damaged(what, "it does not decrypt to its end"))?;
    if out.len() > SECRET_BYTES_MAX {
        return Err(Error::damaged(what, "it is longer than a secret may be"));
    }
    Ok(out)
}

pub(crate) fn encryptor(recipients: &[Recipient]) -> Result<Encryptor> {
    Encryptor::with_recipients(recipients.iter().map(|r| &r.0 as &dyn age::Recipient)).map_err(
        |source| Error::Codec {
            doing: "preparing encryption",
            source: Box::new(source),
        },
    )
}

pub(crate) fn decrypt_error(error: DecryptError, what: &str) -> Error {
    match error {
        DecryptError::NoMatchingKeys => Error::WrongIdentity {
            object: what.to_owned(),
        },
        other => Error::damaged(what, format!("it does not decrypt ({other})")),
    }
}

pub(crate) fn codec(doing: &'static str, source: std::io::Error) -> Error {
    Error::Codec {
        doing,
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests;
