//! pg_dump's archive as a stream: the custom format read while it flows, its rows counted,
//! fingerprinted and cut into segments, and the directory and custom forms written back.
//!
//! | module | owns |
//! |---|---|
//! | [`parser`] | the push parser of a custom archive and the [`Sink`] it drives |
//! | [`toc`] | header and table of contents as values |
//! | [`rows`], [`large_object`] | digests of a table's COPY text and of a large object |
//! | [`cut`], [`segment`] | where content is cut, and the buffers cut there |
//! | [`directory`], [`writer`] | the form for `pg_restore -Fd`, the form for export |
//! | [`selection`] | which entries a partial restore takes |
//!
//! The crate is pure: it opens no file, starts no task, reads no clock, and never panics on input.
//! Memory is bounded by the table of contents and [`Limits`], whatever the size of the data.
//!
//! The format is that of PostgreSQL's `src/bin/pg_dump/pg_backup_archiver.{c,h}`,
//! `pg_backup_custom.c` and `pg_backup_directory.c`, versions 12 to 18, and is checked in the tests
//! against archives that those programs wrote.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod cursor;
pub mod cut;
pub mod directory;
pub mod error;
pub mod large_object;
pub mod limits;
pub mod parser;
pub mod rows;
pub mod segment;
pub mod selection;
pub mod toc;
pub mod writer;

pub use cut::{CutPolicy, Cutter};
pub use directory::{DirectoryFile, DirectoryLayout, FileKind, LayoutError, large_object_list};
pub use error::ParseError;
pub use large_object::LargeObjectDigest;
pub use limits::Limits;
pub use parser::{ArchiveParser, Probe, Sink, SinkError, Summary, probe};
pub use rows::{RowError, RowScanner, TableDigest};
pub use segment::{EntryDigest, SegmentError, SegmentMode, Segmenter};
pub use selection::{
    Content, LeftOut, Pattern, PatternError, SelectedEntries, Selection, SelectionError,
};
pub use toc::{CopyTarget, DumpId, Section, Toc, TocEntry, Version};
pub use writer::CustomWriter;
