//! A controller whose tasks are stepped by hand, and an agent that only records.

use crate::rows::{agent_row, database_row};
use jiff::SignedDuration;
use provado_controller::admit::{AdmitTask, PartsTask, Runs};
use provado_controller::catalog::Backups;
use provado_controller::db::{Database, Tx};
use provado_controller::dispatch::{CancelTask, Dispatch, DispatchTask, ReapTask};
use provado_controller::events::audit_head;
use provado_controller::fleet::store::agent::agent_insert;
use provado_controller::fleet::store::database::database_insert;
use provado_controller::fleet::store::instance::instance_insert;
use provado_controller::fleet::{Command, ProgressBoard, SendError, Sessions};
use provado_controller::intake::Reports;
use provado_controller::lifecycle::attempt::{Attempt, attempt_get};
use provado_controller::lifecycle::controller::{ClockTask, Core};
use provado_controller::lifecycle::run::{Run, run_get};
use provado_controller::policy::{ReadyTask, Repositories};
use provado_controller::request::{Caller, Identity};
use provado_controller::sealed::SealedIdentities;
use provado_controller::supervisor::{Activity, Task};
use provado_controller::verify::{Proofs, VerifyTask};
use provado_identity::SigningKey;
use provado_model::id::{AgentId, CallerId, DatabaseId, InstanceId, RunId};
use provado_model::random::SeededEntropy;
use provado_model::state::Role;
use provado_model::time::ManualClock;
use provado_proto::agent::v1 as agent;
use provado_proto::operator::v1 as operator;
use provado_proto::operator::v1::repository_service_server::RepositoryService;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tonic::Request;
use uuid::Uuid;

/// Rounds in which tasks must come to rest.
const ROUNDS_MAX: usize = 50;
/// The recipient of the age specification's own example.
pub(crate) const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

/// Streams that record what is sent.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) connected: Mutex<BTreeSet<AgentId>>,
    pub(crate) sent: Mutex<Vec<(AgentId, Command)>>,
}

impl Sessions for Recorder {
    fn is_connected(&self, agent: AgentId) -> bool {
        self.connected.lock().unwrap().contains(&agent)
    }

    fn connected(&self) -> Vec<AgentId> {
        self.connected.lock().unwrap().iter().copied().collect()
    }

    fn send(&self, agent: AgentId, command: Command) -> Result<(), SendError> {
        if !self.is_connected(agent) {
            return Err(SendError::Offline);
        }
        self.sent.lock().unwrap().push((agent, command));
        Ok(())
    }
}

/// One controller with its tasks. Two of them may share a database.
pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) sessions: Arc<Recorder>,
    pub(crate) sealed: SealedIdentities,
    pub(crate) repositories: Repositories,
    pub(crate) runs: Runs,
    pub(crate) reports: Reports,
    pub(crate) backups: Backups,
    pub(crate) proofs: Proofs,
    pub(crate) agent_key: Arc<SigningKey>,
    pub(crate) controller_key: Arc<SigningKey>,
    pub(crate) agent: AgentId,
    caller: CallerId,
    pub(crate) instance: InstanceId,
    pub(crate) tasks: Vec<Box<dyn Task>>,
    requests: AtomicU64,
}

impl World {
    /// A controller on SQLite in memory, whose agent `db1` has the instance `main` (PostgreSQL 15)
    /// with the databases `shop` and `crm`.
    pub(crate) async fn new() -> Self {
        Self::open("sqlite::memory:").await
    }

    pub(crate) async fn open(url: &str) -> Self {
        let clock = Arc::new(ManualClock::at_second(1_700_000_000));
        let db = Database::open(url).await.unwrap();
        let world = Self::on(db, clock, 1).await;
        world.populate().await;
        world
    }

    /// A controller on a database that may be another one's too.
    pub(crate) async fn on(db: Database, clock: Arc<ManualClock>, seed: u64) -> Self {
        let entropy = Arc::new(SeededEntropy::new(seed));
        let core = Core::open(db, Arc::<ManualClock>::clone(&clock), entropy)
            .await
            .unwrap();
        let sessions = Arc::new(Recorder::default());
        let sealed = SealedIdentities::default();
        let agent_key = SigningKey::generate(&SeededEntropy::new(100)).unwrap();
        let controller_key = Arc::new(SigningKey::generate(&SeededEntropy::new(200)).unwrap());
        let shared: Arc<dyn Sessions> = Arc::<Recorder>::clone(&sessions);
        let progress = Arc::new(ProgressBoard::default());
        let dispatch = Dispatch::new(&core, Arc::clone(&shared), sealed.clone());
        let verify = VerifyTask::new(core.clone(), Arc::clone(&controller_key));
        Self {
            repositories: Repositories::new(&core),
            runs: Runs::new(&core, sealed.clone(), shared, progress),
            reports: Reports::new(&core, Arc::clone(&controller_key)),
            backups: Backups::new(&core),
            proofs: Proofs::new(&core, controller_key.public_key()),
            tasks: vec![
                Box::new(ClockTask::new(core.clone())),
                Box::new(ReadyTask::new(core.clone())),
                Box::new(AdmitTask::new(core.clone())),
                Box::new(PartsTask::new(core.clone())),
                Box::new(DispatchTask::new(dispatch.clone())),
                Box::new(CancelTask::new(dispatch.clone())),
                Box::new(ReapTask::new(dispatch)),
                Box::new(verify),
            ],
            agent_key: Arc::new(agent_key),
            controller_key,
            agent: AgentId::from_uuid(Uuid::from_u128(0xa1)),
            caller: CallerId::from_uuid(Uuid::from_u128(0xc1)),
            instance: InstanceId::from_uuid(Uuid::from_u128(0x11)),
            requests: AtomicU64::new(seed << 32),
            core,
            clock,
            sessions,
            sealed,
        }
    }

    async fn populate(&self) {
        let mut tx = self.begin().await;
        let key = self.agent_key.public_key().to_string();
        agent_insert(
            &mut tx,
            &agent_row(self.agent, "db1", &key, self.core.clock.now()),
        )
        .await
        .unwrap();
        instance_insert(&mut tx, &self.instance_row(self.instance, "main", 150_018))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        self.add_database("shop", 16_385).await;
        self.add_database("crm", 16_386).await;
        self.connect();
    }

    pub(crate) async fn add_database(&self, name: &str, oid: u32) -> DatabaseId {
        let id = DatabaseId::from_uuid(Uuid::from_u128(u128::from(oid)));
        let mut row = database_row(id, self.instance, name, oid);
        row.create_time = self.core.clock.now();
        row.last_seen_time = row.create_time;
        let mut tx = self.begin().await;
        database_insert(&mut tx, &row).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    pub(crate) fn connect(&self) {
        self.sessions.connected.lock().unwrap().insert(self.agent);
    }

    pub(crate) fn disconnect(&self) {
        self.sessions.connected.lock().unwrap().clear();
    }

    pub(crate) async fn begin(&self) -> Tx {
        self.core.db.begin().await.unwrap()
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    /// The request of a `dba` named ana.
    pub(crate) fn ask<T>(&self, message: T) -> Request<T> {
        with_caller(message, operator_caller(self.caller))
    }

    /// The request of the agent.
    pub(crate) fn as_agent<T>(&self, message: T) -> Request<T> {
        with_caller(message, agent_caller(self.agent))
    }

    /// A request id that was not used before.
    pub(crate) fn request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        Uuid::from_u128(u128::from(number)).to_string()
    }

    /// Runs every task until all are idle.
    pub(crate) async fn settle(&self) {
        for _ in 0..ROUNDS_MAX {
            let mut idle = true;
            for task in &self.tasks {
                let activity = task.activate().await.unwrap();
                // Telling agents to stop changes no row and is repeated for ever.
                idle &= activity == Activity::Idle || task.name() == "dispatch-cancel";
            }
            if idle {
                return;
            }
        }
        panic!("the tasks did not come to rest in {ROUNDS_MAX} rounds");
    }

    /// One activation of one task.
    pub(crate) async fn step(&self, name: &str) -> Activity {
        let task = self.tasks.iter().find(|task| task.name() == name).unwrap();
        task.activate().await.unwrap()
    }

    /// How many changes were ever made: every one has an audit event.
    pub(crate) async fn changes(&self) -> u64 {
        let mut tx = self.begin().await;
        audit_head(&mut tx).await.unwrap().sequence
    }

    /// Asserts that the tasks find nothing to do.
    pub(crate) async fn assert_rest(&self) {
        let before = self.changes().await;
        self.settle().await;
        assert_eq!(
            self.changes().await,
            before,
            "a second activation did something"
        );
    }

    pub(crate) async fn run(&self, id: RunId) -> Run {
        let mut tx = self.begin().await;
        run_get(&mut tx, id).await.unwrap().unwrap()
    }

    pub(crate) async fn attempt(&self, run: RunId, number: u32) -> Attempt {
        let mut tx = self.begin().await;
        attempt_get(&mut tx, run, number).await.unwrap().unwrap()
    }

    /// Everything sent to the agent since the last call.
    pub(crate) fn take_sent(&self) -> Vec<Command> {
        let sent = std::mem::take(&mut *self.sessions.sent.lock().unwrap());
        sent.into_iter().map(|(_, command)| command).collect()
    }

    /// The one attempt that was started since the last call.
    pub(crate) fn take_start(&self) -> agent::StartAttempt {
        let mut starts = self.take_starts();
        assert_eq!(starts.len(), 1, "{starts:?}");
        starts.remove(0)
    }

    pub(crate) fn take_starts(&self) -> Vec<agent::StartAttempt> {
        self.take_sent()
            .into_iter()
            .filter_map(|command| match command {
                Command::Start(start) => Some(*start),
                _ => None,
            })
            .collect()
    }

    /// The names in the attempts that were to be stopped since the last call.
    pub(crate) fn take_cancels(&self) -> Vec<agent::AttemptRef> {
        self.take_sent()
            .into_iter()
            .filter_map(|command| match command {
                Command::Cancel(cancel) => cancel.attempt,
                _ => None,
            })
            .collect()
    }

    pub(crate) fn create_repository(&self, name: &str) -> operator::CreateRepositoryRequest {
        operator::CreateRepositoryRequest {
            request_id: self.request_id(),
            validate_only: false,
            repository_id: name.to_owned(),
            kind: operator::RepositoryKind::File.into(),
            agent: "agents/db1".to_owned(),
            path: format!("/srv/{name}"),
            recipients: vec![RECIPIENT.to_owned()],
        }
    }

    /// Declares and initializes the repository `local`.
    pub(crate) async fn with_repository(&self) {
        let request = self.create_repository("local");
        self.repositories
            .create_repository(self.ask(request))
            .await
            .unwrap();
        let run = self.init("local").await;
        self.settle().await;
        let start = self.take_start();
        self.report(&start, crate::reports::init()).await.unwrap();
        self.settle().await;
        assert_eq!(self.run(run).await.state.as_str(), "succeeded");
    }
}

pub(crate) fn with_caller<T>(message: T, caller: Caller) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(caller);
    request
}

pub(crate) fn operator_caller(id: CallerId) -> Caller {
    Caller {
        identity: Identity::Operator {
            id,
            name: "ana".to_owned(),
            role: Role::Dba,
        },
        peer: Some("127.0.0.1:1".to_owned()),
    }
}

pub(crate) fn agent_caller(id: AgentId) -> Caller {
    Caller {
        identity: Identity::Agent {
            id,
            name: "db1".to_owned(),
        },
        peer: None,
    }
}

/// The id in `runs/{run}`.
pub(crate) fn run_id(run: Option<&operator::Run>) -> RunId {
    run.unwrap()
        .name
        .strip_prefix("runs/")
        .unwrap()
        .parse()
        .unwrap()
}
