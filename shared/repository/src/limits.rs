//! A number for everything in this crate that can grow. Sizes in bytes.

/// Plain bytes of one segment at most; a reader takes no more memory for one.
pub const SEGMENT_BYTES_MAX: usize = 16 << 20;
/// Stored bytes a pack is ended at, unless the writer is told otherwise.
pub const PACK_BYTES_TARGET: u64 = 64 << 20;
/// Packs one backup may refer to.
pub const PACKS_MAX: usize = 1 << 20;
/// Segments of this backup remembered to find the same content again; further apart than this it
/// is stored twice.
pub const OWN_SEGMENTS_MAX: usize = 1 << 18;
/// Segment records sorted in memory before they go to the spool.
pub const SORT_RECORDS_MAX: usize = 1 << 16;
/// Bytes a spool keeps in memory before it becomes a file.
pub const SPOOL_MEMORY_BYTES_MAX: usize = 8 << 20;
/// Segments in one record of a manifest.
pub const RUN_SEGMENTS_MAX: usize = 1024;
/// Bytes of one record of a manifest at most.
pub const RECORD_BYTES_MAX: usize = 64 << 20;
/// Bytes of one section record.
pub const SECTION_BYTES_MAX: usize = 1 << 20;
/// Bytes of the descriptor, of a backup's document or of a signature object at most.
pub const DOCUMENT_BYTES_MAX: u64 = 256 << 20;
/// Bytes of the repository's descriptor at most.
pub const DESCRIPTOR_BYTES_MAX: u64 = 1 << 20;
/// Bytes a backend hands out at a time.
pub const CHUNK_BYTES: usize = 1 << 20;
/// Objects in one page of a list.
pub const LIST_PAGE_MAX: usize = 1000;
/// Stored bytes fetched by one range read when neighboring segments are read together.
pub const FETCH_BYTES_MAX: u64 = 4 << 20;
/// Packs being ended (synced, linked) while the next is written.
pub const PACKS_ENDING_MAX: usize = 2;
/// Worker threads of one writer or reader at most.
pub const THREADS_MAX: usize = 64;
/// Findings of one check that are listed; more are counted.
pub const DAMAGE_MAX: usize = 10_000;
/// Entry names listed with one damage.
pub const DAMAGE_ENTRIES_MAX: usize = 100;
/// Recipients of one repository.
pub const RECIPIENTS_MAX: usize = 32;
/// Bytes of a secret that [`crate::keys::seal`] takes.
pub const SECRET_BYTES_MAX: usize = 64 << 10;
