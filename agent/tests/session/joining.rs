//! Joining, and what goes wrong with it.

use crate::controller::Controller;
use crate::world::World;
use provado_agent::app::StartError;
use provado_agent::join::JoinError;
use provado_agent::link::LinkError;
use std::os::unix::fs::PermissionsExt as _;

#[tokio::test]
async fn a_host_joins_once_and_its_state_is_private() {
    let world = World::new();
    assert!(matches!(
        world.try_start().await,
        Err(StartError::NotJoined)
    ));
    let joined = world.join().await.unwrap();
    assert_eq!(joined.agent_name, "db1");
    let again = world.join().await.unwrap_err();
    assert!(matches!(again, JoinError::AlreadyJoined { .. }), "{again}");
    let request = world.controller.part().enrolls.remove(0);
    assert!(request.certificate_request_pem.contains("REQUEST"));
    assert!(request.sealing_recipient.starts_with("age1"));
    let mut folders = vec![world.config().data_dir];
    while let Some(folder) = folders.pop() {
        let mode =
            |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
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
