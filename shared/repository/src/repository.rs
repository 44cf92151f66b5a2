//! A repository: made once, opened by its id, asked for its backups.
//!
//! Whatever is read is held against what the signed document says of it before it is used. A
//! repository has no index and no lock: what backups there are is what manifests there are.

use crate::backend::{Backend, BackendErrorKind, Capabilities, PutOutcome, probe, read_all};
use crate::descriptor::Descriptor;
use crate::document::{BackupDocument, Countersignature, ObjectDigest, SignedDocument};
use crate::error::{Error, Result};
use crate::key::{BackupObject, BackupRef, Key, Named, Prefix};
use crate::keys::{self, Identity, Recipient, SegmentKey};
use crate::limits::{DESCRIPTOR_BYTES_MAX, DOCUMENT_BYTES_MAX};
use crate::signature::{PublicKey, Trust};
use crate::spool::{Spool, SpoolPlace};
use crate::table::SegmentTable;
use bytes::Bytes;
use jiff::Timestamp;
use provado_model::id::{InstanceId, RepositoryId};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use tokio::runtime::Handle;
use uuid::Uuid;

/// How a repository is made.
#[derive(Debug)]
pub struct InitOptions {
    /// Its id, new.
    pub repository_id: RepositoryId,
    /// Who may read its backups; at least one, better two with one of them offline.
    pub recipients: Vec<Recipient>,
    /// The key for its segment ids, new. It is sealed to the recipients.
    pub segment_key: SegmentKey,
    /// The time it is made at.
    pub now: Timestamp,
    /// Names the canary of the probe; new.
    pub probe_id: Uuid,
}

/// How a repository is opened.
#[derive(Debug, Default)]
pub struct Opening<'a> {
    /// The id it must have; `None` takes any, for a first look.
    pub expected_id: Option<RepositoryId>,
    /// Where the segment key comes from.
    pub key: KeySource<'a>,
}

/// Where the segment key comes from.
#[derive(Debug, Default)]
pub enum KeySource<'a> {
    /// Nowhere: enough to list, check *present* and *intact*, and sweep.
    #[default]
    None,
    /// The key itself, as the controller gives it to agents. Enough to write backups.
    SegmentKey(SegmentKey),
    /// The identity of a recipient, which opens the sealed key in the descriptor.
    Identity(&'a Identity),
}

/// One backup as a list finds it.
#[derive(Debug)]
pub struct Listed {
    /// Which backup.
    pub backup: BackupRef,
    /// Its document, verified under its own key, or why it cannot be believed.
    pub document: Result<SignedDocument>,
}

/// An open repository. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) descriptor: Arc<Descriptor>,
    pub(crate) segment_key: Option<SegmentKey>,
    /// Runs the backend's calls for threads that are not of a runtime.
    pub(crate) runtime: Handle,
}

impl Repository {
    /// Makes a repository in a place that has none, after trying out what the backend can do.
    /// The descriptor is the last object written.
    pub async fn init(backend: Arc<dyn Backend>, options: InitOptions) -> Result<Self> {
        keys::check_recipients(&options.recipients)?;
        if let Some(found) = read_descriptor(&*backend).await? {
            return Err(Error::RepositoryExists {
                place: backend.place(),
                found: found.repository_id,
            });
        }
        let capabilities = probe(&*backend, options.probe_id)
            .await
            .map_err(Error::backend("trying out what the backend can do"))?;
        let key = &options.segment_key;
        let sealed = keys::seal(
            format!("{}\n", &*key.to_hex()).as_bytes(),
            &options.recipients,
        )?;
        let descriptor = Descriptor {
            repository_id: options.repository_id,
            created_time: options.now,
            recipients: options.recipients,
            sealed_segment_key: sealed,
            segment_key_check: key.check_value(),
            capabilities,
        };
        let bytes = Bytes::from(descriptor.to_bytes()?);
        let outcome = backend
            .put(&Key::descriptor(), bytes)
            .await
            .map_err(Error::backend("writing the descriptor"))?;
        if outcome == PutOutcome::AlreadyThere {
            return Err(Error::Damaged {
                object: Key::descriptor().to_string(),
                what: "another program made a repository here at the same time".to_owned(),
            });
        }
        let opening = Opening {
            expected_id: Some(options.repository_id),
            key: KeySource::SegmentKey(options.segment_key),
        };
        Self::open(backend, opening).await
    }

    /// Opens a repository. Refuses one of another id or of a newer format, and a key that is not
    /// its own. Must be called within a tokio runtime, which later serves the blocking parts.
    pub async fn open(backend: Arc<dyn Backend>, opening: Opening<'_>) -> Result<Self> {
        let Some(descriptor) = read_descriptor(&*backend).await? else {
            return Err(Error::NoRepository {
                place: backend.place(),
            });
        };
        if let Some(expected) = opening.expected_id
            && descriptor.repository_id != expected
        {
            return Err(Error::OtherRepository {
                place: backend.place(),
                expected,
                found: descriptor.repository_id,
            });
        }
        let segment_key = match opening.key {
            KeySource::None => None,
            KeySource::SegmentKey(key) => {
                descriptor.accept_segment_key(&key)?;
                Some(key)
            }
            KeySource::Identity(identity) => Some(descriptor.unseal_segment_key(identity)?),
        };
        Ok(Self {
            backend,
            descriptor: Arc::new(descriptor),
            segment_key,
            runtime: Handle::current(),
        })
    }

    /// Its id.
    pub fn id(&self) -> RepositoryId {
        self.descriptor.repository_id
    }

    /// What it says of itself.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// What its backend was found to do when it was made.
    pub fn capabilities(&self) -> &Capabilities {
        &self.descriptor.capabilities
    }

    /// The backend.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Instances that have objects here, in the order of their ids.
    pub async fn instances(&self) -> Result<Vec<InstanceId>> {
        let mut out = BTreeSet::new();
        for key in self.keys(Prefix::Instances).await? {
            match key.named() {
                Some(Named::Pack(instance, _)) => out.insert(instance),
                Some(Named::Backup(backup, _)) => out.insert(backup.instance_id),
                Some(Named::Descriptor | Named::Probe(_)) | None => false,
            };
        }
        Ok(out.into_iter().collect())
    }

    /// Backups of an instance, oldest first: those whose manifest is there, and no others.
    pub async fn backups(&self, instance: InstanceId) -> Result<Vec<Listed>> {
        let mut out = Vec::new();
        for key in self.keys(Prefix::Backups(instance)).await? {
            if let Some(Named::Backup(backup, BackupObject::Manifest)) = key.named() {
                let document = self.document(backup, Trust::AnyKey).await;
                out.push(Listed { backup, document });
            }
        }
        Ok(out)
    }

    /// Every backup, in the order of their ids, which is that of their making: those whose manifest
    /// is there, and no others.
    pub async fn all_backups(&self) -> Result<Vec<BackupRef>> {
        let keys = self.keys(Prefix::Instances).await?;
        let mut out: Vec<BackupRef> = keys
            .iter()
            .filter_map(|key| match key.named() {
                Some(Named::Backup(backup, BackupObject::Manifest)) => Some(backup),
                Some(_) | None => None,
            })
            .collect();
        out.sort_unstable_by_key(|backup| backup.backup_id);
        Ok(out)
    }

    /// The document of a backup, verified. Fails if there is no such backup, that is, no manifest.
    pub async fn document(&self, backup: BackupRef, trust: Trust<'_>) -> Result<SignedDocument> {
        let manifest = Key::backup(backup, BackupObject::Manifest);
        let found = self
            .backend
            .head(&manifest)
            .await
            .map_err(Error::backend(format!("looking for {manifest}")))?;
        if found.is_none() {
            return Err(Error::NoBackup {
                backup: backup.backup_id.to_string(),
            });
        }
        self.any_document(backup, trust).await
    }

    /// The document of a backup or of what was on its way to be one.
    pub(crate) async fn any_document(
        &self,
        backup: BackupRef,
        trust: Trust<'_>,
    ) -> Result<SignedDocument> {
        let key = Key::backup(backup, BackupObject::Document);
        let bytes = self.read_small(&key, DOCUMENT_BYTES_MAX).await?;
        let signed = BackupDocument::from_bytes(&bytes, backup, trust, key.as_str())?;
        if signed.document.repository_id != self.id() {
            return Err(Error::damaged(key, "it belongs to another repository"));
        }
        Ok(signed)
    }

    /// Stores the controller's word on a backup. It must be about the document that is there.
    pub async fn put_countersignature(
        &self,
        document: &SignedDocument,
        bytes: Vec<u8>,
    ) -> Result<PutOutcome> {
        let key = Key::backup(document.document.backup(), BackupObject::Countersignature);
        Countersignature::from_bytes(&bytes, document, Trust::AnyKey, key.as_str())?;
        self.backend
            .put(&key, Bytes::from(bytes))
            .await
            .map_err(Error::backend(format!("writing {key}")))
    }

    /// The controller's word on a backup and who signed it; `None` if there is none yet.
    pub async fn countersignature(
        &self,
        document: &SignedDocument,
        trust: Trust<'_>,
    ) -> Result<Option<(Countersignature, PublicKey)>> {
        let key = Key::backup(document.document.backup(), BackupObject::Countersignature);
        match self.read_small(&key, DOCUMENT_BYTES_MAX).await {
            Ok(bytes) => {
                Countersignature::from_bytes(&bytes, document, trust, key.as_str()).map(Some)
            }
            Err(Error::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every key under a prefix, in order.
    pub(crate) async fn keys(&self, prefix: Prefix) -> Result<Vec<Key>> {
        let mut out: Vec<Key> = Vec::new();
        loop {
            let page = self
                .backend
                .list(prefix, out.last())
                .await
                .map_err(Error::backend("listing objects"))?;
            let more = page.more && !page.objects.is_empty();
            out.extend(page.objects.into_iter().map(|(key, _)| key));
            if !more {
                return Ok(out);
            }
        }
    }

    /// Reads a whole object into memory.
    pub(crate) async fn read_small(&self, key: &Key, limit: u64) -> Result<Vec<u8>> {
        read_small(&*self.backend, key, limit).await
    }

    /// Reads a whole object into a spool and holds it against its digest.
    pub(crate) async fn read_checked(
        &self,
        key: &Key,
        digest: &ObjectDigest,
        place: SpoolPlace,
    ) -> Result<Spool> {
        let doing = || format!("reading {key}");
        let mut body = match self.backend.get(key, None).await {
            Ok(body) => body,
            Err(error) => return Err(absent_or(error, key, doing())),
        };
        if body.length() != digest.bytes {
            let (found, expected) = (body.length(), digest.bytes);
            let what = format!("it has {found} bytes where {expected} were written");
            return Err(Error::damaged(key, what));
        }
        let mut spool = Spool::new(place);
        while let Some(chunk) = body.chunk().await.map_err(Error::backend(doing()))? {
            spool.write_all(&chunk).map_err(|source| Error::Spool {
                doing: "writing",
                source,
            })?;
        }
        if digest.fits(spool.length(), spool.sha256()) {
            return Ok(spool);
        }
        Err(Error::damaged(
            key,
            "its SHA-256 is not that of what was written",
        ))
    }

    /// The table of a backup's segments.
    pub(crate) async fn table(
        &self,
        document: &BackupDocument,
        place: SpoolPlace,
    ) -> Result<SegmentTable> {
        let key = Key::backup(document.backup(), BackupObject::Segments);
        let spool = self.read_checked(&key, &document.segments, place).await?;
        let table = SegmentTable::open(spool, key.as_str())?;
        let named = document.packs.iter().map(|p| (p.pack_id, p.bytes));
        let fits = table.backup_id() == document.backup_id
            && named.eq(table.packs().iter().map(|p| (p.pack_id, p.stored_bytes)));
        if fits {
            return Ok(table);
        }
        Err(Error::damaged(
            key,
            "its packs are not those of the backup's document",
        ))
    }
}

pub(crate) async fn read_descriptor(backend: &dyn Backend) -> Result<Option<Descriptor>> {
    let key = Key::descriptor();
    match read_small(backend, &key, DESCRIPTOR_BYTES_MAX).await {
        Ok(bytes) => Descriptor::from_bytes(&bytes, key.as_str()).map(Some),
        Err(Error::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn read_small(backend: &dyn Backend, key: &Key, limit: u64) -> Result<Vec<u8>> {
    let doing = || format!("reading {key}");
    match backend.get(key, None).await {
        Ok(body) => read_all(body, limit).await.map_err(Error::backend(doing())),
        Err(error) => Err(absent_or(error, key, doing())),
    }
}

/// The error of a read: an object that is not there has an error of its own.
pub(crate) fn absent_or(error: crate::backend::BackendError, key: &Key, doing: String) -> Error {
    if error.kind == BackendErrorKind::NotFound {
        return Error::Missing {
            object: key.to_string(),
        };
    }
    Error::backend(doing)(error)
}
