//! The lying agents: each row changes a good report in one way, and none may pass.

mod backup;
mod drill;
mod others;

use super::*;
use provado_identity::SigningKey;
use provado_model::random::SeededEntropy;
use provado_model::statement;
use provado_proto::agent::v1::{
    BackupEvidence, BackupOutcome, CheckOutcome, Damage, Difference, DrillOutcome, InitOutcome,
    InspectOutcome, PackFact, PruneOutcome, RestoreOutcome, RestoreVerdict, SweptObject,
};
use provado_proto::common::v1::{Failure as WireFailure, FailureKind, Scope};
use uuid::Uuid;

const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

fn key() -> SigningKey {
    SigningKey::generate(&SeededEntropy::new(1)).unwrap()
}

fn backup_id(number: u128) -> BackupId {
    BackupId::from_uuid(Uuid::from_u128(number))
}

fn proof_id() -> ProofId {
    ProofId::from_uuid(Uuid::from_u128(9))
}

fn exit(program: &str) -> ToolExit {
    ToolExit {
        program: program.to_owned(),
        version: "15.18".to_owned(),
        exit_code: Some(0),
        signal: None,
        error_line_count: 0,
    }
}

fn outcome(detail: Detail) -> Outcome {
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    Outcome {
        result: AttemptResult::Succeeded.into(),
        start_time: time(100),
        end_time: time(160),
        detail: Some(detail),
        ..Outcome::default()
    }
}

fn backup_expected() -> Expected {
    Expected {
        signer: key().public_key(),
        work: Work::Backup(BackupWork {
            backup: backup_id(1),
            recipients: vec![RECIPIENT.to_owned(), "age1other".to_owned()],
            selection: Selection::default(),
            known_parent: Some(backup_id(7)),
        }),
    }
}

fn good_backup() -> BackupOutcome {
    let digest = [5_u8; 32];
    let signature = key()
        .sign(&statement::description(backup_id(1), &digest))
        .unwrap();
    BackupOutcome {
        backup_id: backup_id(1).to_string(),
        evidence: Some(BackupEvidence {
            tools: vec![exit("pg_dump"), exit("pg_dumpall")],
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
            seconds: 101,
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
        large_object_count: 0,
        packs: vec![PackFact {
            pack_id: Uuid::from_u128(3).to_string(),
            pack_sha256: vec![1; 32],
            stored_bytes: 380,
            referred_bytes: 380,
        }],
        manifest_sha256: vec![2; 32],
        description_sha256: digest.to_vec(),
        description_signature: signature.to_vec(),
        parent_backup_id: backup_id(7).to_string(),
        // In another order than the repository has them.
        recipients: vec!["age1other".to_owned(), RECIPIENT.to_owned()],
        selection: Some(Selection {
            scope: Scope::Everything.into(),
            table_patterns: Vec::new(),
        }),
    }
}

fn evidence(detail: &mut BackupOutcome) -> &mut BackupEvidence {
    detail.evidence.as_mut().unwrap()
}

fn reason_of(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Good => "GOOD",
        Verdict::Canceled => "CANCELED",
        Verdict::Failed(failure) => &failure.reason,
    }
}
