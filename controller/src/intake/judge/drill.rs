//! The evidence of a drill: what it restored, what it compared, and the proof it signed.

use super::{DrillWork, Exits, Problems, tools};
use provado_identity::PublicKey;
use provado_proto::agent::v1::DrillOutcome;
use serde_json::Value;

/// The level of a proof that may make a backup PROVEN.
const EQUAL: &str = "equal";

pub(super) fn judge(
    work: &DrillWork,
    signer: &PublicKey,
    detail: &DrillOutcome,
    problems: &mut Problems,
) {
    problems.require(
        detail.proof_id == work.proof.to_string(),
        "the proof has another id than the attempt was given",
    );
    problems.require(detail.recovery_millis > 0, "no recovery time was measured");
    problems.refuse(
        detail.server_version.is_empty(),
        "the version of the throw-away instance is not told",
    );
    problems.refuse(detail.tools.is_empty(), "no tool was run");
    tools(&detail.tools, Exits::Compared, problems);
    compared(work, detail, problems);
    problems.require(
        signer
            .verify(detail.proof_document.as_bytes(), &detail.proof_signature)
            .is_ok(),
        "the proof is not signed by the agent's key",
    );
    match serde_json::from_str(&detail.proof_document) {
        Ok(proof) => document(work, detail, &proof, problems),
        Err(_) => problems.add("the proof's document is not JSON".to_owned()),
    }
}

/// Whether it compared what the backup has. Tables that cannot be compared are named, each in a
/// remark.
fn compared(work: &DrillWork, detail: &DrillOutcome, problems: &mut Problems) {
    let counts = (
        u64::try_from(detail.table_count),
        u64::try_from(detail.row_count),
        u64::try_from(detail.plain_bytes),
        u64::try_from(detail.large_object_count),
    );
    let (Ok(tables), Ok(rows), Ok(bytes), Ok(large_objects)) = counts else {
        problems.add("a count is negative".to_owned());
        return;
    };
    let explained = u64::try_from(detail.remarks.len()).unwrap_or(u64::MAX);
    problems.require(
        tables <= work.table_count && work.table_count - tables <= explained,
        &format!(
            "it compared {tables} tables, the backup has {}, and not every other one is named",
            work.table_count
        ),
    );
    problems.require(
        rows == work.row_count || (rows < work.row_count && tables < work.table_count),
        &format!("it compared {rows} rows, the backup has {}", work.row_count),
    );
    problems.require(
        large_objects == work.large_object_count,
        &format!(
            "it compared {large_objects} large objects, the backup has {}",
            work.large_object_count
        ),
    );
    problems.require(
        bytes <= work.plain_bytes,
        "it compared more bytes than the backup has",
    );
}

/// Whether the document that was signed says what the report says, of this backup.
fn document(work: &DrillWork, detail: &DrillOutcome, proof: &Value, problems: &mut Problems) {
    let says = |name: &str| proof.get(name).and_then(Value::as_str);
    problems.require(
        says("backup_id") == Some(work.backup.to_string().as_str()),
        "the proof is about another backup",
    );
    problems.require(
        says("document_sha256") == Some(work.description_sha256.as_str()),
        "the proof is about another description of the backup than the catalogue has",
    );
    problems.require(
        says("proof_id") == Some(work.proof.to_string().as_str()),
        "the proof's document has another id",
    );
    problems.require(
        says("level") == Some(EQUAL),
        "the proof does not say that everything was equal",
    );
    let counts = [
        ("table_count", detail.table_count),
        ("row_count", detail.row_count),
        ("large_object_count", detail.large_object_count),
        ("plain_bytes", detail.plain_bytes),
        ("recovery_millis", detail.recovery_millis),
    ];
    for (name, reported) in counts {
        problems.require(
            proof.get(name).and_then(Value::as_i64) == Some(reported),
            &format!("the proof's {name} is not the report's"),
        );
    }
}
