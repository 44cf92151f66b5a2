use super::*;
use crate::backend::ObjectInfo;
use provado_model::id::{BackupId, PackId};
use uuid::Uuid;

const NOW: i64 = 1_000_000;

fn instance(n: u128) -> InstanceId {
    InstanceId::from_uuid(Uuid::from_u128(n))
}

fn pack(n: u128) -> PackId {
    PackId::from_uuid(Uuid::from_u128(n))
}

fn backup(instance_number: u128, n: u128) -> BackupRef {
    BackupRef {
        instance_id: instance(instance_number),
        backup_id: BackupId::from_uuid(Uuid::from_u128(n)),
    }
}

/// Facts about objects of the given ages in seconds and about backups with their packs.
fn facts(objects: &[(Key, Option<i64>)], backups: &[(BackupRef, Option<&[u128]>)]) -> SweepFacts {
    let objects = objects.iter().map(|(key, age)| {
        let stored_time = age.map(|age| Timestamp::from_second(NOW - age).unwrap());
        let info = ObjectInfo {
            size_bytes: 10,
            sha256: None,
            stored_time,
        };
        (key.clone(), info)
    });
    let mut facts = SweepFacts {
        objects: objects.collect(),
        ..SweepFacts::default()
    };
    for (backup, packs) in backups {
        let packs = packs.map(|packs| packs.iter().map(|n| pack(*n)).collect());
        facts.backups.insert(*backup, BackupFacts { packs });
        for object in BackupObject::ALL {
            let info = ObjectInfo {
                size_bytes: 1,
                sha256: None,
                stored_time: None,
            };
            facts.objects.insert(Key::backup(*backup, object), info);
        }
    }
    facts
}

fn rules(live: &[u128]) -> SweepRules {
    SweepRules {
        now: Timestamp::from_second(NOW).unwrap(),
        grace: SignedDuration::from_secs(1000),
        live: live
            .iter()
            .map(|n| LiveAttempt {
                instance_id: instance(*n),
            })
            .collect(),
    }
}

fn keys(planned: &[Planned]) -> Vec<Key> {
    planned.iter().map(|planned| planned.key.clone()).collect()
}

#[test]
fn a_sweep_takes_old_orphans_and_nothing_else() {
    let old = Key::pack(instance(1), pack(1));
    let young = Key::pack(instance(1), pack(2));
    let needed = Key::pack(instance(1), pack(3));
    let ageless = Key::pack(instance(1), pack(4));
    let half = Key::backup(backup(1, 50), BackupObject::Document);
    let canary = Key::probe(Uuid::from_u128(1));
    let facts = facts(
        &[
            (old.clone(), Some(1000)),
            (young.clone(), Some(999)),
            (needed, Some(5000)),
            (ageless.clone(), None),
            (half.clone(), Some(2000)),
            (canary.clone(), Some(2000)),
            (Key::descriptor(), Some(9000)),
        ],
        &[(backup(1, 9), Some(&[3]))],
    );
    let plan = plan_sweep(&facts, &rules(&[]));
    assert_eq!(keys(&plan.delete), [half, canary, old]);
    assert_eq!(keys(&plan.keep), [young, ageless]);
    assert_eq!(plan.bytes(), 30);
    assert!(plan.delete[2].reason.contains("no backup needs it"));
}

#[test]
fn doubt_keeps_every_pack_of_the_instance() {
    let mine = Key::pack(instance(1), pack(1));
    let other = Key::pack(instance(2), pack(2));
    let objects = [(mine.clone(), Some(5000)), (other.clone(), Some(5000))];
    for (backups, live) in [(vec![(backup(1, 9), None)], vec![]), (vec![], vec![1])] {
        let plan = plan_sweep(&facts(&objects, &backups), &rules(&live));
        assert_eq!(keys(&plan.delete), std::slice::from_ref(&other));
        assert_eq!(keys(&plan.keep), std::slice::from_ref(&mine));
    }
}

#[test]
fn the_grace_is_never_shorter_than_its_minimum() {
    let key = Key::pack(instance(1), pack(1));
    let facts = facts(&[(key, Some(599))], &[]);
    let mut rules = rules(&[]);
    rules.grace = SignedDuration::ZERO;
    assert!(plan_sweep(&facts, &rules).delete.is_empty());
}

#[test]
fn deleting_takes_manifests_first_and_only_packs_nobody_else_needs() {
    let packs = [1, 2, 3].map(|n| (Key::pack(instance(1), pack(n)), Some(0)));
    let backups = [
        (backup(1, 10), Some(&[1, 2][..])),
        (backup(1, 11), Some(&[2, 3][..])),
        (backup(1, 12), Some(&[3][..])),
    ];
    let facts = facts(&packs, &backups);
    let going: BTreeSet<BackupRef> = [backup(1, 10), backup(1, 11), backup(1, 99)].into();
    let plan = plan_delete(&facts, &going, &[]);
    let order = keys(&plan.delete);
    let manifest = |n| Key::backup(backup(1, n), BackupObject::Manifest);
    assert_eq!(order[..2], [manifest(10), manifest(11)]);
    assert_eq!(order.len(), 2 * BackupObject::ALL.len() + 2);
    assert_eq!(
        order[order.len() - 2..],
        [packs[0].0.clone(), packs[1].0.clone()]
    );
    let live = [LiveAttempt {
        instance_id: instance(1),
    }];
    let plan = plan_delete(&facts, &going, &live);
    assert_eq!(plan.keep.len(), 2);
    let is_pack = |planned: &Planned| matches!(planned.key.named(), Some(Named::Pack(..)));
    assert!(!plan.delete.iter().any(is_pack));
}

#[test]
fn deleting_keeps_packs_while_another_backup_cannot_be_read() {
    let packs = [(Key::pack(instance(1), pack(1)), Some(0))];
    let facts = facts(
        &packs,
        &[(backup(1, 10), Some(&[1])), (backup(1, 11), None)],
    );
    let plan = plan_delete(&facts, &[backup(1, 10)].into(), &[]);
    assert_eq!(keys(&plan.keep), [packs[0].0.clone()]);
}

#[test]
fn a_countersigned_backup_without_its_manifest_is_kept_and_told() {
    let word = Key::backup(backup(1, 9), BackupObject::Countersignature);
    let document = Key::backup(backup(1, 9), BackupObject::Document);
    let mine = Key::pack(instance(1), pack(1));
    let mut facts = facts(
        &[
            (word.clone(), Some(5000)),
            (document.clone(), Some(5000)),
            (mine.clone(), Some(5000)),
        ],
        &[(backup(1, 9), None)],
    );
    let manifest = Key::backup(backup(1, 9), BackupObject::Manifest);
    facts.objects.remove(&manifest);
    let plan = plan_sweep(&facts, &rules(&[]));
    assert_eq!(plan.delete, vec![]);
    for key in [&word, &document, &mine] {
        assert!(keys(&plan.keep).contains(key), "{key}");
    }
    assert!(plan.remarks[0].contains("no manifest any more"));
}

#[test]
fn one_sweep_takes_twenty_objects_or_a_twentieth() {
    let objects = |count: u128| -> Vec<(Key, Option<i64>)> {
        (1..=count)
            .map(|n| (Key::pack(instance(1), pack(n)), Some(5000)))
            .collect()
    };
    for (count, taken) in [(20, 20), (100, 20), (1000, 50)] {
        let plan = plan_sweep(&facts(&objects(count), &[]), &rules(&[]));
        let count = usize::try_from(count).unwrap();
        assert_eq!((plan.delete.len(), plan.keep.len()), (taken, count - taken));
        assert_eq!(plan.remarks.len(), usize::from(count > taken));
    }
}

#[test]
fn a_backup_that_no_controller_vouches_for_is_told_once_it_is_old() {
    let manifest = |n| Key::backup(backup(1, n), BackupObject::Manifest);
    let backups = [8, 9, 10].map(|n| (backup(1, n), Some(&[][..])));
    let mut facts = facts(&[], &backups);
    for (number, age) in [(8, 1000), (9, 999), (10, 1000)] {
        let info = facts.objects.get_mut(&manifest(number)).unwrap();
        info.stored_time = Some(Timestamp::from_second(NOW - age).unwrap());
    }
    for number in [8, 9] {
        let word = Key::backup(backup(1, number), BackupObject::Countersignature);
        facts.objects.remove(&word);
    }
    let plan = plan_sweep(&facts, &rules(&[]));
    assert_eq!(plan.remarks.len(), 1, "{:?}", plan.remarks);
    assert!(plan.remarks[0].starts_with("1 backups"));
    assert!(plan.remarks[0].contains(&backup(1, 8).backup_id.to_string()));
    assert!(plan_sweep(&facts, &rules(&[1])).remarks.is_empty());
    assert!(plan.delete.is_empty());
}
