//! Names of stored objects. A [`Key`] exists only if it follows the grammar of the format, so that
//! no name from outside (`..`, an absolute path, a control character) ever reaches a backend.

use provado_model::id::{BackupId, InstanceId, PackId};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Longest key in bytes; S3 allows 1024, with the prefix of the repository before it.
pub const KEY_BYTES_MAX: usize = 256;

/// The name of one stored object, relative to the repository's root.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// A text is no key of this format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the name of an object of a repository")]
pub struct KeyError {
    /// The text, cut to 64 characters.
    pub text: String,
}

/// One backup: whose it is and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupRef {
    /// The instance it was taken of.
    pub instance_id: InstanceId,
    /// The backup.
    pub backup_id: BackupId,
}

/// The objects of one backup beside its packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BackupObject {
    /// `.segments`: the table of its segments; needs no key.
    Segments,
    /// `.listing`: places of all segments as text, for recovery by hand; encrypted.
    Listing,
    /// `.json`: the signed document; needs no key.
    Document,
    /// `.manifest`: what it holds; encrypted, written last.
    Manifest,
    /// `.countersignature`: the controller's word; written later.
    Countersignature,
}

impl BackupObject {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Segments,
        Self::Listing,
        Self::Document,
        Self::Manifest,
        Self::Countersignature,
    ];

    /// The ending of its key, without the dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Segments => "segments",
            Self::Listing => "listing",
            Self::Document => "json",
            Self::Manifest => "manifest",
            Self::Countersignature => "countersignature",
        }
    }
}

/// Which objects a list is wanted of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// All objects.
    All,
    /// All objects of all instances.
    Instances,
    /// All objects of one instance.
    Instance(InstanceId),
    /// Objects of the backups of one instance, packs excepted.
    Backups(InstanceId),
    /// Packs of one instance.
    Packs(InstanceId),
    /// Canaries of probes.
    Probes,
}

impl Prefix {
    /// The text every key of it starts with; empty or ending in `/`.
    pub fn text(self) -> String {
        match self {
            Self::All => String::new(),
            Self::Instances => "instances/".to_owned(),
            Self::Instance(id) => format!("instances/{id}/"),
            Self::Backups(id) => format!("instances/{id}/backups/"),
            Self::Packs(id) => format!("instances/{id}/packs/"),
            Self::Probes => "probe/".to_owned(),
        }
    }
}

/// What a key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// The repository's descriptor.
    Descriptor,
    /// A pack.
    Pack(InstanceId, PackId),
    /// An object of a backup.
    Backup(BackupRef, BackupObject),
    /// A canary of a probe.
    Probe(Uuid),
}

impl Key {
    /// The repository's descriptor.
    pub fn descriptor() -> Self {
        Self("provado-repository.json".to_owned())
    }

    /// A pack.
    pub fn pack(instance: InstanceId, pack: PackId) -> Self {
        Self(format!("instances/{instance}/packs/{pack}.pack"))
    }

    /// An object of a backup.
    pub fn backup(backup: BackupRef, object: BackupObject) -> Self {
        let BackupRef {
            instance_id,
            backup_id,
        } = backup;
        let extension = object.extension();
        Self(format!(
            "instances/{instance_id}/backups/{backup_id}.{extension}"
        ))
    }

    /// A canary of a probe.
    pub fn probe(id: Uuid) -> Self {
        Self(format!("probe/{}.canary", id.hyphenated()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it names.
    pub fn named(&self) -> Option<Named> {
        parse(&self.0)
    }
}

impl FromStr for Key {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let refused = || KeyError {
            text: text.chars().take(64).collect(),
        };
        if text.len() > KEY_BYTES_MAX {
            return Err(refused());
        }
        parse(text).ok_or_else(refused)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl From<&Key> for String {
    fn from(key: &Key) -> Self {
        key.0.clone()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn parse(text: &str) -> Option<Named> {
    let mut parts = text.split('/');
    let named = match (parts.next()?, parts.next(), parts.next(), parts.next()) {
        ("provado-repository.json", None, None, None) => Named::Descriptor,
        ("probe", Some(file), None, None) => Named::Probe(uuid(file.strip_suffix(".canary")?)?),
        ("instances", Some(instance), Some("packs"), Some(file)) => Named::Pack(
            InstanceId::from_uuid(uuid(instance)?),
            PackId::from_uuid(uuid(file.strip_suffix(".pack")?)?),
        ),
        ("instances", Some(instance), Some("backups"), Some(file)) => {
            let (id, extension) = file.split_once('.')?;
            let backup = BackupRef {
                instance_id: InstanceId::from_uuid(uuid(instance)?),
                backup_id: BackupId::from_uuid(uuid(id)?),
            };
            let object = BackupObject::ALL
                .into_iter()
                .find(|o| o.extension() == extension)?;
            Named::Backup(backup, object)
        }
        _ => return None,
    };
    parts.next().is_none().then_some(named)
}

/// A UUID in the one form that is used in keys: hyphenated, lower case.
fn uuid(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (id.hyphenated().to_string() == text).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0190d4c0-0000-7000-8000-0000000000ab";

    #[test]
    fn keys_of_the_format_parse_to_what_they_name() {
        for text in [
            "provado-repository.json".to_owned(),
            format!("probe/{ID}.canary"),
            format!("instances/{ID}/packs/{ID}.pack"),
            format!("instances/{ID}/backups/{ID}.manifest"),
            format!("instances/{ID}/backups/{ID}.json"),
            format!("instances/{ID}/backups/{ID}.segments"),
            format!("instances/{ID}/backups/{ID}.listing"),
            format!("instances/{ID}/backups/{ID}.countersignature"),
        ] {
            let key: Key = text.parse().unwrap();
            assert_eq!(key.as_str(), text);
            let again = match key.named().unwrap() {
                Named::Descriptor => Key::descriptor(),
                Named::Pack(instance, pack) => Key::pack(instance, pack),
                Named::Backup(backup, object) => Key::backup(backup, object),
                Named::Probe(id) => Key::probe(id),
            };
            assert_eq!(again, key);
        }
    }

    #[test]
    fn nothing_else_is_a_key() {
        let upper = ID.to_uppercase();
        for text in [
            String::new(),
            "/etc/passwd".to_owned(),
            "..".to_owned(),
            "provado-repository.json/".to_owned(),
            "instances/../../etc/passwd".to_owned(),
            format!("instances/{ID}/packs/../{ID}.pack"),
            format!("instances/{ID}/packs/{ID}.pack/x"),
            format!("instances/{ID}/packs/{upper}.pack"),
            format!("instances/{ID}/packs/{ID}.pack\0"),
            format!("instances/{ID}/packs/{ID}.pack\n"),
            format!("instances//packs/{ID}.pack"),
            format!("instances/{ID}/backups/{ID}.manifest.tmp"),
            format!("tmp/{ID}"),
        ] {
            assert!(text.parse::<Key>().is_err(), "{text:?}");
        }
    }
}
