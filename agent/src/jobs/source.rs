//! A stored backup opened for reading: document and signature, manifest, table of contents.

use super::context::JobContext;
use super::place;
use super::work::Work;
use provado_archive::{DumpId, Limits, Toc};
use provado_model::{Error, Reason};
use provado_proto::agent::v1::BackupTarget;
use provado_proto::repository::v1::Inventory;
use provado_repository::manifest::{EntryKind, Source};
use provado_repository::reader::{BackupReader, Entry, ReadOptions};
use provado_repository::signature::{PublicKey, Trust};
use provado_repository::{Identity, Repository};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

/// An open backup.
#[derive(Clone)]
pub(super) struct OpenBackup {
    pub(super) reader: BackupReader,
    pub(super) toc: Arc<Toc>,
    pub(super) inventory: Arc<Inventory>,
    /// Where it was taken.
    pub(super) source: Source,
}

/// The repository of a backup, without a key.
pub(super) async fn repository(
    context: &JobContext,
    target: &BackupTarget,
) -> Result<Repository, Error> {
    let repository = place::repository_of(target.repository.as_ref())?;
    let backend = place::backend(context, repository, place::Create::Never)?;
    place::open(backend, repository).await
}

/// The identity for a backup, which must be there.
pub(super) fn identity(context: &JobContext, target: &BackupTarget) -> Result<Identity, Error> {
    context.identity(&target.sealed_identity)?.ok_or_else(|| {
        Error::new(
            Reason::IdentityMissing,
            "backups are encrypted and this agent has no identity to read them with; give one \
             with the run, or name a file in identity_files of agent.toml",
        )
    })
}

/// Who must have signed the backup.
pub(super) fn signers(target: &BackupTarget) -> Result<[PublicKey; 1], Error> {
    let key: [u8; 32] = target
        .signer_public_key
        .as_slice()
        .try_into()
        .map_err(|_| {
            Error::new(
                Reason::InvalidArgument,
                "the job does not say whose signature the backup must have",
            )
        })?;
    Ok([PublicKey(key)])
}

impl OpenBackup {
    /// Opens the backup with the identity of the run or of the agent, and reads its table of
    /// contents and inventory.
    pub(super) async fn open(
        target: &BackupTarget,
        threads: usize,
        work: &mut Work<'_>,
    ) -> Result<Self, Error> {
        let context = work.context;
        let repository = repository(context, target).await?;
        let identity = identity(context, target)?;
        let signers = signers(target)?;
        let options = ReadOptions {
            trust: Trust::Keys(&signers),
            threads,
            spool: work.spool()?,
            cancel: context.cancel.clone(),
        };
        let backup = place::backup_ref(target)?;
        let reader = repository.read_backup(backup, &identity, options).await?;
        let expected = target.description_sha256.as_slice();
        if !expected.is_empty() && expected != reader.document().sha256 {
            return Err(Error::new(
                Reason::CheckFoundDamage,
                format!(
                    "the document of backup {} in the repository is not the one the catalogue \
                     has; somebody replaced it: do not restore it, and look who can write there",
                    backup.backup_id
                ),
            ));
        }
        work.blocking(super::work::NoWatch, move |_| Self::read(reader))
            .await
    }

    fn read(reader: BackupReader) -> Result<Self, Error> {
        let opaque = reader
            .entries()
            .iter()
            .any(|entry| entry.head.kind() == EntryKind::OpaqueArchive);
        if opaque {
            return Err(Error::new(
                Reason::Unimplemented,
                "this backup holds an archive that the agent did not understand when it was \
                 made; export it and use pg_restore of that version",
            ));
        }
        let position = reader
            .entries()
            .iter()
            .position(|entry| entry.head.kind() == EntryKind::ArchiveToc)
            .ok_or_else(|| damaged("it has no table of contents"))?;
        let mut raw = Vec::new();
        reader
            .entry_reader(position as u64)?
            .read_to_end(&mut raw)
            .map_err(read_error)?;
        let toc =
            Toc::from_raw(&raw, Limits::default()).map_err(|error| damaged(&error.to_string()))?;
        let inventory = reader.inventory()?;
        let source = reader.header().source.clone().unwrap_or_default();
        Ok(Self {
            toc: Arc::new(toc),
            inventory: Arc::new(inventory),
            source,
            reader,
        })
    }

    /// Such as 15.
    pub(super) fn major(&self) -> u32 {
        self.source.server_version_number.unsigned_abs() / 10_000
    }

    /// The encoding of the archive's text, as PostgreSQL names it.
    pub(super) fn encoding(&self) -> String {
        let settings = &self.reader.header().session_settings;
        settings
            .get("client_encoding")
            .cloned()
            .unwrap_or_else(|| "UTF8".to_owned())
    }

    /// Data of archive entries by dump id, with the position of each.
    pub(super) fn data_entries(&self) -> BTreeMap<DumpId, (u64, &Entry)> {
        self.entries_of(|kind| matches!(kind, EntryKind::TableData | EntryKind::OtherData))
            .map(|(index, entry)| (entry.head.dump_id, (index, entry)))
            .collect()
    }

    /// Large objects by oid, with the position of each.
    pub(super) fn large_objects(&self) -> BTreeMap<u32, (u64, &Entry)> {
        self.entries_of(|kind| kind == EntryKind::LargeObject)
            .map(|(index, entry)| (entry.head.oid, (index, entry)))
            .collect()
    }

    fn entries_of(
        &self,
        wanted: impl Fn(EntryKind) -> bool,
    ) -> impl Iterator<Item = (u64, &Entry)> {
        (0_u64..)
            .zip(self.reader.entries())
            .filter(move |(_, entry)| wanted(entry.head.kind()))
    }
}

fn damaged(what: &str) -> Error {
    Error::new(
        Reason::CheckFoundDamage,
        format!("the backup cannot be read: {what}"),
    )
}

/// The repository's error inside one of reading.
pub(super) fn read_error(error: std::io::Error) -> Error {
    match error.downcast::<provado_repository::Error>() {
        Ok(error) => error.into(),
        Err(error) => Error::new(Reason::RepositoryIo, error.to_string()),
    }
}
