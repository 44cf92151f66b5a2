//! The SQL of `proof` and `verification`.

use super::model::Proof;
use crate::db::{Row, Tx, statements, values};
use crate::events::{AuditEntry, Context, Event, audit_append};
use provado_model::Error;
use provado_model::id::{BackupId, InstanceId, ProofId, RunId};

macro_rules! columns {
    () => {
        "id, backup_id, run_id, agent_id, instance_id, instance_name, database_name, level, \
         create_time, start_time, end_time, table_count, row_count, large_object_count, \
         plain_bytes, recovery_millis, server_version, remarks_json, document_json, \
         document_sha256, agent_public_key, signature, countersignature"
    };
}

statements! {
    // The two conditions on the state are those of the index.
    RUN_UNVERIFIED = both(
        "SELECT run.id FROM run LEFT JOIN verification ON verification.run_id = run.id \
         WHERE run.kind IN ('check', 'drill') AND run.state IN ('succeeded', 'failed') \
         AND verification.run_id IS NULL ORDER BY run.end_time, run.id LIMIT $1",
    );
    VERIFICATION_INSERT = both(
        "INSERT INTO verification (run_id, verify_time, finding) VALUES ($1, $2, $3) \
         ON CONFLICT (run_id) DO NOTHING",
    );
    PROOF_INSERT = both(concat!(
        "INSERT INTO proof (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, \
         $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23) \
         ON CONFLICT (id) DO NOTHING"
    ));
    PROOF_GET = both(concat!("SELECT ", columns!(), " FROM proof WHERE id = $1"));
    PROOF_RESOLVE = both(
        "SELECT id FROM proof WHERE (id >= $1 AND id < $2) OR id LIKE $3 ORDER BY id LIMIT 2",
    );
    PROOF_LIST = both(concat!(
        "SELECT ", columns!(), " FROM proof \
         WHERE ($1 = '' OR id < $1) \
         AND ($2 = '' OR instance_id = $2) \
         AND (CAST($3 AS TEXT) IS NULL OR database_name = $3) \
         AND ($4 = '' OR backup_id = $4) \
         ORDER BY id DESC LIMIT $5"
    ));
}

/// Ended checks and drills that have not been looked at, in the order in which they ended.
pub(super) async fn run_unverified(tx: &mut Tx, limit: u32) -> Result<Vec<RunId>, Error> {
    let rows = tx.fetch_all(RUN_UNVERIFIED, &values![limit]).await?;
    rows.iter().map(|row| row.parse("id")).collect()
}

/// Notes that a run was looked at; false if it was before.
pub(super) async fn verification_insert(
    tx: &mut Tx,
    ctx: &Context,
    run: RunId,
    finding: &'static str,
) -> Result<bool, Error> {
    tx.execute(VERIFICATION_INSERT, &values![run, ctx.now, finding])
        .await
        .map(|count| count == 1)
}

/// Keeps a proof; one that is there stays as it is.
pub(super) async fn proof_insert(tx: &mut Tx, ctx: &Context, proof: &Proof) -> Result<(), Error> {
    let remarks = serde_json::json!(proof.remarks).to_string();
    let made = tx
        .execute(
            PROOF_INSERT,
            &values![
                proof.id,
                proof.backup_id,
                proof.run_id,
                proof.agent_id,
                proof.instance_id,
                proof.instance_name,
                proof.database_name,
                proof.level.as_str(),
                proof.create_time,
                proof.start_time,
                proof.end_time,
                proof.table_count,
                proof.row_count,
                proof.large_object_count,
                proof.plain_bytes,
                proof.recovery_millis,
                proof.server_version,
                remarks,
                proof.document,
                proof.document_sha256,
                proof.agent_public_key,
                proof.signature,
                proof.countersignature,
            ],
        )
        .await?;
    if made == 0 {
        return Ok(());
    }
    let entry = AuditEntry::done("proof.enter", "proof", proof.id)
        .agent(proof.agent_id)
        .with("backup", proof.backup_id.to_string())
        .with("run", proof.run_id.to_string())
        .with("document_sha256", proof.document_sha256.clone());
    audit_append(tx, ctx, entry).await?;
    ctx.bus.publish_on_commit(tx, Event::Proof { id: proof.id });
    Ok(())
}

/// The proof, if there is one.
pub(super) async fn proof_get(tx: &mut Tx, id: ProofId) -> Result<Option<Proof>, Error> {
    tx.fetch_optional(PROOF_GET, &values![id])
        .await?
        .map(|row| proof_of(&row))
        .transpose()
}

/// The ids that begin or end with `part`, at most two.
pub(super) async fn proof_resolve(tx: &mut Tx, part: &str) -> Result<Vec<ProofId>, Error> {
    let rows = tx
        .fetch_all(
            PROOF_RESOLVE,
            &values![part, format!("{part}~"), format!("%{part}")],
        )
        .await?;
    rows.iter().map(|row| row.parse("id")).collect()
}

/// Which proofs a list shows. Empty fields do not restrict.
#[derive(Debug, Default)]
pub(super) struct ProofFilter {
    pub(super) instance: Option<InstanceId>,
    pub(super) database_name: Option<String>,
    pub(super) backup: Option<BackupId>,
}

/// Proofs that fit the filter, newest first, after the last one seen, at most `limit`.
pub(super) async fn proof_list(
    tx: &mut Tx,
    filter: &ProofFilter,
    after: Option<ProofId>,
    limit: u32,
) -> Result<Vec<Proof>, Error> {
    let text = |id: Option<String>| id.unwrap_or_default();
    let rows = tx
        .fetch_all(
            PROOF_LIST,
            &values![
                text(after.map(|id| id.to_string())),
                text(filter.instance.map(|id| id.to_string())),
                filter.database_name,
                text(filter.backup.map(|id| id.to_string())),
                limit,
            ],
        )
        .await?;
    rows.iter().map(proof_of).collect()
}

fn proof_of(row: &Row) -> Result<Proof, Error> {
    Ok(Proof {
        id: row.parse("id")?,
        backup_id: row.parse("backup_id")?,
        run_id: row.parse("run_id")?,
        agent_id: row.parse("agent_id")?,
        instance_id: row.parse("instance_id")?,
        instance_name: row.text("instance_name")?,
        database_name: row.text("database_name")?,
        level: row.parse("level")?,
        create_time: row.time("create_time")?,
        start_time: row.time("start_time")?,
        end_time: row.time("end_time")?,
        table_count: row.size("table_count")?,
        row_count: row.size("row_count")?,
        large_object_count: row.size("large_object_count")?,
        plain_bytes: row.size("plain_bytes")?,
        recovery_millis: row.size("recovery_millis")?,
        server_version: row.text("server_version")?,
        remarks: row.json("remarks_json")?,
        document: row.text("document_json")?,
        document_sha256: row.text("document_sha256")?,
        agent_public_key: row.text("agent_public_key")?,
        signature: row.text("signature")?,
        countersignature: row.text_opt("countersignature")?,
    })
}
