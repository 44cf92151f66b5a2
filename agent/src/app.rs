//! The agent put together: what is on disk, the tasks, and their end. The only module that knows
//! every other.

mod inventory;
mod sweep;

pub use inventory::Inventory;
pub use sweep::{report_interrupted, settle_acknowledged};

use crate::config::Config;
use crate::executor::{Executor, Jobs, Means, RealJobs};
use crate::inbox::Inbox;
use crate::journal::{Journal, JournalError};
use crate::link::{Connection, Link, LinkError};
use crate::membership::{self, Home, HomeError, KeySigner, Membership};
use crate::outbox::Outbox;
use crate::postgres::tools::ToolSet;
use crate::postgres::{InstalledTools, Tools as _};
use crate::report::Reporter;
use crate::session::{Renewal, Session, Witness};
use inventory::InventoryTask;
use provado_identity::tls::{LiveCertificate, TlsError};
use provado_identity::token::TokenError;
use provado_identity::{Address, AgentKeys, pem};
use provado_model::id::{AgentId, uuid_v7};
use provado_model::random::Entropy;
use provado_model::time::Clock;
use provado_repository::Cancel;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long running attempts may take to end when the agent stops.
pub const DRAIN: Duration = Duration::from_secs(45);
/// How long their outcomes may take to be acknowledged after that.
pub const REPORT: Duration = Duration::from_secs(10);

/// The agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It has not joined.
    #[error(
        "this host has not joined a fleet: make a join string with `provado join-token create` \
         and run `provado-agent join '<join string>'` as the agent's user"
    )]
    NotJoined,
    /// Its certificate has ended.
    #[error("the agent's certificate ended at {end}, so no controller lets it in; {way_back}")]
    Expired {
        /// When.
        end: jiff::Timestamp,
        /// What to do.
        way_back: String,
    },
    /// Its state.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Its journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The controller's address.
    #[error("the controller's address cannot be used")]
    Address(#[from] TokenError),
    /// Its certificate.
    #[error("the agent's certificate cannot be used")]
    Tls(#[from] TlsError),
    /// Its certificate, too.
    #[error("the agent's certificate cannot be read")]
    Pem(#[from] pem::PemError),
    /// The way to the controller.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// The agent.
#[derive(Debug)]
pub struct Agent;

/// An agent that runs until it is shut down or dropped.
#[derive(Debug)]
pub struct Running {
    agent_id: AgentId,
    agent_name: String,
    executor: Arc<Executor>,
    outbox: Arc<Outbox>,
    link: Arc<Link>,
    stopping: Arc<AtomicBool>,
    stop: Cancel,
    tasks: JoinSet<()>,
}

impl Agent {
    /// Starts the agent whose state is in `config.data_dir`. Returns once leftovers of an earlier
    /// life are removed; the connection comes about afterwards, and again, by itself.
    pub async fn start(
        config: Config,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Running, StartError> {
        Self::start_with(config, clock, entropy, Arc::new(RealJobs)).await
    }

    /// The same with jobs of the caller's, for tests.
    pub async fn start_with(
        config: Config,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        jobs: Arc<dyn Jobs>,
    ) -> Result<Running, StartError> {
        let home = Arc::new(Home::open(&config.data_dir)?);
        let member = home.membership()?.ok_or(StartError::NotJoined)?;
        let base = Base {
            keys: Arc::new(home.keys(&*clock, &*entropy)?),
            config: Arc::new(config),
            home,
            member,
            clock,
            entropy,
        };
        let link = Arc::new(base.link()?);
        let inventory = Inventory::new();
        let means = base.means(jobs, inventory.clone())?;
        sweep::sweep(&means).await?;
        let executor = Executor::new(means.clone());
        let stopping = Arc::new(AtomicBool::new(false));
        let session = base.session(&means, &link, &executor, &stopping)?;
        let reporter = base.reporter(&means, &link)?;
        let looks = InventoryTask {
            inventory,
            link: Arc::clone(&link),
            sets: tool_sets(&base.config).await,
            config: base.config,
            entropy: base.entropy,
        };
        let stop = Cancel::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(session.run(stop.clone()));
        tasks.spawn(reporter.run(stop.clone()));
        tasks.spawn(looks.run(stop.clone()));
        Ok(Running {
            agent_id: base.member.agent_id,
            agent_name: base.member.agent_name,
            executor,
            outbox: means.outbox,
            link,
            stopping,
            stop,
            tasks,
        })
    }
}

/// What everything else is made from.
struct Base {
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    home: Arc<Home>,
    member: Membership,
    keys: Arc<AgentKeys>,
}

impl Base {
    fn link(&self) -> Result<Link, StartError> {
        let member = &self.member;
        let end = member.certificate_end();
        if let Some(end) = end.filter(|end| *end <= self.clock.now()) {
            let way_back = member.way_back();
            return Err(StartError::Expired { end, way_back });
        }
        let configured = self.config.controller.as_deref();
        let address: Address = configured.unwrap_or(&member.controller).parse()?;
        let chain = pem::certificates(&member.certificate_pem)?;
        let clock = || Arc::clone(&self.clock);
        let certificate = LiveCertificate::new(chain, &self.keys.tls, clock())?;
        Ok(Link::new(
            address,
            certificate,
            &member.authority_pem,
            clock(),
        )?)
    }

    fn means(&self, jobs: Arc<dyn Jobs>, after: Arc<Inventory>) -> Result<Means, StartError> {
        let home = &self.home;
        let inbox = Inbox::open(Journal::open(home.inbox())?, home.state().clone())?;
        Ok(Means {
            config: Arc::clone(&self.config),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            agent: self.member.agent_id,
            signer: Arc::new(KeySigner::new(Arc::clone(&self.keys))),
            unsealer: membership::unsealer(&self.keys)?,
            jobs,
            after,
            inbox: Arc::new(inbox),
            outbox: Arc::new(Outbox::open(Journal::open(home.outbox())?)?),
            progress: Arc::default(),
            logs: Arc::default(),
        })
    }

    fn session(
        &self,
        means: &Means,
        link: &Arc<Link>,
        executor: &Arc<Executor>,
        stopping: &Arc<AtomicBool>,
    ) -> Result<Session, StartError> {
        let controller = self.member.controller_key()?;
        let witness = Witness::open(self.home.state().clone(), controller)?;
        let renewal = Renewal::new(
            Arc::clone(&self.home),
            Arc::clone(&self.keys),
            Arc::clone(link),
            self.member.clone(),
            Arc::clone(&self.clock),
            Arc::clone(&self.entropy),
        );
        Ok(Session {
            link: Arc::clone(link),
            inbox: Arc::clone(&means.inbox),
            outbox: Arc::clone(&means.outbox),
            executor: Arc::clone(executor),
            progress: Arc::clone(&means.progress),
            witness: Arc::new(witness),
            renewal: Arc::new(renewal),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            process_id: uuid_v7(&*self.clock, &*self.entropy).to_string(),
            stopping: Arc::clone(stopping),
        })
    }

    fn reporter(&self, means: &Means, link: &Arc<Link>) -> Result<Reporter, StartError> {
        Ok(Reporter {
            link: Arc::clone(link),
            outbox: Arc::clone(&means.outbox),
            inbox: Arc::clone(&means.inbox),
            logs: Arc::clone(&means.logs),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            controller_key: self.member.controller_key()?,
        })
    }
}

/// The client tools of the host; none where they cannot be found, which every instance then says.
async fn tool_sets(config: &Config) -> Vec<ToolSet> {
    let configured: Vec<PathBuf> = config.tool_directories.clone();
    let found = tokio::task::spawn_blocking(move || {
        InstalledTools::discover(&configured).map(|tools| tools.sets())
    });
    match found.await {
        Ok(Ok(sets)) => sets,
        Ok(Err(error)) => {
            tracing::error!(
                "client tools cannot be looked for: {}",
                provado_telemetry::chain(&error)
            );
            Vec::new()
        }
        Err(error) => {
            tracing::error!("client tools cannot be looked for: {error}");
            Vec::new()
        }
    }
}

impl Running {
    /// The agent's id.
    pub const fn agent_id(&self) -> AgentId {
        self.agent_id
    }

    /// The agent's name.
    pub fn agent_name(&self) -> &str {
        &self.agent_name
    }

    /// Whether the controller has let the agent in, and word of every change.
    pub fn connection(&self) -> watch::Receiver<Option<Connection>> {
        self.link.connection()
    }

    /// Ends when the agent cannot go on because one of its tasks has ended, which is a bug.
    pub async fn broken(&mut self) {
        let ended = self.tasks.join_next().await;
        if let Some(Err(error)) = ended {
            tracing::error!("a task of the agent ended by a bug: {error}");
        }
    }

    /// Takes nothing new, cancels what runs, reports it while that is possible in [`REPORT`], and
    /// ends every task. What could not be reported is reported by the next start.
    pub async fn shutdown(mut self) {
        self.stopping.store(true, Ordering::Release);
        self.executor.drain(DRAIN).await;
        if self.link.connection().borrow().is_some()
            && tokio::time::timeout(REPORT, self.outbox.drained())
                .await
                .is_err()
        {
            tracing::warn!("some outcomes are not acknowledged; the next start reports them");
        }
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}
