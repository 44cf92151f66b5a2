//! Bad input and damaged repositories: told by name, nothing changed, nothing restored.

use crate::jobs::{databases, reason, with_sample};
use crate::support::Server;
use crate::support::agent::Agent;
use provado_model::Reason;
use provado_proto::agent::v1::InitJob;
use provado_proto::agent::v1::job::Kind;
use provado_proto::common::v1::CheckLevel;
use std::os::unix::fs::DirBuilderExt as _;

fn flip(path: &std::path::Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x01;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_found_named_and_never_restored() {
    let server = with_sample(15).await;
    let agent = Agent::ready(&[&server]).await;
    let backup = agent.backup(&server, "source").await;
    let pack = agent.stored(".pack").pop().unwrap();
    let middle = std::fs::read(&pack).unwrap().len() / 2;
    flip(&pack, middle);
    for level in [CheckLevel::Intact, CheckLevel::Readable] {
        let (outcome, detail) = agent.check(&backup, level).await;
        assert_eq!(reason(&outcome), Reason::CheckFoundDamage.as_str());
        let damages = detail.unwrap().damages;
        assert!(!damages.is_empty());
        assert!(
            damages.iter().any(|d| !d.entries.is_empty()),
            "{damages:#?}"
        );
    }
    let (outcome, _) = agent.check(&backup, CheckLevel::Present).await;
    assert_eq!(outcome.failure, None);
    let (outcome, detail) = agent
        .restore(agent.restore_job(&backup, &server, "copy"))
        .await;
    assert_eq!(
        reason(&outcome),
        Reason::CheckFoundDamage.as_str(),
        "{outcome:#?}"
    );
    assert!(detail.is_none());
    assert_eq!(databases(&server).await, ["postgres", "source"]);
    let (outcome, detail) = agent.drill(&backup).await;
    assert_eq!(
        reason(&outcome),
        Reason::DrillFoundDifference.as_str(),
        "{outcome:#?}"
    );
    assert!(detail.unwrap().proof_signature.is_empty());
    flip(&pack, middle);
    let (outcome, _) = agent.drill(&backup).await;
    assert_eq!(outcome.failure, None, "{outcome:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_database_names_are_what_they_are() {
    let server = Server::start(15);
    let agent = Agent::ready(&[&server]).await;
    for name in [
        "host=evil port=1",
        "--file=/tmp/x",
        "it's \"quoted\" \\ back",
        "line\nbreak",
        "\u{1f418} elephant %s",
        "postgresql://evil/x",
        "colon:equals=dash-",
        "  blanks  ",
        "a23456789012345678901234567890123456789012345678901234567890123",
    ] {
        let mut connection = server.connect("postgres").await;
        provado_agent::postgres::sql::Statement::new("CREATE DATABASE ")
            .identifier(name)
            .execute(&mut connection, "make a database")
            .await
            .unwrap();
        let mut inside = server.connect(name).await;
        sqlx::query("CREATE TABLE t AS SELECT 42 AS a")
            .execute(&mut inside)
            .await
            .unwrap_err();
        sqlx::query("CREATE TABLE public.t AS SELECT 42 AS a")
            .execute(&mut inside)
            .await
            .unwrap();
        let backup = agent.backup(&server, name).await;
        assert_eq!(backup.row_count, 1, "{name}");
        let target: String = name.chars().rev().collect();
        let (outcome, _) = agent
            .restore(agent.restore_job(&backup, &server, &target))
            .await;
        assert_eq!(outcome.failure, None, "{name}: {outcome:#?}");
        let answer: i32 = sqlx::query_scalar("SELECT a FROM public.t")
            .fetch_one(&mut server.connect(&target).await)
            .await
            .unwrap();
        assert_eq!(answer, 42);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_told_at_once_and_changes_nothing() {
    let server = with_sample(15).await;
    let mut agent = Agent::ready(&[&server]).await;
    let job = agent.backup_job(&server, "no_such_database");
    let outcome = agent.run(Kind::Backup(job)).await;
    assert_eq!(
        reason(&outcome),
        Reason::DatabaseNotFound.as_str(),
        "{outcome:#?}"
    );

    let mut job = agent.backup_job(&server, "source");
    job.database_oid = 1;
    let outcome = agent.run(Kind::Backup(job)).await;
    assert_eq!(reason(&outcome), Reason::TargetChanged.as_str());

    let mut job = agent.backup_job(&server, "source");
    job.instance.as_mut().unwrap().system_identifier = "1".to_owned();
    let outcome = agent.run(Kind::Backup(job)).await;
    assert_eq!(reason(&outcome), Reason::TargetChanged.as_str());

    let mut job = agent.backup_job(&server, "source");
    job.expected_stored_bytes = i64::MAX / 2;
    job.repository.as_mut().unwrap().segment_key = String::new();
    let outcome = agent.run(Kind::Backup(job)).await;
    assert_eq!(reason(&outcome), Reason::PrecheckFailed.as_str());
    let message = outcome.failure.unwrap().message;
    assert!(message.contains("DISK_FULL") && message.contains("ENCRYPTION_KEY_MISSING"));

    let mut job = agent.backup_job(&server, "source");
    job.repository.as_mut().unwrap().path = "/etc".to_owned();
    let outcome = agent.run(Kind::Backup(job)).await;
    assert_eq!(reason(&outcome), Reason::RepositoryMissing.as_str());
    assert!(agent.stored(".manifest").is_empty());

    let backup = agent.backup(&server, "source").await;
    let (outcome, _) = agent
        .restore(agent.restore_job(&backup, &server, "source"))
        .await;
    assert_eq!(
        reason(&outcome),
        Reason::TargetExists.as_str(),
        "{outcome:#?}"
    );

    let empty = Server::start(15);
    let target = agent.instance_target(&empty);
    agent
        .config
        .instances
        .extend(Agent::new(&[&empty]).config.instances);
    let mut job = agent.restore_job(&backup, &server, "copy");
    job.instance = Some(target);
    job.create_roles = false;
    let (outcome, _) = agent.restore(job.clone()).await;
    assert_eq!(reason(&outcome), Reason::RolesMissing.as_str());
    assert!(outcome.failure.unwrap().message.contains("app_owner"));
    assert_eq!(databases(&empty).await, ["postgres"]);
    job.no_owner = true;
    job.no_acl = true;
    let (outcome, _) = agent.restore(job).await;
    // The policy names a role that is not there; everything else is.
    assert_eq!(
        reason(&outcome),
        Reason::RestoreDiffers.as_str(),
        "{outcome:#?}"
    );

    agent.config.identity_files.clear();
    let (outcome, _) = agent.drill(&backup).await;
    assert_eq!(reason(&outcome), Reason::IdentityMissing.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_was_made_before_is_not_made_again_in_an_empty_place() {
    let agent = Agent::ready(&[]).await;
    let init = |must_exist| {
        Kind::Init(InitJob {
            repository: Some(agent.repository.clone()),
            must_exist,
        })
    };
    assert_eq!(agent.run(init(true)).await.failure, None, "it is there");
    let root = std::path::Path::new(&agent.repository.path);
    let away = root.with_extension("away");
    std::fs::rename(root, &away).unwrap();
    // The mount point without its disk: gone, or empty.
    let outcome = agent.run(init(true)).await;
    assert_eq!(
        reason(&outcome),
        Reason::RepositoryIo.as_str(),
        "{outcome:#?}"
    );
    assert!(!root.exists());
    std::fs::DirBuilder::new().mode(0o700).create(root).unwrap();
    let outcome = agent.run(init(true)).await;
    assert_eq!(reason(&outcome), Reason::RepositoryMissing.as_str());
    let message = outcome.failure.unwrap().message;
    assert!(message.contains("whether its disk is mounted"), "{message}");
    assert_eq!(std::fs::read_dir(root).unwrap().count(), 0);
    assert_eq!(agent.run(init(false)).await.failure, None);
}
