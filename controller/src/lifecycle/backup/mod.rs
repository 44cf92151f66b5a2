//! Backups: what can be restored, how far it was verified, and whether it is kept.
//!
//! A row comes from one successful run, or from a manifest that agents still have when the
//! controller's database was lost. It is never deleted, also when the backup is.

pub mod machine;
mod model;
mod packs;
mod proven;
mod row;
mod store;

pub use machine::{CheckStep, KeepStep};
pub use model::{Backup, BackupFilter, Keep, NewBackup, Selection};
pub use packs::{
    PackTotals, STATEMENTS as PACK_STATEMENTS, Usage, backup_pack_insert, backup_pack_list,
    backup_pack_totals, backup_usage, pack_damage_clear, pack_damage_insert, pack_damage_list,
};
pub use provado_model::state::{BackupCheck, BackupKeep};
pub use proven::{HOT as PROVEN_HOT, STATEMENTS as PROVEN_STATEMENTS, backup_proven_last};
pub use store::{
    HOT, STATEMENTS, backup_check_apply, backup_countersign, backup_get, backup_ids, backup_insert,
    backup_insert_found, backup_keep_apply, backup_latest, backup_list, backup_resolve,
};
