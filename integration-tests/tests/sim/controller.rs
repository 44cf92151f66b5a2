//! A controller without its supervisor and its listeners: the real tasks, services and streams,
//! each moved by the simulator.

use futures_util::{FutureExt, StreamExt, stream};
use provado_controller::admit::Runs;
use provado_controller::app::Stages;
use provado_controller::db::Database;
use provado_controller::dispatch::DispatchTimes;
use provado_controller::events::{Actor, ActorKind};
use provado_controller::fleet::{AgentPeer, Fleet, SessionStream, SessionTimes, Sessions};
use provado_controller::intake::Reports;
use provado_controller::lifecycle::controller::{Core, epoch_raise};
use provado_controller::policy::Repositories;
use provado_controller::sealed::SealedIdentities;
use provado_controller::supervisor::Task;
use provado_identity::{Authorities, SigningKey};
use provado_model::random::Entropy;
use provado_model::time::Clock;
use provado_proto::agent::v1 as agent;
use provado_proto::agent::v1::session_request::Message as Up;
use provado_proto::agent::v1::session_response::Message as Down;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::Status;

/// How often the audit chain is signed at most.
const CHECKPOINT_PERIOD: Duration = Duration::from_mins(1);
/// How long a stream may take to answer, on any machine: past it, it hangs.
const ANSWER: Duration = Duration::from_mins(1);

/// What every controller of a fleet shares.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    pub(crate) db: Database,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) authorities: Arc<Authorities>,
    pub(crate) key: Arc<SigningKey>,
}

/// One life of a controller.
pub(crate) struct Controller {
    pub(crate) number: usize,
    pub(crate) core: Core,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) tasks: Vec<Arc<dyn Task>>,
    pub(crate) runs: Runs,
    pub(crate) reports: Reports,
    pub(crate) repositories: Repositories,
}

impl Controller {
    /// Starts as the real one does: whoever was on this database before is over.
    pub(crate) async fn start(number: usize, ground: &Ground) -> Self {
        let (clock, entropy) = (Arc::clone(&ground.clock), Arc::clone(&ground.entropy));
        let core = Core::open(ground.db.clone(), clock, entropy).await.unwrap();
        let mut tx = core.db.begin().await.unwrap();
        let ctx = core.task_context("start");
        epoch_raise(&mut tx, &ctx, 0, "a controller started")
            .await
            .unwrap();
        tx.commit().await.unwrap();
        core.refresh_epoch().await.unwrap();
        let fleet = Fleet::new(
            core.clone(),
            Arc::clone(&ground.authorities),
            SessionTimes::default(),
        );
        fleet.prepare().await.unwrap();
        let sealed = SealedIdentities::default();
        let stages = Stages {
            core: &core,
            fleet: &fleet,
            sealed: &sealed,
            key: &ground.key,
            times: DispatchTimes::default(),
            checkpoint_period: CHECKPOINT_PERIOD,
        };
        let tasks = stages.tasks().into_iter().map(|(task, _)| task).collect();
        let sessions: Arc<dyn Sessions> = fleet.sessions();
        Self {
            number,
            tasks,
            runs: Runs::new(&core, sealed, sessions, fleet.progress()),
            reports: Reports::new(&core, Arc::clone(&ground.key)),
            repositories: Repositories::new(&core),
            core,
            fleet,
        }
    }

    /// Opens a stream for an agent, which still has to say hello.
    pub(crate) fn open(&self, peer: &AgentPeer) -> Link {
        let (sender, receiver) = mpsc::unbounded_channel();
        let inbound = stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|item| (item, receiver))
        });
        let actor = Actor {
            kind: ActorKind::Agent,
            id: peer.id.to_string(),
            name: peer.name.clone(),
            peer: None,
        };
        Link {
            controller: self.number,
            sender,
            stream: self.fleet.serve_stream(peer.clone(), actor, inbound),
            marks: 0,
        }
    }
}

/// An open stream between an agent and a controller.
pub(crate) struct Link {
    /// Which controller is at its other end.
    pub(crate) controller: usize,
    sender: mpsc::UnboundedSender<Result<agent::SessionRequest, Status>>,
    stream: SessionStream,
    marks: u64,
}

/// What came down, and whether the stream goes on.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) down: Vec<Down>,
    pub(crate) is_open: bool,
}

impl Link {
    /// Sends a message, if there is one, and takes everything that comes down. A heartbeat about an
    /// attempt that nobody knows follows: its answer shows that everything before it is done.
    pub(crate) async fn exchange(&mut self, message: Option<Up>) -> Answer {
        self.marks += 1;
        let mark = format!("mark-{}", self.marks);
        if let Some(message) = message {
            self.put(message);
        }
        self.put(Up::Heartbeat(agent::Heartbeat {
            attempts: vec![agent::AttemptRef {
                attempt_id: mark.clone(),
                ..agent::AttemptRef::default()
            }],
            ..agent::Heartbeat::default()
        }));
        let mut down = Vec::new();
        loop {
            let next = tokio::time::timeout(ANSWER, self.stream.next()).await;
            match next.expect("the stream answers in time") {
                Some(Ok(response)) => match response.message {
                    Some(Down::HeartbeatAck(ack)) if is_mark(&ack, &mark) => {
                        down.extend(checkpoint_of(ack));
                        break;
                    }
                    message => down.extend(message),
                },
                Some(Err(_)) | None => {
                    return Answer {
                        down,
                        is_open: false,
                    };
                }
            }
        }
        // Commands that waited come without anything to wait for but each other.
        let mut is_open = true;
        let mut asked_again = false;
        while is_open {
            match self.stream.next().now_or_never() {
                Some(Some(Ok(response))) => {
                    down.extend(response.message);
                    asked_again = false;
                }
                Some(Some(Err(_)) | None) => is_open = false,
                None if asked_again => break,
                None => {
                    asked_again = true;
                    tokio::task::yield_now().await;
                }
            }
        }
        Answer { down, is_open }
    }

    fn put(&self, message: Up) {
        let request = agent::SessionRequest {
            sequence: 0,
            message: Some(message),
        };
        // A stream that has ended takes nothing; that shows when it is read.
        let _ = self.sender.send(Ok(request));
    }
}

fn is_mark(ack: &agent::HeartbeatAck, mark: &str) -> bool {
    matches!(ack.superseded_attempts.as_slice(), [one] if one.attempt_id == mark)
}

/// A checkpoint that came with the mark's answer is the agent's all the same.
fn checkpoint_of(ack: agent::HeartbeatAck) -> Option<Down> {
    (!ack.checkpoint.is_empty()).then(|| {
        Down::HeartbeatAck(agent::HeartbeatAck {
            checkpoint: ack.checkpoint,
            superseded_attempts: Vec::new(),
        })
    })
}
