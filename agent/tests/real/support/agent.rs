//! An agent without a controller: jobs run directly, with a repository of their own.

use super::Server;
use provado_agent::config::{Config, InstanceConfig};
use provado_agent::jobs::{AttemptName, JobContext, Level, Observer, run};
use provado_agent::postgres::ServerAddress;
use provado_model::id::{AgentId, AttemptId, BackupId, InstanceId, ProofId, RepositoryId, RunId};
use provado_model::random::OsEntropy;
use provado_model::time::{Clock, SystemClock};
use provado_proto::agent::v1::job::Kind;
use provado_proto::agent::v1::outcome::Detail;
use provado_proto::agent::v1::{
    BackupJob, BackupOutcome, BackupTarget, CheckJob, CheckOutcome, DrillJob, DrillOutcome,
    InitJob, InstanceTarget, Job, Outcome, RepositoryTarget, RestoreJob, RestoreOutcome,
};
use provado_proto::common::v1::{CheckLevel, Progress};
use provado_repository::signature::{Ed25519Signer, Signer};
use provado_repository::{Cancel, IdentityFile, SegmentKey};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Keeps what a job tells.
#[derive(Debug, Default)]
pub struct Recorder {
    pub lines: Mutex<Vec<(Level, String)>>,
    pub progress: Mutex<Vec<Progress>>,
    /// Whether phases are printed.
    pub aloud: bool,
}

impl Observer for Recorder {
    fn progress(&self, progress: Progress) {
        if self.aloud {
            println!("phase {}", progress.phase().as_str_name());
        }
        self.progress.lock().unwrap().push(progress);
    }

    fn log(&self, level: Level, message: String) {
        self.lines.lock().unwrap().push((level, message));
    }
}

/// An agent with one repository.
pub struct Agent {
    pub directory: tempfile::TempDir,
    pub config: Config,
    pub id: AgentId,
    pub instance: InstanceId,
    pub repository: RepositoryTarget,
    pub signer: Arc<Ed25519Signer>,
    pub recorder: Arc<Recorder>,
    pub cancel: Cancel,
    clock: Arc<dyn Clock>,
    entropy: Arc<OsEntropy>,
    unsealer: provado_repository::Identity,
}

impl Agent {
    /// An agent that knows these servers, its repository not made yet.
    pub fn new(servers: &[&Server]) -> Self {
        let addresses: Vec<_> = servers.iter().map(|server| server.address()).collect();
        let mut agent = Self::at(&addresses);
        for set in provado_agent::postgres::Tools::sets(&*super::tools()) {
            agent.config.tool_directories.push(set.directory);
        }
        agent
    }

    /// An agent that knows the servers at these addresses.
    pub fn at(addresses: &[ServerAddress]) -> Self {
        let clock = SystemClock::shared();
        let entropy = Arc::new(OsEntropy);
        let directory = tempfile::Builder::new().prefix("pa").tempdir().unwrap();
        let open = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(directory.path(), open).unwrap();
        let make = |name: &str, mode: u32| -> PathBuf {
            let path = directory.path().join(name);
            std::fs::DirBuilder::new().mode(mode).create(&path).unwrap();
            path
        };
        let identity = IdentityFile::generate(clock.now());
        let identity_path = make("keys", 0o700).join("identity.txt");
        std::fs::write(&identity_path, identity.text.as_bytes()).unwrap();
        std::fs::set_permissions(&identity_path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut config = Config {
            data_dir: make("data", 0o700),
            discover: false,
            repository_roots: vec![make("repositories", 0o700)],
            identity_files: vec![identity_path],
            drill_directory: make("d", 0o711),
            disk_reserve_bytes: 1 << 20,
            ..Config::default()
        };
        config.instances = addresses.iter().map(instance_config).collect();
        let path = config.repository_roots[0].join("main");
        let second = IdentityFile::generate(clock.now());
        let repository = RepositoryTarget {
            repository_id: RepositoryId::new(&*clock, &*entropy).to_string(),
            repository_name: "main".to_owned(),
            path: path.to_string_lossy().into_owned(),
            segment_key: SegmentKey::generate(&*entropy).to_hex().to_string(),
            recipients: vec![identity.recipient.to_string(), second.recipient.to_string()],
        };
        let unsealer = IdentityFile::generate(clock.now());
        let unsealer = provado_repository::Identity::from_file_text(&unsealer.text).unwrap();
        let seed = provado_model::random::bytes(&*entropy);
        Self {
            directory,
            config,
            id: AgentId::new(&*clock, &*entropy),
            instance: InstanceId::new(&*clock, &*entropy),
            repository,
            signer: Arc::new(Ed25519Signer::from_seed(&seed).unwrap()),
            recorder: Arc::default(),
            cancel: Cancel::new(),
            clock,
            entropy,
            unsealer,
        }
    }

    /// As [`Agent::new`], with its repository made.
    pub async fn ready(servers: &[&Server]) -> Self {
        let agent = Self::new(servers);
        agent.init().await;
        agent
    }

    /// Makes the repository.
    pub async fn init(&self) {
        let init = InitJob {
            repository: Some(self.repository.clone()),
            must_exist: false,
        };
        let outcome = self.run(Kind::Init(init)).await;
        assert_eq!(outcome.failure, None);
    }

    pub fn context(&self) -> JobContext {
        JobContext {
            name: AttemptName {
                attempt: AttemptId::new(&*self.clock, &*self.entropy),
                run: RunId::new(&*self.clock, &*self.entropy),
                fence: 1,
            },
            epoch: 1,
            agent: self.id,
            clock: Arc::clone(&self.clock),
            entropy: self.entropy.clone(),
            cancel: self.cancel.clone(),
            observer: self.recorder.clone(),
            config: Arc::new(self.config.clone()),
            signer: self.signer.clone(),
            unsealer: self.unsealer.clone(),
        }
    }

    pub async fn run(&self, kind: Kind) -> Outcome {
        run(Job { kind: Some(kind) }, &self.context()).await
    }

    pub fn instance_target(&self, server: &Server) -> InstanceTarget {
        self.target_at(&server.address())
    }

    pub fn target_at(&self, address: &ServerAddress) -> InstanceTarget {
        InstanceTarget {
            instance_id: self.instance.to_string(),
            system_identifier: String::new(),
            host: address.host.clone(),
            port: i32::from(address.port),
            instance_name: "test".to_owned(),
        }
    }

    pub fn backup_job(&self, server: &Server, database: &str) -> BackupJob {
        self.backup_job_at(&server.address(), database)
    }

    pub fn backup_job_at(&self, address: &ServerAddress, database: &str) -> BackupJob {
        BackupJob {
            instance: Some(self.target_at(address)),
            database_name: database.to_owned(),
            repository: Some(self.repository.clone()),
            backup_id: BackupId::new(&*self.clock, &*self.entropy).to_string(),
            ..BackupJob::default()
        }
    }

    /// A backup that must succeed.
    pub async fn backup(&self, server: &Server, database: &str) -> BackupOutcome {
        self.backup_as(self.backup_job(server, database)).await
    }

    pub async fn backup_as(&self, job: BackupJob) -> BackupOutcome {
        let outcome = self.run(Kind::Backup(job)).await;
        assert_eq!(outcome.failure, None, "{outcome:#?}");
        match outcome.detail {
            Some(Detail::Backup(detail)) => detail,
            other => panic!("{other:?}"),
        }
    }

    pub fn target(&self, backup: &BackupOutcome) -> BackupTarget {
        BackupTarget {
            repository: Some(self.repository.clone()),
            source_instance_id: self.instance.to_string(),
            backup_id: backup.backup_id.clone(),
            description_sha256: backup.description_sha256.clone(),
            signer_public_key: self.signer.public_key().0.to_vec(),
            sealed_identity: String::new(),
        }
    }

    pub fn restore_job(&self, backup: &BackupOutcome, server: &Server, name: &str) -> RestoreJob {
        RestoreJob {
            backup: Some(self.target(backup)),
            instance: Some(self.instance_target(server)),
            database_name: name.to_owned(),
            create_roles: true,
            ..RestoreJob::default()
        }
    }

    pub async fn restore(&self, job: RestoreJob) -> (Outcome, Option<RestoreOutcome>) {
        let outcome = self.run(Kind::Restore(job)).await;
        let detail = match outcome.detail.clone() {
            Some(Detail::Restore(detail)) => Some(detail),
            _ => None,
        };
        (outcome, detail)
    }

    pub async fn drill(&self, backup: &BackupOutcome) -> (Outcome, Option<DrillOutcome>) {
        let job = DrillJob {
            backup: Some(self.target(backup)),
            jobs_count: 2,
            proof_id: ProofId::new(&*self.clock, &*self.entropy).to_string(),
        };
        let outcome = self.run(Kind::Drill(job)).await;
        let detail = match outcome.detail.clone() {
            Some(Detail::Drill(detail)) => Some(detail),
            _ => None,
        };
        (outcome, detail)
    }

    pub async fn check(
        &self,
        backup: &BackupOutcome,
        level: CheckLevel,
    ) -> (Outcome, Option<CheckOutcome>) {
        let job = CheckJob {
            backup: Some(self.target(backup)),
            level: level.into(),
        };
        let outcome = self.run(Kind::Check(job)).await;
        let detail = match outcome.detail.clone() {
            Some(Detail::Check(detail)) => Some(detail),
            _ => None,
        };
        (outcome, detail)
    }

    /// Files below the repository whose path ends so.
    pub fn stored(&self, ending: &str) -> Vec<PathBuf> {
        let mut out = Vec::new();
        let mut todo = vec![PathBuf::from(&self.repository.path)];
        while let Some(directory) = todo.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    todo.push(path);
                } else if path.to_string_lossy().ends_with(ending) {
                    out.push(path);
                }
            }
        }
        out
    }
}

fn instance_config(address: &ServerAddress) -> InstanceConfig {
    InstanceConfig {
        name: Some("test".to_owned()),
        host: address.host.clone(),
        port: address.port,
        user: address.user.clone(),
        passfile: None,
        sslmode: Some("disable".to_owned()),
        sslrootcert: None,
    }
}
