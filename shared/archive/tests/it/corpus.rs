//! The checked-in archives: whole, in any slices, cut off everywhere, damaged everywhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use provado_archive::{
    CustomWriter, CutPolicy, DirectoryLayout, DumpId, EntryDigest, Limits, ParseError, Probe,
    Section, Selection, Toc, Version, probe,
};

use crate::collect::{Archive, POLICY, exercise, export, parse, parse_sliced};

/// Majors of the corpus, and the minor version of the archive each writes.
const CORPUS: [(u32, u8); 3] = [(15, 14), (16, 15), (18, 16)];

pub(crate) fn corpus_directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

pub(crate) fn corpus(major: u32) -> Vec<u8> {
    fs::read(corpus_directory().join(format!("postgres-{major}.dump"))).unwrap()
}

#[test]
fn says_what_the_archives_hold() {
    for (major, minor) in CORPUS {
        let bytes = corpus(major);
        let version = Version {
            major: 1,
            minor,
            revision: 0,
        };
        assert_eq!(probe(&bytes), Probe::Known(version));
        let archive = exercise(&bytes, usize::MAX).unwrap();
        let toc = archive.toc.unwrap();
        assert_eq!(toc.version, version);
        assert_eq!(
            (toc.int_size, toc.off_size, toc.format, toc.compression),
            (4, 8, 1, 0)
        );
        assert!(
            (2024..2100).contains(&toc.created.year),
            "{:?}",
            toc.created
        );
        assert!(toc.server_version.starts_with(&major.to_string()));
        assert_eq!(toc.raw, bytes[..toc.raw.len()]);

        let mut tables = toc.entries.iter().filter(|entry| entry.desc == "TABLE");
        let customer = tables.find(|entry| entry.tag == "customer").unwrap();
        assert_eq!(customer.display_name(), "app.customer");
        assert_eq!(customer.section, Section::PreData);
        assert_eq!(customer.owner, "postgres");
        assert_eq!(customer.table_am.as_deref(), Some("heap"));
        assert_eq!(customer.relkind, (minor >= 16).then_some('r'));
        assert!(customer.defn.starts_with("CREATE TABLE app.customer ("));
        assert!(!customer.dependencies.is_empty() && !customer.had_dumper && customer.text_exact);

        let data = toc.entries.iter().filter(|entry| entry.is_table_data());
        let rows: BTreeMap<_, _> = data
            .map(|entry| {
                let target = entry.copy_target().unwrap();
                (
                    target.relation,
                    rows_of(&archive.tables[&entry.dump_id].digest),
                )
            })
            .collect();
        assert_eq!(rows["app.customer"], 27);
        assert_eq!(rows["app.no_columns"], 2);
        assert_eq!(rows["app.no_rows"], 0);
        assert_eq!(rows["app.event_2024"] + rows["app.event_2025"], 21);
        assert_eq!(rows["\"we ird\".\"host=evil port=1\""], 2);
        assert_eq!(rows["\"we ird\".\"line\nbreak\"\".🦀\""], 2);
        let objects: Vec<_> = archive.large_objects.values().flatten().collect();
        let lengths: BTreeMap<_, _> = objects.iter().map(|(o, c)| (*o, c.bytes().len())).collect();
        assert_eq!(
            lengths,
            BTreeMap::from([(70001, 14), (70002, 0), (4_000_000_000, 3000)])
        );
    }
}

fn rows_of(digest: &EntryDigest) -> u64 {
    match digest {
        EntryDigest::Rows(digest) => digest.row_count,
        EntryDigest::Opaque(_) => panic!("a table has rows"),
    }
}

#[test]
fn slices_make_no_difference() {
    for (major, _) in CORPUS {
        let bytes = corpus(major);
        let (whole, summary) = parse(&bytes).unwrap();
        for slice in [1, 2, 3, 5, 7, 64, 1000, 4096] {
            let lengths = bytes.chunks(slice).map(<[u8]>::len);
            let (sliced, same) = parse_sliced(&bytes, Limits::default(), lengths).unwrap();
            assert_eq!(same, summary);
            assert_eq!(
                (&sliced.tables, &sliced.large_objects),
                (&whole.tables, &whole.large_objects)
            );
        }
    }
}

#[test]
fn every_truncation_is_an_error() {
    for (major, _) in CORPUS {
        let bytes = corpus(major);
        for length in 0..bytes.len() {
            let error = parse(&bytes[..length]).expect_err("a cut archive is not whole");
            let expected = matches!(
                error,
                ParseError::Truncated { .. } | ParseError::MissingData { .. }
            );
            assert!(expected, "{major} cut to {length}: {error}");
        }
    }
}

#[test]
fn an_archive_cut_between_blocks_names_the_tables_it_lacks() {
    let bytes = corpus(18);
    let (archive, _) = parse(&bytes).unwrap();
    let toc_bytes = archive.toc.unwrap().raw.len();
    let Err(ParseError::MissingData { names }) = parse(&bytes[..toc_bytes]) else {
        panic!("no data at all must be noticed");
    };
    assert!(names.contains(&"app.customer".to_owned()), "{names:?}");
    let error = parse(&bytes[..toc_bytes]).unwrap_err().to_string();
    assert!(
        error.starts_with("the archive has no data for app.customer, "),
        "{error}"
    );
}

#[test]
fn no_damaged_byte_of_postgres_15_goes_unnoticed() {
    check_damage(15);
}

#[test]
fn no_damaged_byte_of_postgres_16_goes_unnoticed() {
    check_damage(16);
}

#[test]
fn no_damaged_byte_of_postgres_18_goes_unnoticed() {
    check_damage(18);
}

/// A damaged byte outside of payload is either an error or changes no content; within payload it
/// is an error or changes the digest of the very table or object.
fn check_damage(major: u32) {
    let bytes = corpus(major);
    let (whole, _) = parse(&bytes).unwrap();
    let mut damaged = bytes.clone();
    let (mut refused, mut changed) = (0, 0);
    for at in 0..bytes.len() {
        for flip in [0x01, 0x20, 0xff] {
            damaged[at] = bytes[at] ^ flip;
            let Ok((archive, _)) = parse(&damaged) else {
                refused += 1;
                continue;
            };
            let is_payload = whole.payload.iter().any(|range| range.contains(&at));
            changed += usize::from(is_payload);
            let expected = usize::from(is_payload);
            assert_eq!(
                differences(&archive, &whole),
                expected,
                "{major} at {at} by {flip:#x}"
            );
        }
        damaged[at] = bytes[at];
    }
    assert!(
        refused > 5_000 && changed > 5_000,
        "{major}: {refused} {changed}"
    );
}

/// How many tables and large objects have other digests.
fn differences(one: &Archive, other: &Archive) -> usize {
    let digests = |archive: &Archive| -> BTreeMap<(DumpId, u32), EntryDigest> {
        let tables = archive
            .tables
            .iter()
            .map(|(id, content)| ((*id, 0), content.digest));
        let objects = archive.large_objects.iter().flat_map(|(id, objects)| {
            objects
                .iter()
                .map(|(oid, content)| ((*id, *oid), content.digest))
        });
        tables.chain(objects).collect()
    };
    let (one, other) = (digests(one), digests(other));
    assert_eq!(
        one.len(),
        other.len(),
        "no table or object is lost or invented"
    );
    one.iter()
        .filter(|(key, digest)| other.get(*key) != Some(*digest))
        .count()
}

#[test]
fn segments_are_the_content_and_end_on_rows() {
    let (archive, _) = parse(&corpus(16)).unwrap();
    let mut several = 0;
    for content in archive.tables.values() {
        let (last, others) = content.segments.split_last().unwrap();
        assert!(
            last.ends_with(b"\\.\n\n\n"),
            "the terminator is part of the content"
        );
        several += usize::from(others.len() > 1);
        for segment in others {
            let max = usize::try_from(CutPolicy::segment_bytes_max(&POLICY)).unwrap();
            assert!(segment.len() <= max);
            // Only a row longer than the maximum is cut inside.
            let inside = segment.len() >= 512;
            assert!(segment.ends_with(b"\n") || inside, "{segment:?}");
        }
    }
    assert!(several > 2, "small sizes cut small tables too");
}

#[test]
fn an_export_is_the_archive_again() {
    for (major, _) in CORPUS {
        let bytes = corpus(major);
        let (archive, _) = parse(&bytes).unwrap();
        let exported = export(&archive).unwrap();
        let toc_bytes = archive.toc.as_ref().unwrap().raw.len();
        // Dumped to a pipe, so there were no offsets to take out.
        assert_eq!(exported[..toc_bytes], bytes[..toc_bytes]);
        let (again, _) = parse(&exported).unwrap();
        assert_eq!(again.tables, archive.tables);
        assert_eq!(again.large_objects, archive.large_objects);
    }
}

#[test]
fn a_pattern_that_matches_nothing_is_named() {
    let (archive, _) = parse(&corpus(15)).unwrap();
    let tables = ["customer", "Orders", "nosuch.*"]
        .map(|text| text.parse().unwrap())
        .to_vec();
    let selection = Selection {
        tables,
        ..Selection::default()
    };
    let error = selection
        .resolve(&archive.toc.unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains("matches Orders, nosuch.*;"), "{error}");
}

#[test]
fn the_directory_form_is_as_good_as_the_custom_one() {
    for (major, _) in CORPUS {
        let toc = parse(&corpus(major)).unwrap().1.toc;
        let layout = DirectoryLayout::from_toc(&toc, &[]).unwrap();
        let stored = Toc::from_raw(&layout.toc_dat, Limits::default()).unwrap();
        assert_eq!(stored.format, 3);
        let told = |toc: &Toc| -> Vec<_> {
            let entries = toc.entries.iter();
            entries
                .map(|e| (e.dump_id, e.display_name(), e.defn.clone(), e.had_dumper))
                .collect()
        };
        assert_eq!(told(&stored), told(&toc));
        assert!(CustomWriter::new(Vec::new(), &stored).is_err());
        for length in 0..layout.toc_dat.len() {
            let cut = &layout.toc_dat[..length];
            assert!(Toc::from_raw(cut, Limits::default()).is_err(), "{length}");
        }

        // Any definition will do for seeing where the version goes.
        let table = toc.entries.iter().find(|e| e.desc == "TABLE").unwrap();
        let versions = [(table.dump_id, "1'5".to_owned())].into();
        for from in [&toc, &stored] {
            let layout = DirectoryLayout::with_versions(from, &versions).unwrap();
            let changed = Toc::from_raw(&layout.toc_dat, Limits::default()).unwrap();
            let (before, after) = table.defn.rsplit_once(';').unwrap();
            let expected = format!("{before} VERSION '1''5';{after}");
            assert_eq!(changed.entry(table.dump_id).unwrap().defn, expected);
            assert_eq!(changed.entries.len(), toc.entries.len());
        }
    }
}
