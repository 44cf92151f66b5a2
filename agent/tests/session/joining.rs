//! Joining, and what goes wrong with it.

use crate::controller::Controller;
use crate::world::{BOUND, World, attempt};
use provado_agent::app::StartError;
use provado_agent::join::JoinError;
use provado_agent::link::LinkError;
use provado_agent::membership::Home;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

#[tokio::test]
async fn a_host_joins_once_and_its_state_is_private() {
    let world = World::new();
    assert!(matches!(
        world.try_start().await,
        Err(StartError::NotJoined)
    ));
    let joined = world.join().await.unwrap();
    assert_eq!(joined.agent_name, "db1");
    let request = world.controller.part().enrolls.remove(0);
    assert!(request.certificate_request_pem.contains("REQUEST"));
    assert!(request.sealing_recipient.starts_with("age1"));
    let mut folders = vec![world.config().data_dir];
    while let Some(folder) = folders.pop() {
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != "lock" {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_is_got_by_the_same_request() {
    let world = World::new();
    let join_string = world.controller.join_string();
    world.controller.part().lose_answers = 2;
    for _ in 0..2 {
        let error = world.join_with(&join_string).await.unwrap_err();
        assert!(matches!(error, JoinError::Refused { .. }), "{error}");
        assert!(matches!(
            world.try_start().await,
            Err(StartError::NotJoined)
        ));
    }
    world.join_with(&join_string).await.unwrap();
    let enrolls = std::mem::take(&mut world.controller.part().enrolls);
    assert_eq!(enrolls.len(), 3);
    assert!(enrolls.iter().all(|request| request == &enrolls[0]));
}

/// Everything below a directory, by path.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

#[tokio::test]
async fn an_agent_comes_back_with_all_that_it_had() {
    let mut world = World::connected().await;
    let named = attempt(1);
    world.start_attempt(&named, 1).await;
    world.accepted(&named, 1).await;
    world.kill();
    let before = until_free(&world).await;
    // The name asked for is that of a new agent; this one has its own.
    world.join().await.unwrap();
    let after = contents(&world.config().data_dir);
    let changed: Vec<_> = before
        .iter()
        .filter(|(path, bytes)| after.get(*path) != Some(bytes))
        .map(|(path, _)| path.file_name().unwrap().to_owned())
        .collect();
    assert_eq!(changed, ["membership.json"]);
    assert_eq!(after.len(), before.len());
    let enrolls = std::mem::take(&mut world.controller.part().enrolls);
    let [first, second] = enrolls.as_slice() else {
        panic!("{enrolls:?}");
    };
    assert_eq!(first.agent_id, "");
    let home = Home::open(&world.config().data_dir).unwrap();
    let member = home.membership().unwrap().unwrap();
    drop(home);
    assert_eq!(second.agent_id, member.agent_id.to_string());
    assert_eq!(second.signing_public_key, first.signing_public_key);
    assert_eq!(second.signature.len(), 64);
    assert_eq!(member.generation, 2);
    // What it had promised is told, as by any restart.
    world.start().await;
    world
        .controller
        .until("the attempt's outcome is reported", |part| {
            part.reports.iter().any(|report| {
                report
                    .attempt
                    .as_ref()
                    .is_some_and(|it| it.attempt_id == named.attempt_id)
            })
        })
        .await;
}

/// What is in the data directory once the agent that was killed has given its lock back.
async fn until_free(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let free = async {
        while Home::open(&world.config().data_dir).is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, free).await.unwrap();
    contents(&world.config().data_dir)
}

#[tokio::test]
async fn a_join_string_for_another_agent_or_fleet_changes_nothing() {
    let world = World::new();
    world.join().await.unwrap();
    let before = contents(&world.config().data_dir);
    let unchanged = || assert_eq!(contents(&world.config().data_dir), before);
    // Of another fleet: that one is not even dialed.
    let other = Controller::new();
    let error = world.join_with(&other.join_string()).await.unwrap_err();
    assert!(matches!(error, JoinError::OtherFleet { .. }), "{error}");
    assert!(other.part().enrolls.is_empty());
    unchanged();
    // For another agent, or a new one: the controller says so.
    let told = "the join token lets the agent `db2` come back, but this host is the agent `db1`";
    world.controller.part().enroll_refusal = Some(("INVALID_ARGUMENT", told));
    let error = world.join().await.unwrap_err();
    assert!(matches!(error, JoinError::Refused { .. }), "{error}");
    assert!(error.to_string().contains(told), "{error}");
    unchanged();
    // Should the controller make it another one all the same, it stays who it is.
    let stranger = attempt(1).attempt_id;
    world.controller.part().enroll_as = Some(stranger);
    let error = world.join().await.unwrap_err();
    assert!(error.to_string().contains("another agent"), "{error}");
    let now = contents(&world.config().data_dir);
    let member = world.config().data_dir.join("state/membership.json");
    assert_eq!(now.get(&member), before.get(&member));
}

#[tokio::test]
async fn another_controller_and_an_absent_one_are_named() {
    let (mut world, other) = (World::new(), Controller::new());
    // The address of one with the fingerprint of another.
    let mut config = world.config();
    config.controller = Some(world.controller.address());
    let error = provado_agent::join::join(
        &config,
        &other.join_string(),
        Some("db1"),
        provado_model::time::SystemClock::shared(),
        provado_model::random::OsEntropy::shared(),
    )
    .await
    .unwrap_err();
    assert!(
        matches!(error, JoinError::Link(LinkError::Refused { .. })),
        "{error:?}"
    );
    assert!(world.controller.part().enrolls.is_empty());
    let join_string = world.controller.join_string();
    world.controller.vanish();
    let error = world.join_with(&join_string).await.unwrap_err().to_string();
    assert!(error.contains("cannot reach the controller"), "{error}");
    world.controller.appear();
    world.join_with(&join_string).await.unwrap();
}

#[tokio::test]
async fn two_agents_never_share_a_data_directory() {
    let world = World::connected().await;
    let error = world.try_start().await.unwrap_err().to_string();
    assert!(error.contains("another agent runs"), "{error}");
}
