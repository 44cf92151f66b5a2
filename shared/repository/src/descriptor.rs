//! `provado-repository.json`: what a repository says of itself, to those without a key too.
//!
//! Its last field is a SHA-256 over the rest, and the whole has one exact form, so that any other
//! byte in it is found. It names nobody and nothing but recipients.

use crate::backend::Capabilities;
use crate::error::{Error, Result};
use crate::hash::{from_hex, sha256, to_hex};
use crate::keys::{self, Identity, Recipient, SegmentKey};
use crate::signature::{exact, line};
use jiff::Timestamp;
use provado_model::id::RepositoryId;
use serde::{Deserialize, Serialize};

/// The newest format this program reads and the one it writes.
pub const FORMAT_VERSION: u64 = 1;
/// Name of the format in the descriptor.
const FORMAT: &str = "provado-repository";
/// How contents are encrypted.
const ENCRYPTION: &str = "age-x25519";

/// What a repository says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its id.
    pub repository_id: RepositoryId,
    /// When it was made.
    pub created_time: Timestamp,
    /// Whom its backups are encrypted to, unless the writer is told otherwise.
    pub recipients: Vec<Recipient>,
    /// The segment key, sealed to the recipients.
    pub sealed_segment_key: String,
    /// [`SegmentKey::check_value`] of the segment key.
    pub segment_key_check: [u8; 32],
    /// What its backend was found to do when it was made.
    pub capabilities: Capabilities,
}

/// The descriptor as it stands in the file. The order of fields is that of the format.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    format: String,
    format_version: u64,
    repository_id: String,
    created_time: String,
    encryption: String,
    recipients: Vec<String>,
    segment_key: String,
    segment_key_check: String,
    capabilities: Capabilities,
    sha256: String,
}

/// Just enough to recognize a descriptor of any version.
#[derive(Deserialize)]
struct AnyVersion {
    format: String,
    format_version: u64,
}

impl Descriptor {
    /// The bytes of the object.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut form = Form {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            repository_id: self.repository_id.to_string(),
            created_time: self.created_time.to_string(),
            encryption: ENCRYPTION.to_owned(),
            recipients: self.recipients.iter().map(ToString::to_string).collect(),
            segment_key: self.sealed_segment_key.clone(),
            segment_key_check: to_hex(&self.segment_key_check),
            capabilities: self.capabilities.clone(),
            sha256: String::new(),
        };
        form.sha256 = to_hex(&sha256(&line(&form)?));
        line(&form)
    }

    /// Parses the bytes of the object; `object` names it in errors. Refuses a format version that
    /// is newer than [`FORMAT_VERSION`] before it looks at anything else.
    pub fn from_bytes(bytes: &[u8], object: &str) -> Result<Self> {
        let damaged = |what: &str| Error::damaged(object, what);
        let any: AnyVersion = serde_json::from_slice(bytes)
            .map_err(|e| Error::damaged(object, format!("it does not parse ({e})")))?;
        if any.format != FORMAT {
            return Err(damaged("it is not the descriptor of a repository"));
        }
        if any.format_version > FORMAT_VERSION {
            return Err(Error::TooNew {
                object: object.to_owned(),
                found: any.format_version,
                known: FORMAT_VERSION,
            });
        }
        let mut form: Form = exact(bytes, object)?;
        let digest = std::mem::take(&mut form.sha256);
        if digest != to_hex(&sha256(&line(&form)?)) {
            return Err(damaged("its SHA-256 does not fit its content"));
        }
        if form.format_version != FORMAT_VERSION || form.encryption != ENCRYPTION {
            return Err(damaged(
                "it names a version or an encryption that never was",
            ));
        }
        let recipients = keys::parse_recipients(form.recipients.iter().map(String::as_str))?;
        Ok(Self {
            repository_id: form
                .repository_id
                .parse()
                .map_err(|_| damaged("its repository id is not one"))?,
            created_time: form
                .created_time
                .parse()
                .map_err(|_| damaged("its creation time is not one"))?,
            recipients,
            sealed_segment_key: form.segment_key,
            segment_key_check: from_hex(&form.segment_key_check)
                .ok_or_else(|| damaged("its segment key check is not one"))?,
            capabilities: form.capabilities,
        })
    }

    /// Opens the segment key with the identity of a recipient.
    pub fn unseal_segment_key(&self, identity: &Identity) -> Result<SegmentKey> {
        let what = "the repository's segment key";
        let bytes = keys::open(&self.sealed_segment_key, identity, what)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Error::damaged(what, "it is not 64 hexadecimal digits"))?;
        let key = SegmentKey::from_hex(text)?;
        self.accept_segment_key(&key)?;
        Ok(key)
    }

    /// Fails unless `key` is this repository's segment key.
    pub fn accept_segment_key(&self, key: &SegmentKey) -> Result<()> {
        if key.check_value() == self.segment_key_check {
            return Ok(());
        }
        Err(Error::WrongSegmentKey {
            repository: self.repository_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::IdentityFile;

    fn descriptor() -> (Descriptor, Identity) {
        let file = IdentityFile::generate(Timestamp::UNIX_EPOCH);
        let identity = Identity::from_file_text(&file.text).unwrap();
        let key = SegmentKey::from_bytes([3; 32]);
        let sealed = keys::seal(
            key.to_hex().as_bytes(),
            std::slice::from_ref(&file.recipient),
        );
        let descriptor = Descriptor {
            repository_id: RepositoryId::from_uuid(uuid::Uuid::from_u128(5)),
            created_time: Timestamp::UNIX_EPOCH,
            recipients: vec![file.recipient],
            sealed_segment_key: sealed.unwrap(),
            segment_key_check: key.check_value(),
            capabilities: Capabilities {
                backend: "file".to_owned(),
                put_if_absent: true,
                range_reads: true,
                list_after_write: true,
                delete: true,
                checksums: false,
                object_lock: false,
            },
        };
        (descriptor, identity)
    }

    #[test]
    fn every_flip_and_cut_is_refused() {
        let (descriptor, _) = descriptor();
        let bytes = descriptor.to_bytes().unwrap();
        assert_eq!(Descriptor::from_bytes(&bytes, "it").unwrap(), descriptor);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                assert!(Descriptor::from_bytes(&bad, "it").is_err(), "{at} {bit}");
            }
            assert!(Descriptor::from_bytes(&bytes[..at], "it").is_err(), "{at}");
        }
    }

    #[test]
    fn a_newer_format_is_named_whatever_else_is_in_it() {
        let text = br#"{"format":"provado-repository","format_version":7,"new":[1]}"#;
        let error = Descriptor::from_bytes(text, "it").unwrap_err();
        assert_eq!(
            error.to_string(),
            "it has format version 7, this program knows up to 1; upgrade it"
        );
        let other = br#"{"format":"restic","format_version":1}"#;
        assert!(Descriptor::from_bytes(other, "it").is_err());
    }

    #[test]
    fn the_segment_key_opens_for_a_recipient_and_is_recognized() {
        let (descriptor, identity) = descriptor();
        let key = descriptor.unseal_segment_key(&identity).unwrap();
        assert_eq!(key.check_value(), descriptor.segment_key_check);
        let other = IdentityFile::generate(Timestamp::UNIX_EPOCH);
        let other = Identity::from_file_text(&other.text).unwrap();
        let error = descriptor.unseal_segment_key(&other).unwrap_err();
        assert!(matches!(error, Error::WrongIdentity { .. }), "{error}");
        let error = descriptor
            .accept_segment_key(&SegmentKey::from_bytes([4; 32]))
            .unwrap_err();
        assert!(matches!(error, Error::WrongSegmentKey { .. }), "{error}");
    }
}
