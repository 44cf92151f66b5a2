//! What an attempt was to do, read from the rows it was built from.

use super::judge::{BackupWork, DrillWork, Expected, Work};
use crate::db::Tx;
use crate::fleet::store::agent::agent_by_id;
use crate::lifecycle::attempt::Attempt;
use crate::lifecycle::backup::{Backup, backup_get, backup_pack_totals};
use crate::lifecycle::facts::BackupSummary;
use crate::lifecycle::run::Run;
use crate::lifecycle::spec::RunSpec;
use crate::lifecycle::wire::{level_out, selection_out};
use crate::policy::{Repository, repository_by_id};
use provado_identity::PublicKey;
use provado_model::Error;
use provado_model::id::{AgentId, BackupId, ProofId};
use provado_proto::agent::v1::Outcome;
use provado_proto::agent::v1::outcome::Detail;

/// The id of the backup that an attempt makes; `dispatch` mints it the same way.
pub(super) fn backup_id_of(attempt: &Attempt) -> BackupId {
    BackupId::from_uuid(attempt.id.uuid())
}

/// What a report of this attempt must agree with.
pub(super) async fn expected(
    tx: &mut Tx,
    run: &Run,
    attempt: &Attempt,
    outcome: &Outcome,
) -> Result<Expected, Error> {
    let signer = signer_of(tx, attempt.agent_id).await?;
    let work = match RunSpec::from_json(&run.spec)? {
        RunSpec::Backup(spec) => Work::Backup(BackupWork {
            backup: backup_id_of(attempt),
            recipients: repository_of(tx, run).await?.facts.recipients,
            selection: selection_out(&spec.selection),
            known_parent: known_parent(tx, run, outcome).await?,
        }),
        RunSpec::Restore(_) => Work::Restore {
            database_name: run.binding.database_name.clone().unwrap_or_default(),
        },
        RunSpec::Check(spec) => {
            let backup = backup_of(tx, run).await?.facts.id;
            Work::Check {
                level: level_out(spec.level),
                stored: backup_pack_totals(tx, backup).await?,
            }
        }
        RunSpec::Drill(_) => {
            let facts = backup_of(tx, run).await?.facts;
            Work::Drill(DrillWork {
                backup: facts.id,
                proof: ProofId::from_uuid(attempt.id.uuid()),
                large_object_count: BackupSummary::from_json(&facts.summary).large_object_count,
                description_sha256: facts.record_sha256,
                table_count: facts.table_count,
                row_count: facts.row_count,
                plain_bytes: facts.plain_bytes,
            })
        }
        RunSpec::Prune(_) => Work::Prune,
        RunSpec::Inspect => Work::Inspect,
        RunSpec::Scan(_) => Work::Scan,
        RunSpec::Init => Work::Init,
    };
    Ok(Expected { signer, work })
}

async fn backup_of(tx: &mut Tx, run: &Run) -> Result<Backup, Error> {
    let found = match run.binding.backup_id {
        Some(id) => backup_get(tx, id).await?,
        None => None,
    };
    found.ok_or_else(|| Error::internal(format!("run {} has no backup", run.id)))
}

/// The key that signs for an agent; it was given at its enrollment and never changes.
pub(super) async fn signer_of(tx: &mut Tx, agent: AgentId) -> Result<PublicKey, Error> {
    let found = agent_by_id(tx, agent)
        .await?
        .ok_or_else(|| Error::internal(format!("agent {agent} of an attempt is not there")))?;
    found.signing_public_key.parse().map_err(|source| {
        Error::internal(format!("the signing key of agent {agent} is none")).caused_by(source)
    })
}

pub(super) async fn repository_of(tx: &mut Tx, run: &Run) -> Result<Repository, Error> {
    let found = match run.binding.repository_id {
        Some(id) => repository_by_id(tx, id).await?,
        None => None,
    };
    found.ok_or_else(|| Error::internal(format!("run {} has no repository", run.id)))
}

/// The parent a report names, if it is a backup of the same instance in the same repository.
async fn known_parent(
    tx: &mut Tx,
    run: &Run,
    outcome: &Outcome,
) -> Result<Option<BackupId>, Error> {
    let Some(Detail::Backup(detail)) = &outcome.detail else {
        return Ok(None);
    };
    let Ok(id) = detail.parent_backup_id.parse::<BackupId>() else {
        return Ok(None);
    };
    let parent = backup_get(tx, id).await?.filter(|parent| {
        Some(parent.facts.instance_id) == run.binding.instance_id
            && Some(parent.facts.repository_id) == run.binding.repository_id
    });
    Ok(parent.map(|parent| parent.facts.id))
}
