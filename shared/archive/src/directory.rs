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
use crate::toc::{DumpId, FORMAT_AT, FORMAT_DIRECTORY, Toc, TocEntry, Version};

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
        Self::build(toc, large_objects, &HashMap::new())
    }

    /// As [`DirectoryLayout::from_toc`] without large objects, where the given `CREATE EXTENSION`
    /// entries make the given version instead of whatever is the server's default.
    pub fn with_versions(
        toc: &Toc,
        versions: &HashMap<DumpId, String>,
    ) -> Result<Self, LayoutError> {
        Self::build(toc, &[], versions)
    }

    fn build(
        toc: &Toc,
        large_objects: &[(DumpId, Vec<u32>)],
        versions: &HashMap<DumpId, String>,
    ) -> Result<Self, LayoutError> {
        let mut lists: HashMap<DumpId, &[u32]> = large_objects
            .iter()
            .map(|(dump_id, oids)| (*dump_id, oids.as_slice()))
            .collect();
        let mut files = Vec::new();
        let entries_at = toc.header_bytes + INT_BYTES;
        let mut toc_dat = slice(toc, 0, entries_at)?.to_vec();
        *toc_dat.get_mut(FORMAT_AT).ok_or(LayoutError::RawMismatch)? = FORMAT_DIRECTORY;
        for entry in &toc.entries {
            copy_entry(toc, entry, versions.get(&entry.dump_id), &mut toc_dat)?;
            let name = match (entry.had_dumper, entry.is_large_objects()) {
                (false, _) => String::new(),
                (true, false) => format!("{}.dat", entry.dump_id),
                (true, true) => list_name(toc.version, entry.dump_id),
            };
            toc_dat.extend_from_slice(&encode_int(length(&name)?));
            toc_dat.extend_from_slice(name.as_bytes());
            if !entry.had_dumper {
                continue;
            }
            let dump_id = entry.dump_id;
            if entry.is_large_objects() {
                let oids = lists.remove(&dump_id).unwrap_or_default();
                let (_, contents) = large_object_list(toc.version, dump_id, oids);
                let kind = FileKind::LargeObjectList { dump_id, contents };
                files.push(DirectoryFile { name, kind });
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

/// Copies an entry up to what each form has for itself, with another version in its definition
/// where one is given.
fn copy_entry(
    toc: &Toc,
    entry: &TocEntry,
    version: Option<&String>,
    out: &mut Vec<u8>,
) -> Result<(), LayoutError> {
    let span = entry.span;
    let Some(version) = version else {
        out.extend_from_slice(slice(toc, span.start, span.extra)?);
        return Ok(());
    };
    out.extend_from_slice(slice(toc, span.start, span.defn)?);
    let statement = slice(toc, span.defn + INT_BYTES, span.after_defn)?;
    let end = statement.iter().rposition(|byte| *byte == b';');
    let (before, after) = statement.split_at(end.ok_or(LayoutError::RawMismatch)?);
    let clause = format!(" VERSION '{}'", version.replace('\'', "''"));
    let bytes = before.len() + clause.len() + after.len();
    let bytes = i32::try_from(bytes).map_err(|_| LayoutError::RawMismatch)?;
    out.extend_from_slice(&encode_int(bytes));
    for part in [before, clause.as_bytes(), after] {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(slice(toc, span.after_defn, span.extra)?);
    Ok(())
}

fn list_name(version: Version, dump_id: DumpId) -> String {
    if version.has_relkind() {
        format!("blobs_{dump_id}.toc")
    } else {
        "blobs.toc".to_owned()
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

/// Name and contents of the file that lists the large objects of a `BLOBS` entry, in an archive
/// of this version: a line `<oid> blob_<oid>.dat` for each.
pub fn large_object_list(version: Version, dump_id: DumpId, oids: &[u32]) -> (String, Vec<u8>) {
    let mut contents = String::new();
    for oid in oids {
        // Writing to a string does not fail.
        let _ = writeln!(contents, "{oid} {}", large_object_name(*oid));
    }
    (list_name(version, dump_id), contents.into_bytes())
}

fn slice(toc: &Toc, start: usize, end: usize) -> Result<&[u8], LayoutError> {
    toc.raw.get(start..end).ok_or(LayoutError::RawMismatch)
}

fn length(name: &str) -> Result<i32, LayoutError> {
    i32::try_from(name.len()).map_err(|_| LayoutError::RawMismatch)
}
