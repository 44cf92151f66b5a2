//! The evidence of a backup.

use super::{BackupWork, Exits, Problems, tools};
use provado_identity::PublicKey;
use provado_model::id::{BackupId, PackId};
use provado_model::{Reason, statement};
use provado_proto::agent::v1::{BackupEvidence, BackupOutcome, PackFact};
use provado_proto::common::v1::{Scope, Selection};
use std::collections::BTreeSet;

/// The reason that fits what is wrong best.
pub(super) fn reason(detail: &BackupOutcome) -> Reason {
    match &detail.evidence {
        Some(evidence) if !evidence.read_back_equal => Reason::ReadBackDiffers,
        Some(evidence) if !evidence.archive_complete && !evidence.opaque => Reason::DumpIncomplete,
        Some(_) | None => Reason::EvidenceInsufficient,
    }
}

/// Collects everything that does not add up.
pub(super) fn judge(
    work: &BackupWork,
    signer: &PublicKey,
    detail: &BackupOutcome,
    problems: &mut Problems,
) {
    problems.require(
        detail.backup_id == work.backup.to_string(),
        "the backup has another id than the attempt was given",
    );
    match &detail.evidence {
        Some(evidence) => judge_evidence(evidence, detail, problems),
        None => problems.add("there is no evidence".to_owned()),
    }
    judge_counts(detail, problems);
    judge_packs(&detail.packs, detail.segment_count, problems);
    judge_versions(detail, problems);
    judge_promise(work, detail, problems);
    judge_signature(work.backup, signer, detail, problems);
}

fn judge_evidence(evidence: &BackupEvidence, detail: &BackupOutcome, problems: &mut Problems) {
    problems.require(
        evidence.tools.iter().any(|tool| tool.program == "pg_dump"),
        "no pg_dump was run",
    );
    tools(&evidence.tools, Exits::Clean, problems);
    problems.require(evidence.produced_bytes > 0, "pg_dump produced nothing");
    if evidence.opaque {
        problems.require(
            detail.archive_version.is_empty(),
            "an archive of a known version was not parsed",
        );
    } else {
        problems.require(
            evidence.parsed_bytes == evidence.produced_bytes,
            "not every byte that pg_dump produced was parsed",
        );
        problems.require(
            evidence.archive_complete,
            "the archive ended early or lacks data of an entry",
        );
        problems.refuse(
            detail.archive_version.is_empty(),
            "the archive's version is not told",
        );
    }
    problems.require(evidence.segmented_bytes > 0, "nothing went into segments");
    problems.require(
        evidence.segmented_bytes == evidence.manifest_bytes,
        "the manifest's segments do not add up to what was segmented",
    );
    problems.require(evidence.written_bytes > 0, "nothing was written");
    problems.require(
        evidence.written_bytes == evidence.read_back_bytes,
        "not every byte that was written was read back",
    );
    problems.require(
        evidence.read_back_equal,
        "what was read back differs from what was written",
    );
}

fn judge_counts(detail: &BackupOutcome, problems: &mut Problems) {
    let counts = [
        ("plain bytes", detail.plain_bytes),
        ("stored bytes", detail.stored_bytes),
        ("added bytes", detail.added_bytes),
        ("segments", detail.segment_count),
        ("reused segments", detail.reused_segment_count),
        ("tables", detail.table_count),
        ("rows", detail.row_count),
        ("large objects", detail.large_object_count),
    ];
    for (name, count) in counts {
        if count < 0 {
            problems.add(format!("the number of {name} is negative"));
        }
    }
    problems.require(detail.plain_bytes > 0, "the backup holds no bytes");
    problems.require(detail.stored_bytes > 0, "the backup has no stored bytes");
    problems.require(detail.segment_count > 0, "the backup has no segments");
    problems.require(
        detail.reused_segment_count <= detail.segment_count,
        "more segments were reused than there are",
    );
}

fn judge_packs(packs: &[PackFact], segment_count: i64, problems: &mut Problems) {
    problems.require(
        segment_count <= 0 || !packs.is_empty(),
        "there are segments but no pack that holds them",
    );
    let mut seen = BTreeSet::new();
    for pack in packs {
        let id = &pack.pack_id;
        if id.parse::<PackId>().is_err() {
            problems.add("a pack has no valid id".to_owned());
        }
        if !seen.insert(id) {
            problems.add(format!("pack {id} is listed twice"));
        }
        if pack.pack_sha256.len() != 32 {
            problems.add(format!("pack {id} has no SHA-256"));
        }
        if pack.referred_bytes <= 0 || pack.referred_bytes > pack.stored_bytes {
            problems.add(format!(
                "of pack {id}, {} of {} bytes are said to be referred to",
                pack.referred_bytes, pack.stored_bytes
            ));
        }
    }
}

fn judge_versions(detail: &BackupOutcome, problems: &mut Problems) {
    problems.require(
        detail.consistent_time.is_some(),
        "the instant of the consistent view is not told",
    );
    // From 10 on the number is major * 10000 + minor (PostgreSQL manual, server_version_num).
    let server_major = detail.server_version_number / 10_000;
    let tool_major = major(&detail.tool_version);
    problems.require(server_major > 0, "the server's version is not told");
    match tool_major {
        Some(tool_major) => problems.require(
            tool_major >= server_major,
            "pg_dump is older than the server it dumped",
        ),
        None => problems.add("the version of pg_dump is not told".to_owned()),
    }
}

/// Whether it is the backup that was asked for.
fn judge_promise(work: &BackupWork, detail: &BackupOutcome, problems: &mut Problems) {
    let asked: BTreeSet<&String> = work.recipients.iter().collect();
    let used: BTreeSet<&String> = detail.recipients.iter().collect();
    problems.require(
        asked == used,
        "the backup is not encrypted to exactly the repository's recipients",
    );
    let parent_is_known = match detail.parent_backup_id.as_str() {
        "" => true,
        parent => work
            .known_parent
            .is_some_and(|known| known.to_string() == parent),
    };
    problems.require(
        parent_is_known,
        "its parent is no backup of this instance in this repository",
    );
    let made = detail.selection.clone().unwrap_or_default();
    problems.require(
        scope(&made) == scope(&work.selection),
        "the backup has another scope than was asked for",
    );
    // A partial backup must never pass for a whole one.
    problems.require(
        made.table_patterns.is_empty() == work.selection.table_patterns.is_empty(),
        "the backup holds another selection of tables than was asked for",
    );
}

fn judge_signature(
    backup: BackupId,
    signer: &PublicKey,
    detail: &BackupOutcome,
    problems: &mut Problems,
) {
    problems.require(
        detail.manifest_sha256.len() == 32,
        "the manifest has no SHA-256",
    );
    let Ok(digest) = <[u8; 32]>::try_from(detail.description_sha256.as_slice()) else {
        problems.add("the description has no SHA-256".to_owned());
        return;
    };
    let message = statement::description(backup, &digest);
    problems.require(
        signer
            .verify(&message, &detail.description_signature)
            .is_ok(),
        "the description is not signed by the agent's key",
    );
}

fn scope(selection: &Selection) -> Scope {
    match selection.scope() {
        Scope::Unspecified | Scope::Everything => Scope::Everything,
        Scope::SchemaOnly => Scope::SchemaOnly,
        Scope::DataOnly => Scope::DataOnly,
    }
}

fn major(version: &str) -> Option<i32> {
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().filter(|major| *major > 0)
}
