//! The fleet: one database, whoever serves it, two hosts, what is on its way between them, and
//! everything that has to be remembered to judge it.

use crate::agent::SimAgent;
use crate::checker::{self, moves_of};
use crate::controller::{Controller, Ground};
use crate::dice::Dice;
use crate::network::Packet;
use crate::operator::Asked;
use crate::picture::Picture;
use crate::sabotage::Sabotage;
use jiff::{SignedDuration, Timestamp};
use provado_controller::db::{Database, Tx};
use provado_controller::fleet::AgentPeer;
use provado_controller::fleet::model as fleet;
use provado_controller::fleet::store::agent::agent_insert;
use provado_controller::fleet::store::certificate::certificate_insert;
use provado_controller::fleet::store::database::database_insert;
use provado_controller::fleet::store::instance::instance_insert;
use provado_controller::request::{Caller, Identity};
use provado_identity::{Authorities, SigningKey, TrustDomain};
use provado_model::audit_chain::{ChainHead, ChainVerifier};
use provado_model::id::{AgentId, CallerId, DatabaseId, InstanceId};
use provado_model::label::Labels;
use provado_model::random::{Entropy, SeededEntropy};
use provado_model::state::Role;
use provado_model::time::{Clock, ManualClock};
use std::collections::BTreeSet;
use std::sync::Arc;
use tonic::Request;
use uuid::Uuid;

/// Databases of each host's instance.
pub(crate) const DATABASES: &[&[&str]] = &[&["shop", "crm"], &["wiki"]];

pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) ground: Ground,
    pub(crate) sabotage: Sabotage,
    pub(crate) controllers: Vec<Controller>,
    pub(crate) controllers_started: usize,
    pub(crate) agents: Vec<SimAgent>,
    pub(crate) network: Vec<Packet>,
    pub(crate) asked: Vec<Asked>,
    /// The runs that requests made, by what was answered.
    pub(crate) roots: BTreeSet<String>,
    /// The epoch of the one controller that acts in this step; none when several or none do.
    pub(crate) acting: Option<u64>,
    pub(crate) picture: Picture,
    chain: ChainVerifier,
    pub(crate) log: Vec<String>,
}

impl World {
    /// Two hosts that have joined, with an instance each; one controller, no repository yet.
    pub(crate) async fn new(seed: u64, sabotage: Sabotage) -> Self {
        let clock = Arc::new(ManualClock::at_second(1_700_000_000));
        let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(seed));
        let trust_domain: TrustDomain = "sim.test".parse().unwrap();
        let authorities = Authorities::create(&trust_domain, &shared, &entropy).unwrap();
        let pem = authorities.signing.to_pem().unwrap();
        let ground = Ground {
            db: Database::open("sqlite::memory:").await.unwrap(),
            clock: shared,
            entropy: Arc::new(SeededEntropy::new(seed ^ 0x51d)),
            key: Arc::new(SigningKey::from_pem(&pem).unwrap()),
            authorities: Arc::new(authorities),
        };
        let mut world = Self {
            dice: Dice::new(seed),
            clock,
            ground,
            sabotage,
            controllers: Vec::new(),
            controllers_started: 0,
            agents: (0..DATABASES.len()).map(sim_agent).collect(),
            network: Vec::new(),
            asked: Vec::new(),
            roots: BTreeSet::new(),
            acting: None,
            picture: Picture::default(),
            chain: ChainVerifier::after(ChainHead::empty()),
            log: Vec::new(),
        };
        world.populate().await;
        world.start_controller().await;
        world
    }

    async fn populate(&self) {
        let now = self.ground.clock.now();
        let mut tx = self.ground.db.begin().await.unwrap();
        for agent in &self.agents {
            insert_host(&mut tx, agent, now).await;
        }
        tx.commit().await.unwrap();
    }

    pub(crate) async fn start_controller(&mut self) -> usize {
        self.controllers_started += 1;
        let number = self.controllers_started;
        let controller = Controller::start(number, &self.ground).await;
        self.controllers.push(controller);
        number
    }

    /// Ends a controller at once; its streams end with it.
    pub(crate) fn crash_controller(&mut self, number: usize) {
        for agent in &mut self.agents {
            if let Some(process) = &mut agent.process {
                let is_there = |link: &mut _| -> bool {
                    let link: &mut crate::controller::Link = link;
                    link.controller == number
                };
                process.link.take_if(is_there);
            }
        }
        self.controllers.retain(|it| it.number != number);
    }

    pub(crate) fn controller(&self, number: usize) -> &Controller {
        let mut all = self.controllers.iter();
        all.find(|it| it.number == number).unwrap()
    }

    /// Opens a stream to a controller in the place of the one that the agent has, if it has one.
    pub(crate) async fn connect(&mut self, agent: usize, number: usize) -> Result<String, String> {
        let mut link = self.controller(number).open(&self.agents[agent].peer);
        let process = self.agents[agent].process.as_mut().unwrap();
        let older = process.link.take();
        let answer = link.exchange(Some(process.hello())).await;
        if !answer.is_open {
            return Err(format!("c{number} does not let a{agent} in"));
        }
        process.link = Some(link);
        let came = answer.down.len();
        for message in answer.down {
            self.send(Packet::Down { agent, message });
        }
        if let Some(mut older) = older
            && older.controller == number
            && older.exchange(None).await.is_open
        {
            return Err(format!("a{agent} has two streams to c{number}"));
        }
        Ok(format!("a{agent} connects to c{number}: {came} came down"))
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    /// Writes a step down and holds every invariant against what it did.
    pub(crate) async fn conclude(&mut self, told: String) -> Result<(), String> {
        self.log.push(told);
        let seen = self.chain.head().sequence;
        let (after, events) = Picture::read(&self.ground.db, seen).await;
        for event in &events {
            let pushed = self.chain.push(event);
            pushed.map_err(|broken| format!("the audit chain is broken: {broken}"))?;
        }
        let moves = moves_of(&events);
        let acting = self.acting.take();
        let mut wrong = checker::check(&self.picture, &after, &moves, acting);
        let roots = after.runs.iter().filter(|(_, run)| run.parent.is_none());
        let roots: BTreeSet<String> = roots.map(|(id, _)| id.clone()).collect();
        if roots != self.roots {
            let more: Vec<_> = roots.symmetric_difference(&self.roots).collect();
            wrong.push(format!("runs and answered requests differ: {more:?}"));
        }
        self.picture = after;
        match wrong.into_iter().next() {
            None => Ok(()),
            Some(first) => Err(first),
        }
    }
}

fn sim_agent(number: usize) -> SimAgent {
    let seed = u64::try_from(number).unwrap();
    let key = SigningKey::generate(&SeededEntropy::new(100 + seed)).unwrap();
    let peer = AgentPeer {
        id: AgentId::from_uuid(Uuid::from_u128(0xa0 + u128::from(seed))),
        name: format!("db{number}"),
        sha256: [u8::try_from(number).unwrap() + 1; 32],
    };
    SimAgent::new(number, peer, key)
}

pub(crate) fn instance_name(agent: usize) -> String {
    format!("pg{agent}")
}

async fn insert_host(tx: &mut Tx, agent: &SimAgent, now: Timestamp) {
    let row = fleet::Agent {
        id: agent.peer.id,
        name: agent.peer.name.clone(),
        state: fleet::AgentState::Active,
        state_reason: None,
        version: 1,
        labels: Labels::new(),
        host: fleet::Host::default(),
        capabilities: Vec::new(),
        protocol_version: 1,
        signing_public_key: agent.key.public_key().to_string(),
        sealing_recipient: None,
        certificate_generation: 1,
        machine_id: None,
        draining: false,
        create_time: now,
        last_seen_time: None,
        witness: None,
    };
    agent_insert(tx, &row).await.unwrap();
    let certificate = fleet::AgentCertificate {
        sha256: agent.peer.sha256.map(|byte| format!("{byte:02x}")).concat(),
        agent: agent.peer.id,
        generation: 1,
        not_before: now,
        not_after: Timestamp::MAX,
        supersede_time: None,
        is_replaced: false,
    };
    certificate_insert(tx, &certificate).await.unwrap();
    let instance = instance_row(agent, now);
    instance_insert(tx, &instance).await.unwrap();
    for (oid, name) in (20_000_u32..).zip(DATABASES[agent.number]) {
        let database = database_row(&instance, oid, name);
        database_insert(tx, &database).await.unwrap();
    }
}

fn instance_row(agent: &SimAgent, now: Timestamp) -> fleet::Instance {
    let number = u128::try_from(agent.number).unwrap();
    fleet::Instance {
        id: InstanceId::from_uuid(Uuid::from_u128(0x10 + number)),
        agent: agent.peer.id,
        name: instance_name(agent.number),
        state: fleet::InstanceState::Up,
        version: 1,
        system_identifier: format!("7000000000000000{number}"),
        data_directory: "/var/lib/postgresql/15/main".to_owned(),
        host: "/var/run/postgresql".to_owned(),
        port: 5_432,
        server_version_number: 150_018,
        in_recovery: false,
        size_bytes: 1,
        labels: Labels::new(),
        facts: fleet::InstanceFacts::default(),
        create_time: now,
        last_seen_time: now,
    }
}

fn database_row(instance: &fleet::Instance, oid: u32, name: &str) -> fleet::Database {
    let id = instance.id.uuid().as_u128() << 32 | u128::from(oid);
    fleet::Database {
        id: DatabaseId::from_uuid(Uuid::from_u128(id)),
        instance: instance.id,
        oid,
        name: name.to_owned(),
        state: fleet::DatabaseState::Present,
        size_bytes: 10,
        owner: "postgres".to_owned(),
        encoding: "UTF8".to_owned(),
        collate: "C".to_owned(),
        ctype: "C".to_owned(),
        locale_provider: "libc".to_owned(),
        collation_version: None,
        actual_collation_version: None,
        allows_connections: true,
        extensions: Vec::new(),
        create_time: instance.create_time,
        last_seen_time: instance.create_time,
    }
}

pub(crate) fn with_caller<T>(message: T, caller: Caller) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(caller);
    request
}

pub(crate) fn operator_caller() -> Caller {
    Caller {
        identity: Identity::Operator {
            id: CallerId::from_uuid(Uuid::from_u128(0xc1)),
            name: "ana".to_owned(),
            role: Role::Dba,
        },
        peer: None,
    }
}

pub(crate) fn agent_caller(peer: &AgentPeer) -> Caller {
    Caller {
        identity: Identity::Agent {
            id: peer.id,
            name: peer.name.clone(),
        },
        peer: None,
    }
}
