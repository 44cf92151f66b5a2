//! The proof document: what was compared, with what, and what came of it, as JSON that is signed
//! byte for byte.

use super::contents::{Compared, Item};
use crate::jobs::backup::FINGERPRINT_ALGORITHM;
use crate::jobs::source::OpenBackup;
use crate::jobs::work::Work;
use provado_model::Error;
use provado_proto::agent::v1::DrillJob;
use provado_proto::repository::v1::RelationKind;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// Tables and large objects listed one by one; of more the list's SHA-256 stands for them.
const LISTED_MAX: usize = 5000;

/// What a proof is made from.
pub(super) struct ProofFacts<'a> {
    pub(super) job: &'a DrillJob,
    pub(super) backup: &'a OpenBackup,
    pub(super) compared: &'a Compared,
    pub(super) remarks: &'a [String],
    pub(super) recovery_millis: i64,
    pub(super) server_version: String,
    /// Whether nothing at all differs, definitions included.
    pub(super) is_equal: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    proof_id: &'a str,
    backup_id: String,
    repository_id: String,
    instance_id: String,
    /// Of the backup's signed document.
    #[serde(rename = "document_sha256")]
    stored_sha256: String,
    run_id: String,
    attempt_id: String,
    agent_id: String,
    database_name: &'a str,
    source_server_version: &'a str,
    snapshot_time: String,
    proof_time: String,
    level: &'static str,
    server_version: &'a str,
    recovery_millis: i64,
    fingerprint_algorithm: &'a str,
    table_count: u64,
    row_count: u64,
    large_object_count: u64,
    plain_bytes: u64,
    /// SHA-256 over all lines `object rows fingerprint rows fingerprint`, expected before found.
    compared_sha256: String,
    tables: Vec<Line<'a>>,
    large_objects: Vec<Line<'a>>,
    remarks: &'a [String],
}

#[derive(Serialize)]
struct Line<'a> {
    object: &'a str,
    expected_row_count: u64,
    found_row_count: Option<u64>,
    expected_fingerprint: &'a str,
    found_fingerprint: Option<&'a str>,
}

fn line(item: &Item) -> Line<'_> {
    let found = item.found.as_ref().ok();
    Line {
        object: &item.object,
        expected_row_count: item.expected.row_count,
        found_row_count: found.map(|digest| digest.row_count),
        expected_fingerprint: &item.expected.fingerprint,
        found_fingerprint: found.map(|digest| digest.fingerprint.as_str()),
    }
}

/// The document as text. The same facts give the same bytes.
pub(super) fn document(facts: &ProofFacts<'_>, work: &Work<'_>) -> Result<String, Error> {
    let compared = facts.compared;
    let stored = facts.backup.reader.document();
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let all = || compared.tables.iter().chain(&compared.large_objects);
    let mut digest = Sha256::new();
    for line in all().map(line) {
        let text = serde_json::to_string(&line).map_err(not_json)?;
        digest.update(text.as_bytes());
        digest.update(b"\n");
    }
    let listed = |items: &'_ [Item]| items.len() <= LISTED_MAX;
    let level = if facts.is_equal { "equal" } else { "different" };
    let context = work.context;
    let document = Document {
        format: "provado-proof-v1",
        proof_id: &facts.job.proof_id,
        backup_id: stored.document.backup_id.to_string(),
        repository_id: stored.document.repository_id.to_string(),
        instance_id: stored.document.instance_id.to_string(),
        stored_sha256: hex(&stored.sha256),
        run_id: context.name.run.to_string(),
        attempt_id: context.name.attempt.to_string(),
        agent_id: context.agent.to_string(),
        database_name: &facts.backup.source.database_name,
        source_server_version: &facts.backup.source.server_version,
        snapshot_time: stored.document.snapshot_time.to_string(),
        proof_time: context.clock.now().to_string(),
        level,
        server_version: &facts.server_version,
        recovery_millis: facts.recovery_millis,
        fingerprint_algorithm: FINGERPRINT_ALGORITHM,
        table_count: compared.table_count(),
        row_count: compared.row_count(),
        large_object_count: compared.large_objects.len() as u64,
        plain_bytes: compared.byte_count(),
        compared_sha256: hex(&digest.finalize()),
        tables: if listed(&compared.tables) {
            compared.tables.iter().map(line).collect()
        } else {
            Vec::new()
        },
        large_objects: if listed(&compared.large_objects) {
            compared.large_objects.iter().map(line).collect()
        } else {
            Vec::new()
        },
        remarks: facts.remarks,
    };
    serde_json::to_string_pretty(&document).map_err(not_json)
}

fn not_json(error: serde_json::Error) -> Error {
    Error::internal("the proof could not be written").caused_by(error)
}

/// What cannot be compared exactly in any drill of such a database, and what was done instead.
pub(super) fn standing_remarks(backup: &OpenBackup) -> Vec<String> {
    let count = |kind: RelationKind| {
        let relations = backup.inventory.relations.iter();
        relations.filter(|relation| relation.kind() == kind).count()
    };
    let mut out = Vec::new();
    let views = count(RelationKind::MaterializedView);
    if views > 0 {
        out.push(format!(
            "{views} materialized views were filled anew by the restore; their definitions were \
             compared, not their rows"
        ));
    }
    let foreign = count(RelationKind::ForeignTable);
    if foreign > 0 {
        out.push(format!(
            "{foreign} foreign tables have their rows elsewhere; their definitions were compared"
        ));
    }
    out
}
