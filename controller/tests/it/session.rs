//! The stream: hello, heartbeats, commands, its end.

use crate::agents::{SessionClient, TestAgent};
use crate::world::{PATIENCE, World, is_cut_off, reason, request_id, soon, until};
use provado_controller::fleet::{Command, Sessions};
use provado_proto::agent::v1::session_request::Message as Up;
use provado_proto::agent::v1::session_response::Message as Down;
use provado_proto::agent::v1::{self as agent, SessionRequest};
use provado_proto::operator::v1 as operator;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

/// An agent's end of an open stream.
pub(crate) struct Line {
    up: Option<mpsc::Sender<SessionRequest>>,
    down: Streaming<agent::SessionResponse>,
    sequence: i64,
}

impl Line {
    /// Opens a stream and says hello; nothing is read yet.
    pub(crate) async fn open(world: &World, agent: &TestAgent, hello: agent::Hello) -> Self {
        Self::try_open(world, agent, Up::Hello(hello))
            .await
            .unwrap()
    }

    pub(crate) async fn try_open(
        world: &World,
        agent: &TestAgent,
        first: Up,
    ) -> Result<Self, Status> {
        Self::open_with(agent.client(world).await, first).await
    }

    async fn open_with(mut client: SessionClient, first: Up) -> Result<Self, Status> {
        let (up, receiver) = mpsc::channel(16);
        let down = client
            .session(ReceiverStream::new(receiver))
            .await?
            .into_inner();
        let mut line = Self {
            up: Some(up),
            down,
            sequence: 0,
        };
        line.say(first).await;
        Ok(line)
    }

    pub(crate) async fn say(&mut self, message: Up) {
        self.sequence += 1;
        let request = SessionRequest {
            sequence: self.sequence,
            message: Some(message),
        };
        // A stream that has ended takes nothing more; what it answered is what counts.
        let _ = self.up.as_ref().unwrap().send(request).await;
    }

    pub(crate) async fn heartbeat(&mut self, attempts: Vec<agent::AttemptRef>) {
        let heartbeat = agent::Heartbeat {
            attempts,
            ..Default::default()
        };
        self.say(Up::Heartbeat(heartbeat)).await;
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Result<Down, Status> {
        let message = soon("a message of the stream", self.down.message()).await?;
        let response = message.ok_or_else(|| Status::aborted("the stream has ended"))?;
        Ok(response.message.unwrap())
    }

    pub(crate) async fn welcome(&mut self) -> agent::Welcome {
        match self.next().await.unwrap() {
            Down::Welcome(welcome) => welcome,
            other => panic!("not a welcome: {other:?}"),
        }
    }

    pub(crate) async fn ack(&mut self) -> agent::HeartbeatAck {
        match self.next().await.unwrap() {
            Down::HeartbeatAck(ack) => ack,
            other => panic!("not an acknowledgment: {other:?}"),
        }
    }

    /// Reads on to the end of the stream; the error it ended with.
    pub(crate) async fn ending(&mut self) -> Status {
        loop {
            if let Err(status) = self.next().await {
                return status;
            }
        }
    }
}

/// Joins, opens a stream and waits for the welcome.
pub(crate) async fn connected(world: &World, name: &str) -> (TestAgent, Line, agent::Welcome) {
    let agent = world.join(name).await;
    let mut line = Line::open(world, &agent, agent.hello("p1")).await;
    let welcome = line.welcome().await;
    (agent, line, welcome)
}

#[tokio::test]
async fn hello_is_answered_and_heartbeats_too() {
    let world = World::start().await;
    let (agent, mut line, welcome) = connected(&world, "db1").await;
    assert_eq!(welcome.agent_id, agent.id);
    assert_eq!(
        welcome.epoch,
        i64::try_from(world.running.core().epoch()).unwrap()
    );
    assert_eq!(welcome.controller_id, world.running.core().id().to_string());
    assert_eq!(welcome.heartbeat_interval.unwrap().seconds, 10);
    line.heartbeat(Vec::new()).await;
    assert!(line.ack().await.superseded_attempts.is_empty());
    let shown = world.shown("db1").await;
    assert!(shown.connected);
    assert_eq!(shown.hostname, "db1");
    drop(line);
    until("the agent is shown as gone", || async {
        !world.shown("db1").await.connected
    })
    .await;
}

#[tokio::test]
async fn a_checkpoint_rides_on_the_stream_and_agrees() {
    let world = World::start().await;
    let (agent, mut line, welcome) = connected(&world, "db1").await;
    let mut note = welcome.checkpoint;
    let mut heartbeats = 0;
    while note.is_empty() {
        line.heartbeat(Vec::new()).await;
        note = line.ack().await.checkpoint;
        heartbeats += 1;
        assert!(heartbeats < 10_000, "no checkpoint came");
        if note.is_empty() {
            let pause = std::future::pending::<()>();
            let _ = tokio::time::timeout(PATIENCE / 1_000, pause).await;
        }
    }
    let shown = agent::Heartbeat {
        checkpoint: note.clone(),
        ..Default::default()
    };
    line.say(Up::Heartbeat(shown)).await;
    // What the agent has already is not sent again.
    assert!(line.ack().await.checkpoint.is_empty());
    let mut tx = world.running.core().db.read().await.unwrap();
    let id = agent.id.parse().unwrap();
    let row = provado_controller::fleet::store::agent::agent_by_id(&mut tx, id).await;
    assert!(row.unwrap().unwrap().witness.unwrap().sequence > 0);
}

#[tokio::test]
async fn an_epoch_that_an_agent_makes_up_changes_nothing() {
    let world = World::start().await;
    let agent = world.join("db1").await;
    let before = world.running.core().epoch();
    for epoch in [1_000, i64::MAX] {
        let mut hello = agent.hello("p1");
        hello.epoch = epoch;
        let mut line = Line::open(&world, &agent, hello).await;
        let welcome = line.welcome().await;
        assert_eq!(u64::try_from(welcome.epoch).unwrap(), before);
    }
    assert_eq!(world.running.core().epoch(), before);
    assert!(world.audit("controller.notice-amnesia").await.is_empty());
    let refused = world.audit("checkpoint.refuse").await;
    assert!(refused[0].detail_json.contains("epoch 1000"), "{refused:?}");
    // The next start is as any other.
    let world = world.restart().await;
    assert_eq!(world.running.core().epoch(), before + 1);
}

#[tokio::test]
async fn anything_but_a_hello_first_ends_the_stream() {
    let world = World::start().await;
    let agent = world.join("db1").await;
    let first = Up::Heartbeat(agent::Heartbeat::default());
    let mut line = Line::try_open(&world, &agent, first).await.unwrap();
    assert_eq!(reason(&line.ending().await), "INVALID_ARGUMENT");
    let mut old = agent.hello("p1");
    old.protocol_version = 99;
    let mut line = Line::open(&world, &agent, old).await;
    assert_eq!(line.ending().await.code(), Code::Unimplemented);
    let mut line = Line::open(&world, &agent, agent.hello("p1")).await;
    line.welcome().await;
    line.say(Up::Hello(agent.hello("p1"))).await;
    assert_eq!(reason(&line.ending().await), "INVALID_ARGUMENT");
}

#[tokio::test]
async fn an_agent_that_takes_no_answer_holds_nobody_up() {
    let world = World::start().await;
    let agent = world.join("db1").await;
    let client = agent.stuck_client(&world).await;
    let hello = Up::Hello(agent.hello("p1"));
    let mut line = Line::open_with(client, hello).await.unwrap();
    // With attempts in it, so that it takes its turn in the database.
    let named = agent::AttemptRef {
        attempt_id: "019aa8dc-4800-730b-bdb7-a6a634a5f1aa".to_owned(),
        run_id: "019aa8dc-4800-7857-8c6f-ae6d9b6f3b4a".to_owned(),
        fence: 1,
        ended: false,
    };
    for _ in 0..4 {
        line.heartbeat(vec![named.clone()]).await;
    }
    until("the agent is connected", || async {
        world.shown("db1").await.connected
    })
    .await;
    // Others write as before, for longer than a heartbeat takes to be read.
    for _ in 0..3 {
        soon("a write of someone else", world.token()).await;
    }
}

#[tokio::test]
async fn commands_reach_the_agent_in_order() {
    let world = World::start().await;
    let (agent, mut line, _) = connected(&world, "db1").await;
    let id = agent.id.parse().unwrap();
    let sessions = world.running.fleet().sessions();
    let cancel = agent::CancelAttempt {
        message: "on request".to_owned(),
        ..Default::default()
    };
    sessions.send(id, Command::RenewNow).unwrap();
    sessions.send(id, Command::Cancel(cancel.clone())).unwrap();
    assert_eq!(
        line.next().await.unwrap(),
        Down::RenewNow(agent::RenewNow {})
    );
    assert_eq!(line.next().await.unwrap(), Down::CancelAttempt(cancel));
}

#[tokio::test]
async fn a_revoked_agent_is_cut_off_at_once_and_does_not_come_back() {
    let world = World::start().await;
    let (agent, mut line, _) = connected(&world, "db1").await;
    let mut open = agent.client(&world).await;
    let request = operator::RevokeAgentRequest {
        request_id: request_id(),
        name: "agents/db1".to_owned(),
        message: "stolen host".to_owned(),
        validate_only: true,
    };
    let mut admin = world.admin().await;
    // Asked only what would happen: nothing does.
    admin.fleet.revoke_agent(request.clone()).await.unwrap();
    line.heartbeat(Vec::new()).await;
    line.ack().await;

    let request = operator::RevokeAgentRequest {
        request_id: request_id(),
        validate_only: false,
        ..request
    };
    let answer = admin
        .fleet
        .revoke_agent(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.agent.unwrap().state(), operator::AgentState::Revoked);
    assert_eq!(reason(&line.ending().await), "CERTIFICATE_REVOKED");
    // On a connection that was open before, every call is refused.
    let error = open
        .sync_inventory(agent::SyncInventoryRequest::default())
        .await
        .unwrap_err();
    assert_eq!(reason(&error), "CERTIFICATE_REVOKED");
    // A new one does not get past its handshake.
    let error = match agent.dial(&world).await {
        Ok(channel) => {
            let mut client = SessionClient::new(channel);
            client
                .sync_inventory(agent::SyncInventoryRequest::default())
                .await
                .unwrap_err()
        }
        Err(error) => error,
    };
    assert!(is_cut_off(&error), "{error:?}");
    let again = admin
        .fleet
        .revoke_agent(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.agent.unwrap().message, "stolen host");
    assert_eq!(world.audit("agent.revoke").await.len(), 1);
    // Revoked is for good, also after a restart.
    let world = world.restart().await;
    let unlock = operator::UnlockAgentRequest {
        request_id: request_id(),
        name: "db1".to_owned(),
        ..Default::default()
    };
    let error = world
        .admin()
        .await
        .fleet
        .unlock_agent(unlock)
        .await
        .unwrap_err();
    assert_eq!(reason(&error), "AGENT_LOCKED");
}

#[tokio::test]
async fn a_controller_that_stops_sends_its_agents_away() {
    let world = World::start().await;
    let (_agent, mut line, _) = connected(&world, "db1").await;
    let stop = soon("the controller stops", world.running.shutdown());
    let (drained, ()) = tokio::join!(
        async {
            let drain = line.next().await.unwrap();
            let end = line.ending().await;
            (drain, end)
        },
        stop
    );
    assert!(matches!(drained.0, Down::Drain(_)), "{:?}", drained.0);
}
