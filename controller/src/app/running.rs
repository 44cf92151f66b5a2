//! A controller that serves, and how it stops: doors first, then calls, then tasks, then the
//! database; each bounded.

use crate::fleet::{Cut, Fleet};
use crate::lifecycle::controller::Core;
use crate::listeners::{Probes, ServerCertificates};
use provado_model::{Error, Reason};
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long open calls may take to end.
const DRAIN_WAIT: Duration = Duration::from_secs(5);
/// How long tasks that are at work may take to end.
const TASKS_WAIT: Duration = Duration::from_secs(10);
/// How long the database may take to close.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// A running controller. Dropped, it stops at once; better is [`Running::shutdown`].
#[derive(Debug)]
pub struct Running {
    parts: Parts,
    _close: DropGuard,
}

#[derive(Debug)]
pub(super) struct Parts {
    pub(super) agent_address: SocketAddr,
    pub(super) operator_address: SocketAddr,
    pub(super) profile: Option<PathBuf>,
    pub(super) core: Core,
    pub(super) fleet: Arc<Fleet>,
    pub(super) certificates: Arc<ServerCertificates>,
    pub(super) probes: Probes,
    pub(super) stop_doors: CancellationToken,
    pub(super) close_doors: CancellationToken,
    pub(super) doors: JoinSet<()>,
    pub(super) stop_tasks: CancellationToken,
    pub(super) tasks: JoinSet<()>,
    pub(super) superseded: CancellationToken,
}

impl Running {
    pub(super) fn new(parts: Parts) -> Self {
        let close = parts.close_doors.clone().drop_guard();
        Self {
            parts,
            _close: close,
        }
    }

    /// Where agents are served.
    pub const fn agent_address(&self) -> SocketAddr {
        self.parts.agent_address
    }

    /// Where operators are served.
    pub const fn operator_address(&self) -> SocketAddr {
        self.parts.operator_address
    }

    /// The command line's profile of the first caller, where there is one.
    pub fn profile(&self) -> Option<&Path> {
        self.parts.profile.as_deref()
    }

    /// The ground that the slices stand on, for those who look at rows.
    pub const fn core(&self) -> &Core {
        &self.parts.core
    }

    /// The fleet, for those who look at streams.
    pub const fn fleet(&self) -> &Arc<Fleet> {
        &self.parts.fleet
    }

    /// Takes new certificates into use for both listeners; connections that are open keep theirs.
    /// After an error the old ones are still presented.
    pub fn reload(&self) -> Result<(), Error> {
        self.parts.certificates.replace()
    }

    /// Completes when the controller cannot go on, and says why: another one has taken over the
    /// database, or a part that should run until the end has ended by itself.
    pub async fn failed(&mut self) -> Error {
        let parts = &mut self.parts;
        tokio::select! {
            () = parts.superseded.cancelled() => return Error::new(
                Reason::VersionStale,
                format!(
                    "epoch {} is over: another controller has taken over this one's database; \
                     only one may work on it",
                    parts.core.epoch()
                ),
            ),
            Some(_) = parts.doors.join_next() => {}
            Some(_) = parts.tasks.join_next() => {}
        }
        Error::internal("a part of the controller that should run until the end has ended")
    }

    /// Stops: no new connections, agents are sent away, calls end, tasks end, the database is
    /// closed. What does not end in time is cut off.
    pub async fn shutdown(mut self) {
        let parts = &mut self.parts;
        parts.probes.drain().await;
        parts.stop_doors.cancel();
        parts.fleet.sessions().cut_all(Cut::Drained);
        bounded("open calls", DRAIN_WAIT, ended(&mut parts.doors)).await;
        parts.close_doors.cancel();
        parts.doors.shutdown().await;
        parts.stop_tasks.cancel();
        bounded("tasks", TASKS_WAIT, ended(&mut parts.tasks)).await;
        parts.tasks.shutdown().await;
        bounded("the database", CLOSE_WAIT, parts.core.db.close()).await;
        tracing::info!("the controller has stopped");
    }
}

async fn ended(set: &mut JoinSet<()>) {
    while set.join_next().await.is_some() {}
}

async fn bounded(what: &str, wait: Duration, work: impl Future<Output = ()>) {
    if tokio::time::timeout(wait, work).await.is_err() {
        tracing::warn!(
            "{what} did not end within {} seconds and are cut off",
            wait.as_secs()
        );
    }
}
