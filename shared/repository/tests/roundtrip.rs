//! What is written comes back, and what is equal is stored once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::{Place, content};
use proptest::prelude::*;

#[test]
fn a_backup_comes_back_as_it_was_written() {
    let place = Place::new();
    let content = content(&[
        ("t1", 700, 5),
        ("empty", 0, 0),
        ("t2", 40_000, 9),
        ("one", 1, 1),
    ]);
    let written = place.write(1, None, &content);
    assert_eq!(place.read(1), content);
    let reader = place.reader(1);
    assert_eq!(
        reader.header().source.as_ref().unwrap().database_name,
        "shop"
    );
    assert_eq!(reader.trailer().warnings, ["a warning"]);
    assert_eq!(reader.inventory().unwrap(), common::inventory());
    assert_eq!(
        reader.sections("globals").unwrap()[0].content,
        b"CREATE ROLE x;"
    );
    let document = &written.document.document;
    assert_eq!(document.entry_count, 4);
    assert_eq!(document.plain_bytes, 700 + 40_000 + 1);
    assert_eq!(document.reused_bytes, 0);
    let listed = place
        .block_on(place.repository().backups(common::instance()))
        .unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].document.as_ref().unwrap(), &written.document);
}

#[test]
fn an_entry_can_be_read_as_bytes_in_any_steps() {
    use std::io::Read as _;
    let place = Place::new();
    let content = content(&[("big", 9_000_000, 3)]);
    place.write(1, None, &content);
    let reader = place.reader(1);
    let mut entry = reader.entry_reader(0).unwrap();
    let mut out = Vec::new();
    let mut buffer = vec![0; 100_003];
    loop {
        let count = entry.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        out.extend_from_slice(&buffer[..count]);
    }
    assert!(out == content[0].segments.concat());
}

#[test]
fn the_same_content_again_costs_next_to_nothing() {
    let place = Place::new();
    let content = content(&[("t1", 6_000_000, 5), ("t2", 900_000, 6)]);
    let first = place.write(1, None, &content);
    let second = place.write(2, Some(1), &content);
    let (first, second) = (&first.document.document, &second.document.document);
    assert_eq!(second.stored_bytes, first.stored_bytes);
    assert_eq!(second.reused_bytes, first.stored_bytes);
    assert!(
        second.new_bytes * 200 <= first.new_bytes,
        "{} {}",
        second.new_bytes,
        first.new_bytes
    );
    assert_eq!(place.read(2), content);
    let third = place.write(3, Some(2), &content);
    assert_eq!(third.document.document.reused_bytes, first.stored_bytes);
    assert!(third.new_packs.is_empty());
}

#[test]
fn content_that_repeats_within_a_backup_is_stored_once() {
    let place = Place::new();
    let one = content(&[("a", 1_000_000, 5)]);
    let mut both = one.clone();
    both.push(one[0].clone());
    let single = place.write(1, None, &one);
    let double = place.write(2, None, &both);
    let (single, double) = (&single.document.document, &double.document.document);
    // age pads its headers by chance, so the sizes are not quite the same.
    assert!(double.stored_bytes < single.stored_bytes * 11 / 10);
    assert_eq!(double.segment_count, 2 * single.segment_count);
    assert_eq!(place.read(2), both);
}

#[test]
fn packs_of_which_little_is_needed_are_written_anew() {
    let place = Place::new();
    let all = content(&[("a", 3_000_000, 5), ("b", 200_000, 6)]);
    place.write(1, None, &all);
    let little = vec![all[1].clone()];
    let second = place.write(2, Some(1), &little);
    // The parent needs all of the pack, so it is still referred to.
    assert!(second.new_packs.is_empty());
    let third = place.write(3, Some(2), &little);
    assert_eq!(third.new_packs.len(), 1);
    assert_eq!(third.document.document.packs.len(), 1);
    assert_eq!(third.document.document.reused_bytes, 0);
    assert_eq!(place.read(3), little);
}

#[test]
fn a_parent_that_is_gone_or_damaged_is_a_warning_not_a_failure() {
    let place = Place::new();
    let content = content(&[("a", 300_000, 5)]);
    let first = place.write(1, None, &content);
    place.tamper(&Place::pack_key(&first, 0), |_| None);
    let second = place.write(2, Some(1), &content);
    assert_eq!(second.warnings.len(), 1);
    assert!(
        second.warnings[0].contains("is missing or has another size"),
        "{:?}",
        second.warnings
    );
    assert_eq!(second.document.document.reused_bytes, 0);
    assert_eq!(place.read(2), content);
    let third = place.write(3, Some(77), &content);
    assert!(
        third.warnings[0].contains("could not be used as parent"),
        "{:?}",
        third.warnings
    );
    assert_eq!(place.read(3), content);
}

#[test]
fn nothing_is_shared_with_a_parent_of_other_recipients_or_of_another_signer() {
    use provado_repository::IdentityFile;
    use provado_repository::signature::Ed25519Signer;
    let place = Place::new();
    let content = content(&[("a", 300_000, 5)]);
    place.write(1, None, &content);
    let new = IdentityFile::generate(jiff::Timestamp::UNIX_EPOCH);
    let mut rotated = place.options(2, Some(1));
    rotated.recipients = Some(vec![place.recipient.clone(), new.recipient]);
    let mut strange = place.options(3, Some(1));
    strange.signer = std::sync::Arc::new(Ed25519Signer::from_seed(&[77; 32]).unwrap());
    for (options, why) in [
        (rotated, "encrypted to other recipients"),
        (strange, "signed by an unknown key"),
    ] {
        let written = place
            .try_write(place.repository(), options, &content)
            .unwrap();
        assert!(written.warnings[0].contains(why), "{:?}", written.warnings);
        assert_eq!(written.document.document.reused_bytes, 0);
    }
}

#[test]
fn misuse_is_refused_and_leaves_no_backup() {
    use provado_repository::manifest::EntryTail;
    let place = Place::new();
    let mut writer = place.writer(1, None);
    assert!(writer.segment(vec![1]).is_err());
    writer.begin_entry(common::head("a")).unwrap();
    assert!(writer.begin_entry(common::head("b")).is_err());
    assert!(writer.segment(Vec::new()).is_err());
    writer.segment(vec![1; 10]).unwrap();
    let wrong = EntryTail {
        byte_count: 9,
        ..EntryTail::default()
    };
    assert!(writer.end_entry(wrong).is_err());
    drop(writer);
    assert!(place.listed().is_empty());
}

#[test]
fn a_canceled_backup_ends_and_is_not_listed() {
    let place = Place::new();
    let mut writer = place.writer(1, None);
    writer.begin_entry(common::head("a")).unwrap();
    writer.segment(vec![1; 1000]).unwrap();
    place.cancel().cancel();
    let mut error = None;
    for _ in 0..100 {
        if let Err(found) = writer.segment(vec![2; 1000]) {
            error = Some(found);
            break;
        }
    }
    assert_eq!(error.unwrap().to_string(), "canceled");
    drop(writer);
    assert!(place.listed().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn anything_written_is_read(
        sizes in prop::collection::vec((0_usize..60_000, 0_u64..4), 0..12),
        threads in 1_usize..5,
    ) {
        let place = Place::new().with_threads(threads);
        let names: Vec<String> = (0..sizes.len()).map(|n| format!("t{n}\n\"{n}")).collect();
        let spec: Vec<(&str, usize, u64)> =
            names.iter().zip(&sizes).map(|(n, (len, seed))| (n.as_str(), *len, *seed)).collect();
        let content = content(&spec);
        place.write(1, None, &content);
        prop_assert_eq!(place.read(1), content.clone());
        place.write(2, Some(1), &content);
        prop_assert_eq!(place.read(2), content);
    }
}

#[test]
fn a_segment_that_comes_again_long_after_is_counted_once() {
    let place = Place::new();
    let content = content(&[
        ("a", 40_000, 1),
        ("b", 40_000, 2),
        ("a again", 40_000, 1),
        ("b again", 40_000, 2),
    ]);
    place.write(1, None, &content);
    let mut options = place.options(2, Some(1));
    options.own_segments_max = 1;
    let written = place
        .try_write(place.repository(), options, &content)
        .unwrap();
    let document = &written.document.document;
    for pack in &document.packs {
        assert!(pack.referenced_bytes <= pack.bytes, "{pack:?}");
    }
    let referenced: u64 = document.packs.iter().map(|p| p.referenced_bytes).sum();
    assert_eq!(document.stored_bytes, referenced);
    assert_eq!(document.reused_bytes, referenced);
    assert_eq!(place.read(2), content);
}
