//! A backup as operators see it.

use crate::lifecycle::backup::{Backup, BackupCheck, BackupKeep, Keep};
use crate::lifecycle::facts::{BackupSummary, PackFact};
use crate::lifecycle::wire::selection_out;
use crate::request::name_of;
use crate::request::wire::{size_out, time_out};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER;
use provado_model::Error;
use provado_model::id::ProofId;
use provado_proto::operator::v1 as wire;

/// What a backup's message needs beyond its row.
#[derive(Debug, Default)]
pub(super) struct Around {
    pub(super) instance: String,
    pub(super) repository: String,
    pub(super) agent: String,
    pub(super) proof: Option<ProofId>,
    pub(super) damages: Vec<String>,
    pub(super) packs: Vec<PackFact>,
}

/// The message for a backup.
pub(super) fn backup(backup: &Backup, around: Around) -> Result<wire::Backup, Error> {
    let facts = &backup.facts;
    let summary = BackupSummary::from_json(&facts.summary);
    let (keep_until, keep_forever) = match facts.keep {
        Keep::ByPolicy => (None, false),
        Keep::Until(time) => (Some(time), false),
        Keep::Forever => (None, true),
    };
    let reused = facts.segment_count.saturating_sub(facts.new_segment_count);
    let bad = |what: &str| Error::internal(format!("the {what} of backup {} is none", facts.id));
    let hex = |what: &str, text: &str| HEXLOWER.decode(text.as_bytes()).map_err(|_| bad(what));
    let parent = facts.parent_backup_id;
    Ok(wire::Backup {
        name: name_of("backups", facts.id),
        instance: name_of("instances", around.instance),
        database_name: facts.database_name.clone(),
        repository: name_of("repositories", around.repository),
        run: name_of("runs", facts.run_id),
        check_state: check_out(backup.check_state).into(),
        check_time: backup.last_check_time.map(time_out),
        keep_state: keep_out(backup.keep_state).into(),
        keep_until_time: keep_until.map(time_out),
        keep_forever,
        create_time: Some(time_out(backup.create_time)),
        consistent_time: Some(time_out(facts.snapshot_time)),
        duration_millis: size_out(summary.duration_millis),
        selection: Some(selection_out(&summary.selection)),
        server_version_number: i32::try_from(facts.server_version_num).unwrap_or(0),
        tool_version: facts.tool_version.clone(),
        plain_bytes: size_out(facts.plain_bytes),
        stored_bytes: size_out(facts.stored_bytes),
        added_bytes: size_out(facts.new_bytes),
        table_count: size_out(facts.table_count),
        row_count: size_out(facts.row_count),
        large_object_count: size_out(summary.large_object_count),
        segment_count: size_out(facts.segment_count),
        reused_segment_count: size_out(reused),
        parent_backup: parent.map_or_else(String::new, |id| name_of("backups", id)),
        recipients: facts.recipients.clone(),
        labels: facts.labels.clone(),
        manifest_sha256: hex("manifest's digest", &facts.manifest_sha256)?,
        description_sha256: hex("description's digest", &facts.record_sha256)?,
        signer_public_key: STANDARD
            .decode(&facts.agent_public_key)
            .map_err(|_| bad("signer's key"))?,
        proof: around
            .proof
            .map_or_else(String::new, |id| name_of("proofs", id)),
        damages: around.damages,
        packs: around
            .packs
            .iter()
            .map(|pack| {
                Ok(wire::Pack {
                    pack_id: pack.id.to_string(),
                    pack_sha256: hex("digest of a pack", &pack.sha256)?,
                    stored_bytes: size_out(pack.stored_bytes),
                    referred_bytes: size_out(pack.referred_bytes),
                })
            })
            .collect::<Result<_, Error>>()?,
        agent: name_of("agents", around.agent),
        opaque: summary.opaque,
    })
}

const fn check_out(state: BackupCheck) -> wire::BackupCheckState {
    match state {
        BackupCheck::Unchecked => wire::BackupCheckState::Unchecked,
        BackupCheck::Intact => wire::BackupCheckState::Intact,
        BackupCheck::Readable => wire::BackupCheckState::Readable,
        BackupCheck::Proven => wire::BackupCheckState::Proven,
        BackupCheck::Corrupt => wire::BackupCheckState::Corrupt,
    }
}

const fn keep_out(state: BackupKeep) -> wire::BackupKeepState {
    match state {
        BackupKeep::Active => wire::BackupKeepState::Active,
        BackupKeep::Expired => wire::BackupKeepState::Expired,
        BackupKeep::Pruning => wire::BackupKeepState::Pruning,
        BackupKeep::Pruned => wire::BackupKeepState::Pruned,
    }
}

/// A check state of a filter; none for what this program does not know.
pub(super) fn check_in(value: i32) -> Option<BackupCheck> {
    match wire::BackupCheckState::try_from(value).ok()? {
        wire::BackupCheckState::Unspecified => None,
        wire::BackupCheckState::Unchecked => Some(BackupCheck::Unchecked),
        wire::BackupCheckState::Intact => Some(BackupCheck::Intact),
        wire::BackupCheckState::Readable => Some(BackupCheck::Readable),
        wire::BackupCheckState::Proven => Some(BackupCheck::Proven),
        wire::BackupCheckState::Corrupt => Some(BackupCheck::Corrupt),
    }
}
