//! Reports of an agent that did its work well, and requests in one line.

use crate::world::{World, run_id};
use agent::job::Kind;
use agent::outcome::Detail;
use provado_model::id::{BackupId, RunId};
use provado_model::statement;
use provado_proto::agent::v1 as agent;
use provado_proto::agent::v1::report_service_server::ReportService;
use provado_proto::common::v1::{CheckLevel, Failure, FailureKind};
use provado_proto::operator::v1 as operator;
use provado_proto::operator::v1::run_service_server::RunService;
use tonic::Status;
use uuid::Uuid;

pub(crate) fn outcome(detail: Detail) -> agent::Outcome {
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    agent::Outcome {
        result: agent::AttemptResult::Succeeded.into(),
        start_time: time(1_700_000_000),
        end_time: time(1_700_000_060),
        detail: Some(detail),
        ..agent::Outcome::default()
    }
}

pub(crate) fn failed(reason: &str) -> agent::Outcome {
    agent::Outcome {
        result: agent::AttemptResult::Failed.into(),
        failure: Some(Failure {
            kind: FailureKind::Exhausted.into(),
            reason: reason.to_owned(),
            message: format!("it failed of {reason}"),
            ..Failure::default()
        }),
        ..agent::Outcome::default()
    }
}

pub(crate) fn canceled() -> agent::Outcome {
    agent::Outcome {
        result: agent::AttemptResult::Canceled.into(),
        ..agent::Outcome::default()
    }
}

pub(crate) fn init() -> agent::Outcome {
    let mut made = agent::InitOutcome::default();
    made.capabilities
        .insert("link".to_owned(), "yes".to_owned());
    outcome(Detail::Init(made))
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

pub(crate) fn check(level: CheckLevel) -> agent::Outcome {
    outcome(Detail::Check(agent::CheckOutcome {
        level: level.into(),
        object_count: 7,
        read_bytes: 1_000,
        damages: Vec::new(),
    }))
}

pub(crate) fn damaged() -> agent::Outcome {
    let mut report = check(CheckLevel::Intact);
    if let Some(Detail::Check(check)) = &mut report.detail {
        check.damages.push(agent::Damage {
            object_key: "instances/x/packs/y.pack".to_owned(),
            message: "its SHA-256 differs".to_owned(),
            entries: vec!["table public.orders".to_owned()],
        });
    }
    report.result = agent::AttemptResult::Failed.into();
    report
}

pub(crate) fn restored(database_name: &str) -> agent::Outcome {
    outcome(Detail::Restore(agent::RestoreOutcome {
        verdict: agent::RestoreVerdict::Restored.into(),
        database_name: database_name.to_owned(),
        database_oid: 20_000,
        table_count: 2,
        row_count: 10,
        plain_bytes: 900,
        read_bytes: 380,
        tools: vec![exit("pg_restore")],
        ..agent::RestoreOutcome::default()
    }))
}

/// The same of a pack that a backup of [`World::backed_up`] has.
pub(crate) fn damaged_pack(backup: BackupId) -> agent::Outcome {
    let mut report = damaged();
    if let Some(Detail::Check(check)) = &mut report.detail {
        check.damages[0].object_key = format!("instances/x/packs/{}.pack", pack_of(backup));
    }
    report
}

/// The pack of a backup that was made without a parent.
fn pack_of(backup: BackupId) -> Uuid {
    Uuid::from_u128(backup.uuid().as_u128() ^ 1)
}

impl World {
    /// What an agent reports of a backup that went well. It refers to its parent's pack, too.
    pub(crate) fn backed_up(&self, start: &agent::StartAttempt) -> agent::Outcome {
        let Some(Kind::Backup(job)) = kind(start) else {
            panic!("not a backup: {start:?}");
        };
        let id: BackupId = job.backup_id.parse().unwrap();
        let digest = [7_u8; 32];
        let signed = statement::description(id, &digest);
        outcome(Detail::Backup(agent::BackupOutcome {
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
                .map(|of| agent::PackFact {
                    pack_id: pack_of(of).to_string(),
                    pack_sha256: vec![1; 32],
                    stored_bytes: 400,
                    referred_bytes: 380,
                })
                .collect(),
            manifest_sha256: vec![2; 32],
            description_sha256: digest.to_vec(),
            description_signature: self.agent_key.sign(&signed).unwrap().to_vec(),
            parent_backup_id: job.parent_backup_id.clone(),
            recipients: job.repository.clone().unwrap().recipients,
            selection: job.selection.clone(),
        }))
    }

    /// What an agent reports of a drill that found equality.
    pub(crate) fn drilled(&self, start: &agent::StartAttempt) -> agent::Outcome {
        let Some(Kind::Drill(job)) = kind(start) else {
            panic!("not a drill: {start:?}");
        };
        let backup = job.backup.clone().unwrap().backup_id;
        let document = serde_json::json!({
            "proof_id": job.proof_id,
            "backup_id": backup,
            "document_sha256": data_encoding::HEXLOWER.encode(&[7; 32]),
            "level": "equal",
            "table_count": 2,
            "row_count": 10,
            "large_object_count": 3,
            "plain_bytes": 900,
            "recovery_millis": 1_234,
        })
        .to_string();
        outcome(Detail::Drill(agent::DrillOutcome {
            proof_signature: self.agent_key.sign(document.as_bytes()).unwrap().to_vec(),
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
        }))
    }

    pub(crate) fn report_of(
        &self,
        start: &agent::StartAttempt,
        outcome: agent::Outcome,
    ) -> agent::ReportAttemptRequest {
        agent::ReportAttemptRequest {
            attempt: start.attempt.clone(),
            epoch: start.epoch,
            outcome: Some(outcome),
            request_id: self.request_id(),
        }
    }

    /// The agent reports the end of an attempt.
    pub(crate) async fn report(
        &self,
        start: &agent::StartAttempt,
        outcome: agent::Outcome,
    ) -> Result<agent::ReportAttemptResponse, Status> {
        let report = self.report_of(start, outcome);
        let answer = self.reports.report_attempt(self.as_agent(report)).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn init(&self, repository: &str) -> RunId {
        let request = operator::RunInitRequest {
            request_id: self.request_id(),
            validate_only: false,
            repository: format!("repositories/{repository}"),
        };
        let answer = self.runs.run_init(self.ask(request)).await.unwrap();
        run_id(answer.into_inner().run.as_ref())
    }

    pub(crate) fn backup_request(&self, database: &str) -> operator::RunBackupRequest {
        operator::RunBackupRequest {
            request_id: self.request_id(),
            instance: "instances/main".to_owned(),
            database_name: database.to_owned(),
            ..operator::RunBackupRequest::default()
        }
    }

    pub(crate) async fn request_backup(&self, database: &str) -> RunId {
        let request = self.backup_request(database);
        let answer = self.runs.run_backup(self.ask(request)).await.unwrap();
        run_id(answer.into_inner().run.as_ref())
    }

    /// Backs a database up, from the request to the catalogue.
    pub(crate) async fn back_up(&self, database: &str) -> BackupId {
        let run = self.request_backup(database).await;
        self.settle().await;
        let start = self.take_start();
        let answer = self.report(&start, self.backed_up(&start)).await.unwrap();
        assert!(answer.accepted, "{}", answer.message);
        self.settle().await;
        self.run(run).await.binding.backup_id.unwrap()
    }

    pub(crate) fn check_request(&self, backup: &str) -> operator::RunCheckRequest {
        operator::RunCheckRequest {
            request_id: self.request_id(),
            backup: backup.to_owned(),
            ..operator::RunCheckRequest::default()
        }
    }

    pub(crate) async fn request_check(&self, backup: BackupId) -> RunId {
        let request = self.check_request(&format!("backups/{backup}"));
        let answer = self.runs.run_check(self.ask(request)).await.unwrap();
        run_id(answer.into_inner().run.as_ref())
    }

    pub(crate) async fn request_drill(&self, backup: BackupId) -> RunId {
        let request = operator::RunDrillRequest {
            request_id: self.request_id(),
            backup: format!("backups/{backup}"),
            ..operator::RunDrillRequest::default()
        };
        let answer = self.runs.run_drill(self.ask(request)).await.unwrap();
        run_id(answer.into_inner().run.as_ref())
    }

    pub(crate) async fn cancel(&self, run: RunId) -> Result<operator::Run, Status> {
        let request = operator::CancelRunRequest {
            request_id: self.request_id(),
            name: format!("runs/{run}"),
            message: "no longer wanted".to_owned(),
            validate_only: false,
        };
        let answer = self.runs.cancel_run(self.ask(request)).await?;
        Ok(answer.into_inner().run.unwrap())
    }

    pub(crate) async fn shown(&self, run: RunId) -> operator::Run {
        let request = operator::GetRunRequest {
            name: format!("runs/{run}"),
        };
        let answer = self.runs.get_run(self.ask(request)).await.unwrap();
        answer.into_inner().run.unwrap()
    }
}

/// The job of a command.
pub(crate) fn kind(start: &agent::StartAttempt) -> Option<Kind> {
    start.job.clone().and_then(|job| job.kind)
}
