//! Where segments of this backup are, for finding the same content again within it.

use crate::keys::SegmentId;
use crate::table::Record;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Segments this backup has placed, up to a number of them. Only the assembler adds,
/// in the order of the entries, so that what is shared does not depend on how threads ran.
#[derive(Debug)]
pub(super) struct OwnSegments {
    records: Mutex<HashMap<SegmentId, Record>>,
    count_max: usize,
}

impl OwnSegments {
    /// Remembers at most so many.
    pub(super) fn new(count_max: usize) -> Self {
        Self {
            records: Mutex::default(),
            count_max,
        }
    }

    pub(super) fn contains(&self, id: &SegmentId) -> bool {
        self.lock().contains_key(id)
    }

    pub(super) fn find(&self, id: &SegmentId) -> Option<Record> {
        self.lock().get(id).copied()
    }

    pub(super) fn add(&self, record: Record) {
        let mut records = self.lock();
        if records.len() < self.count_max {
            records.insert(record.id, record);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SegmentId, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
