//! `<backup>.segments`: every segment a backup refers to and where it is, sorted by segment id.
//!
//! It needs no key to read and tells nothing of contents. The next backup looks segments up in it
//! (with bounded memory, whatever its size), a check walks packs by it, and the controller learns
//! from it what every pack is worth. All numbers are little-endian.

mod build;
mod read;

use crate::keys::SegmentId;
use provado_model::id::PackId;
use uuid::Uuid;

pub(crate) use build::TableBuilder;
pub use read::SegmentTable;

/// First bytes of the object.
pub(crate) const MAGIC: [u8; 8] = *b"PVSEGTB1";
/// Bytes before the packs: magic, version, record size, records, packs, zero, backup id.
pub(crate) const HEADER_BYTES: usize = 48;
/// Bytes of one pack: id and stored bytes.
pub(crate) const PACK_BYTES: usize = 24;
/// Bytes of one record.
pub(crate) const RECORD_BYTES: usize = 56;
/// Version of the table.
pub(crate) const VERSION: u32 = 1;

/// Where one segment is. Ordered as records are in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record {
    /// Its id.
    pub id: SegmentId,
    /// Position of its pack in the table's list.
    pub pack_index: u32,
    /// Offset of its first stored byte in the pack.
    pub offset_bytes: u64,
    /// Stored bytes.
    pub stored_bytes: u32,
    /// Plain bytes.
    pub plain_bytes: u32,
}

/// A pack as the table knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TablePack {
    /// Its id.
    pub pack_id: PackId,
    /// Its stored bytes.
    pub stored_bytes: u64,
}

impl Record {
    pub(crate) fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let mut out = [0; RECORD_BYTES];
        put(&mut out, 0, &self.id.0);
        put(&mut out, 32, &self.pack_index.to_le_bytes());
        put(&mut out, 36, &self.stored_bytes.to_le_bytes());
        put(&mut out, 40, &self.offset_bytes.to_le_bytes());
        put(&mut out, 48, &self.plain_bytes.to_le_bytes());
        out
    }

    /// The record of its bytes; the last four are to be zero.
    pub(crate) fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let record = Self {
            id: SegmentId(field(bytes, 0)?),
            pack_index: u32::from_le_bytes(field(bytes, 32)?),
            stored_bytes: u32::from_le_bytes(field(bytes, 36)?),
            offset_bytes: u64::from_le_bytes(field(bytes, 40)?),
            plain_bytes: u32::from_le_bytes(field(bytes, 48)?),
        };
        (field::<4>(bytes, 52)? == [0; 4]).then_some(record)
    }

    /// Offset behind its last stored byte.
    pub fn end_bytes(&self) -> u64 {
        self.offset_bytes
            .saturating_add(u64::from(self.stored_bytes))
    }
}

impl TablePack {
    pub(crate) fn to_bytes(self) -> [u8; PACK_BYTES] {
        let mut out = [0; PACK_BYTES];
        put(&mut out, 0, self.pack_id.uuid().as_bytes());
        put(&mut out, 16, &self.stored_bytes.to_le_bytes());
        out
    }

    pub(crate) fn from_bytes(bytes: &[u8; PACK_BYTES]) -> Option<Self> {
        Some(Self {
            pack_id: PackId::from_uuid(Uuid::from_bytes(field(bytes, 0)?)),
            stored_bytes: u64::from_le_bytes(field(bytes, 16)?),
        })
    }
}

/// Writes `value` at `at`; what does not fit is left out, and all callers' offsets are constants.
pub(crate) fn put(out: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = out.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// The `N` bytes at `at`.
pub(crate) fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests;
