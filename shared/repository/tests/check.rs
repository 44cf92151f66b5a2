//! Every byte that is another and every byte that is missing is found, and none of it is restored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::{Content, Place, backup_ref, content, spool};
use provado_repository::check::{CheckOptions, CheckReport, DamageKind, Level};
use provado_repository::document::Countersignature;
use provado_repository::signature::{Ed25519Signer, Trust};
use provado_repository::{Cancel, Error, Identity, IdentityFile, Key};

fn check(place: &Place, level: Level, identity: Option<&Identity>) -> CheckReport {
    try_check(place, 1, level, identity).unwrap()
}

fn try_check(
    place: &Place,
    number: u128,
    level: Level,
    identity: Option<&Identity>,
) -> Result<CheckReport, Error> {
    let options = CheckOptions {
        level,
        identity,
        trust: Trust::Keys(&[place.signer_key()]),
        threads: 2,
        spool: spool(),
        cancel: Cancel::new(),
        progress: &|_| {},
    };
    place.repository().check(backup_ref(number), &options)
}

/// A small repository with one backup that has a countersignature.
fn small() -> (Place, Vec<Content>) {
    let place = Place::new();
    let content = content(&[("public.a", 900, 1), ("public.b", 700, 2), ("empty", 0, 3)]);
    let written = place.write(1, None, &content);
    let controller = Ed25519Signer::from_seed(&[3; 32]).unwrap();
    let word = Countersignature::new(&written.document, written.document.document.end_time);
    let bytes = word.to_bytes(&controller).unwrap();
    let put = place
        .repository()
        .put_countersignature(&written.document, bytes);
    place.block_on(put).unwrap();
    (place, content)
}

#[test]
fn a_whole_backup_is_good_at_every_level() {
    let (place, _) = small();
    for level in [Level::Present, Level::Intact, Level::Readable] {
        let report = check(&place, level, Some(&place.identity));
        assert!(report.is_good(), "{level:?}: {:?}", report.damage);
        // Descriptor, document, countersignature, manifest, table, listing, one pack.
        assert_eq!(report.object_count, 7);
    }
    assert_eq!(
        check(&place, Level::Readable, Some(&place.identity)).segment_count,
        2
    );
    assert!(try_check(&place, 1, Level::Readable, None).is_err());
    let error = try_check(&place, 5, Level::Intact, None).unwrap_err();
    assert!(matches!(error, Error::NoBackup { .. }), "{error}");
}

/// Flips every bit pattern given at every byte of every object and wants each found.
#[test]
fn every_flip_of_every_byte_of_every_object_is_found_and_none_is_restored() {
    let (place, content) = small();
    for key in place.memory.keys() {
        let bytes = place.memory.bytes(&key).unwrap();
        for at in 0..bytes.len() {
            for mask in [0x01, 0x20, 0xff] {
                place.tamper(&key, |mut bytes| {
                    bytes[at] ^= mask;
                    Some(bytes)
                });
                let report = check(&place, Level::Intact, None);
                assert!(!report.is_good(), "{key} byte {at} mask {mask:#x}");
                assert!(report.damage.iter().any(|d| d.object == key.as_str()));
                never_other_content(&place, &content, &key, at);
                place.memory.tamper(&key, Some(bytes.clone()));
            }
        }
    }
    assert!(check(&place, Level::Intact, None).is_good());
}

#[test]
fn every_truncation_of_every_object_is_found_by_its_presence_alone() {
    let (place, content) = small();
    for key in place.memory.keys() {
        let bytes = place.memory.bytes(&key).unwrap();
        for length in 0..bytes.len() {
            place.memory.tamper(&key, Some(bytes.slice(..length)));
            let report = check(&place, Level::Present, None);
            assert!(!report.is_good(), "{key} cut to {length}");
            never_other_content(&place, &content, &key, length);
        }
        place
            .memory
            .tamper(&key, Some([&bytes[..], b"\n"].concat().into()));
        assert!(
            !check(&place, Level::Present, None).is_good(),
            "{key} made longer"
        );
        place.memory.tamper(&key, None);
        if key == Key::descriptor() {
            let error = try_check(&place, 1, Level::Present, None).unwrap_err();
            assert!(matches!(error, Error::NoRepository { .. }), "{error}");
            place.memory.tamper(&key, Some(bytes));
            continue;
        }
        let report = check(&place, Level::Present, None);
        let optional = key.as_str().ends_with("countersignature");
        assert_eq!(report.is_good(), optional, "{key} removed");
        place.memory.tamper(&key, Some(bytes));
    }
}

/// Reading a damaged backup fails or gives exactly what was written, never anything else.
fn never_other_content(place: &Place, content: &[Content], key: &Key, at: usize) {
    if let Ok(read) = place.try_read(1) {
        assert_eq!(read, content, "{key} byte {at}");
    }
}

#[test]
fn damage_is_told_by_the_segment_and_the_table_it_hits() {
    let (place, _) = small();
    let reader = place.reader(1);
    let first = reader.entries()[0].stored_bytes;
    let pack = place
        .memory
        .keys()
        .into_iter()
        .find(|k| k.as_str().contains("/packs/"))
        .unwrap();
    let at = usize::try_from(first).unwrap() + 40;
    place.tamper(&pack, |mut bytes| {
        bytes[at] ^= 1;
        Some(bytes)
    });
    for level in [Level::Intact, Level::Readable] {
        let report = check(&place, level, Some(&place.identity));
        assert_eq!(report.damage_count, 2, "{:?}", report.damage);
        let whole = report
            .damage
            .iter()
            .find(|d| d.kind == DamageKind::Bytes)
            .unwrap();
        assert!(whole.entries.is_empty(), "{whole}");
        let close = report.damage.iter().find(|d| d.segment.is_some()).unwrap();
        assert_eq!(close.kind, DamageKind::Unreadable);
        assert_eq!(close.entries, ["public.b"]);
        assert_eq!(close.segment.unwrap().offset_bytes, first);
        assert!(close.to_string().ends_with("needed by public.b"), "{close}");
    }
    let report = check(&place, Level::Intact, None);
    assert_eq!(report.damage_count, 1);
    assert!(report.damage[0].entries.is_empty());
    place.memory.tamper(&pack, None);
    let report = check(&place, Level::Present, Some(&place.identity));
    assert_eq!(report.damage[0].kind, DamageKind::Missing);
    assert_eq!(report.damage[0].entries, ["public.a", "public.b"]);
}

#[test]
fn a_backup_of_another_signer_or_to_other_recipients_is_found() {
    let (place, _) = small();
    let stranger = Ed25519Signer::from_seed(&[44; 32]).unwrap();
    let key = provado_repository::signature::Signer::public_key(&stranger);
    let options = CheckOptions {
        level: Level::Present,
        identity: None,
        trust: Trust::Keys(&[key]),
        threads: 1,
        spool: spool(),
        cancel: Cancel::new(),
        progress: &|_| {},
    };
    let report = place.repository().check(backup_ref(1), &options).unwrap();
    assert!(
        report.damage[0].what.contains("signed by an unknown key"),
        "{:?}",
        report.damage
    );
    let file = IdentityFile::generate(jiff::Timestamp::UNIX_EPOCH);
    let other = Identity::from_file_text(&file.text).unwrap();
    let error = try_check(&place, 1, Level::Readable, Some(&other)).unwrap_err();
    assert!(matches!(error, Error::WrongIdentity { .. }), "{error}");
}

#[test]
fn progress_ends_where_it_says_and_cancel_ends_the_check() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let (place, _) = small();
    let (done, total) = (AtomicU64::new(0), AtomicU64::new(0));
    let progress = |p: provado_repository::check::CheckProgress| {
        done.fetch_max(p.bytes, Ordering::Relaxed);
        total.store(p.bytes_total, Ordering::Relaxed);
    };
    let options = CheckOptions {
        level: Level::Intact,
        identity: None,
        trust: Trust::AnyKey,
        threads: 2,
        spool: spool(),
        cancel: Cancel::new(),
        progress: &progress,
    };
    let report = place.repository().check(backup_ref(1), &options).unwrap();
    assert_eq!(done.load(Ordering::Relaxed), report.bytes_read);
    assert_eq!(total.load(Ordering::Relaxed), report.bytes_read);
    options.cancel.cancel();
    let error = place
        .repository()
        .check(backup_ref(1), &options)
        .unwrap_err();
    assert!(matches!(error, Error::Canceled(_)), "{error}");
}
