//! The directory form of an archive, for `pg_restore -Fd -j N`: the bytes of `toc.dat`, and which
//! files the data goes to. It writes no file; whether they become files or pipes is the caller's.
//!
//! The directory form differs from the custom one in three things only (PostgreSQL,
//! `pg_backup_directory.c`): the format byte is 3; an entry ends in the name of its file instead of
//! an offset; large objects are files of their own, listed in `blobs.toc`, or from archive version
//! 1.16 on in one `blobs_<dump id>.toc` for each `BLOBS` entry. All else is spliced from the raw
//! bytes of the custom archive, so text in any encoding stays what it was.

use std::collections::HashMap;
use std::fmt::Write;

use crate::cursor::{INT_BYTES, encode_int};
use crate::toc::{DumpId, Toc};

/// `archTar` in pg_backup.h: the directory form shares its number with the tar form.
const FORMAT_DIRECTORY: u8 = 3;
/// Where the format byte stands: after the magic, the version, and two sizes.
const FORMAT_AT: usize = 10;

/// Why a layout could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A list of large objects for an entry that is not `BLOBS`, or is not there.
    #[error("dump id {dump_id} was given large objects but is no BLOBS entry of the archive")]
    NoLargeObjects {
        /// The id that was given.
        dump_id: DumpId,
    },
    /// A table of contents that the parser did not make.
    #[error("the raw bytes of the table of contents do not belong to its entries")]
    RawMismatch,
}

/// An archive in directory form, but for the contents of its tables and large objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryLayout {
    /// The contents of the file `toc.dat`.
    pub toc_dat: Vec<u8>,
    /// All other files, in the order of the archive's entries; the large objects of a `BLOBS`
    /// entry follow its list.
    pub files: Vec<DirectoryFile>,
}

/// One file of a directory archive beside `toc.dat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryFile {
    /// Its name in the directory; letters, digits, `_` and `.` only.
    pub name: String,
    /// What goes in.
    pub kind: FileKind,
}

/// What a file of a directory archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// The data of this entry, as it was dumped: COPY text with its terminator, or statements.
    Table {
        /// The entry.
        dump_id: DumpId,
    },
    /// The list of an entry's large objects.
    LargeObjectList {
        /// The `BLOBS` entry.
        dump_id: DumpId,
        /// The whole file: a line `<oid> blob_<oid>.dat` for each.
        contents: Vec<u8>,
    },
    /// The contents of one large object.
    LargeObject {
        /// Its OID.
        oid: u32,
    },
}

impl DirectoryLayout {
    /// The directory form of the archive with this table of contents. `large_objects` names the
    /// OIDs of each `BLOBS` entry that has any, in the order they shall be restored.
    pub fn from_toc(toc: &Toc, large_objects: &[(DumpId, Vec<u32>)]) -> Result<Self, LayoutError> {
        let mut lists: HashMap<DumpId, &[u32]> = large_objects
            .iter()
            .map(|(dump_id, oids)| (*dump_id, oids.as_slice()))
            .collect();
        let mut files = Vec::new();
        let entries_at = toc.header_bytes + INT_BYTES;
        let mut toc_dat = slice(toc, 0, entries_at)?.to_vec();
        *toc_dat.get_mut(FORMAT_AT).ok_or(LayoutError::RawMismatch)? = FORMAT_DIRECTORY;
        for entry in &toc.entries {
            toc_dat.extend_from_slice(slice(toc, entry.span.start, entry.span.extra)?);
            let name = match (entry.had_dumper, entry.is_large_objects()) {
                (false, _) => String::new(),
                (true, false) => format!("{}.dat", entry.dump_id),
                (true, true) if toc.version.has_relkind() => format!("blobs_{}.toc", entry.dump_id),
                (true, true) => "blobs.toc".to_owned(),
            };
            toc_dat.extend_from_slice(&encode_int(length(&name)?));
            toc_dat.extend_from_slice(name.as_bytes());
            if !entry.had_dumper {
                continue;
            }
            let dump_id = entry.dump_id;
            if entry.is_large_objects() {
                let oids = lists.remove(&dump_id).unwrap_or_default();
                files.push(large_object_list(name, dump_id, oids));
                files.extend(oids.iter().map(|oid| large_object(*oid)));
            } else {
                files.push(DirectoryFile {
                    name,
                    kind: FileKind::Table { dump_id },
                });
            }
        }
        match lists.into_keys().min() {
            Some(dump_id) => Err(LayoutError::NoLargeObjects { dump_id }),
            None => Ok(Self { toc_dat, files }),
        }
    }
}

fn large_object_name(oid: u32) -> String {
    format!("blob_{oid}.dat")
}

fn large_object(oid: u32) -> DirectoryFile {
    DirectoryFile {
        name: large_object_name(oid),
        kind: FileKind::LargeObject { oid },
    }
}

fn large_object_list(name: String, dump_id: DumpId, oids: &[u32]) -> DirectoryFile {
    let mut contents = String::new();
    for oid in oids {
        // Writing to a string does not fail.
        let _ = writeln!(contents, "{oid} {}", large_object_name(*oid));
    }
    let contents = contents.into_bytes();
    DirectoryFile {
        name,
        kind: FileKind::LargeObjectList { dump_id, contents },
    }
}

fn slice(toc: &Toc, start: usize, end: usize) -> Result<&[u8], LayoutError> {
    toc.raw.get(start..end).ok_or(LayoutError::RawMismatch)
}

fn length(name: &str) -> Result<i32, LayoutError> {
    i32::try_from(name.len()).map_err(|_| LayoutError::RawMismatch)
}
