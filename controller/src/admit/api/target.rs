//! What a request works on: everything named in it found, and every rule held against it that the
//! controller can know.

use super::backup::{check_agent, check_ready};
use crate::admit::insert::Wanted;
use crate::admit::plan;
use crate::db::Tx;
use crate::fleet::model::Instance;
use crate::fleet::store::database::database_by_name;
use crate::fleet::store::instance::instance_by_id;
use crate::lifecycle::backup::Backup;
use crate::lifecycle::controller::{deletes_allowed, destructive_allowed};
use crate::lifecycle::run::{RunBinding, RunKind};
use crate::lifecycle::spec::{CheckSpec, DrillSpec, PruneSpec, RestoreSpec, RunSpec, ScanSpec};
use crate::policy::{Repository, repository_by_id, repository_find};
use crate::request::{Violations, not_found};
use crate::resolve;
use jiff::Timestamp;
use provado_model::id::RunId;
use provado_model::{Error, Reason};
use provado_proto::operator::v1 as wire;

/// What a request works on, and how its run is made from it.
pub(super) enum Target<'a> {
    Restore(&'a wire::RunRestoreRequest, RestoreSpec),
    Check(&'a str, CheckSpec),
    Drill(&'a str, DrillSpec),
    Prune(&'a str, PruneSpec),
    Inspect(&'a str),
    Init(&'a str),
    Scan(&'a str, ScanSpec),
}

/// The run that a request makes: everything named in it found, and every rule that the controller
/// can hold it against.
pub(super) async fn resolve_target(
    tx: &mut Tx,
    now: Timestamp,
    id: RunId,
    target: Target<'_>,
) -> Result<Wanted, Error> {
    let (kind, spec, binding) = match target {
        Target::Restore(request, spec) => {
            let binding = restore_binding(tx, request, &spec).await?;
            (RunKind::Restore, RunSpec::Restore(spec), binding)
        }
        Target::Check(backup, spec) => {
            let backup = resolve::backup(tx, "backup", backup).await?;
            let binding = backup_binding(tx, &backup).await?;
            (RunKind::Check, RunSpec::Check(spec), binding)
        }
        Target::Drill(backup, spec) => {
            let backup = resolve::backup(tx, "backup", backup).await?;
            plan::check_has_tables(&backup)?;
            let binding = backup_binding(tx, &backup).await?;
            (RunKind::Drill, RunSpec::Drill(spec), binding)
        }
        Target::Prune(name, spec) => {
            let repository = repository_find(tx, "repository", name).await?;
            check_ready(&repository)?;
            if !spec.validate_only {
                deletes_allowed(tx, now).await?;
            }
            let binding = repository_binding(tx, &repository).await?;
            (RunKind::Prune, RunSpec::Prune(spec), binding)
        }
        Target::Init(name) => {
            let repository = repository_find(tx, "repository", name).await?;
            let binding = repository_binding(tx, &repository).await?;
            (RunKind::Init, RunSpec::Init, binding)
        }
        Target::Scan(name, spec) => {
            let repository = repository_find(tx, "repository", name).await?;
            check_ready(&repository)?;
            let binding = repository_binding(tx, &repository).await?;
            (RunKind::Inspect, RunSpec::Scan(spec), binding)
        }
        Target::Inspect(name) => {
            let agent = resolve::agent(tx, "agent", name).await?;
            plan::check_agent(&agent)?;
            let binding = RunBinding {
                agent_id: Some(agent.id),
                exclusive_key: Some(plan::inspect_key(agent.id)),
                ..RunBinding::default()
            };
            (RunKind::Inspect, RunSpec::Inspect, binding)
        }
    };
    Ok(Wanted::new(id, kind, spec, binding))
}

async fn restore_binding(
    tx: &mut Tx,
    request: &wire::RunRestoreRequest,
    spec: &RestoreSpec,
) -> Result<RunBinding, Error> {
    destructive_allowed(tx).await?;
    let backup = resolve::backup(tx, "backup", &request.backup).await?;
    plan::check_restorable(&backup)?;
    plan::check_has_tables(&backup)?;
    let mut violations = Violations::default();
    plan::check_holds(&backup, &spec.selection, &mut violations);
    violations.finish()?;
    let instance = if request.instance.is_empty() {
        source_of(tx, &backup).await?
    } else {
        resolve::instance(tx, "instance", &request.instance).await?
    };
    plan::check_instance(&instance)?;
    let repository = repository_of(tx, &backup).await?;
    if repository.facts.agent != instance.agent {
        return Err(Violations::of(
            "instance",
            format!(
                "{} is on another host than the repository {}, which only its own agent can read",
                instance.name, repository.facts.name
            ),
        ));
    }
    check_agent(tx, instance.agent).await?;
    plan::check_version(&backup, &instance)?;
    let name = &request.database_name;
    if database_by_name(tx, instance.id, name).await?.is_some() {
        return Err(Error::new(
            Reason::TargetExists,
            format!(
                "the instance {} has a database {name} already; restore under another name",
                instance.name
            ),
        )
        .with("database", name));
    }
    Ok(RunBinding {
        agent_id: Some(instance.agent),
        instance_id: Some(instance.id),
        database_id: None,
        database_name: Some(name.clone()),
        repository_id: Some(repository.facts.id),
        backup_id: Some(backup.facts.id),
        exclusive_key: Some(plan::restore_key(instance.id, name)),
    })
}

async fn source_of(tx: &mut Tx, backup: &Backup) -> Result<Instance, Error> {
    let found = instance_by_id(tx, backup.facts.instance_id).await?;
    found.ok_or_else(|| {
        not_found(
            Reason::InstanceNotFound,
            "instance",
            &backup.facts.instance_name,
        )
    })
}

async fn repository_of(tx: &mut Tx, backup: &Backup) -> Result<Repository, Error> {
    let id = backup.facts.repository_id;
    let found = repository_by_id(tx, id).await?;
    found.ok_or_else(|| Error::internal(format!("repository {id} of a backup is not there")))
}

/// Where a check or drill of a backup runs: where its repository is.
async fn backup_binding(tx: &mut Tx, backup: &Backup) -> Result<RunBinding, Error> {
    plan::check_there(backup)?;
    let repository = repository_of(tx, backup).await?;
    check_agent(tx, repository.facts.agent).await?;
    Ok(RunBinding {
        agent_id: Some(repository.facts.agent),
        instance_id: Some(backup.facts.instance_id),
        database_id: backup.facts.database_id,
        database_name: Some(backup.facts.database_name.clone()),
        repository_id: Some(repository.facts.id),
        backup_id: Some(backup.facts.id),
        exclusive_key: None,
    })
}

async fn repository_binding(tx: &mut Tx, repository: &Repository) -> Result<RunBinding, Error> {
    let facts = &repository.facts;
    check_agent(tx, facts.agent).await?;
    Ok(RunBinding {
        agent_id: Some(facts.agent),
        repository_id: Some(facts.id),
        exclusive_key: Some(plan::repository_key(facts.id)),
        ..RunBinding::default()
    })
}
