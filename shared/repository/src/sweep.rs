//! Removing what no backup needs: orphans of attempts that ended early, and backups that are to
//! go. Both are planned first, purely, with a reason for every object, and then applied to exactly
//! the keys of the plan. Doubt keeps.

mod facts;
mod plan;

use crate::backend::DeleteOutcome;
use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::key::{BackupObject, BackupRef, Key, Named};
use crate::repository::Repository;
use jiff::{SignedDuration, Timestamp};
use provado_model::id::InstanceId;
use std::collections::BTreeSet;

pub use facts::{BackupFacts, SweepFacts};
pub use plan::{plan_delete, plan_sweep};

/// An attempt that may be writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveAttempt {
    /// The instance it backs up. While it lives, no pack of this instance is removed.
    pub instance_id: InstanceId,
}

/// What a sweep goes by.
#[derive(Debug, Clone)]
pub struct SweepRules {
    /// The time now.
    pub now: Timestamp,
    /// Objects younger than this are kept; at least [`SweepRules::GRACE_MIN`].
    pub grace: SignedDuration,
    /// Attempts that may be writing.
    pub live: Vec<LiveAttempt>,
}

impl SweepRules {
    /// Grace unless a policy says otherwise.
    pub const GRACE: SignedDuration = SignedDuration::from_hours(24);
    /// Objects that one sweep may delete of a small repository.
    pub const OBJECTS_MAX: usize = 20;
    /// Objects that one sweep may delete of a large one, in percent of those there are.
    pub const PERCENT_MAX: usize = 5;
    /// The shortest grace a plan is made with.
    pub const GRACE_MIN: SignedDuration = SignedDuration::from_mins(10);
}

/// One object of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its key.
    pub key: Key,
    /// Its bytes.
    pub bytes: u64,
    /// Why it is deleted or kept, a sentence part.
    pub reason: String,
}

/// What would be deleted, in this order, and what that might have been is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeletePlan {
    /// Objects to delete, in the order they are deleted in.
    pub delete: Vec<Planned>,
    /// Objects that no backup was found to need and that are kept all the same.
    pub keep: Vec<Planned>,
    /// What somebody should look at, each a sentence.
    pub remarks: Vec<String>,
}

impl DeletePlan {
    /// Bytes that come free.
    pub fn bytes(&self) -> u64 {
        self.delete.iter().map(|planned| planned.bytes).sum()
    }
}

/// What applying a plan came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Objects deleted.
    pub object_count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects of the plan that were gone already.
    pub gone_count: u64,
    /// Objects of the plan that had come to be needed and were kept.
    pub kept_count: u64,
    /// Unfinished uploads of dead writers that were freed.
    pub upload_count: u64,
}

impl Repository {
    /// Carries out a plan of [`plan_sweep`]: before an object of a backup is deleted it is looked
    /// once more whether the backup has come to exist. Also frees uploads of dead writers.
    pub async fn apply_sweep(&self, plan: &DeletePlan, cancel: &Cancel) -> Result<Deleted> {
        let mut done = self.apply(plan, cancel, &BTreeSet::new()).await?;
        done.upload_count = self
            .backend
            .sweep_uploads()
            .await
            .map_err(Error::backend("freeing unfinished uploads"))?;
        Ok(done)
    }

    /// Carries out a plan of [`plan_delete`] for these backups, their manifests first: from then
    /// on they are no backups, and what an interruption leaves is an orphan.
    pub async fn apply_delete(
        &self,
        plan: &DeletePlan,
        backups: &BTreeSet<BackupRef>,
        cancel: &Cancel,
    ) -> Result<Deleted> {
        self.apply(plan, cancel, backups).await
    }

    async fn apply(
        &self,
        plan: &DeletePlan,
        cancel: &Cancel,
        to_go: &BTreeSet<BackupRef>,
    ) -> Result<Deleted> {
        let mut done = Deleted::default();
        for planned in &plan.delete {
            cancel.check()?;
            let key = &planned.key;
            if !self.may_go(key, to_go).await? {
                done.kept_count += 1;
                continue;
            }
            let outcome = self
                .backend
                .delete(key)
                .await
                .map_err(Error::backend(format!("deleting {key}")))?;
            match outcome {
                DeleteOutcome::Deleted => {
                    done.object_count += 1;
                    done.bytes += planned.bytes;
                }
                DeleteOutcome::WasNotThere => done.gone_count += 1,
            }
        }
        Ok(done)
    }

    /// Whether an object of a plan may still go.
    async fn may_go(&self, key: &Key, to_go: &BTreeSet<BackupRef>) -> Result<bool> {
        match key.named() {
            Some(Named::Backup(backup, _)) if to_go.contains(&backup) => Ok(true),
            Some(Named::Backup(_, BackupObject::Manifest) | Named::Descriptor) | None => Ok(false),
            Some(Named::Backup(backup, _)) => {
                let manifest = Key::backup(backup, BackupObject::Manifest);
                let found = self
                    .backend
                    .head(&manifest)
                    .await
                    .map_err(Error::backend(format!("looking for {manifest}")))?;
                Ok(found.is_none())
            }
            Some(Named::Pack(..) | Named::Probe(_)) => Ok(true),
        }
    }
}

#[cfg(test)]
mod tests;
