//! A controller's database with a clock that stands still and repeatable ids.

use jiff::SignedDuration;
use provado_controller::db::{Database, Tx};
use provado_controller::events::{Actor, ActorKind, AuditFilter, Context, audit_head, audit_list};
use provado_controller::lifecycle::Failure;
use provado_controller::lifecycle::attempt::{Attempt, AttemptEvent, attempt_apply, attempt_offer};
use provado_controller::lifecycle::controller::Core;
use provado_controller::lifecycle::run::{
    NewRun, Run, RunBinding, RunEvent, RunKind, run_apply, run_insert,
};
use provado_model::Reason;
use provado_model::audit_chain::{AuditRecord, verify_chain};
use provado_model::id::{AgentId, AttemptId, InstanceId, RunId};
use provado_model::random::SeededEntropy;
use provado_model::time::ManualClock;
use std::sync::Arc;

pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) clock: Arc<ManualClock>,
}

impl World {
    pub(crate) async fn open(url: &str) -> Self {
        let clock = Arc::new(ManualClock::at_second(1_700_000_000));
        let entropy = Arc::new(SeededEntropy::new(1));
        let db = Database::open(url).await.unwrap();
        let core = Core::open(db, Arc::<ManualClock>::clone(&clock), entropy)
            .await
            .unwrap();
        Self { core, clock }
    }

    pub(crate) fn ctx(&self) -> Context {
        let actor = Actor {
            kind: ActorKind::Operator,
            id: "c1".into(),
            name: "ana".into(),
            peer: Some("127.0.0.1:9".into()),
        };
        self.core.context(actor, None)
    }

    pub(crate) async fn begin(&self) -> Tx {
        self.core.db.begin().await.unwrap()
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    pub(crate) fn agent(&self) -> AgentId {
        AgentId::new(self.core.clock.as_ref(), self.core.entropy.as_ref())
    }

    pub(crate) fn instance(&self) -> InstanceId {
        InstanceId::new(self.core.clock.as_ref(), self.core.entropy.as_ref())
    }

    pub(crate) fn new_run(&self, agent: AgentId) -> NewRun {
        let id = RunId::new(self.core.clock.as_ref(), self.core.entropy.as_ref());
        let spec = serde_json::json!({"level": 3});
        let mut run = NewRun::new(id, RunKind::Backup, spec);
        run.binding.agent_id = Some(agent);
        run.binding.database_name = Some("shop".into());
        run
    }

    /// Requests a run in a transaction of its own.
    pub(crate) async fn request(&self, new: &NewRun) -> Run {
        let mut tx = self.begin().await;
        let run = run_insert(&mut tx, &self.ctx(), new).await.unwrap();
        tx.commit().await.unwrap();
        run.into_inner()
    }

    /// Moves a run in a transaction of its own.
    pub(crate) async fn apply(&self, run: &Run, event: RunEvent) -> Run {
        let mut tx = self.begin().await;
        let next = run_apply(&mut tx, &self.ctx(), run, event).await.unwrap();
        tx.commit().await.unwrap();
        next
    }

    /// A run that is with an agent, and its attempt.
    pub(crate) async fn dispatched(&self, agent: AgentId) -> (Run, Attempt) {
        let run = self.request(&self.new_run(agent)).await;
        let binding: RunBinding = run.binding.clone();
        let run = self.apply(&run, RunEvent::Admit(binding)).await;
        self.dispatch(&run, agent).await
    }

    pub(crate) async fn dispatch(&self, run: &Run, agent: AgentId) -> (Run, Attempt) {
        let id = AttemptId::new(self.core.clock.as_ref(), self.core.entropy.as_ref());
        let ctx = self.ctx();
        let until = ctx.now + SignedDuration::from_secs(30);
        let mut tx = self.begin().await;
        let run = run_apply(&mut tx, &ctx, run, RunEvent::Dispatch(agent))
            .await
            .unwrap();
        let attempt = attempt_offer(&mut tx, &ctx, id, &run, until).await.unwrap();
        tx.commit().await.unwrap();
        (run, attempt)
    }

    /// Ends an attempt as lost.
    pub(crate) async fn lose(&self, attempt: &Attempt) {
        let lose = AttemptEvent::Lose(Failure::new(Reason::AgentOffline, "no heartbeat"));
        let mut tx = self.begin().await;
        attempt_apply(&mut tx, &self.ctx(), attempt, lose)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// Every event, after the chain has been verified.
    pub(crate) async fn chain(&self) -> Vec<AuditRecord> {
        let mut tx = self.core.db.read().await.unwrap();
        let filter = AuditFilter::default();
        let events = audit_list(&mut tx, &filter, 0, 10_000).await.unwrap();
        assert_eq!(
            verify_chain(&events).unwrap(),
            audit_head(&mut tx).await.unwrap()
        );
        events
    }

    /// The actions on one thing, in order.
    pub(crate) async fn actions(&self, name: impl ToString) -> Vec<String> {
        let name = name.to_string();
        let chain = self.chain().await;
        let of_it = chain
            .into_iter()
            .filter(|event| event.resource_name == name);
        of_it.map(|event| event.action).collect()
    }
}
