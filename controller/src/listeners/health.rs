//! `grpc.health.v1`: a service is SERVING while the database answers, no other controller has taken
//! it over, and every task has run within two of its periods; NOT_SERVING from the first moment of
//! a drain.

use crate::lifecycle::controller::{Core, epoch_current};
use crate::supervisor::{Activity, Health, Task};
use async_trait::async_trait;
use provado_model::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;
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

/// Asks the database and the tasks, and tells the services' health. Notices when another
/// controller has taken over the database: then nothing that this one does counts any more.
#[derive(Debug)]
pub struct HealthTask {
    core: Core,
    probes: Probes,
    health: Health,
    superseded: CancellationToken,
    was_over: AtomicBool,
}

impl HealthTask {
    /// A task that asks `health` and the core's database, tells `probes`, and cancels `superseded`.
    pub fn new(core: Core, probes: &Probes, health: Health, superseded: CancellationToken) -> Self {
        Self {
            core,
            probes: probes.clone(),
            health,
            superseded,
            was_over: AtomicBool::new(false),
        }
    }

    async fn epoch_that_counts(&self) -> Result<u64, Error> {
        let mut tx = self.core.db.read().await?;
        let epoch = epoch_current(&mut tx).await?;
        tx.rollback().await?;
        Ok(epoch)
    }

    /// Whether this controller's epoch still is the one that counts.
    fn note(&self, counts: u64) -> bool {
        let ours = self.core.epoch();
        let is_over = counts > ours;
        // Seen twice: an epoch that this controller raised itself is in the rows a moment earlier.
        let was_over = self.was_over.swap(is_over, Ordering::AcqRel);
        if is_over && was_over && !self.superseded.is_cancelled() {
            tracing::error!(
                controller.epoch = ours,
                "epoch {ours} is over, another controller is in epoch {counts}; this one stops"
            );
            self.superseded.cancel();
        }
        !is_over
    }
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
        let now = self.core.clock.now();
        let tasks = self.health.tasks();
        let unfit = tasks
            .iter()
            .find(|task| task.name != NAME && !task.is_fit(now));
        let counts = match self.epoch_that_counts().await {
            Ok(epoch) => self.note(epoch),
            Err(_) => false,
        };
        let status = if unfit.is_none() && counts {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        self.probes.set(status).await;
        Ok(Activity::Done)
    }
}
