//! What of the parent a new backup may refer to.

use super::WriterOptions;
use super::pack::HEADS_AT_ONCE;
use crate::error::{Error, Result};
use crate::key::{BackupRef, Key};
use crate::keys::{Recipient, SegmentId};
use crate::repository::Repository;
use crate::signature::Trust;
use crate::table::{Record, SegmentTable, TablePack};
use futures_util::{StreamExt as _, stream};
use provado_model::id::{BackupId, PackId};
use std::collections::BTreeSet;

/// The parent's table and which of its packs are good to refer to.
pub(super) struct Parent {
    table: Option<SegmentTable>,
    usable: Vec<bool>,
    /// SHA-256 of each pack, from the parent's document.
    digests: Vec<[u8; 32]>,
    pub(super) warnings: Vec<String>,
}

impl Parent {
    /// Loads the parent. Whatever is wrong with it becomes a warning: then everything is new.
    pub(super) async fn load(
        repository: &Repository,
        options: &WriterOptions,
        recipients: &[Recipient],
    ) -> Self {
        let mut none = Self {
            table: None,
            usable: Vec::new(),
            digests: Vec::new(),
            warnings: Vec::new(),
        };
        let Some(backup_id) = options.parent else {
            return none;
        };
        match Self::try_load(repository, options, backup_id, recipients).await {
            Ok(parent) => parent,
            Err(error) => {
                none.warnings.push(format!(
                    "backup {backup_id} could not be used as parent, so everything was stored \
                     anew: {error}"
                ));
                none
            }
        }
    }

    async fn try_load(
        repository: &Repository,
        options: &WriterOptions,
        backup_id: BackupId,
        recipients: &[Recipient],
    ) -> Result<Self> {
        let backup = BackupRef {
            instance_id: options.backup.instance_id,
            backup_id,
        };
        // A table by somebody else could point anywhere, and the damage would show only when the
        // new backup is read: only one's own word is taken for it.
        let own = [options.signer.public_key()];
        let signed = repository.document(backup, Trust::Keys(&own)).await?;
        let wanted: BTreeSet<String> = recipients.iter().map(ToString::to_string).collect();
        let found: BTreeSet<String> = signed.document.recipients.iter().cloned().collect();
        if wanted != found {
            // What is shared must be readable by all who may read the new backup, and by nobody
            // else.
            return Err(Error::OtherRecipients { backup: backup_id });
        }
        let table = repository
            .table(&signed.document, options.spool.clone())
            .await?;
        let referenced = table.referenced_bytes()?;
        let mut usable = Vec::new();
        let mut warnings = Vec::new();
        let mut present = stream::iter(table.packs().to_vec())
            .map(|pack| is_present(repository, backup, pack))
            .buffered(HEADS_AT_ONCE);
        for (pack, referenced) in table.packs().iter().zip(referenced) {
            let found = present.next().await.unwrap_or(false);
            if !found {
                warnings.push(format!(
                    "pack {} of backup {backup_id} is missing or has another size; what it held \
                     was stored anew",
                    pack.pack_id
                ));
            }
            let worth = is_worth_keeping(referenced, pack, options.copy_forward_percent);
            usable.push(found && worth && !options.avoid_packs.contains(&pack.pack_id));
        }
        drop(present);
        let digests = signed
            .document
            .packs
            .iter()
            .map(|pack| crate::hash::from_hex(&pack.sha256).unwrap_or_default())
            .collect();
        Ok(Self {
            table: Some(table),
            usable,
            digests,
            warnings,
        })
    }

    /// Where the parent has a segment, if it may be referred to.
    pub(super) fn find(&self, id: &SegmentId) -> Result<Option<Record>> {
        let Some(table) = &self.table else {
            return Ok(None);
        };
        Ok(table.find(id)?.filter(|record| {
            let index = usize::try_from(record.pack_index).unwrap_or(usize::MAX);
            self.usable.get(index).copied().unwrap_or(false)
        }))
    }

    /// A pack of the parent by its position, with its SHA-256.
    pub(super) fn pack(&self, index: u32) -> Option<(PackId, u64, [u8; 32])> {
        let index = usize::try_from(index).ok()?;
        let pack = self.table.as_ref()?.packs().get(index)?;
        Some((pack.pack_id, pack.stored_bytes, *self.digests.get(index)?))
    }
}

/// Copy-forward: a pack of which little is still needed is not referred to again, so that it can
/// be pruned with the last backup that does.
fn is_worth_keeping(referenced_bytes: u64, pack: &TablePack, percent: u8) -> bool {
    u128::from(referenced_bytes) * 100 >= u128::from(pack.stored_bytes) * u128::from(percent)
}

async fn is_present(repository: &Repository, backup: BackupRef, pack: TablePack) -> bool {
    let key = Key::pack(backup.instance_id, pack.pack_id);
    match repository.backend.head(&key).await {
        Ok(Some(info)) => info.size_bytes == pack.stored_bytes,
        // A backend that cannot tell will fail the backup itself soon enough if it is broken.
        Ok(None) | Err(_) => false,
    }
}
