//! The manifest: what a backup holds, entry by entry, as a stream of records that is compressed,
//! then encrypted to the recipients. Written and read front to back with bounded memory.
//!
//! The messages are those of `provado/repository/v1/manifest.proto`. The order of records and
//! their counts are checked when read, so that a manifest that was cut or put together otherwise
//! is never taken for a whole one.

mod listing;
mod read;
mod write;

pub use provado_proto::repository::v1::{
    BackupKind, EntryHead, EntryKind, EntryTail, FileAttributes, ManifestHeader, ManifestTrailer,
    PackReference, Section, SegmentPlace, Source, Tool,
};

pub(crate) use listing::ListingWriter;
pub(crate) use read::{ManifestReader, Visitor};
pub(crate) use write::{ManifestWriter, SealedWriter};

/// Version of the manifest's form.
pub const MANIFEST_VERSION: u32 = 1;

#[cfg(test)]
mod tests;
