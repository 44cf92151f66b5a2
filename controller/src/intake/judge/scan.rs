//! The evidence of a scan: whether each backup is told of in full. Whether it may enter the
//! catalogue is decided when that is asked.

use super::Problems;
use provado_identity::PublicKey;
use provado_model::id::{AgentId, AttemptId, BackupId, InstanceId, RunId};
use provado_model::statement;
use provado_proto::agent::v1::{FoundBackup, ScanOutcome};

pub(super) fn judge(detail: &ScanOutcome, problems: &mut Problems) {
    problems.require(detail.backup_count >= 0, "it counts less than no backups");
    let next = detail.next_after_backup_id.as_str();
    problems.require(
        next.is_empty() || next.parse::<BackupId>().is_ok(),
        "where to go on is no backup",
    );
    for found in &detail.backups {
        let (id, instance) = (&found.backup_id, &found.instance_id);
        if id.parse::<BackupId>().is_err() || instance.parse::<InstanceId>().is_err() {
            problems.add("a backup has no valid id or instance".to_owned());
        } else if found.message.is_empty() {
            judge_found(found, problems);
        }
    }
}

fn judge_found(found: &FoundBackup, problems: &mut Problems) {
    let id = &found.backup_id;
    let ids = found.run_id.parse::<RunId>().is_ok()
        && found.attempt_id.parse::<AttemptId>().is_ok()
        && found.agent_id.parse::<AgentId>().is_ok();
    if !ids {
        problems.add(format!("backup {id} does not say who made it"));
    }
    let digests = [&found.description_sha256, &found.manifest_sha256];
    if digests.iter().any(|digest| digest.len() != 32) {
        problems.add(format!("backup {id} has no SHA-256"));
    }
    let counts = [
        found.plain_bytes,
        found.stored_bytes,
        found.added_bytes,
        found.segment_count,
    ];
    if counts.iter().any(|count| *count < 0) {
        problems.add(format!("a count of backup {id} is negative"));
    }
    if found.consistent_time.is_none() || found.end_time.is_none() {
        problems.add(format!("backup {id} does not say when it was made"));
    }
    if !found.description_signature.is_empty() && !is_signed(found) {
        problems.add(format!("backup {id} is not signed with the key it names"));
    }
}

fn is_signed(found: &FoundBackup) -> bool {
    let parts = (
        found.backup_id.parse::<BackupId>(),
        <[u8; 32]>::try_from(found.description_sha256.as_slice()),
        <[u8; 32]>::try_from(found.signer_public_key.as_slice()),
    );
    let (Ok(id), Ok(digest), Ok(key)) = parts else {
        return false;
    };
    let message = statement::description(id, &digest);
    PublicKey::from_bytes(key)
        .verify(&message, &found.description_signature)
        .is_ok()
}
