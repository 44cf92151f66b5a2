//! What a sweep is planned from: every object of an instance and what its backups need.

use crate::backend::ObjectInfo;
use crate::error::{Error, Result};
use crate::key::{BackupObject, BackupRef, Key, Named, Prefix};
use crate::repository::Repository;
use crate::signature::Trust;
use provado_model::id::PackId;
use std::collections::{BTreeMap, BTreeSet};

/// A backup as a sweep knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFacts {
    /// Packs it needs; `None` if its document cannot be believed or is not there.
    pub packs: Option<BTreeSet<PackId>>,
}

/// Everything a plan is made from.
#[derive(Debug, Clone, Default)]
pub struct SweepFacts {
    /// Every object, by its key.
    pub objects: BTreeMap<Key, ObjectInfo>,
    /// Backups that exist, those with a manifest; and those that did, because they have the
    /// controller's countersignature, which comes last of all.
    pub backups: BTreeMap<BackupRef, BackupFacts>,
    /// Names that are no keys of the format; never touched.
    pub strangers: Vec<String>,
}

impl Repository {
    /// Lists every object and reads every backup's document.
    pub async fn sweep_facts(&self) -> Result<SweepFacts> {
        let mut facts = SweepFacts::default();
        let mut after: Option<Key> = None;
        loop {
            let page = self
                .backend
                .list(Prefix::All, after.as_ref())
                .await
                .map_err(Error::backend("listing objects"))?;
            facts.strangers.extend(page.strangers);
            after = page.objects.last().map(|(key, _)| key.clone());
            facts.objects.extend(page.objects);
            if !page.more || after.is_none() {
                break;
            }
        }
        let existing: BTreeSet<BackupRef> = facts
            .objects
            .keys()
            .filter_map(|key| match key.named() {
                Some(Named::Backup(
                    backup,
                    BackupObject::Manifest | BackupObject::Countersignature,
                )) => Some(backup),
                _ => None,
            })
            .collect();
        for backup in existing {
            let packs = match self.any_document(backup, Trust::AnyKey).await {
                Ok(signed) => Some(signed.document.packs.iter().map(|p| p.pack_id).collect()),
                Err(Error::Damaged { .. } | Error::Missing { .. } | Error::TooNew { .. }) => None,
                Err(error) => return Err(error),
            };
            facts.backups.insert(backup, BackupFacts { packs });
        }
        Ok(facts)
    }
}
