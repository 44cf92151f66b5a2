//! `grpc.health.v1`: a service is SERVING while the database answers and every task has run within
//! two of its periods; NOT_SERVING from the first moment of a drain.

use crate::db::Database;
use crate::supervisor::{Activity, Health, Task};
use async_trait::async_trait;
use provado_model::Error;
use provado_model::time::Clock;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::RwLock;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// The name of the task that asks; its own health is not asked for.
const NAME: &str = "health";

/// The health of all services of both listeners. Cheap to clone; clones share.
#[derive(Clone)]
pub struct Probes {
    inner: Arc<Inner>,
}

struct Inner {
    reporters: RwLock<Vec<(HealthReporter, Vec<&'static str>)>>,
    draining: AtomicBool,
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").finish_non_exhaustive()
    }
}

impl Default for Probes {
    fn default() -> Self {
        Self::new()
    }
}

impl Probes {
    /// Without services yet.
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                reporters: RwLock::default(),
                draining: AtomicBool::new(false),
            }),
        }
    }

    /// Adds a listener's services; they do not serve until the first probe.
    pub async fn add(&self, reporter: HealthReporter, services: Vec<&'static str>) {
        let mut reporters = self.inner.reporters.write().await;
        reporters.push((reporter, services));
        drop(reporters);
        self.set(ServingStatus::NotServing).await;
    }

    /// From now on nothing serves, whatever a probe finds.
    pub async fn drain(&self) {
        self.inner.draining.store(true, Ordering::Release);
        self.set(ServingStatus::NotServing).await;
    }

    async fn set(&self, status: ServingStatus) {
        let draining = self.inner.draining.load(Ordering::Acquire);
        let status = if draining {
            ServingStatus::NotServing
        } else {
            status
        };
        for (reporter, services) in self.inner.reporters.read().await.iter() {
            for service in services {
                reporter.set_service_status(*service, status).await;
            }
            // The empty name stands for the server as a whole.
            reporter.set_service_status("", status).await;
        }
    }
}

/// Asks the database and the tasks, and tells the services' health.
#[derive(Debug)]
pub struct HealthTask {
    /// Whom to tell.
    pub probes: Probes,
    /// The database to ask.
    pub db: Database,
    /// The tasks to ask.
    pub health: Health,
    /// By what "within two periods" is judged.
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl Task for HealthTask {
    fn name(&self) -> &'static str {
        NAME
    }

    fn period(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn activate(&self) -> Result<Activity, Error> {
        let now = self.clock.now();
        let tasks = self.health.tasks();
        let unfit = tasks
            .iter()
            .find(|task| task.name != NAME && !task.is_fit(now));
        let reachable = match self.db.read().await {
            Ok(tx) => tx.rollback().await.is_ok(),
            Err(_) => false,
        };
        let status = if unfit.is_none() && reachable {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        self.probes.set(status).await;
        Ok(Activity::Done)
    }
}
