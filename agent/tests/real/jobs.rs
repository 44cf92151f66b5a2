//! Backup, check, restore and drill on real servers, end to end.

use crate::support::agent::Agent;
use crate::support::{Server, sample};
use provado_model::Reason;
use provado_proto::agent::v1::job::Kind;
use provado_proto::agent::v1::{Outcome, RestoreVerdict};
use provado_proto::common::v1::{CheckLevel, Scope, Selection};
use provado_repository::signature::{Signer as _, verify};

/// A server with the sample in database `name`.
pub(crate) async fn with_sample(major: u32) -> Server {
    let server = Server::start(major);
    server.run("postgres", sample::ROLES).await;
    server.run("postgres", "CREATE DATABASE source").await;
    server
        .run("postgres", "ALTER DATABASE source SET work_mem = '7MB'")
        .await;
    server
        .run("postgres", "ALTER DATABASE source OWNER TO app_owner")
        .await;
    server
        .run("postgres", "REVOKE CONNECT ON DATABASE source FROM PUBLIC")
        .await;
    server
        .run(
            "postgres",
            "GRANT CREATE ON DATABASE source TO \"host=evil role\"",
        )
        .await;
    server
        .run(
            "postgres",
            "COMMENT ON DATABASE source IS 'it''s the source'",
        )
        .await;
    server.run("source", sample::CONTENTS).await;
    server
}

pub(crate) fn reason(outcome: &Outcome) -> String {
    outcome
        .failure
        .clone()
        .map(|f| f.reason)
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_checked_restored_and_proven_on_every_major() {
    for major in [15, 16, 18] {
        let server = with_sample(major).await;
        let agent = Agent::ready(&[&server]).await;
        let backup = agent.backup(&server, "source").await;
        let evidence = backup.evidence.clone().unwrap();
        assert_eq!(evidence.produced_bytes, evidence.parsed_bytes);
        assert_eq!(evidence.segmented_bytes, evidence.manifest_bytes);
        assert_eq!(evidence.written_bytes, evidence.read_back_bytes);
        assert!(evidence.archive_complete && evidence.read_back_equal && !evidence.opaque);
        assert_eq!(backup.table_count, 9);
        assert_eq!(backup.row_count, 1000 + 5000 + 2 + 3 + 3 + 1);
        assert_eq!(backup.large_object_count, 3);

        for level in [
            CheckLevel::Present,
            CheckLevel::Intact,
            CheckLevel::Readable,
        ] {
            let (outcome, detail) = agent.check(&backup, level).await;
            assert_eq!(outcome.failure, None);
            assert!(detail.unwrap().damages.is_empty());
        }

        let job = agent.restore_job(&backup, &server, "host=evil port=1");
        let (outcome, detail) = agent.restore(job).await;
        assert_eq!(outcome.failure, None, "{outcome:#?}");
        let detail = detail.unwrap();
        assert_eq!(detail.verdict(), RestoreVerdict::Restored);
        assert_eq!(detail.row_count, backup.row_count);
        assert!(detail.database_oid > 0);

        let (outcome, detail) = agent.drill(&backup).await;
        assert_eq!(outcome.failure, None, "{outcome:#?}");
        let detail = detail.unwrap();
        assert_eq!(detail.table_count, 9);
        assert_eq!(detail.row_count, backup.row_count);
        assert_eq!(detail.large_object_count, 3);
        assert!(detail.recovery_millis > 0);
        let signature: [u8; 64] = detail.proof_signature.as_slice().try_into().unwrap();
        let document = detail.proof_document.as_bytes();
        assert!(verify(agent.signer.public_key(), document, &signature));
        assert!(
            detail
                .remarks
                .iter()
                .any(|r| r.contains("materialized views"))
        );
        let left: Vec<_> = std::fs::read_dir(&agent.config.drill_directory)
            .unwrap()
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_backup_reuses_what_did_not_change() {
    let server = with_sample(15).await;
    let agent = Agent::ready(&[&server]).await;
    let first = agent.backup(&server, "source").await;
    let mut job = agent.backup_job(&server, "source");
    job.parent_backup_id = first.backup_id.clone();
    let second = agent.backup_as(job).await;
    assert_eq!(second.row_count, first.row_count);
    // Only the table of contents and the globals say when they were made.
    assert!(
        second.reused_segment_count + 3 >= second.segment_count,
        "{second:?}"
    );
    assert!(second.reused_segment_count > 5);
    assert_eq!(second.parent_backup_id, first.backup_id);
    let (outcome, _) = agent.drill(&second).await;
    assert_eq!(outcome.failure, None, "{outcome:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_across_majors_works_upwards_and_is_refused_downwards() {
    let (old, new) = (with_sample(15).await, with_sample(18).await);
    new.run("source", "DROP EXTENSION vector").await;
    old.run("source", "DROP EXTENSION btree_gist").await;
    let agent = Agent::ready(&[&old, &new]).await;
    let from_old = agent.backup(&old, "source").await;
    let (outcome, detail) = agent
        .restore(agent.restore_job(&from_old, &new, "up"))
        .await;
    assert_eq!(outcome.failure, None, "{outcome:#?}");
    assert_eq!(detail.unwrap().verdict(), RestoreVerdict::Restored);
    let from_new = agent.backup(&new, "source").await;
    let (outcome, detail) = agent
        .restore(agent.restore_job(&from_new, &old, "down"))
        .await;
    assert_eq!(
        reason(&outcome),
        Reason::TargetTooOld.as_str(),
        "{outcome:#?}"
    );
    assert!(detail.is_none());
    assert_eq!(databases(&old).await, ["postgres", "source"]);
}

/// The databases of a server, templates left out.
pub(crate) async fn databases(server: &Server) -> Vec<String> {
    let mut connection = server.connect("postgres").await;
    sqlx::query_scalar(
        "SELECT datname::text FROM pg_database WHERE NOT datistemplate ORDER BY datname",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_database_are_backed_up_and_restored() {
    let server = with_sample(15).await;
    let agent = Agent::ready(&[&server]).await;
    let mut job = agent.backup_job(&server, "source");
    job.selection = Some(Selection {
        scope: Scope::SchemaOnly.into(),
        table_patterns: vec![],
    });
    let schema = agent.backup_as(job).await;
    assert_eq!(schema.row_count, 0);
    let (outcome, _) = agent
        .restore(agent.restore_job(&schema, &server, "schema_only"))
        .await;
    assert_eq!(outcome.failure, None, "{outcome:#?}");

    let mut job = agent.backup_job(&server, "source");
    job.selection = Some(Selection {
        scope: Scope::Everything.into(),
        table_patterns: vec![
            "public.empty_table".to_owned(),
            "\"weird \"\"schema\"\" = x\".*".to_owned(),
        ],
    });
    let tables = agent.backup_as(job.clone()).await;
    assert_eq!(tables.table_count, 3);
    job.selection
        .as_mut()
        .unwrap()
        .table_patterns
        .push("nothing.at_all".to_owned());
    let outcome = agent.run(Kind::Backup(job)).await;
    assert_eq!(reason(&outcome), Reason::PatternMatchesNothing.as_str());
    assert!(outcome.failure.unwrap().message.contains("nothing.at_all"));

    let whole = agent.backup(&server, "source").await;
    let mut job = agent.restore_job(&whole, &server, "one_table");
    job.selection = Some(Selection {
        scope: Scope::Everything.into(),
        table_patterns: vec!["app.customers".to_owned()],
    });
    let (outcome, detail) = agent.restore(job).await;
    assert_eq!(outcome.failure, None, "{outcome:#?}");
    assert_eq!(detail.unwrap().row_count, 1000);
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM app.customers")
        .fetch_one(&mut server.connect("one_table").await)
        .await
        .unwrap();
    assert_eq!(count, 1000);
}
