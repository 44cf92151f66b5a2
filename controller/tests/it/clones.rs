//! Two with one identity: which of them stays, and when both are stopped.

use crate::session::{Line, connected};
use crate::world::{Engine, World, is_cut_off, reason, request_id, until};
use provado_proto::agent::v1::SyncInventoryRequest;
use provado_proto::operator::v1 as operator;

#[tokio::test]
async fn the_same_process_takes_its_own_place() {
    let world = World::start().await;
    let (agent, mut older, _) = connected(&world, "db1").await;
    let mut newer = Line::open(&world, &agent, agent.hello("p1")).await;
    newer.welcome().await;
    older.ending().await;
    newer.heartbeat(Vec::new()).await;
    newer.ack().await;
    let shown = world.shown("db1").await;
    assert_eq!(shown.state(), operator::AgentState::Active);
    assert!(shown.connected);
}

#[tokio::test]
async fn a_restarted_process_takes_the_place_of_a_dead_one() {
    let world = World::start().await;
    let (agent, older, _) = connected(&world, "db1").await;
    drop(older);
    let mut newer = Line::open(&world, &agent, agent.hello("p2")).await;
    newer.welcome().await;
    assert_eq!(
        world.shown("db1").await.state(),
        operator::AgentState::Active
    );
}

#[tokio::test]
async fn a_restarted_process_takes_the_place_of_one_that_says_nothing() {
    let world = World::start().await;
    // As after a power loss: the connection of the older process is open and silent.
    let (agent, mut older, _) = connected(&world, "db1").await;
    let mut newer = Line::open(&world, &agent, agent.hello("p2")).await;
    newer.welcome().await;
    older.ending().await;
    assert_eq!(
        world.shown("db1").await.state(),
        operator::AgentState::Active
    );
}

async fn two_living_processes_are_a_clone(engine: Engine) {
    let world = World::start_on(engine).await;
    let (agent, mut older, _) = connected(&world, "db1").await;
    let copy = agent.copy();
    let mut newer = Line::open(&world, &copy, copy.hello("p2")).await;
    // The true agent goes on as always.
    let talking = async {
        loop {
            older.heartbeat(Vec::new()).await;
            if let Err(status) = older.next().await {
                return status;
            }
            let pause = std::future::pending::<()>();
            let _ = tokio::time::timeout(std::time::Duration::from_millis(20), pause).await;
        }
    };
    let (first, second) = tokio::join!(talking, newer.ending());
    assert_eq!(reason(&second), "AGENT_CLONED");
    assert!(
        ["AGENT_CLONED", "AGENT_LOCKED"].contains(&reason(&first).as_str()),
        "{first:?}"
    );
    let shown = world.shown("db1").await;
    assert_eq!(shown.state(), operator::AgentState::Locked);
    assert!(shown.message.contains("two processes"), "{}", shown.message);
    assert_eq!(world.audit("agent.lock").await.len(), 1);

    // Neither comes back until an operator has looked.
    match agent.dial(&world).await {
        Ok(channel) => {
            let mut client = crate::agents::SessionClient::new(channel);
            let error = client
                .sync_inventory(SyncInventoryRequest::default())
                .await
                .unwrap_err();
            assert!(is_cut_off(&error), "{error:?}");
        }
        Err(error) => assert!(is_cut_off(&error), "{error:?}"),
    }
    let request = operator::UnlockAgentRequest {
        request_id: request_id(),
        name: "agents/db1".to_owned(),
        message: "the copy is gone".to_owned(),
        validate_only: false,
    };
    let unlocked = world
        .admin()
        .await
        .fleet
        .unlock_agent(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        unlocked.agent.unwrap().state(),
        operator::AgentState::Active
    );
    let mut again = Line::open(&world, &agent, agent.hello("p3")).await;
    again.welcome().await;
    world.running.shutdown().await;
}

#[tokio::test]
async fn two_living_processes_are_a_clone_on_sqlite() {
    two_living_processes_are_a_clone(Engine::Sqlite).await;
}

#[tokio::test]
async fn two_living_processes_are_a_clone_on_postgres() {
    two_living_processes_are_a_clone(Engine::Postgres).await;
}

#[tokio::test]
async fn another_machine_is_a_clone() {
    let world = World::start().await;
    let (agent, line, _) = connected(&world, "db1").await;
    drop(line);
    until("the stream has ended", || async {
        !world.shown("db1").await.connected
    })
    .await;
    let mut hello = agent.hello("p2");
    hello.host.as_mut().unwrap().machine_id = "another machine".to_owned();
    let mut line = Line::open(&world, &agent, hello.clone()).await;
    assert_eq!(reason(&line.ending().await), "AGENT_CLONED");
    // A host whose machine id was made anew is let in after an operator said so.
    let request = operator::UnlockAgentRequest {
        request_id: request_id(),
        name: "db1".to_owned(),
        ..Default::default()
    };
    world
        .admin()
        .await
        .fleet
        .unlock_agent(request)
        .await
        .unwrap();
    let mut line = Line::open(&world, &agent, hello).await;
    line.welcome().await;
}
