//! The decisions: which objects go, and why. Pure.

use super::{DeletePlan, LiveAttempt, Planned, SweepFacts, SweepRules};
use crate::backend::ObjectInfo;
use crate::key::{BackupObject, BackupRef, Key, Named};
use jiff::{SignedDuration, Timestamp};
use provado_model::id::{InstanceId, PackId};
use std::collections::{BTreeMap, BTreeSet};

/// Backups without the controller's word that a remark names.
const UNJUDGED_TOLD_MAX: usize = 20;

/// What may be said of the packs of one instance.
#[derive(Default)]
struct Needs {
    packs: BTreeSet<PackId>,
    /// A backup whose needs are not known.
    unknown: Option<BackupRef>,
}

/// Plans the removal of orphans: objects of backups that never came to be, packs that no backup
/// needs, canaries of probes. An object goes only if it is older than the grace, its age is
/// known, no attempt that may be writing could own it, and every backup's needs are known. One
/// sweep takes no more than [`SweepRules::OBJECTS_MAX`] objects or [`SweepRules::PERCENT_MAX`]: a
/// mistake about what is needed must not cost a repository.
pub fn plan_sweep(facts: &SweepFacts, rules: &SweepRules) -> DeletePlan {
    let needs = needs(facts, &BTreeSet::new());
    let mut plan = DeletePlan::default();
    let mut packs = Vec::new();
    for (key, info) in &facts.objects {
        match key.named() {
            Some(Named::Backup(backup, _)) if !facts.backups.contains_key(&backup) => {
                let why = "it belongs to a backup that never came to be";
                let live = is_live(&rules.live, backup.instance_id);
                plan.put(key, info, decide(info, rules, live, why));
            }
            Some(Named::Pack(instance, pack)) => {
                let of_instance = needs.get(&instance);
                if of_instance.is_some_and(|needs| needs.packs.contains(&pack)) {
                    continue;
                }
                let decision = match of_instance.and_then(|needs| needs.unknown) {
                    Some(backup) => Err(unknown(backup)),
                    None => decide(
                        info,
                        rules,
                        is_live(&rules.live, instance),
                        "no backup needs it",
                    ),
                };
                packs.push((key, info, decision));
            }
            Some(Named::Probe(_)) => {
                plan.put(
                    key,
                    info,
                    decide(info, rules, false, "a probe left it behind"),
                );
            }
            Some(Named::Backup(backup, _)) if !has(facts, backup, BackupObject::Manifest) => {
                let why = "its backup was countersigned, but has no manifest any more";
                plan.put(key, info, Err(why.to_owned()));
            }
            Some(Named::Backup(..) | Named::Descriptor) | None => {}
        }
    }
    for (key, info, decision) in packs {
        plan.put(key, info, decision);
    }
    for backup in facts.backups.keys() {
        if !has(facts, *backup, BackupObject::Manifest) {
            plan.remarks.push(format!(
                "backup {} has the controller's word but no manifest any more: somebody or \
                 something removed it; what is left of it is kept, restore the manifest from a \
                 copy of the repository",
                backup.backup_id
            ));
        }
    }
    plan.remarks.extend(unjudged(facts, rules));
    plan.limit(facts.objects.len());
    plan
}

/// Backups that no controller has given its word for although it had the time: of an agent that
/// was killed between the manifest and its report, for one. They are in no catalogue, and what
/// they need is kept for them.
fn unjudged(facts: &SweepFacts, rules: &SweepRules) -> Option<String> {
    let is_unjudged = |backup: &&BackupRef| {
        let manifest = facts
            .objects
            .get(&Key::backup(**backup, BackupObject::Manifest));
        let live = is_live(&rules.live, backup.instance_id);
        manifest.is_some_and(|info| decide(info, rules, live, "").is_ok())
            && !has(facts, **backup, BackupObject::Countersignature)
    };
    let found: Vec<String> = facts
        .backups
        .keys()
        .filter(is_unjudged)
        .map(|backup| backup.backup_id.to_string())
        .collect();
    let some = found.get(..found.len().min(UNJUDGED_TOLD_MAX))?;
    (!some.is_empty()).then(|| {
        format!(
            "{} backups have a manifest but no controller's word, so they are in no catalogue and \
             keep the packs they need: {}{}",
            found.len(),
            some.join(", "),
            if found.len() > some.len() {
                " and more"
            } else {
                ""
            }
        )
    })
}

fn has(facts: &SweepFacts, backup: BackupRef, object: BackupObject) -> bool {
    facts.objects.contains_key(&Key::backup(backup, object))
}

/// Plans the removal of backups: all manifests first, then their other objects, then the packs
/// that no other backup needs. Backups that are not there are left out.
pub fn plan_delete(
    facts: &SweepFacts,
    backups: &BTreeSet<BackupRef>,
    live: &[LiveAttempt],
) -> DeletePlan {
    let going: BTreeSet<BackupRef> = backups
        .iter()
        .copied()
        .filter(|backup| facts.backups.contains_key(backup))
        .collect();
    let needs = needs(facts, &going);
    let mut plan = DeletePlan::default();
    let objects = [
        BackupObject::Manifest,
        BackupObject::Countersignature,
        BackupObject::Document,
        BackupObject::Listing,
        BackupObject::Segments,
    ];
    for object in objects {
        for backup in &going {
            let key = Key::backup(*backup, object);
            if let Some(info) = facts.objects.get(&key) {
                plan.put(&key, info, Ok("its backup is to be deleted".to_owned()));
            }
        }
    }
    let freed: BTreeSet<(InstanceId, PackId)> = going
        .iter()
        .filter_map(|backup| Some((backup, facts.backups.get(backup)?.packs.as_ref()?)))
        .flat_map(|(backup, packs)| packs.iter().map(|pack| (backup.instance_id, *pack)))
        .collect();
    for (instance, pack) in freed {
        let key = Key::pack(instance, pack);
        let Some(info) = facts.objects.get(&key) else {
            continue;
        };
        let of_instance = needs.get(&instance);
        if of_instance.is_some_and(|needs| needs.packs.contains(&pack)) {
            continue;
        }
        let decision = match of_instance.and_then(|needs| needs.unknown) {
            Some(backup) => Err(unknown(backup)),
            None if is_live(live, instance) => Err(LIVE.to_owned()),
            None => Ok("no backup that stays needs it".to_owned()),
        };
        plan.put(&key, info, decision);
    }
    plan
}

const LIVE: &str = "an attempt that may be writing could refer to it";

impl DeletePlan {
    /// Keeps what is more than one sweep may delete of so many objects.
    fn limit(&mut self, object_count: usize) {
        let share = object_count.saturating_mul(SweepRules::PERCENT_MAX) / 100;
        let count_max = share.max(SweepRules::OBJECTS_MAX);
        if self.delete.len() <= count_max {
            return;
        }
        let rest = self.delete.split_off(count_max);
        self.remarks.push(format!(
            "{} more orphans are left: one sweep deletes at most {count_max} objects of this \
             repository; look whether its backups are all there, then sweep again",
            rest.len()
        ));
        self.keep.extend(rest.into_iter().map(|planned| Planned {
            reason: format!("{}, but one sweep deletes no more", planned.reason),
            ..planned
        }));
    }

    fn put(&mut self, key: &Key, info: &ObjectInfo, decision: Result<String, String>) {
        let (list, reason) = match decision {
            Ok(reason) => (&mut self.delete, reason),
            Err(reason) => (&mut self.keep, reason),
        };
        list.push(Planned {
            key: key.clone(),
            bytes: info.size_bytes,
            reason,
        });
    }
}

/// What the backups of each instance need, those that are `going` left out.
fn needs(facts: &SweepFacts, going: &BTreeSet<BackupRef>) -> BTreeMap<InstanceId, Needs> {
    let mut out: BTreeMap<InstanceId, Needs> = BTreeMap::new();
    for (backup, found) in &facts.backups {
        if going.contains(backup) {
            continue;
        }
        let needs = out.entry(backup.instance_id).or_default();
        match &found.packs {
            Some(packs) => needs.packs.extend(packs),
            None => needs.unknown = Some(*backup),
        }
    }
    out
}

/// Why an orphan goes, or why it is kept all the same.
fn decide(info: &ObjectInfo, rules: &SweepRules, live: bool, why: &str) -> Result<String, String> {
    if live {
        return Err(LIVE.to_owned());
    }
    let Some(stored) = info.stored_time else {
        return Err("its age is not known".to_owned());
    };
    let grace = rules.grace.max(SweepRules::GRACE_MIN);
    let age = age(stored, rules.now);
    if age < grace {
        return Err(format!(
            "{why}, but it is younger than {} s",
            grace.as_secs()
        ));
    }
    Ok(format!("{why}, and it is {} s old", age.as_secs()))
}

fn age(stored: Timestamp, now: Timestamp) -> SignedDuration {
    now.duration_since(stored)
}

fn is_live(live: &[LiveAttempt], instance: InstanceId) -> bool {
    live.iter().any(|attempt| attempt.instance_id == instance)
}

fn unknown(backup: BackupRef) -> String {
    format!("what backup {} needs is not known", backup.backup_id)
}
