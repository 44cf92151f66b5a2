//! Finding a run or a backup by what a person typed: its name, its id, or enough of the id.

use super::backup::{Backup, backup_get, backup_resolve};
use super::run::{Run, run_get, run_resolve};
use crate::db::Tx;
use crate::request::{Reference, reference};
use provado_model::id::{BackupId, RunId};
use provado_model::{Error, Reason};
use std::fmt::Display;

/// The run that `runs/{run}` in a request means; its id may be shortened. Errors:
/// `INVALID_ARGUMENT`, `RUN_NOT_FOUND`, `NAME_AMBIGUOUS`.
pub async fn run_find(tx: &mut Tx, field: &'static str, name: &str) -> Result<Run, Error> {
    let missing = || not_found(Reason::RunNotFound, "run", name);
    let id: RunId = match reference(field, "runs", name)? {
        Reference::Id(id) => id,
        Reference::Part(part) => only(&run_resolve(tx, &part).await?, "run", name, missing)?,
        Reference::Name(_) => return Err(missing()),
    };
    run_get(tx, id).await?.ok_or_else(missing)
}

/// The backup that `backups/{backup}` in a request means; its id may be shortened. Errors:
/// `INVALID_ARGUMENT`, `BACKUP_NOT_FOUND`, `NAME_AMBIGUOUS`.
pub async fn backup_find(tx: &mut Tx, field: &'static str, name: &str) -> Result<Backup, Error> {
    let missing = || not_found(Reason::BackupNotFound, "backup", name);
    let id: BackupId = match reference(field, "backups", name)? {
        Reference::Id(id) => id,
        Reference::Part(part) => only(&backup_resolve(tx, &part).await?, "backup", name, missing)?,
        Reference::Name(_) => return Err(missing()),
    };
    backup_get(tx, id).await?.ok_or_else(missing)
}

fn not_found(reason: Reason, what: &'static str, name: &str) -> Error {
    Error::new(reason, format!("there is no {what} `{name}`")).with(what, name)
}

fn only<T: Copy + Display>(
    ids: &[T],
    what: &'static str,
    name: &str,
    missing: impl Fn() -> Error,
) -> Result<T, Error> {
    match ids {
        [] => Err(missing()),
        [id] => Ok(*id),
        [first, second, ..] => Err(Error::new(
            Reason::NameAmbiguous,
            format!("`{name}` fits more than one {what}, such as {first} and {second}; give more"),
        )
        .with(what, name)),
    }
}
