//! Turns the names that operators write into rows: `instances/main`, `runs/0192a3b4`,
//! `backups/latest:main/shop`.
//!
//! Names are parsed here, at the edge; nothing inward takes a name as text. It owns no table and
//! changes nothing.

use crate::db::Tx;
use crate::fleet::model::{Agent, Instance};
use crate::fleet::store::agent::{agent_by_id, agent_by_name, agent_by_prefix};
use crate::fleet::store::instance::{instance_by_id, instance_by_name, instance_by_prefix};
use crate::lifecycle::backup::{Backup, Selection, backup_get, backup_latest, backup_resolve};
use crate::lifecycle::run::{Run, run_get, run_resolve};
use crate::request::{Reference, Violations, not_found, only, reference};
use provado_model::id::{AgentId, BackupId, InstanceId, RunId};
use provado_model::{Error, Reason};

/// What follows `backups/` for the newest good backup of a whole database.
const LATEST: &str = "latest:";

/// The agent that a name means. Errors: `AGENT_NOT_FOUND`, `NAME_AMBIGUOUS`, `INVALID_ARGUMENT`.
pub async fn agent(tx: &mut Tx, field: &'static str, name: &str) -> Result<Agent, Error> {
    let found = match reference::<AgentId>(field, "agents", name)? {
        Reference::Id(id) => agent_by_id(tx, id).await?,
        Reference::Name(name) => agent_by_name(tx, &name).await?,
        Reference::Part(part) => {
            let named = agent_by_name(tx, &part).await?;
            if named.is_some() {
                named
            } else {
                let found = agent_by_prefix(tx, &part).await?;
                only(found, "agent", name, |agent| agent.name.clone())?
            }
        }
    };
    found.ok_or_else(|| not_found(Reason::AgentNotFound, "agent", name))
}

/// The instance that a name means. Errors: `INSTANCE_NOT_FOUND`, `NAME_AMBIGUOUS`,
/// `INVALID_ARGUMENT`.
pub async fn instance(tx: &mut Tx, field: &'static str, name: &str) -> Result<Instance, Error> {
    let found = match reference::<InstanceId>(field, "instances", name)? {
        Reference::Id(id) => instance_by_id(tx, id).await?,
        Reference::Name(name) => instance_by_name(tx, &name).await?,
        Reference::Part(part) => {
            let named = instance_by_name(tx, &part).await?;
            if named.is_some() {
                named
            } else {
                let found = instance_by_prefix(tx, &part).await?;
                only(found, "instance", name, |instance| instance.name.clone())?
            }
        }
    };
    found.ok_or_else(|| not_found(Reason::InstanceNotFound, "instance", name))
}

/// The run that a name means. Errors: `RUN_NOT_FOUND`, `NAME_AMBIGUOUS`, `INVALID_ARGUMENT`.
pub async fn run(tx: &mut Tx, field: &'static str, name: &str) -> Result<Run, Error> {
    let id = match reference::<RunId>(field, "runs", name)? {
        Reference::Id(id) => Some(id),
        Reference::Name(_) => None,
        Reference::Part(part) => only(
            run_resolve(tx, &part).await?,
            "run",
            name,
            ToString::to_string,
        )?,
    };
    let found = match id {
        Some(id) => run_get(tx, id).await?,
        None => None,
    };
    found.ok_or_else(|| not_found(Reason::RunNotFound, "run", name))
}

/// The backup that a name means; `latest:INSTANCE/DATABASE` is the newest one of the whole database
/// that is not damaged and still there. Errors: `BACKUP_NOT_FOUND`, `INSTANCE_NOT_FOUND`,
/// `NAME_AMBIGUOUS`, `INVALID_ARGUMENT`.
pub async fn backup(tx: &mut Tx, field: &'static str, name: &str) -> Result<Backup, Error> {
    let bare = name.strip_prefix("backups/").unwrap_or(name);
    if let Some(place) = bare.strip_prefix(LATEST) {
        return latest(tx, field, place).await;
    }
    let id = match reference::<BackupId>(field, "backups", name)? {
        Reference::Id(id) => Some(id),
        Reference::Name(_) => None,
        Reference::Part(part) => {
            let found = backup_resolve(tx, &part).await?;
            only(found, "backup", name, ToString::to_string)?
        }
    };
    let found = match id {
        Some(id) => backup_get(tx, id).await?,
        None => None,
    };
    found.ok_or_else(|| not_found(Reason::BackupNotFound, "backup", name))
}

/// A database's name may hold anything, also a slash: it is all that follows the first one.
async fn latest(tx: &mut Tx, field: &'static str, place: &str) -> Result<Backup, Error> {
    let Some((instance_name, database_name)) =
        place
            .split_once('/')
            .filter(|(instance_name, database_name)| {
                !instance_name.is_empty() && !database_name.is_empty()
            })
    else {
        return Err(Violations::of(
            field,
            "must have the form latest:INSTANCE/DATABASE",
        ));
    };
    let instance = instance(tx, field, instance_name).await?;
    // One that was made of a few tables before a change would else stand for the database.
    let full = Some(Selection::Full);
    if let Some(found) = backup_latest(tx, instance.id, database_name, None, full).await? {
        return Ok(found);
    }
    let message = match backup_latest(tx, instance.id, database_name, None, None).await? {
        None => format!(
            "there is no good backup of {database_name} on {name}; see `provado backup list \
             {name}/{database_name} --all`",
            name = instance.name
        ),
        Some(part) => format!(
            "there is no good backup of all of {database_name} on {}; the newest of a part \
             ({}) is {}: name it by its id if it is the one",
            instance.name, part.facts.selection, part.facts.id
        ),
    };
    Err(Error::new(Reason::BackupNotFound, message).with("backup", format!("{LATEST}{place}")))
}
