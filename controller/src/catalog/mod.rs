//! Shows what can be restored: BackupService.
//!
//! It only reads. Rows of backups and packs belong to `lifecycle`, where `intake` enters them and
//! `verify` moves them; which backup a name means is decided in `resolve`, since `admit` asks the
//! same. Nothing here makes, changes or deletes a backup.

mod api;
mod store;
mod wire;

pub use api::Backups;
pub use store::STATEMENTS;
