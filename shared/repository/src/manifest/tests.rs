//! Manifests that nobody wrote: any bytes under the seal, records in any order.

use super::*;
use crate::keys::{Identity, IdentityFile, Recipient};
use crate::spool::{Spool, SpoolPlace};
use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;
use provado_model::random::OsEntropy;
use provado_proto::repository::v1::manifest_record::Record;
use provado_proto::repository::v1::{ManifestRecord, SegmentRun};
use std::io::{Read as _, Write as _};
use std::sync::{Arc, LazyLock};

static KEYS: LazyLock<(Identity, Recipient)> = LazyLock::new(|| {
    let file = IdentityFile::generate(Timestamp::UNIX_EPOCH);
    (
        Identity::from_file_text(&file.text).unwrap(),
        file.recipient,
    )
});

fn place() -> SpoolPlace {
    SpoolPlace {
        directory: std::env::temp_dir(),
        entropy: Arc::new(OsEntropy),
    }
}

/// The bytes compressed and sealed, as a manifest is.
fn sealed(plain: &[u8]) -> Spool {
    let recipients = std::slice::from_ref(&KEYS.1);
    let mut writer = SealedWriter::new(place(), recipients, "test").unwrap();
    writer.write(plain).unwrap();
    writer.finish().unwrap()
}

/// Counts what it is shown.
#[derive(Default)]
struct Counts {
    entries: u64,
    segments: u64,
}

impl Visitor for Counts {
    fn segment(&mut self, _place: SegmentPlace) -> crate::Result<()> {
        self.segments += 1;
        Ok(())
    }

    fn entry_tail(&mut self, _tail: EntryTail) -> crate::Result<()> {
        self.entries += 1;
        Ok(())
    }
}

fn walk(spool: &Spool) -> crate::Result<Counts> {
    let mut counts = Counts::default();
    ManifestReader::new(spool, &KEYS.0, "the manifest").walk(&mut counts)?;
    Ok(counts)
}

fn plain_of(records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        let record = ManifestRecord {
            record: Some(record.clone()),
        };
        record.encode_length_delimited(&mut out).unwrap();
    }
    out
}

/// A manifest of two entries with a segment each, and a section.
fn good() -> Vec<Record> {
    let place = SegmentPlace {
        plain_bytes: 7,
        ..SegmentPlace::default()
    };
    let mut records = vec![Record::Header(ManifestHeader {
        format_version: MANIFEST_VERSION,
        ..ManifestHeader::default()
    })];
    for entry_index in 0..2 {
        records.push(Record::EntryHead(EntryHead {
            entry_index,
            ..EntryHead::default()
        }));
        records.push(Record::SegmentRun(SegmentRun {
            segments: vec![place.clone()],
        }));
        records.push(Record::EntryTail(EntryTail {
            entry_index,
            segment_count: 1,
            byte_count: 7,
            row_count: 3,
            ..EntryTail::default()
        }));
    }
    records.push(Record::Section(Section::default()));
    records.push(Record::Trailer(ManifestTrailer {
        entry_count: 2,
        section_count: 1,
        segment_count: 2,
        plain_bytes: 14,
        row_count: 6,
        ..ManifestTrailer::default()
    }));
    records
}

#[test]
fn a_whole_manifest_reads_and_every_cut_of_it_does_not() {
    let plain = plain_of(&good());
    let counts = walk(&sealed(&plain)).unwrap();
    assert_eq!((counts.entries, counts.segments), (2, 2));
    for length in 0..plain.len() {
        let error = walk(&sealed(&plain[..length])).err();
        assert!(
            error.is_some(),
            "cut to {length} bytes it is taken for whole"
        );
    }
}

#[test]
fn every_flipped_byte_of_the_sealed_object_is_found() {
    let mut bytes = Vec::new();
    let spool = sealed(&plain_of(&good()));
    spool.reader().read_to_end(&mut bytes).unwrap();
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x20;
        let mut spool = Spool::new(place());
        spool.write_all(&bad).unwrap();
        assert!(walk(&spool).is_err(), "byte {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_for_an_object_are_refused(bytes in vec(any::<u8>(), 0..400)) {
        let mut spool = Spool::new(place());
        spool.write_all(&bytes).unwrap();
        prop_assert!(walk(&spool).is_err());
        let mut spool = Spool::new(place());
        spool.write_all(b"age-encryption.org/v1\n").unwrap();
        spool.write_all(&bytes).unwrap();
        prop_assert!(walk(&spool).is_err());
    }

    #[test]
    fn any_bytes_under_the_seal_are_refused(bytes in vec(any::<u8>(), 0..400)) {
        prop_assert!(walk(&sealed(&bytes)).is_err());
    }

    #[test]
    fn damage_under_the_seal_never_panics(
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut plain = plain_of(&good());
        for (at, value) in damage {
            let at = at.index(plain.len());
            plain[at] = value;
        }
        // Content that is bound by nothing but the seal may change; counts still have to fit.
        if let Ok(counts) = walk(&sealed(&plain)) {
            prop_assert!(counts.entries <= 2 && counts.segments <= 2);
        }
    }

    #[test]
    fn records_in_another_order_are_refused(
        order in Just((0..good().len()).collect::<Vec<_>>()).prop_shuffle(),
        keep in 1..10_usize,
    ) {
        let good = good();
        let records: Vec<Record> = order.iter().take(keep).map(|at| good[*at].clone()).collect();
        // Between entries and trailer, the section is the only record that may stand elsewhere.
        let walked = walk(&sealed(&plain_of(&records)));
        if walked.is_ok() {
            let without = |records: &[Record]| -> Vec<Record> {
                let all = records.iter().cloned();
                all.filter(|record| !matches!(record, Record::Section(_))).collect()
            };
            prop_assert_eq!(without(&records), without(&good));
            prop_assert_eq!(records.len(), good.len());
        }
    }
}
