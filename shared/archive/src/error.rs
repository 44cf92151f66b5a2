//! Why an archive was not accepted.

use crate::parser::SinkError;

/// Why an archive could not be read to a good end. Whatever it is, the archive is no backup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The first bytes are not those of a pg_dump archive.
    #[error(
        "the stream is not a pg_dump archive: it does not start with PGDMP; \
         check that pg_dump ran with -Fc and that nothing else writes to its output"
    )]
    NotAnArchive,
    /// An archive version this build does not know; it can be kept as one opaque stream.
    #[error(
        "the archive has version {major}.{minor}, this build reads 1.14 to 1.16; \
         keep it as one opaque stream or update Provado"
    )]
    UnknownVersion {
        /// Major version of the archive format.
        major: u8,
        /// Minor version of the archive format.
        minor: u8,
    },
    /// A well-formed header that says something no supported pg_dump writes.
    #[error("the archive's {field} is {found}, only {supported} is supported")]
    Unsupported {
        /// Which field of the header.
        field: &'static str,
        /// What it holds.
        found: u8,
        /// What it may hold.
        supported: u8,
    },
    /// The data is compressed; Provado compresses by itself and needs `-Z0`.
    #[error("the archive's data is compressed; run pg_dump with -Z0")]
    Compressed,
    /// Something is larger than [`crate::Limits`] allows.
    #[error("{field} at byte {offset} is {found}, the limit is {limit}")]
    LimitExceeded {
        /// What was measured.
        field: &'static str,
        /// What the archive claims.
        found: u64,
        /// What is allowed.
        limit: u64,
        /// Where in the stream.
        offset: u64,
    },
    /// Bytes that no pg_dump writes at this place.
    #[error("the archive is damaged at byte {offset}: {what}")]
    Malformed {
        /// Where in the stream, at or shortly before the damage.
        offset: u64,
        /// What was wrong there.
        what: String,
    },
    /// A data block for an entry that the table of contents does not list.
    #[error("byte {offset} starts a data block for dump id {dump_id}, which no entry has")]
    UnknownDumpId {
        /// The id in the block.
        dump_id: u32,
        /// Where the block starts.
        offset: u64,
    },
    /// A data block for an entry that said it has no data.
    #[error("byte {offset} starts a data block for {name} (dump id {dump_id}), which has no data")]
    UnexpectedData {
        /// The id in the block.
        dump_id: u32,
        /// The entry.
        name: String,
        /// Where the block starts.
        offset: u64,
    },
    /// A second data block for one entry.
    #[error("byte {offset} starts a second data block for {name} (dump id {dump_id})")]
    DuplicateData {
        /// The id in the block.
        dump_id: u32,
        /// The entry.
        name: String,
        /// Where the block starts.
        offset: u64,
    },
    /// Contents of a large object that the archive does not declare, or for the second time.
    #[error("byte {offset} starts large object {oid}, which is not declared or was there before")]
    UnexpectedLargeObject {
        /// The large object.
        oid: u32,
        /// Where, shortly behind its OID.
        offset: u64,
    },
    /// The stream ended in the middle of something.
    #[error("the archive ends after {offset} bytes, in the middle of {within}")]
    Truncated {
        /// Bytes seen.
        offset: u64,
        /// What was being read.
        within: &'static str,
    },
    /// The stream ended cleanly, but entries that should have data had none.
    #[error("the archive has no data for {}", some_of(names))]
    MissingData {
        /// The entries, as `schema.table` where there is a schema, and `large object <oid>`.
        names: Vec<String>,
    },
    /// The receiver of the parsed pieces failed.
    #[error("the receiver of the archive's contents failed")]
    Sink(#[source] SinkError),
    /// The parser was used again after it had failed.
    #[error("the archive was refused before; start again with a new parser")]
    AlreadyFailed,
}

impl ParseError {
    pub(crate) fn malformed(offset: usize, what: impl Into<String>) -> Self {
        Self::Malformed {
            offset: offset as u64,
            what: what.into(),
        }
    }
}

/// Names told in a message at most.
const NAMES_TOLD_MAX: usize = 20;

fn some_of(names: &[String]) -> String {
    let told = names.get(..NAMES_TOLD_MAX).unwrap_or(names);
    match names.len() - told.len() {
        0 => told.join(", "),
        more => format!("{} and {more} more", told.join(", ")),
    }
}
