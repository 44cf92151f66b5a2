//! Builds the job of an attempt from rows. What it needs may have gone since the run was asked
//! for: then the run can never start, and the failure says why.

use super::model::{Dispatch, backup_id_of, proof_id_of};
use super::{plan, wire};
use crate::db::Tx;
use crate::fleet::model::{DatabaseState, Instance};
use crate::fleet::store::database::database_by_id;
use crate::fleet::store::instance::instance_by_id;
use crate::lifecycle::Failure;
use crate::lifecycle::attempt::{Attempt, attempt_list_live_of_agent};
use crate::lifecycle::backup::{
    Backup, BackupKeep, Selection, backup_get, backup_ids, backup_latest, pack_damage_list,
};
use crate::lifecycle::controller::deletes_allowed;
use crate::lifecycle::run::{Run, run_get};
use crate::lifecycle::spec::{
    BackupSpec, CheckSpec, DrillSpec, PruneSpec, RestoreSpec, RunSpec, ScanSpec,
};
use crate::lifecycle::wire::{level_out, selection_out};
use crate::policy::{Repository, RepositoryState, repository_by_id};
use crate::request::wire::{count_out, size_out};
use data_encoding::HEXLOWER;
use proto::job::Kind;
use provado_identity::PublicKey;
use provado_model::state::RunKind;
use provado_model::{Error, Reason};
use provado_proto::agent::v1 as proto;
use std::collections::BTreeSet;

/// How long pg_dump may wait for a lock before it gives up: others queue behind a waiting dump.
const LOCK_WAIT_SECONDS: i64 = 60;
/// Live attempts whose objects a sweep is told to leave alone.
const LIVE_ATTEMPTS_MAX: u32 = 1_000;

/// Known backups that a scan is told of; what it tells of others that are known is passed over.
const KNOWN_BACKUPS_MAX: u32 = 20_000;

/// A job, or why there can be none.
type Built<T> = Result<T, Failure>;

impl Dispatch {
    /// The job of an attempt, or why its run can never start.
    pub(super) async fn job(
        &self,
        tx: &mut Tx,
        run: &Run,
        attempt: &Attempt,
    ) -> Result<Built<Kind>, Error> {
        let spec = RunSpec::from_json(&run.spec)?;
        let sealed = match (spec.is_sealed(), self.sealed.get(run.id)) {
            (false, _) => String::new(),
            (true, Some(identity)) => identity,
            (true, None) => return Ok(Err(plan::identity_gone())),
        };
        match spec {
            RunSpec::Backup(spec) => backup(tx, run, attempt, &spec).await,
            RunSpec::Restore(spec) => restore(tx, run, &spec, sealed).await,
            RunSpec::Check(spec) => check(tx, run, &spec, sealed).await,
            RunSpec::Drill(spec) => drill(tx, run, attempt, &spec, sealed).await,
            RunSpec::Prune(spec) => {
                // It was allowed when it was asked for; the clock may have jumped since.
                let allowed = deletes_allowed(tx, self.core.clock.now()).await;
                if let Err(error) = allowed
                    && !spec.validate_only
                {
                    return Ok(Err(Failure::from(&error)));
                }
                prune(tx, run, &spec).await
            }
            RunSpec::Scan(spec) => scan(tx, run, &spec, sealed).await,
            RunSpec::Inspect => Ok(Ok(Kind::Inspect(proto::InspectJob {}))),
            RunSpec::Init => {
                let repository = repository_of(tx, run).await?;
                Ok(Ok(Kind::Init(proto::InitJob {
                    repository: Some(wire::repository(&repository)),
                    must_exist: repository.state == RepositoryState::Ready,
                })))
            }
        }
    }
}

async fn backup(
    tx: &mut Tx,
    run: &Run,
    attempt: &Attempt,
    spec: &BackupSpec,
) -> Result<Built<Kind>, Error> {
    let repository = repository_of(tx, run).await?;
    let instance = match instance_of(tx, run).await? {
        Ok(instance) => instance,
        Err(failure) => return Ok(Err(failure)),
    };
    let database = match run.binding.database_id {
        Some(id) => database_by_id(tx, id).await?,
        None => None,
    };
    let Some(database) = database.filter(|found| found.state == DatabaseState::Present) else {
        let name = run.binding.database_name.as_deref().unwrap_or("?");
        return Ok(Err(Failure::new(
            Reason::DatabaseNotFound,
            format!(
                "the database {name} was dropped from {} since the run was asked for",
                instance.name
            ),
        )));
    };
    let class = spec.selection.class();
    let parent = parent_of(tx, (&instance, &repository), &database.name, class).await?;
    Ok(Ok(Kind::Backup(proto::BackupJob {
        instance: Some(wire::instance(&instance)),
        database_name: database.name,
        database_oid: i64::from(database.oid),
        repository: Some(wire::repository(&repository)),
        backup_id: backup_id_of(attempt).to_string(),
        parent_backup_id: parent
            .as_ref()
            .map_or_else(String::new, |parent| parent.facts.id.to_string()),
        selection: Some(selection_out(&spec.selection)),
        compression_level: i32::from(spec.compression_level),
        lock_wait_timeout: Some(prost_types::Duration {
            seconds: LOCK_WAIT_SECONDS,
            nanos: 0,
        }),
        labels: run.labels.clone(),
        expected_stored_bytes: parent
            .as_ref()
            .map_or(0, |parent| size_out(parent.facts.stored_bytes)),
    })))
}

/// The backup to compare segments with: the newest good one of the same thing in the same place.
/// One that needs a pack known to be damaged is none, though it was not checked itself: what refers
/// to a damaged segment would be as damaged.
async fn parent_of(
    tx: &mut Tx,
    (instance, repository): (&Instance, &Repository),
    database_name: &str,
    class: Selection,
) -> Result<Option<Backup>, Error> {
    let place = Some(repository.facts.id);
    let newest = backup_latest(tx, instance.id, database_name, place, Some(class)).await?;
    let Some(newest) = newest else {
        return Ok(None);
    };
    let damaged = pack_damage_list(tx, newest.facts.id, 1).await?;
    Ok(damaged.is_empty().then_some(newest))
}

async fn restore(
    tx: &mut Tx,
    run: &Run,
    spec: &RestoreSpec,
    sealed: String,
) -> Result<Built<Kind>, Error> {
    let instance = match instance_of(tx, run).await? {
        Ok(instance) => instance,
        Err(failure) => return Ok(Err(failure)),
    };
    let backup = match backup_of(tx, run, sealed).await? {
        Ok(backup) => backup,
        Err(failure) => return Ok(Err(failure)),
    };
    Ok(Ok(Kind::Restore(proto::RestoreJob {
        backup: Some(backup),
        instance: Some(wire::instance(&instance)),
        database_name: run.binding.database_name.clone().unwrap_or_default(),
        selection: Some(selection_out(&spec.selection)),
        jobs_count: count_out(spec.jobs_count),
        no_owner: spec.no_owner,
        no_acl: spec.no_acl,
        create_roles: spec.create_roles,
    })))
}

async fn check(
    tx: &mut Tx,
    run: &Run,
    spec: &CheckSpec,
    sealed: String,
) -> Result<Built<Kind>, Error> {
    let backup = backup_of(tx, run, sealed).await?;
    Ok(backup.map(|backup| {
        Kind::Check(proto::CheckJob {
            backup: Some(backup),
            level: level_out(spec.level).into(),
        })
    }))
}

async fn drill(
    tx: &mut Tx,
    run: &Run,
    attempt: &Attempt,
    spec: &DrillSpec,
    sealed: String,
) -> Result<Built<Kind>, Error> {
    let backup = backup_of(tx, run, sealed).await?;
    Ok(backup.map(|backup| {
        Kind::Drill(proto::DrillJob {
            backup: Some(backup),
            jobs_count: count_out(spec.jobs_count),
            proof_id: proof_id_of(attempt).to_string(),
        })
    }))
}

async fn scan(
    tx: &mut Tx,
    run: &Run,
    spec: &ScanSpec,
    sealed_identity: String,
) -> Result<Built<Kind>, Error> {
    let repository = repository_of(tx, run).await?;
    let known = backup_ids(tx, repository.facts.id, spec.after, KNOWN_BACKUPS_MAX).await?;
    let after = spec.after.map(|id| id.to_string());
    Ok(Ok(Kind::Scan(proto::ScanJob {
        repository: Some(wire::repository(&repository)),
        known_backup_ids: known.iter().map(ToString::to_string).collect(),
        after_backup_id: after.unwrap_or_default(),
        sealed_identity,
    })))
}

/// A sweep leaves alone what attempts that live may be writing: also those of this very moment.
async fn prune(tx: &mut Tx, run: &Run, spec: &PruneSpec) -> Result<Built<Kind>, Error> {
    let repository = repository_of(tx, run).await?;
    let agent = repository.facts.agent;
    let mut writing = BTreeSet::new();
    for attempt in attempt_list_live_of_agent(tx, agent, LIVE_ATTEMPTS_MAX).await? {
        let of = run_get(tx, attempt.run_id).await?;
        let instance = of
            .filter(|of| of.kind == RunKind::Backup)
            .and_then(|of| of.binding.instance_id);
        writing.extend(instance.map(|id| id.to_string()));
    }
    Ok(Ok(Kind::Prune(proto::PruneJob {
        repository: Some(wire::repository(&repository)),
        live_instance_ids: writing.into_iter().collect(),
        grace: Some(prost_types::Duration {
            seconds: spec.grace_seconds,
            nanos: 0,
        }),
        validate_only: spec.validate_only,
    })))
}

async fn instance_of(tx: &mut Tx, run: &Run) -> Result<Built<Instance>, Error> {
    let found = match run.binding.instance_id {
        Some(id) => instance_by_id(tx, id).await?,
        None => None,
    };
    let found = found.ok_or_else(|| Error::internal(format!("run {} has no instance", run.id)))?;
    if Some(found.agent) != run.binding.agent_id {
        return Ok(Err(Failure::new(
            Reason::TargetChanged,
            format!(
                "the instance {} moved to another agent since the run was asked for",
                found.name
            ),
        )));
    }
    if found.system_identifier.is_empty() {
        return Ok(Err(Failure::new(
            Reason::PostgresUnreachable,
            format!(
                "the instance {} has never answered its agent; see `provado instance show {}`",
                found.name, found.name
            ),
        )));
    }
    Ok(Ok(found))
}

async fn repository_of(tx: &mut Tx, run: &Run) -> Result<Repository, Error> {
    let found = match run.binding.repository_id {
        Some(id) => repository_by_id(tx, id).await?,
        None => None,
    };
    found.ok_or_else(|| Error::internal(format!("run {} has no repository", run.id)))
}

async fn backup_of(
    tx: &mut Tx,
    run: &Run,
    sealed_identity: String,
) -> Result<Built<proto::BackupTarget>, Error> {
    let found = match run.binding.backup_id {
        Some(id) => backup_get(tx, id).await?,
        None => None,
    };
    let backup = found.ok_or_else(|| Error::internal(format!("run {} has no backup", run.id)))?;
    match backup.keep_state {
        BackupKeep::Active | BackupKeep::Expired => {}
        BackupKeep::Pruning | BackupKeep::Pruned => {
            return Ok(Err(Failure::new(
                Reason::BackupUnusable,
                format!("the backup {} was deleted meanwhile", backup.facts.id),
            )));
        }
    }
    let repository = repository_of(tx, run).await?;
    Ok(Ok(proto::BackupTarget {
        repository: Some(wire::repository(&repository)),
        source_instance_id: backup.facts.instance_id.to_string(),
        backup_id: backup.facts.id.to_string(),
        description_sha256: digest_of(&backup)?,
        signer_public_key: signer_of(&backup)?,
        sealed_identity,
    }))
}

fn digest_of(backup: &Backup) -> Result<Vec<u8>, Error> {
    let text = backup.facts.record_sha256.as_bytes();
    HEXLOWER.decode(text).map_err(|source| {
        Error::internal(format!(
            "the digest of backup {} is no hex",
            backup.facts.id
        ))
        .caused_by(source)
    })
}

fn signer_of(backup: &Backup) -> Result<Vec<u8>, Error> {
    let key: PublicKey = backup.facts.agent_public_key.parse().map_err(|source| {
        Error::internal(format!("the key of backup {} is none", backup.facts.id)).caused_by(source)
    })?;
    Ok(key.as_bytes().to_vec())
}
