//! `<backup>.json`: what a backup says of itself to those without a key, signed by the agent; and
//! `<backup>.countersignature`, the controller's word on it.
//!
//! The document binds the backup's objects together: it holds the SHA-256 of its table, listing
//! and manifest and of every pack it needs. No name of a database or table is in it.

use crate::error::{Error, Result};
use crate::hash::{from_hex, sha256, to_hex};
use crate::key::BackupRef;
use crate::limits::PACKS_MAX;
use crate::signature::{self, PublicKey, Signer, Trust};
use jiff::Timestamp;
use provado_model::id::{AgentId, AttemptId, BackupId, InstanceId, PackId, RepositoryId, RunId};
use serde::{Deserialize, Serialize};

/// First line of what is signed with a backup's document.
const DOCUMENT_CONTEXT: &str = "provado-backup-document-v1";
/// First line of what is signed with a countersignature.
const COUNTERSIGNATURE_CONTEXT: &str = "provado-countersignature-v1";
/// Newest version of both.
const VERSION: u64 = 1;

/// A stored object as the document names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectDigest {
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256 over them, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// A pack as the document names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackDigest {
    /// Its id.
    pub pack_id: PackId,
    /// Its stored bytes.
    pub bytes: u64,
    /// SHA-256 over its stored bytes, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Stored bytes of it that this backup refers to.
    pub referenced_bytes: u64,
}

/// What a backup says of itself to those without a key. Times are UTC, sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupDocument {
    /// Version of this form; 1.
    pub format_version: u64,
    /// The repository.
    pub repository_id: RepositoryId,
    /// The instance.
    pub instance_id: InstanceId,
    /// The backup.
    pub backup_id: BackupId,
    /// The backup whose segments were reused where equal.
    pub parent_backup_id: Option<BackupId>,
    /// The run.
    pub run_id: RunId,
    /// The attempt.
    pub attempt_id: AttemptId,
    /// The agent.
    pub agent_id: AgentId,
    /// The attempt's number within its run.
    pub fence: u64,
    /// The controller's epoch when the attempt was dispatched.
    pub epoch: u64,
    /// `logical` or `physical`.
    pub kind: String,
    /// When the backup began.
    pub start_time: Timestamp,
    /// The moment whose state it holds.
    pub snapshot_time: Timestamp,
    /// When its last segment had been stored.
    pub end_time: Timestamp,
    /// Version number of the server, such as 150018.
    pub server_version_number: i32,
    /// Recipients it is encrypted to.
    pub recipients: Vec<String>,
    /// Entries.
    pub entry_count: u64,
    /// Segments, repetitions counted.
    pub segment_count: u64,
    /// Plain bytes of all entries.
    pub plain_bytes: u64,
    /// Stored bytes of all segments it refers to, each counted once.
    pub stored_bytes: u64,
    /// Bytes written for this backup: new packs and the objects of the backup itself, this
    /// document left out.
    pub new_bytes: u64,
    /// Stored bytes of the segments it shares with its parent.
    pub reused_bytes: u64,
    /// The table of its segments.
    pub segments: ObjectDigest,
    /// The places of its segments as text, encrypted.
    pub listing: ObjectDigest,
    /// Its manifest.
    pub manifest: ObjectDigest,
    /// Packs it needs, in the order of their positions.
    pub packs: Vec<PackDigest>,
}

/// A document whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDocument {
    /// The document.
    pub document: BackupDocument,
    /// Who signed it.
    pub signer: PublicKey,
    /// SHA-256 over the whole object; what is countersigned.
    pub sha256: [u8; 32],
}

impl BackupDocument {
    /// Whose document it is.
    pub fn backup(&self) -> BackupRef {
        BackupRef {
            instance_id: self.instance_id,
            backup_id: self.backup_id,
        }
    }

    /// The bytes of the object, signed.
    pub(crate) fn to_bytes(&self, signer: &dyn Signer) -> Result<Vec<u8>> {
        signature::write(DOCUMENT_CONTEXT, self, signer)
    }

    /// Verifies and parses the bytes of the object, which is to be that of `backup`.
    pub(crate) fn from_bytes(
        bytes: &[u8],
        backup: BackupRef,
        trust: Trust<'_>,
        object: &str,
    ) -> Result<SignedDocument> {
        refuse_newer(bytes, object)?;
        let signed = signature::read::<Self>(DOCUMENT_CONTEXT, bytes, trust, object)?;
        let document = signed.document;
        let damaged = |what: &str| Error::damaged(object, what);
        if document.backup() != backup {
            return Err(damaged("it is the document of another backup"));
        }
        if document.packs.len() > PACKS_MAX {
            return Err(damaged("it names more packs than a backup may have"));
        }
        let digests = [&document.segments, &document.listing, &document.manifest];
        let packs = document.packs.iter().map(|pack| &pack.sha256);
        for digest in digests.into_iter().map(|d| &d.sha256).chain(packs) {
            from_hex::<32>(digest).ok_or_else(|| damaged("a SHA-256 in it is not one"))?;
        }
        Ok(SignedDocument {
            document,
            signer: signed.signer,
            sha256: sha256(bytes),
        })
    }
}

impl ObjectDigest {
    pub(crate) fn new(bytes: u64, sha256: [u8; 32]) -> Self {
        Self {
            bytes,
            sha256: to_hex(&sha256),
        }
    }

    /// Whether it is that of an object of this length and SHA-256.
    pub fn fits(&self, bytes: u64, sha256: [u8; 32]) -> bool {
        self.bytes == bytes && self.sha256 == to_hex(&sha256)
    }
}

/// The controller's word that it took a backup into the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Countersignature {
    /// Version of this form; 1.
    pub format_version: u64,
    /// The instance.
    pub instance_id: InstanceId,
    /// The backup.
    pub backup_id: BackupId,
    /// SHA-256 over the backup's document, 64 lower-case hexadecimal digits.
    pub document_sha256: String,
    /// When it was signed.
    pub sign_time: Timestamp,
}

impl Countersignature {
    /// The word that `document` is in the catalogue.
    pub fn new(document: &SignedDocument, sign_time: Timestamp) -> Self {
        Self {
            format_version: VERSION,
            instance_id: document.document.instance_id,
            backup_id: document.document.backup_id,
            document_sha256: to_hex(&document.sha256),
            sign_time,
        }
    }

    /// The bytes of the object, signed.
    pub fn to_bytes(&self, signer: &dyn Signer) -> Result<Vec<u8>> {
        signature::write(COUNTERSIGNATURE_CONTEXT, self, signer)
    }

    /// Verifies and parses the bytes of the object, and that they are about `document`. Returns
    /// who signed, too.
    pub fn from_bytes(
        bytes: &[u8],
        document: &SignedDocument,
        trust: Trust<'_>,
        object: &str,
    ) -> Result<(Self, PublicKey)> {
        refuse_newer(bytes, object)?;
        let signed = signature::read::<Self>(COUNTERSIGNATURE_CONTEXT, bytes, trust, object)?;
        if signed.document != Self::new(document, signed.document.sign_time) {
            return Err(Error::damaged(object, "it is about another document"));
        }
        Ok((signed.document, signed.signer))
    }
}

#[derive(Deserialize)]
struct AnyVersion {
    format_version: u64,
}

/// Refuses a form that is newer than this program before anything else is looked at.
fn refuse_newer(bytes: &[u8], object: &str) -> Result<()> {
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    match serde_json::from_slice::<AnyVersion>(first) {
        Ok(any) if any.format_version > VERSION => Err(Error::TooNew {
            object: object.to_owned(),
            found: any.format_version,
            known: VERSION,
        }),
        // Anything else that is wrong is found, and named better, when it is read.
        Ok(_) | Err(_) => Ok(()),
    }
}
