//! Backups that a scan found and the catalogue does not know: which of them enter it, and as what.
//!
//! A backup that is there stays as it is. One enters UNCHECKED if it was made by an agent and of an
//! instance that are known, and if it is known of which database it is: from its manifest, or from
//! its parent, which is a backup of the same database by construction.

use super::wire;
use crate::db::Tx;
use crate::events::Context;
use crate::fleet::model::Instance;
use crate::fleet::store::agent::agent_by_id;
use crate::fleet::store::database::database_by_name;
use crate::fleet::store::instance::instance_by_id;
use crate::lifecycle::attempt::{AttemptState, attempt_get_of_agent};
use crate::lifecycle::backup::{
    Backup, Keep, NewBackup, backup_get, backup_insert_found, backup_pack_insert,
};
use crate::lifecycle::facts::{BackupSummary, ScanFacts};
use crate::lifecycle::run::Run;
use crate::lifecycle::spec::SelectionSpec;
use crate::lifecycle::wire::{plain, selection_in};
use crate::request::wire::time_in;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use provado_identity::PublicKey;
use provado_model::id::{AgentId, AttemptId, BackupId, InstanceId, RepositoryId};
use provado_model::label::Labels;
use provado_model::{Error, limits};
use provado_proto::agent::v1::{FoundBackup, FoundContents, ScanOutcome};
use std::str::FromStr;

const FOUND: &str = "it was found by a scan of its repository";
const UNJUDGED: &str =
    "the evidence of its attempt was never judged; check or drill it before you rely on it";
const UNOPENED: &str = "its manifest was not opened: name and selection are its parent's; tables, \
                        rows and labels are not known";

/// Longest name or version that is taken from a manifest, in characters.
const TEXT_CHARS_MAX: usize = 1_000;

/// Enters what may enter; what became of each, a line for people.
pub(super) async fn enter(
    tx: &mut Tx,
    ctx: &Context,
    controller: PublicKey,
    (run, scan): (&Run, &ScanOutcome),
) -> Result<ScanFacts, Error> {
    let repository = super::expect::repository_of(tx, run).await?.facts.id;
    let mut facts = ScanFacts {
        backup_count: u64::try_from(scan.backup_count).unwrap_or(0),
        next_after: scan.next_after_backup_id.parse().ok(),
        ..ScanFacts::default()
    };
    for found in &scan.backups {
        let id: BackupId = id_of(&found.backup_id)?;
        if backup_get(tx, id).await?.is_some() {
            continue;
        }
        match describe(tx, controller, repository, found).await? {
            Ok((new, made)) => {
                let line = format!(
                    "backup {id} of {}/{} of {}",
                    new.instance_name, new.database_name, new.snapshot_time
                );
                backup_insert_found(tx, ctx, &new, made).await?;
                backup_pack_insert(tx, id, &wire::packs(&found.packs)).await?;
                facts.entered.push(line);
            }
            Err(why) => facts
                .left_out
                .push(format!("backup {id} is left out: {why}")),
        }
    }
    Ok(facts)
}

/// The row for a backup and when it was made, or why it is left out.
async fn describe(
    tx: &mut Tx,
    controller: PublicKey,
    repository: RepositoryId,
    found: &FoundBackup,
) -> Result<Result<(NewBackup, Timestamp), String>, Error> {
    if !found.message.is_empty() {
        let message = plain(&found.message, TEXT_CHARS_MAX);
        return Ok(Err(format!(
            "its description cannot be believed: {message}"
        )));
    }
    let instance_id: InstanceId = id_of(&found.instance_id)?;
    let Some(instance) = instance_by_id(tx, instance_id).await? else {
        return Ok(Err(format!(
            "it is of the instance {instance_id}, which the controller does not know"
        )));
    };
    if let Some(why) = unknown_signer(tx, found).await? {
        return Ok(Err(why));
    }
    let is_countersigned = found.countersigner_public_key == controller.as_bytes();
    if !is_countersigned && let Some(why) = judged_otherwise(tx, found).await? {
        return Ok(Err(why));
    }
    let Some(mut source) = source_of(tx, found, &instance).await? else {
        return Ok(Err(
            "of which database it is, is known only with an identity that opens it; repeat the \
             scan with --identity FILE"
                .to_owned(),
        ));
    };
    if !is_countersigned {
        source.remarks.push(UNJUDGED);
    }
    let times = (time_of(found.consistent_time), time_of(found.end_time));
    let (Some(snapshot_time), Some(made)) = times else {
        return Ok(Err("its times lie outside the calendar".to_owned()));
    };
    let mut new = row(found, (&instance, repository, snapshot_time), source)?;
    let database = database_by_name(tx, instance_id, &new.database_name).await?;
    new.database_id = database
        .filter(|it| it.oid == new.database_oid)
        .map(|it| it.id);
    Ok(Ok((new, made)))
}

/// Why the key that signed a description is not to be believed, if it is not.
async fn unknown_signer(tx: &mut Tx, found: &FoundBackup) -> Result<Option<String>, Error> {
    let agent: AgentId = id_of(&found.agent_id)?;
    let Some(known) = agent_by_id(tx, agent).await? else {
        return Ok(Some(format!(
            "it was made by the agent {agent}, which the controller does not know"
        )));
    };
    let key: Option<PublicKey> = known.signing_public_key.parse().ok();
    let fits = key.is_some_and(|key| found.signer_public_key == key.as_bytes());
    Ok((!fits).then(|| {
        format!(
            "it is not signed with the key of the agent {}, which it says has made it",
            known.name
        )
    }))
}

/// Why a backup that this controller never countersigned stays out, where its attempt is known.
async fn judged_otherwise(tx: &mut Tx, found: &FoundBackup) -> Result<Option<String>, Error> {
    let (attempt, agent): (AttemptId, AgentId) =
        (id_of(&found.attempt_id)?, id_of(&found.agent_id)?);
    let Some(attempt) = attempt_get_of_agent(tx, attempt, agent).await? else {
        return Ok(None);
    };
    let run = attempt.run_id;
    Ok(match attempt.state {
        AttemptState::Offered | AttemptState::Accepted | AttemptState::Running => Some(format!(
            "the run {run} that makes it has not ended; its own report decides"
        )),
        AttemptState::Failed | AttemptState::Canceled | AttemptState::Refused => {
            Some(format!("the run {run} that made it was not judged good"))
        }
        // Nobody has judged it: the report never came.
        AttemptState::Succeeded | AttemptState::Lost => None,
    })
}

/// Of what a backup is.
struct Origin {
    contents: FoundContents,
    selection: SelectionSpec,
    /// What an operator should know of the row.
    remarks: Vec<&'static str>,
}

/// From the manifest where an identity has opened it, else from the parent.
async fn source_of(
    tx: &mut Tx,
    found: &FoundBackup,
    instance: &Instance,
) -> Result<Option<Origin>, Error> {
    if let Some(contents) = &found.contents {
        let selection = contents.selection.as_ref().map(selection_in);
        return Ok(Some(Origin {
            contents: contents.clone(),
            selection: selection.unwrap_or_default(),
            remarks: vec![FOUND],
        }));
    }
    let Ok(parent) = found.parent_backup_id.parse() else {
        return Ok(None);
    };
    let parent = backup_get(tx, parent).await?;
    let parent = parent.filter(|it| it.facts.instance_id == instance.id);
    Ok(parent.map(|parent| inherited(&parent)))
}

fn inherited(parent: &Backup) -> Origin {
    let facts = &parent.facts;
    Origin {
        contents: FoundContents {
            system_identifier: facts.system_identifier.clone(),
            database_name: facts.database_name.clone(),
            database_oid: i64::from(facts.database_oid),
            ..FoundContents::default()
        },
        selection: BackupSummary::from_json(&facts.summary).selection,
        remarks: vec![FOUND, UNOPENED],
    }
}

fn row(
    found: &FoundBackup,
    (instance, repository, snapshot_time): (&Instance, RepositoryId, Timestamp),
    origin: Origin,
) -> Result<NewBackup, Error> {
    let count = |value: i64| u64::try_from(value).unwrap_or(0);
    let key = <[u8; 32]>::try_from(found.signer_public_key.as_slice())
        .map_err(|_| Error::internal("a key was compared and is none"))?;
    let contents = origin.contents;
    let text = |value: &str| plain(value, TEXT_CHARS_MAX);
    let class = origin.selection.class();
    let summary = BackupSummary {
        selection: origin.selection,
        large_object_count: count(contents.large_object_count),
        opaque: contents.opaque,
        archive_version: String::new(),
        duration_millis: span(found),
        warnings: origin.remarks.into_iter().map(str::to_owned).collect(),
    };
    Ok(NewBackup {
        id: id_of(&found.backup_id)?,
        run_id: id_of(&found.run_id)?,
        attempt_id: Some(id_of(&found.attempt_id)?),
        agent_id: id_of(&found.agent_id)?,
        agent_public_key: PublicKey::from_bytes(key).to_string(),
        instance_id: instance.id,
        instance_name: instance.name.clone(),
        system_identifier: text(&contents.system_identifier),
        database_id: None,
        database_name: text(&contents.database_name),
        database_oid: u32::try_from(contents.database_oid).unwrap_or(0),
        repository_id: repository,
        parent_backup_id: found.parent_backup_id.parse().ok(),
        selection: class,
        snapshot_time,
        keep: Keep::ByPolicy,
        server_version_num: u32::try_from(found.server_version_number).unwrap_or(0),
        tool_version: text(&contents.tool_version),
        plain_bytes: count(found.plain_bytes),
        stored_bytes: count(found.stored_bytes),
        new_bytes: count(found.added_bytes),
        segment_count: count(found.segment_count),
        new_segment_count: count(found.segment_count),
        table_count: count(contents.table_count),
        row_count: count(contents.row_count),
        encrypted: !found.recipients.is_empty(),
        recipients: found.recipients.clone(),
        manifest_sha256: HEXLOWER.encode(&found.manifest_sha256),
        record_sha256: HEXLOWER.encode(&found.description_sha256),
        signature: STANDARD.encode(&found.description_signature),
        countersignature: None,
        labels: bounded(contents.labels),
        summary: summary.to_json()?,
    })
}

fn bounded(labels: Labels) -> Labels {
    labels.into_iter().take(limits::LABELS_MAX).collect()
}

fn span(found: &FoundBackup) -> u64 {
    match (time_of(found.start_time), time_of(found.end_time)) {
        (Some(start), Some(end)) => {
            u64::try_from(end.duration_since(start).as_millis()).unwrap_or(0)
        }
        (None, _) | (_, None) => 0,
    }
}

fn time_of(time: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    time.as_ref().and_then(time_in)
}

/// An id that was judged to be one.
fn id_of<T: FromStr>(text: &str) -> Result<T, Error> {
    text.parse()
        .map_err(|_| Error::internal("an id was judged good and is none"))
}
