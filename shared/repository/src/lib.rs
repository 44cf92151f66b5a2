//! The repository engine: where backups are kept, and what keeps them true.
//!
//! | module | owns |
//! |---|---|
//! | [`key`] | names of stored objects; nothing else becomes a path |
//! | [`backend`] | reading and writing objects: file system, memory, faults |
//! | [`keys`] | age identities and recipients, the segment key |
//! | [`descriptor`], [`document`] | the two documents that need no key, each protecting itself |
//! | [`segment`], [`table`] | one stored segment; the table of a backup's segments |
//! | [`manifest`] | the encrypted list of what a backup holds |
//! | [`repository`] | opening a repository, finding its backups |
//! | [`writer`], [`reader`] | a backup on its way in and on its way out |
//! | [`check`], [`sweep`] | reading stored data back; removing what no backup needs |
//!
//! It knows no PostgreSQL, no network of its own and no clock but the one it is given. Nothing is
//! ever overwritten, and a backup exists only once its manifest, the last object, is there
//! (INV-COMMIT). The format is written down in `docs/repository-format.md`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod backend;
pub mod cancel;
pub mod check;
pub mod descriptor;
pub mod document;
pub mod error;
pub mod hash;
pub mod inventory;
pub mod key;
pub mod keys;
pub mod limits;
pub mod manifest;
pub mod reader;
pub mod repository;
pub mod segment;
pub mod signature;
mod spool;
pub mod sweep;
pub mod table;
pub mod writer;

pub use backend::Backend;
pub use cancel::Cancel;
pub use document::BackupDocument;
pub use error::{Error, Result};
pub use key::{BackupRef, Key};
pub use keys::{Identity, IdentityFile, Recipient, SegmentKey};
pub use repository::{InitOptions, Opening, Repository};
pub use spool::SpoolPlace;
