//! The rows that invariants speak of, read with statements of this test's own, so that a defect of
//! a store does not hide itself.

use provado_controller::db::{Database, Sql};
use provado_controller::events::{AuditFilter, audit_list};
use provado_model::audit_chain::AuditRecord;
use std::collections::BTreeMap;

const RUNS: Sql =
    Sql::both("SELECT id, kind, state, version, attempt_number, parent_run_id, backup_id FROM run");
const ATTEMPTS: Sql = Sql::both(
    "SELECT id, run_id, number, epoch, agent_id, state, version, outcome_sha256 FROM attempt",
);
const BACKUPS: Sql =
    Sql::both("SELECT id, run_id, attempt_id, check_state, keep_state, version FROM backup");
const PROOFS: Sql = Sql::both("SELECT id, run_id FROM proof");
const EPOCH: Sql = Sql::both("SELECT epoch, amnesia_reason FROM controller_state");

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RunRow {
    pub(crate) kind: String,
    pub(crate) state: String,
    pub(crate) version: u64,
    pub(crate) attempt_number: u32,
    pub(crate) parent: Option<String>,
    pub(crate) backup: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct AttemptRow {
    pub(crate) run: String,
    pub(crate) number: u32,
    pub(crate) epoch: u64,
    pub(crate) agent: String,
    pub(crate) state: String,
    pub(crate) version: u64,
    pub(crate) outcome: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct BackupRow {
    pub(crate) run: String,
    pub(crate) attempt: Option<String>,
    pub(crate) check_state: String,
    pub(crate) keep_state: String,
    pub(crate) version: u64,
}

/// Everything at one moment, by id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Picture {
    pub(crate) runs: BTreeMap<String, RunRow>,
    pub(crate) attempts: BTreeMap<String, AttemptRow>,
    pub(crate) backups: BTreeMap<String, BackupRow>,
    /// Proofs and the drills that they come from.
    pub(crate) proofs: BTreeMap<String, String>,
    pub(crate) epoch: u64,
    pub(crate) amnesia: Option<String>,
}

impl RunRow {
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            self.state.as_str(),
            "succeeded" | "failed" | "canceled" | "skipped"
        )
    }
}

impl AttemptRow {
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state.as_str(), "offered" | "accepted" | "running")
    }
}

impl Picture {
    /// The rows now, and the audit events after `after`.
    pub(crate) async fn read(db: &Database, after: u64) -> (Self, Vec<AuditRecord>) {
        let mut tx = db.read().await.unwrap();
        let mut out = Self::default();
        for row in tx.fetch_all(RUNS, &[]).await.unwrap() {
            let run = RunRow {
                kind: row.text("kind").unwrap(),
                state: row.text("state").unwrap(),
                version: row.size("version").unwrap(),
                attempt_number: row.number("attempt_number").unwrap(),
                parent: row.text_opt("parent_run_id").unwrap(),
                backup: row.text_opt("backup_id").unwrap(),
            };
            out.runs.insert(row.text("id").unwrap(), run);
        }
        for row in tx.fetch_all(ATTEMPTS, &[]).await.unwrap() {
            let attempt = AttemptRow {
                run: row.text("run_id").unwrap(),
                number: row.number("number").unwrap(),
                epoch: row.size("epoch").unwrap(),
                agent: row.text("agent_id").unwrap(),
                state: row.text("state").unwrap(),
                version: row.size("version").unwrap(),
                outcome: row.text_opt("outcome_sha256").unwrap(),
            };
            out.attempts.insert(row.text("id").unwrap(), attempt);
        }
        for row in tx.fetch_all(BACKUPS, &[]).await.unwrap() {
            let backup = BackupRow {
                run: row.text("run_id").unwrap(),
                attempt: row.text_opt("attempt_id").unwrap(),
                check_state: row.text("check_state").unwrap(),
                keep_state: row.text("keep_state").unwrap(),
                version: row.size("version").unwrap(),
            };
            out.backups.insert(row.text("id").unwrap(), backup);
        }
        for row in tx.fetch_all(PROOFS, &[]).await.unwrap() {
            let (id, run) = (row.text("id").unwrap(), row.text("run_id").unwrap());
            out.proofs.insert(id, run);
        }
        let row = tx.fetch_one(EPOCH, &[]).await.unwrap();
        out.epoch = row.size("epoch").unwrap();
        out.amnesia = row.text_opt("amnesia_reason").unwrap();
        let events = audit_list(&mut tx, &AuditFilter::default(), after, 100_000)
            .await
            .unwrap();
        tx.rollback().await.unwrap();
        (out, events)
    }
}
