use super::*;
use crate::error::Error;
use crate::spool::{Spool, SpoolPlace};
use provado_model::id::BackupId;
use provado_model::random::{Entropy as _, SeededEntropy};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

fn place() -> SpoolPlace {
    SpoolPlace {
        directory: std::env::temp_dir(),
        entropy: Arc::new(provado_model::random::OsEntropy),
    }
}

fn records(count: u32, seed: u64) -> Vec<Record> {
    let entropy = SeededEntropy::new(seed);
    (0..count)
        .map(|number| {
            let mut id = [0; 32];
            entropy.fill(&mut id[..=(number as usize % 32)]);
            Record {
                id: SegmentId(id),
                pack_index: number % 3,
                offset_bytes: u64::from(number) * 10,
                stored_bytes: 10,
                plain_bytes: number,
            }
        })
        .collect()
}

fn packs() -> Vec<TablePack> {
    (1..4)
        .map(|n| TablePack {
            pack_id: PackId::from_uuid(Uuid::from_u128(n)),
            stored_bytes: 100_000,
        })
        .collect()
}

fn table(records: &[Record], memory: usize) -> Spool {
    let mut builder = TableBuilder::with_memory(place(), memory);
    for record in records.iter().chain(records.iter().take(5)) {
        builder.add(*record).unwrap();
    }
    let backup = BackupId::from_uuid(Uuid::from_u128(9));
    let (table, referenced) = builder.finish(backup, &packs()).unwrap();
    let distinct: BTreeSet<Record> = records.iter().copied().collect();
    let bytes = distinct.iter().map(|r| u64::from(r.stored_bytes));
    assert_eq!(referenced.iter().sum::<u64>(), bytes.sum::<u64>());
    table
}

#[test]
fn a_table_is_sorted_complete_and_the_same_however_it_was_sorted() {
    let records = records(1000, 3);
    let expected: BTreeSet<Record> = records.iter().copied().collect();
    let mut texts = Vec::new();
    for memory in [1, 7, 64, 5000] {
        let spool = table(&records, memory);
        let mut bytes = Vec::new();
        spool.reader().read_to_end(&mut bytes).unwrap();
        texts.push(bytes);
        let table = SegmentTable::open(spool, "t").unwrap();
        let mut found = Vec::new();
        table
            .for_each(|record| {
                found.push(*record);
                Ok(())
            })
            .unwrap();
        assert!(found.iter().eq(expected.iter()));
        for record in &records {
            let first = expected.iter().find(|r| r.id == record.id).copied();
            assert_eq!(table.find(&record.id).unwrap(), first);
        }
        assert_eq!(table.find(&SegmentId([0xff; 32])).unwrap(), None);
        let sums = table.referenced_bytes().unwrap();
        assert_eq!(sums.iter().sum::<u64>(), expected.len() as u64 * 10);
        assert_eq!(table.packs(), packs());
    }
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn an_empty_table_finds_nothing() {
    let table = SegmentTable::open(table(&[], 10), "t").unwrap();
    assert_eq!(table.record_count(), 0);
    assert_eq!(table.find(&SegmentId([1; 32])).unwrap(), None);
}

#[test]
fn a_table_cut_or_of_another_form_is_refused() {
    let mut bytes = Vec::new();
    table(&records(4, 1), 10)
        .reader()
        .read_to_end(&mut bytes)
        .unwrap();
    let open = |bytes: &[u8]| {
        let mut spool = Spool::new(place());
        spool.write_all(bytes).unwrap();
        SegmentTable::open(spool, "t")
    };
    assert!(open(&bytes).is_ok());
    for length in 0..bytes.len() {
        assert!(open(&bytes[..length]).is_err(), "{length}");
    }
    for at in [0, 8, 12, 16, 24, 28] {
        let mut bad = bytes.clone();
        bad[at] ^= 0x40;
        assert!(open(&bad).is_err(), "{at}");
    }
    let mut newer = bytes.clone();
    newer[8] = 2;
    assert!(matches!(open(&newer), Err(Error::TooNew { found: 2, .. })));
    let mut outside = bytes.clone();
    let at = bytes.len() - RECORD_BYTES + 45;
    outside[at] = 0xff;
    let table = open(&outside).unwrap();
    assert!(matches!(
        table.for_each(|_| Ok(())),
        Err(Error::Damaged { .. })
    ));
}
