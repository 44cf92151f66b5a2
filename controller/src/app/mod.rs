//! Puts the controller together: the only module that names every slice.
//!
//! What starts, in order: database, authorities, sockets, epoch, the first caller, allow-lists,
//! tasks, doors. A door opens last, so that nobody is served by half a controller. Decides nothing
//! else.

mod running;
mod slices;

pub use running::Running;
pub use slices::Stages;

use crate::access::{Access, Endpoint};
use crate::audit::CheckpointTask;
use crate::config::Config;
use crate::db::Database;
use crate::fleet::{Fleet, SessionTimes};
use crate::lifecycle::attempt::attempt_lease_grace;
use crate::lifecycle::controller::{Core, epoch_raise};
use crate::listeners::{AgentDoor, Doorway, OperatorDoor, Options, Refusals, ServerCertificates};
use crate::request::RefusalLog;
use crate::sealed::SealedIdentities;
use crate::supervisor::{Supervisor, Task as _};
use jiff::{SignedDuration, Timestamp};
use provado_identity::ca::{CaError, ServerNames};
use provado_identity::files::{self, FileError};
use provado_identity::tls::{ListenerTls, agent_listener, operator_listener};
use provado_identity::{Address, Authorities, TrustDomain};
use provado_model::random::Entropy;
use provado_model::time::Clock;
use provado_model::{Error, Reason};
use running::Parts;
use slices::{Slices, signing_key};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections that one agent may have at once; it needs one, two while it changes over. Hosts that
/// join from one address share as many.
const AGENT_CONNECTIONS_EACH_MAX: u32 = 16;
/// Connections that one caller may have at once; scripts run many commands side by side.
const OPERATOR_CONNECTIONS_EACH_MAX: u32 = 64;

/// The controller, before it runs.
#[derive(Debug)]
pub struct Controller;

/// What differs between production and a test, beside the configuration.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// How long the sides of an agent's stream wait for each other.
    pub times: SessionTimes,
}

impl Controller {
    /// Starts a controller; it serves when this returns.
    ///
    /// Errors say what to do: `INVALID_ARGUMENT` for a configuration, `SERVICE_UNAVAILABLE` for a
    /// database, a directory or an address that cannot be had.
    pub async fn start(
        config: Config,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Running, Error> {
        let lease = Duration::from_secs(config.limits.lease_seconds);
        let times = SessionTimes {
            lease,
            idle: lease,
            ..SessionTimes::default()
        };
        let ground = Ground {
            clock,
            entropy,
            times,
        };
        Self::start_on(config, ground).await
    }

    /// The same with every wait given.
    pub async fn start_on(config: Config, ground: Ground) -> Result<Running, Error> {
        let base = Base::open(&config, &ground).await?;
        let agents = Doorway::bind("agents", config.agents.listen).await?;
        let operators = Doorway::bind("operators", config.operators.listen).await?;
        base.take_over(ground.times.lease).await?;
        let fleet = Fleet::new(
            base.core.clone(),
            Arc::clone(&base.authorities),
            ground.times,
        );
        let access = base.access(&config, agents.address().port())?;
        let endpoint = endpoint(&config, operators.address());
        let profile = access.prepare_admin(&config.data_dir, &endpoint).await?;
        base.sign_start(&config).await?;
        fleet.prepare().await?;
        access.prepare().await?;

        let mut supervisor = Supervisor::new();
        let superseded = CancellationToken::new();
        let slices = Slices {
            config: &config,
            core: &base.core,
            authorities: &base.authorities,
            fleet: &fleet,
            access: &access,
            certificates: &base.certificates,
            sealed: SealedIdentities::default(),
            superseded: &superseded,
        };
        let probes = slices.add_tasks(&mut supervisor)?;
        let agent_routes = slices.agent_routes(&probes).await?;
        let operator_routes = slices.operator_routes(&probes).await?;

        let (stop, close) = (CancellationToken::new(), CancellationToken::new());
        let mut doors = JoinSet::new();
        let refusals: Arc<dyn RefusalLog> = Arc::new(Refusals::new(base.core.clone()));
        let addresses = (agents.address(), operators.address());
        let options = base.agent_options(&config, &fleet, &refusals)?;
        agents.serve(options, agent_routes, &stop, &close, &mut doors);
        let options = base.operator_options(&config, &access, &refusals)?;
        operators.serve(options, operator_routes, &stop, &close, &mut doors);

        let stop_tasks = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(supervisor.run(Arc::clone(&ground.clock), stop_tasks.clone()));
        tracing::info!(
            controller.id = %base.core.id(),
            controller.epoch = base.core.epoch(),
            agents.address = %addresses.0,
            operators.address = %addresses.1,
            "the controller serves agents on {} and operators on {}",
            addresses.0,
            addresses.1
        );
        Ok(Running::new(Parts {
            agent_address: addresses.0,
            operator_address: addresses.1,
            profile,
            core: base.core,
            fleet,
            certificates: base.certificates,
            probes,
            stop_doors: stop,
            close_doors: close,
            doors,
            stop_tasks,
            tasks,
            superseded,
        }))
    }

    /// Makes a new key, certificate and profile for the first caller, after the old ones were
    /// lost. The controller must not be running on the same SQLite store; beside one that runs on
    /// PostgreSQL it changes nothing else. The profile's path.
    pub async fn renew_profile(config: &Config, ground: &Ground) -> Result<PathBuf, Error> {
        let base = Base::open(config, ground).await?;
        // No join string is made here; a port that is chosen at the start is not known yet.
        let access = base.access(config, config.agents.listen.port().max(1))?;
        let endpoint = endpoint(config, config.operators.listen);
        let profile = access.renew_admin(&config.data_dir, &endpoint).await?;
        base.core.db.close().await;
        Ok(profile)
    }
}

/// What everything else stands on.
struct Base {
    core: Core,
    trust_domain: TrustDomain,
    authorities: Arc<Authorities>,
    certificates: Arc<ServerCertificates>,
}

impl Base {
    async fn open(config: &Config, ground: &Ground) -> Result<Self, Error> {
        files::create_private_dir(&config.data_dir).map_err(|source| directory(&source))?;
        let trust_domain = config.trust_domain()?;
        let database = Database::open(&config.store_url()?).await?;
        let (clock, entropy) = (Arc::clone(&ground.clock), Arc::clone(&ground.entropy));
        let core = Core::open(database, clock, entropy).await?;
        let path = config.data_dir.join("authority");
        let authorities =
            Authorities::load_or_create(&path, &trust_domain, &core.clock, &core.entropy)
                .map_err(authority)?;
        let authorities = Arc::new(authorities);
        let names = config.identity.server_names.iter().map(String::as_str);
        let certificates = ServerCertificates::issue(
            Arc::clone(&authorities),
            ServerNames::from_hosts(names),
            Arc::clone(&core.clock),
        )?;
        Ok(Self {
            core,
            trust_domain,
            authorities,
            certificates: Arc::new(certificates),
        })
    }

    /// Whoever ran on this database before, and still does somewhere, is over from here on. Agents
    /// get the time of a lease to say which attempts they have in hand: while no controller was
    /// there, they could not.
    async fn take_over(&self, lease: Duration) -> Result<(), Error> {
        let mut tx = self.core.db.begin().await?;
        let ctx = self.core.task_context("start");
        let epoch = epoch_raise(&mut tx, &ctx, 0, "a controller started").await?;
        let lease = SignedDuration::try_from(lease).unwrap_or(SignedDuration::MAX);
        let until = ctx.now.saturating_add(lease).unwrap_or(Timestamp::MAX);
        let prolonged = attempt_lease_grace(&mut tx, until).await?;
        tx.commit().await?;
        self.core.adopt_epoch(epoch);
        if prolonged > 0 {
            tracing::info!(
                attempt.count = prolonged,
                "{prolonged} attempts were in hand when the last controller stopped; their agents \
                 have {} seconds to say that they go on",
                lease.as_secs()
            );
        }
        Ok(())
    }

    /// Signs a checkpoint that holds this very start, before any agent dials: every agent that is
    /// welcomed becomes a witness of it, so that a copy of the database from before it is told from
    /// the database itself, also when both count the same epochs.
    async fn sign_start(&self, config: &Config) -> Result<(), Error> {
        let key = signing_key(&self.authorities)?;
        let period = Duration::from_secs(config.limits.checkpoint_seconds);
        let task = CheckpointTask::new(self.core.clone(), key, period);
        task.activate().await.map(drop)
    }

    fn access(&self, config: &Config, agent_port: u16) -> Result<Arc<Access>, Error> {
        let address: Address = config.agent_address(agent_port).parse().map_err(|source| {
            Error::new(
                Reason::InvalidArgument,
                format!("agents.address, or the first of identity.server_names: {source}"),
            )
        })?;
        let authorities = Arc::clone(&self.authorities);
        Ok(Access::new(self.core.clone(), authorities, address))
    }

    fn agent_options(
        &self,
        config: &Config,
        fleet: &Fleet,
        refusals: &Arc<dyn RefusalLog>,
    ) -> Result<Options, Error> {
        let tls = ListenerTls {
            certificate: Arc::clone(&self.certificates.agents),
            client_roots: vec![self.authorities.agents.certificate().clone()],
            trust_domain: self.trust_domain.clone(),
            allow: fleet.allow(),
            clock: Arc::clone(&self.core.clock),
        };
        Ok(Options {
            name: "agents",
            tls: agent_listener(&tls).map_err(tls_error)?,
            trust_domain: self.trust_domain.clone(),
            connections_max: config.limits.agent_connections_max,
            connections_each_max: AGENT_CONNECTIONS_EACH_MAX,
            door: Arc::new(AgentDoor(fleet.allow())),
            refusals: Arc::clone(refusals),
            amnesia: self.core.amnesia(),
        })
    }

    fn operator_options(
        &self,
        config: &Config,
        access: &Access,
        refusals: &Arc<dyn RefusalLog>,
    ) -> Result<Options, Error> {
        let tls = ListenerTls {
            certificate: Arc::clone(&self.certificates.operators),
            client_roots: vec![self.authorities.operators.certificate().clone()],
            trust_domain: self.trust_domain.clone(),
            allow: access.allow(),
            clock: Arc::clone(&self.core.clock),
        };
        Ok(Options {
            name: "operators",
            tls: operator_listener(&tls).map_err(tls_error)?,
            trust_domain: self.trust_domain.clone(),
            connections_max: config.limits.operator_connections_max,
            connections_each_max: OPERATOR_CONNECTIONS_EACH_MAX,
            door: Arc::new(OperatorDoor(access.allow())),
            refusals: Arc::clone(refusals),
            amnesia: self.core.amnesia(),
        })
    }
}

/// Where the command line finds the operators' listener: by the first name of the certificate.
fn endpoint(config: &Config, listen: SocketAddr) -> Endpoint {
    let names = &config.identity.server_names;
    let name = names.first().map_or("localhost", String::as_str);
    // A listener on one loopback address is not found by a name that means another one.
    let host = if listen.ip().is_loopback() {
        listen.ip().to_string()
    } else {
        name.to_owned()
    };
    let address = if host.contains(':') {
        format!("[{host}]:{}", listen.port())
    } else {
        format!("{host}:{}", listen.port())
    };
    Endpoint {
        address,
        server_name: name.to_owned(),
    }
}

fn directory(source: &FileError) -> Error {
    Error::new(
        Reason::ServiceUnavailable,
        format!("the data directory cannot be used: {source}"),
    )
}

fn authority(source: CaError) -> Error {
    Error::new(
        Reason::ServiceUnavailable,
        format!("the controller's certificate authorities cannot be used: {source}"),
    )
    .caused_by(source)
}

fn tls_error(source: provado_identity::tls::TlsError) -> Error {
    Error::internal("a listener's TLS could not be set up").caused_by(source)
}
