//! What an agent would report of its work.

use agent::job::Kind;
use agent::outcome::Detail;
use provado_identity::SigningKey;
use provado_model::id::BackupId;
use provado_model::statement;
use provado_proto::agent::v1 as agent;
use provado_proto::common::v1::{Failure, FailureKind, Scope, Selection};
use uuid::Uuid;

/// The outcome of a job that was done well.
pub(crate) fn good(job: &agent::Job, key: &SigningKey) -> agent::Outcome {
    let detail = match job.kind.as_ref().expect("the job is known") {
        Kind::Backup(job) => Detail::Backup(backup(job, key)),
        Kind::Restore(job) => Detail::Restore(restore(job)),
        Kind::Check(job) => Detail::Check(agent::CheckOutcome {
            level: job.level,
            object_count: 7,
            read_bytes: 1_000,
            damages: Vec::new(),
        }),
        Kind::Drill(job) => Detail::Drill(drill(job, key)),
        Kind::Prune(_) => Detail::Prune(agent::PruneOutcome::default()),
        Kind::Inspect(_) => Detail::Inspect(agent::InspectOutcome { instance_count: 1 }),
        Kind::Init(_) => Detail::Init(agent::InitOutcome {
            capabilities: [("link".to_owned(), "yes".to_owned())].into(),
            ..agent::InitOutcome::default()
        }),
        Kind::Scan(_) => Detail::Scan(agent::ScanOutcome::default()),
    };
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    agent::Outcome {
        result: agent::AttemptResult::Succeeded.into(),
        start_time: time(1_700_000_000),
        end_time: time(1_700_000_060),
        detail: Some(detail),
        ..agent::Outcome::default()
    }
}

/// The outcome of a check that found damage; of other jobs, none.
pub(crate) fn damaged(job: &agent::Job, key: &SigningKey) -> Option<agent::Outcome> {
    let mut outcome = good(job, key);
    let Some(Detail::Check(check)) = &mut outcome.detail else {
        return None;
    };
    check.damages.push(agent::Damage {
        object_key: "instances/x/packs/y.pack".to_owned(),
        message: "its SHA-256 differs".to_owned(),
        entries: vec!["table public.orders".to_owned()],
    });
    outcome.result = agent::AttemptResult::Failed.into();
    Some(outcome)
}

/// The outcome of a job that failed.
pub(crate) fn failed() -> agent::Outcome {
    agent::Outcome {
        result: agent::AttemptResult::Failed.into(),
        failure: Some(Failure {
            kind: FailureKind::Exhausted.into(),
            reason: "DISK_FULL".to_owned(),
            message: "the disk is full".to_owned(),
            ..Failure::default()
        }),
        ..agent::Outcome::default()
    }
}

/// A success whose evidence does not add up; of jobs other than a backup, none.
pub(crate) fn incomplete(job: &agent::Job, key: &SigningKey) -> Option<agent::Outcome> {
    let mut outcome = good(job, key);
    let Some(Detail::Backup(backup)) = &mut outcome.detail else {
        return None;
    };
    backup.evidence.as_mut()?.read_back_bytes = 1;
    Some(outcome)
}

fn exit(program: &str) -> agent::ToolExit {
    agent::ToolExit {
        program: program.to_owned(),
        version: "15.18".to_owned(),
        exit_code: Some(0),
        signal: None,
        error_line_count: 0,
    }
}

fn backup(job: &agent::BackupJob, key: &SigningKey) -> agent::BackupOutcome {
    let id: BackupId = job.backup_id.parse().unwrap();
    let digest = [7_u8; 32];
    let signature = key.sign(&statement::description(id, &digest)).unwrap();
    agent::BackupOutcome {
        backup_id: job.backup_id.clone(),
        evidence: Some(agent::BackupEvidence {
            tools: vec![exit("pg_dump")],
            produced_bytes: 1_000,
            parsed_bytes: 1_000,
            segmented_bytes: 900,
            manifest_bytes: 900,
            written_bytes: 400,
            read_back_bytes: 400,
            archive_complete: true,
            opaque: false,
            read_back_equal: true,
        }),
        consistent_time: Some(prost_types::Timestamp {
            seconds: 1_700_000_001,
            nanos: 0,
        }),
        server_version_number: 150_018,
        tool_version: "15.18".to_owned(),
        archive_version: "1.14".to_owned(),
        plain_bytes: 900,
        stored_bytes: 380,
        added_bytes: 300,
        segment_count: 4,
        reused_segment_count: 1,
        table_count: 2,
        row_count: 10,
        large_object_count: 3,
        packs: [Some(id), job.parent_backup_id.parse().ok()]
            .into_iter()
            .flatten()
            .map(pack)
            .collect(),
        manifest_sha256: vec![2; 32],
        description_sha256: digest.to_vec(),
        description_signature: signature.to_vec(),
        parent_backup_id: job.parent_backup_id.clone(),
        recipients: job.repository.clone().unwrap().recipients,
        selection: Some(Selection {
            scope: Scope::Everything.into(),
            table_patterns: job.selection.clone().unwrap_or_default().table_patterns,
        }),
    }
}

fn pack(of: BackupId) -> agent::PackFact {
    agent::PackFact {
        pack_id: Uuid::from_u128(of.uuid().as_u128() ^ 1).to_string(),
        pack_sha256: vec![1; 32],
        stored_bytes: 400,
        referred_bytes: 380,
    }
}

fn restore(job: &agent::RestoreJob) -> agent::RestoreOutcome {
    agent::RestoreOutcome {
        verdict: agent::RestoreVerdict::Restored.into(),
        database_name: job.database_name.clone(),
        database_oid: 20_000,
        table_count: 2,
        row_count: 10,
        plain_bytes: 900,
        read_bytes: 380,
        tools: vec![exit("pg_restore")],
        ..agent::RestoreOutcome::default()
    }
}

fn drill(job: &agent::DrillJob, key: &SigningKey) -> agent::DrillOutcome {
    let backup = &job.backup.as_ref().unwrap().backup_id;
    let document = serde_json::json!({
        "proof_id": job.proof_id,
        "backup_id": backup,
        "document_sha256": "07".repeat(32),
        "level": "equal",
        "table_count": 2,
        "row_count": 10,
        "large_object_count": 3,
        "plain_bytes": 900,
        "recovery_millis": 1_234,
    })
    .to_string();
    agent::DrillOutcome {
        proof_signature: key.sign(document.as_bytes()).unwrap().to_vec(),
        proof_document: document,
        proof_id: job.proof_id.clone(),
        table_count: 2,
        row_count: 10,
        plain_bytes: 900,
        recovery_millis: 1_234,
        server_version: "15.18".to_owned(),
        tools: vec![exit("pg_restore")],
        large_object_count: 3,
        ..agent::DrillOutcome::default()
    }
}
