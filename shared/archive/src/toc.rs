//! The header and the table of contents of an archive as values. Parsed once, never changed;
//! what must be given back to PostgreSQL's tools is spliced from the raw bytes, never re-encoded.

mod copy;
mod extra;
mod parse;

use std::collections::HashMap;

use crate::error::ParseError;
use crate::limits::Limits;

pub use copy::CopyTarget;
pub(crate) use extra::{FORMAT_CUSTOM, FORMAT_DIRECTORY};
pub(crate) use parse::{MAGIC, TocParser, TocProgress};

/// The id pg_dump gives an entry of one archive; 1 to 2^31 - 1, unique within the archive.
pub type DumpId = u32;

/// Where the format byte stands: after the magic, the version, and two sizes.
pub(crate) const FORMAT_AT: usize = 10;

/// The version of an archive's format (not of PostgreSQL).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Always 1 so far.
    pub major: u8,
    /// 14 (PostgreSQL 12 to 15), 15 (16) or 16 (17 and 18).
    pub minor: u8,
    /// Ignored by PostgreSQL's tools when they decide what they can read.
    pub revision: u8,
}

impl Version {
    /// Whether this build reads archives of this version: 1.14, 1.15 and 1.16.
    pub fn is_known(self) -> bool {
        self.major == 1 && (14..=16).contains(&self.minor)
    }

    /// From 1.15 on the header names a compression algorithm instead of a zlib level.
    pub(crate) fn names_algorithm(self) -> bool {
        self.minor >= 15
    }

    /// From 1.16 on entries carry a relkind and there may be several `BLOBS` entries.
    pub(crate) fn has_relkind(self) -> bool {
        self.minor >= 16
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// When pg_dump started, in the local time of the host it ran on; the zone is not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreateTime {
    /// Full year, such as 2026.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60.
    pub second: u8,
    /// Whether daylight saving time was in force; None where the host could not tell.
    pub daylight_saving: Option<bool>,
}

/// Which phase of a restore an entry belongs to (`teSection` in pg_backup.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Section {
    /// Comments, ACLs and the like, which go with what they depend on.
    None,
    /// Definitions that must exist before data.
    PreData,
    /// Table data, large objects, sequence values.
    Data,
    /// Indexes, constraints, triggers.
    PostData,
}

/// Header and table of contents of one archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toc {
    /// Format version.
    pub version: Version,
    /// Bytes of an integer's magnitude; always 4.
    pub int_size: u8,
    /// Bytes of a file offset; always 8.
    pub off_size: u8,
    /// Format byte: 1, custom, or 3, directory.
    pub format: u8,
    /// Compression: a zlib level before 1.15, an algorithm from then on; always 0, none.
    pub compression: i64,
    /// When the dump was started.
    pub created: CreateTime,
    /// The dumped database.
    pub dbname: String,
    /// The server's version as it says it, such as `15.20 (Debian 15.20-0+deb12u1)`.
    pub server_version: String,
    /// pg_dump's own version, in the same form.
    pub dump_version: String,
    /// The entries in the order of the archive, which is an order they can be restored in.
    pub entries: Vec<TocEntry>,
    /// The exact bytes of header and table of contents.
    pub raw: Vec<u8>,
    /// Place in `entries` by dump id.
    pub(crate) index: HashMap<DumpId, usize>,
    /// Where in `raw` the count of entries stands; the header ends there.
    pub(crate) header_bytes: usize,
}

/// Where a field of an entry stands in [`Toc::raw`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct EntrySpan {
    /// First byte of the entry.
    pub(crate) start: usize,
    /// First byte of its definition, a string with its length, and the first byte behind it.
    pub(crate) defn: usize,
    pub(crate) after_defn: usize,
    /// First byte of what is another in each form: where its data stands, or its file's name.
    pub(crate) extra: usize,
}

/// One entry: an object's definition, or the place of its data.
///
/// Text is in the archive's encoding. Where bytes are not UTF-8 they are shown as U+FFFD and
/// [`TocEntry::text_exact`] is false; such text must not be used to build SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TocEntry {
    /// Identity within the archive.
    pub dump_id: DumpId,
    /// Whether the archive must hold data for the entry.
    pub had_dumper: bool,
    /// OID of the catalog the object is in; 0 where there is none.
    pub table_oid: u32,
    /// OID of the object; 0 where there is none.
    pub oid: u32,
    /// The object's name as it is, unquoted; for a comment or ACL `KIND name`.
    pub tag: String,
    /// Kind: `TABLE`, `TABLE DATA`, `INDEX`, `BLOBS` and so on.
    pub desc: String,
    /// Phase of a restore.
    pub section: Section,
    /// SQL that creates the object; may be empty.
    pub defn: String,
    /// SQL that drops it; may be empty.
    pub drop_stmt: String,
    /// The COPY statement that loads the data; None where there is none.
    pub copy_stmt: Option<String>,
    /// Schema, unquoted; None for what is in no schema.
    pub namespace: Option<String>,
    /// Tablespace; None for the default.
    pub tablespace: Option<String>,
    /// Table access method; None where it has no meaning.
    pub table_am: Option<String>,
    /// `pg_class.relkind`; None before 1.16 and for what is no relation.
    pub relkind: Option<char>,
    /// Owner; may be empty.
    pub owner: String,
    /// Entries that must come first; some may not be in this archive.
    pub dependencies: Vec<DumpId>,
    /// Where the data block starts, from the start of the archive, if pg_dump could write it.
    pub data_offset: Option<u64>,
    /// Whether every text field is exactly what the archive holds.
    pub text_exact: bool,
    pub(crate) span: EntrySpan,
}

impl TocEntry {
    /// The entry's name for people: `schema.name` where there is a schema, else the name alone.
    pub fn display_name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}.{}", self.tag),
            None => self.tag.clone(),
        }
    }

    /// Whether this is the data of one table (or of a foreign table that was dumped with data).
    pub fn is_table_data(&self) -> bool {
        self.desc == "TABLE DATA"
    }

    /// Whether this entry's data is a list of large objects.
    pub fn is_large_objects(&self) -> bool {
        self.desc == "BLOBS"
    }

    /// The relation and columns of the entry's COPY statement. None if there is no statement, if
    /// it is not of the form pg_dump writes, or if its text is not exact.
    pub fn copy_target(&self) -> Option<CopyTarget> {
        let statement = self.copy_stmt.as_deref().filter(|_| self.text_exact)?;
        CopyTarget::parse(statement)
    }
}

impl Toc {
    /// Parses header and table of contents from exactly the bytes that [`Toc::raw`] held, or from
    /// a directory archive's `toc.dat`. Fails if they are damaged, cut off, or followed by
    /// anything.
    pub fn from_raw(raw: &[u8], limits: Limits) -> Result<Self, ParseError> {
        let mut parser = match raw.get(FORMAT_AT) {
            Some(&FORMAT_DIRECTORY) => TocParser::of_directory(limits),
            _ => TocParser::new(limits),
        };
        match parser.feed(raw)? {
            TocProgress::Complete { toc, consumed } if consumed == raw.len() => Ok(*toc),
            TocProgress::Complete { consumed, .. } => Err(ParseError::malformed(
                consumed,
                "more than a table of contents",
            )),
            TocProgress::Incomplete => {
                let (offset, within) = (raw.len() as u64, "its table of contents");
                Err(ParseError::Truncated { offset, within })
            }
        }
    }

    /// The entry with this id.
    pub fn entry(&self, dump_id: DumpId) -> Option<&TocEntry> {
        self.index
            .get(&dump_id)
            .and_then(|index| self.entries.get(*index))
    }
}
