//! What must hold for any content, any slices and any damage.

use proptest::collection::vec;
use proptest::prelude::*;
use provado_archive::large_object::OpaqueScanner;
use provado_archive::{CutPolicy, RowError, RowScanner, TableDigest};

use crate::collect::{POLICY, SEED, exercise};
use crate::corpus::corpus;

/// Rows as COPY text has them: no newline, no NUL, no lone `\.`.
fn rows() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte = prop_oneof![4 => 32..=126_u8, 1 => Just(b'\\'), 1 => Just(b'.'), 1 => 128..=255_u8];
    let length = prop_oneof![8 => 0..40_usize, 1 => 500..2000_usize];
    let row = length.prop_flat_map(move |length| vec(byte.clone(), length));
    vec(
        row.prop_filter("the terminator is no row", |row| row != b"\\."),
        0..120,
    )
}

/// The rows as they are, and shuffled.
fn in_two_orders(rows: Vec<Vec<u8>>) -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<Vec<u8>>)> {
    (Just(rows.clone()), Just(rows).prop_shuffle())
}

/// The text in slices of these lengths, again and again.
fn slices(text: &[u8], lengths: &[usize]) -> Vec<Vec<u8>> {
    let mut rest = text;
    let mut slices = Vec::new();
    for length in lengths.iter().cycle().take(text.len()) {
        let (slice, tail) = rest.split_at((*length).min(rest.len()));
        slices.push(slice.to_vec());
        rest = tail;
    }
    slices.push(rest.to_vec());
    slices
}

fn copy_text(rows: &[Vec<u8>]) -> Vec<u8> {
    rows.iter()
        .flat_map(|row| row.iter().copied().chain([b'\n']))
        .collect()
}

fn dump_text(rows: &[Vec<u8>]) -> Vec<u8> {
    let mut text = copy_text(rows);
    text.extend_from_slice(b"\\.\n\n\n");
    text
}

/// Digest and cuts, counted from the start, of pg_dump's text in these slices.
fn scan_dump(slices: &[Vec<u8>], policy: CutPolicy) -> (TableDigest, Vec<usize>) {
    let mut scanner = RowScanner::with_policy(SEED, policy);
    let mut cuts = Vec::new();
    let mut start = 0;
    for slice in slices {
        scanner
            .feed_with_cuts(slice, |at| cuts.push(start + at))
            .unwrap();
        start += slice.len();
    }
    (scanner.finish_dump().unwrap(), cuts)
}

fn scan_opaque(slices: &[Vec<u8>]) -> ([u8; 16], Vec<usize>) {
    let mut scanner = OpaqueScanner::new(SEED, POLICY);
    let mut cuts = Vec::new();
    let mut start = 0;
    for slice in slices {
        scanner.feed_with_cuts(slice, |at| cuts.push(start + at));
        start += slice.len();
    }
    (scanner.finish().fingerprint, cuts)
}

proptest! {
    #[test]
    fn slices_change_neither_digest_nor_cuts(rows in rows(), lengths in vec(1..700_usize, 1..20)) {
        let text = dump_text(&rows);
        let whole = scan_dump(std::slice::from_ref(&text), POLICY);
        prop_assert_eq!(&scan_dump(&slices(&text, &lengths), POLICY), &whole);
        prop_assert_eq!(&scan_dump(&slices(&text, &[1]), POLICY), &whole);
        prop_assert_eq!(whole.0.row_count, rows.len() as u64);
        prop_assert_eq!(whole.0.byte_count, copy_text(&rows).len() as u64);
        let tiny = CutPolicy { min_bytes: 0, target_bytes: 0, max_bytes: 0 };
        let whole = scan_dump(std::slice::from_ref(&text), tiny);
        prop_assert_eq!(&scan_dump(&slices(&text, &lengths), tiny), &whole);
        prop_assert_eq!(
            scan_opaque(&slices(&text, &lengths)),
            scan_opaque(std::slice::from_ref(&text))
        );
    }

    #[test]
    fn a_server_s_rows_in_any_order_digest_as_pg_dump_s(
        (rows, shuffled) in rows().prop_flat_map(in_two_orders),
        lengths in vec(1..700_usize, 1..20),
    ) {
        let (dumped, _) = scan_dump(&[dump_text(&rows)], POLICY);
        let mut scanner = RowScanner::new(SEED);
        for slice in slices(&copy_text(&shuffled), &lengths) {
            scanner.feed(&slice).unwrap();
        }
        prop_assert_eq!(scanner.finish_copy().unwrap(), dumped);
    }

    #[test]
    fn any_changed_row_changes_the_digest(rows in rows(), at in any::<prop::sample::Index>()) {
        prop_assume!(!rows.is_empty());
        let (digest, _) = scan_dump(&[dump_text(&rows)], POLICY);
        let mut changed = rows.clone();
        at.get(&rows).clone_into(&mut changed[at.index(rows.len())]);
        changed[at.index(rows.len())].push(b'x');
        let (other, _) = scan_dump(&[dump_text(&changed)], POLICY);
        prop_assert_ne!(other.fingerprint, digest.fingerprint);
        let mut fewer = rows.clone();
        fewer.remove(at.index(rows.len()));
        prop_assert_ne!(scan_dump(&[dump_text(&fewer)], POLICY).0.row_count, digest.row_count);
    }

    #[test]
    fn cuts_fall_into_step_again(
        rows in vec(vec(97..=122_u8, 20..60), 400..500),
        at in 0..100_usize,
    ) {
        let (_, cuts) = scan_dump(&[dump_text(&rows)], POLICY);
        let mut changed = rows.clone();
        changed.insert(at, b"a new row".to_vec());
        let shift = b"a new row\n".len();
        let (_, shifted) = scan_dump(&[dump_text(&changed)], POLICY);
        let common = cuts.iter().filter(|cut| shifted.contains(&(**cut + shift)));
        let behind = cuts.iter().filter(|cut| **cut > 150 * 61).count();
        prop_assert!(common.count() >= behind / 2, "{cuts:?} {shifted:?}");
    }

    #[test]
    fn damaged_archives_never_panic(
        major in prop_oneof![Just(15_u32), Just(16), Just(18)],
        damage in vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>(), 1..64_usize), 1..6),
        slice in 1..5000_usize,
    ) {
        let mut bytes = corpus(major);
        for (at, kind, value, length) in damage {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            match kind {
                0 => bytes[at] = value,
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let copy = bytes[at..end].to_vec();
                    drop(bytes.splice(at..at, copy));
                }
                _ => bytes[at..end].fill(value),
            }
        }
        exercise(&bytes, slice);
    }

    #[test]
    fn garbage_never_panics(
        tail in vec(any::<u8>(), 0..400),
        head in 0..3_u8,
        slice in 1..64_usize,
    ) {
        let mut bytes = match head {
            0 => Vec::new(),
            1 => b"PGDMP\x01\x0e\x00\x04\x08\x01".to_vec(),
            _ => b"PGDMP\x01\x10\x00\x04\x08\x01\x00".to_vec(),
        };
        bytes.extend_from_slice(&tail);
        prop_assert!(exercise(&bytes, slice).is_none());
    }
}

#[test]
fn row_text_must_end_as_its_source_ends_it() {
    let dump = |text: &[u8]| {
        let mut scanner = RowScanner::new(SEED);
        scanner
            .feed(text)
            .and_then(|()| scanner.finish_dump())
            .map(|digest| digest.row_count)
    };
    let copy = |text: &[u8]| {
        let mut scanner = RowScanner::new(SEED);
        scanner
            .feed(text)
            .and_then(|()| scanner.finish_copy())
            .map(|digest| digest.row_count)
    };
    assert_eq!(dump(b"\\.\n"), Ok(0));
    assert_eq!(dump(b"1\n\n\\.\n\n\n"), Ok(2));
    assert_eq!(dump(b"1\n"), Err(RowError::TerminatorMissing { row: 1 }));
    assert_eq!(dump(b"1\n\\."), Err(RowError::TerminatorMissing { row: 1 }));
    assert_eq!(dump(b""), Err(RowError::TerminatorMissing { row: 0 }));
    assert_eq!(
        dump(b"1\n\\.\n\n2\n"),
        Err(RowError::DataAfterTerminator { row: 1 })
    );
    assert_eq!(
        dump(b"1\r\n\\.\r\n"),
        Err(RowError::TerminatorMissing { row: 2 })
    );
    assert_eq!(dump(b"1\n2\x00\n\\.\n"), Err(RowError::NulByte { row: 2 }));
    assert_eq!(copy(b""), Ok(0));
    assert_eq!(copy(b"\n\n"), Ok(2));
    assert_eq!(copy(b"1\n2"), Err(RowError::RowIncomplete { row: 2 }));
    assert_eq!(
        copy(b"1\n\\.\n"),
        Err(RowError::TerminatorUnexpected { row: 1 })
    );
}

#[test]
fn a_giant_row_is_cut_inside_at_fixed_places() {
    let policy = CutPolicy {
        min_bytes: 10,
        target_bytes: 1 << 40,
        max_bytes: 1 << 40,
    };
    assert_eq!(policy.segment_bytes_max(), 1 << 41);
    let policy = CutPolicy {
        min_bytes: 10,
        target_bytes: 100,
        max_bytes: 100,
    };
    let mut text = b"short\n".to_vec();
    text.extend(std::iter::repeat_n(b'x', 250));
    text.extend_from_slice(b"\n\\.\n\n\n");
    let (_, cuts) = scan_dump(&[text], policy);
    // Each 100 bytes of the row; its end, because it is longer than the target.
    assert_eq!(cuts, [106, 206, 257]);
}
