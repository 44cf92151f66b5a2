//! Whatever goes wrong, and wherever: what is listed as a backup is whole, and what is not whole is
//! not listed (INV-COMMIT) and can be swept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::{Content, Place, backup_ref, content, spool};
use jiff::SignedDuration;
use provado_repository::backend::Backend;
use provado_repository::backend::fault::{Fault, FaultBackend};
use provado_repository::check::{CheckOptions, Level};
use provado_repository::document::Countersignature;
use provado_repository::key::BackupObject;
use provado_repository::manifest::EntryTail;
use provado_repository::signature::Trust;
use provado_repository::sweep::{LiveAttempt, SweepRules, plan_delete, plan_sweep};
use provado_repository::{BackupRef, Cancel, Error, Identity, Key};
use std::collections::BTreeSet;
use std::sync::Arc;

fn some_content() -> Vec<Content> {
    content(&[("a", 2_600_000, 1), ("b", 300_000, 2), ("empty", 0, 0)])
}

fn is_good(place: &Place, number: u128, identity: Option<&Identity>) -> bool {
    let options = CheckOptions {
        level: if identity.is_some() {
            Level::Readable
        } else {
            Level::Intact
        },
        identity,
        trust: Trust::AnyKey,
        threads: 1,
        spool: spool(),
        cancel: Cancel::new(),
        progress: &|_| {},
    };
    let report = place
        .repository()
        .check(backup_ref(number), &options)
        .unwrap();
    report.is_good()
}

fn rules(place: &Place, live: Vec<LiveAttempt>) -> SweepRules {
    use provado_model::time::Clock as _;
    SweepRules {
        now: place.clock.now(),
        grace: SweepRules::GRACE,
        live,
    }
}

fn sweep(place: &Place) -> u64 {
    place.clock.advance(SignedDuration::from_hours(25));
    let facts = place.block_on(place.repository().sweep_facts()).unwrap();
    let plan = plan_sweep(&facts, &rules(place, Vec::new()));
    let cancel = Cancel::new();
    let apply = place.repository().apply_sweep(&plan, &cancel);
    let done = place.block_on(apply).unwrap();
    assert_eq!(done.kept_count + done.gone_count, 0);
    done.object_count
}

/// Writes the second backup while the Nth operation goes wrong, for every N, until none does.
fn every_operation(fault: Fault) {
    let content = some_content();
    let mut late = 0;
    for at in 1.. {
        assert!(at < 400, "the writer makes ever more operations");
        let place = Place::new();
        place.write(1, None, &content[1..]);
        let before: BTreeSet<_> = place.memory.keys().into_iter().collect();
        let backend = Arc::new(FaultBackend::new(Arc::new(place.memory.clone()), fault, at));
        let outcome = place.open_over(backend.clone()).and_then(|repository| {
            place.try_write(&repository, place.options(2, Some(1)), &content)
        });
        let listed = place.listed();
        match outcome {
            Ok(_) => {
                assert_eq!(listed.len(), 2, "{fault:?} at {at}");
                assert!(
                    is_good(&place, 2, Some(&place.identity)),
                    "{fault:?} at {at}"
                );
                assert_eq!(place.read(2), content, "{fault:?} at {at}");
            }
            Err(error) => {
                // What goes wrong after the manifest is stored may make the writer fail; then
                // there is a backup that nobody vouches for, and it is a whole one.
                if listed.len() == 2 {
                    assert!(is_good(&place, 2, None), "{fault:?} at {at}: {error}");
                    late += 1;
                } else {
                    sweep(&place);
                    let after: BTreeSet<_> = place.memory.keys().into_iter().collect();
                    assert_eq!(after, before, "{fault:?} at {at}: {error}");
                }
            }
        }
        assert!(
            is_good(&place, 1, Some(&place.identity)),
            "{fault:?} at {at}"
        );
        if !backend.has_struck() {
            assert!(late <= 2, "{fault:?}: {late} failures left a backup behind");
            return;
        }
    }
}

#[test]
fn the_nth_operation_fails() {
    every_operation(Fault::Fail);
}

#[test]
fn the_nth_answer_is_lost() {
    every_operation(Fault::FailAfter);
}

#[test]
fn the_nth_operation_cuts() {
    every_operation(Fault::Cut);
}

#[test]
fn the_nth_operation_corrupts() {
    every_operation(Fault::Corrupt);
}

#[test]
fn the_nth_operation_lies() {
    every_operation(Fault::Lie);
}

#[test]
fn the_nth_operation_finds_no_room() {
    every_operation(Fault::Full);
}

#[test]
fn a_read_through_a_fault_fails_or_gives_what_was_written() {
    let place = Place::new();
    let content = some_content();
    place.write(1, None, &content);
    for fault in Fault::ALL {
        for at in 1.. {
            let backend = FaultBackend::new(Arc::new(place.memory.clone()), fault, at);
            let through = Place::through(&place, Arc::new(backend.clone()));
            match through.and_then(|place| place.try_read(1)) {
                Ok(read) => assert_eq!(read, content, "{fault:?} at {at}"),
                Err(error) => assert!(backend.has_struck(), "{fault:?} at {at}: {error}"),
            }
            if !backend.has_struck() {
                break;
            }
        }
    }
}

#[test]
fn a_writer_dropped_at_any_point_leaves_orphans_that_a_sweep_removes() {
    let content = some_content();
    let place = Place::new();
    place.write(1, None, &content);
    let before = place.memory.keys();
    let steps: usize = content.iter().map(|entry| entry.segments.len() + 2).sum();
    for stop in 0..=steps {
        let mut writer = place.writer(2, None);
        let mut left = stop;
        for entry in &content {
            // Other content than that of the first backup, so that packs are written.
            let segments: Vec<_> = entry
                .segments
                .iter()
                .map(|segment| [b"2", &segment[..]].concat())
                .collect();
            let byte_count = segments.iter().map(|segment| segment.len() as u64).sum();
            if left > 0 {
                writer.begin_entry(common::head(&entry.name)).unwrap();
                left -= 1;
            }
            for segment in segments.into_iter().take(left) {
                writer.segment(segment).unwrap();
                left -= 1;
            }
            if left > 0 {
                let tail = EntryTail {
                    byte_count,
                    ..EntryTail::default()
                };
                writer.end_entry(tail).unwrap();
                left -= 1;
            }
        }
        drop(writer);
        assert_eq!(place.listed().len(), 1);
        sweep(&place);
        assert_eq!(place.memory.keys(), before);
    }
    assert!(is_good(&place, 1, None));
}

#[test]
fn a_sweep_spares_the_young_and_the_living() {
    let place = Place::new();
    let content = some_content();
    place.write(1, None, &content);
    // As if killed just before its commit: everything but the manifest is there.
    place.write(2, None, &content);
    let manifest = Key::backup(backup_ref(2), BackupObject::Manifest);
    place.memory.tamper(&manifest, None);
    let facts = place.block_on(place.repository().sweep_facts()).unwrap();
    let young = plan_sweep(&facts, &rules(&place, Vec::new()));
    assert!(young.delete.is_empty());
    assert!(young.keep.len() >= 4);
    place.clock.advance(SignedDuration::from_hours(48));
    let live = vec![LiveAttempt {
        instance_id: common::instance(),
    }];
    assert!(plan_sweep(&facts, &rules(&place, live)).delete.is_empty());
    let old = plan_sweep(&facts, &rules(&place, Vec::new()));
    assert_eq!(old.delete.len(), young.keep.len());
    // The manifest comes after all, between plan and deed: the backup is left alone.
    place
        .memory
        .tamper(&manifest, Some(bytes::Bytes::from_static(b"x")));
    let cancel = Cancel::new();
    let apply = place.repository().apply_sweep(&old, &cancel);
    let done = place.block_on(apply).unwrap();
    assert_eq!(done.kept_count, 3);
}

#[test]
fn deleting_a_backup_leaves_the_others_whole_whenever_it_is_interrupted() {
    for at in 1.. {
        let place = Place::new();
        let content = some_content();
        place.write(1, None, &content);
        place.write(2, Some(1), &content[..1]);
        let facts = place.block_on(place.repository().sweep_facts()).unwrap();
        let going: BTreeSet<BackupRef> = [backup_ref(1)].into();
        let plan = plan_delete(&facts, &going, &[]);
        let backend: Arc<dyn Backend> = Arc::new(place.memory.clone());
        let faulty = Arc::new(FaultBackend::new(backend, Fault::Fail, at));
        let done = place.open_over(faulty.clone()).and_then(|repository| {
            place.block_on(repository.apply_delete(&plan, &going, &Cancel::new()))
        });
        assert!(is_good(&place, 2, Some(&place.identity)));
        assert_eq!(place.read(2), content[..1]);
        if done.is_ok() {
            assert_eq!(place.listed().len(), 1);
            // Object counts of both: descriptor, 4 of the second backup, packs it needs.
            let left = sweep(&place);
            assert_eq!(left, 0);
            assert!(!faulty.has_struck());
            return;
        }
    }
}

#[test]
fn a_pack_or_the_repository_that_goes_while_a_backup_is_written_keeps_it_from_being_one() {
    let content = some_content();
    let is_taken: [fn(&str) -> bool; 2] = [
        |key| key.contains("/packs/"),
        |key| key == Key::descriptor().as_str(),
    ];
    for is_taken in is_taken {
        let place = Place::new();
        place.write(1, None, &content);
        let mut writer = place.writer(2, Some(1));
        let keys = place.memory.keys();
        let taken = keys.iter().find(|key| is_taken(key.as_str())).unwrap();
        place.memory.tamper(taken, None);
        for entry in &content {
            writer.begin_entry(common::head(&entry.name)).unwrap();
            for segment in &entry.segments {
                writer.segment(segment.clone()).unwrap();
            }
            let byte_count = entry.segments.iter().map(|s| s.len() as u64).sum();
            let tail = EntryTail {
                byte_count,
                ..EntryTail::default()
            };
            writer.end_entry(tail).unwrap();
        }
        let error = writer.finish(common::tail()).unwrap_err();
        assert!(
            matches!(error, Error::Missing { .. } | Error::NoRepository { .. }),
            "{taken}: {error}"
        );
        let manifest = |key: &Key| key.as_str().ends_with(".manifest");
        assert_eq!(
            place.memory.keys().iter().filter(|k| manifest(k)).count(),
            1
        );
    }
}

#[test]
fn a_sweep_keeps_what_a_backup_needs_whose_manifest_was_lost() {
    let place = Place::new();
    let content = some_content();
    let written = place.write(1, None, &content);
    let word = Countersignature::new(&written.document, written.document.document.end_time);
    let bytes = word.to_bytes(&*place.signer).unwrap();
    let put = place
        .repository()
        .put_countersignature(&written.document, bytes);
    place.block_on(put).unwrap();
    let key = Key::backup(backup_ref(1), BackupObject::Manifest);
    let manifest = place.memory.bytes(&key).unwrap();
    place.memory.tamper(&key, None);
    assert_eq!(sweep(&place), 0);
    place.memory.tamper(&key, Some(manifest));
    assert_eq!(place.read(1), content);
}
