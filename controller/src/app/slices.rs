//! Which slice has which task and which service.

use crate::access::{Access, AccessApi, AccessTask};
use crate::admit::{AdmitTask, PartsTask, Runs};
use crate::audit::{AuditApi, CheckpointTask, ControllerApi};
use crate::catalog::Backups;
use crate::config::Config;
use crate::dispatch::{CancelTask, Dispatch, DispatchTask, DispatchTimes, ReapTask};
use crate::events::Topic;
use crate::fleet::api::{EnrollmentApi, FleetApi, SessionApi};
use crate::fleet::{Fleet, FleetTask, Sessions};
use crate::intake::Reports;
use crate::lifecycle::controller::{ClockTask, Core};
use crate::listeners::{CertificateTask, HealthTask, Probes, ServerCertificates};
use crate::policy::{ReadyTask, Repositories};
use crate::sealed::SealedIdentities;
use crate::supervisor::{Supervisor, Task};
use crate::verify::{Proofs, VerifyTask};
use provado_identity::{Authorities, SigningKey};
use provado_model::Error;
use provado_model::limits::{MESSAGE_BYTES_MAX, REPORT_BYTES_MAX};
use provado_proto::agent::v1::enrollment_service_server::EnrollmentServiceServer;
use provado_proto::agent::v1::report_service_server::ReportServiceServer;
use provado_proto::agent::v1::session_service_server::SessionServiceServer;
use provado_proto::operator::v1::access_service_server::AccessServiceServer;
use provado_proto::operator::v1::audit_service_server::AuditServiceServer;
use provado_proto::operator::v1::backup_service_server::BackupServiceServer;
use provado_proto::operator::v1::controller_service_server::ControllerServiceServer;
use provado_proto::operator::v1::fleet_service_server::FleetServiceServer;
use provado_proto::operator::v1::proof_service_server::ProofServiceServer;
use provado_proto::operator::v1::repository_service_server::RepositoryServiceServer;
use provado_proto::operator::v1::run_service_server::RunServiceServer;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic::service::Routes;

/// The slices, assembled.
pub(super) struct Slices<'a> {
    pub(super) config: &'a Config,
    pub(super) core: &'a Core,
    pub(super) authorities: &'a Arc<Authorities>,
    pub(super) fleet: &'a Arc<Fleet>,
    pub(super) access: &'a Arc<Access>,
    pub(super) certificates: &'a Arc<ServerCertificates>,
    /// Identities that ride on runs: taken by `admit`, sent by `dispatch`.
    pub(super) sealed: SealedIdentities,
    /// Canceled when another controller has taken over the database.
    pub(super) superseded: &'a CancellationToken,
}

/// What the tasks of the stages are made from.
#[derive(Debug)]
pub struct Stages<'a> {
    /// The ground.
    pub core: &'a Core,
    /// Agents and their streams.
    pub fleet: &'a Arc<Fleet>,
    /// Identities that ride on runs.
    pub sealed: &'a SealedIdentities,
    /// The controller's signing key.
    pub key: &'a Arc<SigningKey>,
    /// How long things take at most, and how much there may be of them.
    pub times: DispatchTimes,
    /// How often the audit chain is signed at most.
    pub checkpoint_period: Duration,
}

impl Stages<'_> {
    /// Every task that moves runs and what belongs to them, with what wakes it. A test that steps
    /// tasks itself takes them from here, so that it steps those which the controller runs.
    pub fn tasks(&self) -> Vec<(Arc<dyn Task>, &'static [Topic])> {
        let core = self.core;
        let sessions: Arc<dyn Sessions> = self.fleet.sessions();
        let dispatch = Dispatch::new(core, sessions, self.sealed.clone()).with_times(self.times);
        let sign = CheckpointTask::new(core.clone(), Arc::clone(self.key), self.checkpoint_period);
        let verify = VerifyTask::new(core.clone(), Arc::clone(self.key));
        vec![
            (Arc::new(FleetTask(Arc::clone(self.fleet))), &[]),
            (Arc::new(ClockTask::new(core.clone())), &[]),
            (Arc::new(ReadyTask::new(core.clone())), ReadyTask::TOPICS),
            (Arc::new(AdmitTask::new(core.clone())), AdmitTask::TOPICS),
            (Arc::new(PartsTask::new(core.clone())), PartsTask::TOPICS),
            (
                Arc::new(DispatchTask::new(dispatch.clone())),
                DispatchTask::TOPICS,
            ),
            (
                Arc::new(CancelTask::new(dispatch.clone())),
                CancelTask::TOPICS,
            ),
            (Arc::new(ReapTask::new(dispatch)), ReapTask::TOPICS),
            (Arc::new(verify), VerifyTask::TOPICS),
            (Arc::new(sign), &[]),
        ]
    }
}

/// Collects services and their names, so that each has its health told.
struct Collected {
    routes: Routes,
    names: Vec<&'static str>,
}

macro_rules! with {
    ($collected:ident, $server:ident, $service:expr) => {
        // The limits stand on both sides; a message past them is an error, not a surprise.
        $collected.add(
            $server::new($service)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
        );
    };
}

impl Collected {
    fn new() -> Self {
        Self {
            routes: Routes::default(),
            names: Vec::new(),
        }
    }

    fn add<S>(&mut self, service: S)
    where
        S: tower::Service<
                http::Request<tonic::body::Body>,
                Response = http::Response<tonic::body::Body>,
                Error = std::convert::Infallible,
            > + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.routes = std::mem::take(&mut self.routes).add_service(service);
    }

    /// Adds the health service for all that were collected.
    async fn finish(mut self, probes: &Probes) -> Routes {
        let (reporter, service) = tonic_health::server::health_reporter();
        let names = std::mem::take(&mut self.names);
        probes.add(reporter, names).await;
        self.add(service);
        self.routes
    }
}

impl Slices<'_> {
    /// Adds every task with what wakes it.
    pub(super) fn add_tasks(&self, supervisor: &mut Supervisor) -> Result<Probes, Error> {
        let core = self.core;
        let mut add = |task: Arc<dyn Task>, topics: &[Topic]| {
            let waker = supervisor.add(task);
            core.bus.subscribe(topics, &waker);
        };
        add(Arc::new(AccessTask(Arc::clone(self.access))), &[]);
        add(
            Arc::new(CertificateTask(Arc::clone(self.certificates))),
            &[],
        );
        let stages = Stages {
            core,
            fleet: self.fleet,
            sealed: &self.sealed,
            key: &signing_key(self.authorities)?,
            times: DispatchTimes {
                agent_attempts_max: self.config.limits.agent_attempts_max.into(),
                ..DispatchTimes::default()
            },
            checkpoint_period: Duration::from_secs(self.config.limits.checkpoint_seconds),
        };
        for (task, topics) in stages.tasks() {
            add(task, topics);
        }
        let probes = Probes::new();
        let superseded = self.superseded.clone();
        let health = HealthTask::new(core.clone(), &probes, supervisor.health(), superseded);
        supervisor.add(Arc::new(health));
        Ok(probes)
    }

    /// What agents may call.
    pub(super) async fn agent_routes(&self, probes: &Probes) -> Result<Routes, Error> {
        let fleet = self.fleet;
        let mut all = Collected::new();
        with!(
            all,
            EnrollmentServiceServer,
            EnrollmentApi::new(Arc::clone(fleet))
        );
        with!(
            all,
            SessionServiceServer,
            SessionApi::new(Arc::clone(fleet))
        );
        let reports = Reports::new(self.core, signing_key(self.authorities)?);
        // A report holds lists of packs, differences and damages.
        all.add(ReportServiceServer::new(reports).max_decoding_message_size(REPORT_BYTES_MAX));
        Ok(all.finish(probes).await)
    }

    /// What operators may call.
    pub(super) async fn operator_routes(&self, probes: &Probes) -> Result<Routes, Error> {
        let mut all = Collected::new();
        with!(
            all,
            FleetServiceServer,
            FleetApi::new(Arc::clone(self.fleet))
        );
        with!(
            all,
            AccessServiceServer,
            AccessApi::new(Arc::clone(self.access), Arc::<Fleet>::clone(self.fleet))
        );
        with!(all, RepositoryServiceServer, Repositories::new(self.core));
        let sessions: Arc<dyn Sessions> = self.fleet.sessions();
        let progress = self.fleet.progress();
        let runs = Runs::new(self.core, self.sealed.clone(), sessions, progress);
        with!(all, RunServiceServer, runs);
        with!(all, BackupServiceServer, Backups::new(self.core));
        let public_key = self.authorities.signing.public_key();
        with!(all, ProofServiceServer, Proofs::new(self.core, public_key));
        let audit = AuditApi::new(self.core.clone(), public_key)?;
        with!(all, AuditServiceServer, audit);
        let controller = ControllerApi::new(self.core);
        with!(all, ControllerServiceServer, controller);
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(provado_proto::FILE_DESCRIPTOR_SET)
            .build_v1()
            .map_err(|source| {
                Error::internal("the description of the API cannot be served").caused_by(source)
            })?;
        all.add(reflection);
        Ok(all.finish(probes).await)
    }
}

/// The controller's signing key once more, for those who sign by themselves.
pub(super) fn signing_key(authorities: &Authorities) -> Result<Arc<SigningKey>, Error> {
    let copy = authorities
        .signing
        .to_pem()
        .and_then(|pem| SigningKey::from_pem(&pem));
    copy.map(Arc::new)
        .map_err(|source| Error::internal("the signing key cannot be used").caused_by(source))
}
