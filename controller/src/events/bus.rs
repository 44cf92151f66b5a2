//! Hints within one process: what has just been committed.

use crate::db::Tx;
use crate::supervisor::Waker;
use provado_model::id::{AgentId, AttemptId, BackupId, InstanceId, ProofId, RepositoryId, RunId};
use provado_model::state::{AttemptState, RunState};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::broadcast;

/// Events a slow watcher may fall behind before it must read the rows again.
const WATCHERS_BEHIND_MAX: usize = 1_024;

/// Something that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A run was made or moved.
    Run {
        /// Which.
        id: RunId,
        /// Where it stands now.
        state: RunState,
        /// Its row's version.
        version: u64,
    },
    /// A run that is with an agent is to be canceled.
    CancelAsked {
        /// Which run.
        run: RunId,
    },
    /// An attempt was made or moved.
    Attempt {
        /// Which.
        id: AttemptId,
        /// Of which run.
        run: RunId,
        /// With which agent.
        agent: AgentId,
        /// Where it stands now.
        state: AttemptState,
    },
    /// An attempt told how far it is.
    Progress {
        /// Of which run.
        run: RunId,
    },
    /// Lines were added to a run's log.
    Log {
        /// Which run.
        run: RunId,
    },
    /// A backup was added or moved.
    Backup {
        /// Which.
        id: BackupId,
    },
    /// A proof was added.
    Proof {
        /// Which.
        id: ProofId,
    },
    /// An agent joined, connected, disconnected or was changed by an operator.
    Agent {
        /// Which.
        id: AgentId,
    },
    /// What is known of an instance changed.
    Instance {
        /// Which.
        id: InstanceId,
    },
    /// A repository was declared or initialized.
    Repository {
        /// Which.
        id: RepositoryId,
    },
    /// The audit chain grew.
    Audit {
        /// Its newest sequence.
        sequence: u64,
    },
}

/// What a task can ask to be woken by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A run waits to be admitted.
    RunRequested,
    /// A run waits for an agent.
    RunQueued,
    /// A run has ended.
    RunEnded,
    /// A run that is with an agent is to be canceled.
    CancelAsked,
    /// An attempt has ended, for good or bad.
    AttemptEnded,
    /// A backup was added or moved.
    Backup,
    /// An agent joined, connected or disconnected.
    Agent,
    /// What is known of an instance changed.
    Instance,
    /// A repository was declared or initialized.
    Repository,
    /// The audit chain grew.
    Audit,
}

impl Event {
    /// The topic whose subscribers it wakes, if any.
    pub const fn topic(&self) -> Option<Topic> {
        match self {
            Self::Run { state, .. } => match state {
                RunState::Requested => Some(Topic::RunRequested),
                RunState::Queued => Some(Topic::RunQueued),
                RunState::Dispatched | RunState::Running => None,
                RunState::Succeeded | RunState::Failed | RunState::Canceled | RunState::Skipped => {
                    Some(Topic::RunEnded)
                }
            },
            Self::CancelAsked { .. } => Some(Topic::CancelAsked),
            Self::Attempt { state, .. } => {
                if state.is_final() {
                    Some(Topic::AttemptEnded)
                } else {
                    None
                }
            }
            Self::Progress { .. } | Self::Log { .. } | Self::Proof { .. } => None,
            Self::Backup { .. } => Some(Topic::Backup),
            Self::Agent { .. } => Some(Topic::Agent),
            Self::Instance { .. } => Some(Topic::Instance),
            Self::Repository { .. } => Some(Topic::Repository),
            Self::Audit { .. } => Some(Topic::Audit),
        }
    }
}

/// Carries [`Event`]s to tasks and watchers. Cheap to clone; clones share.
#[derive(Debug, Clone)]
pub struct Bus {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    watchers: broadcast::Sender<Event>,
    wakers: RwLock<Vec<(Topic, Waker)>>,
}

impl Default for Bus {
    fn default() -> Self {
        Self::new()
    }
}

impl Bus {
    /// A bus without subscribers.
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                watchers: broadcast::Sender::new(WATCHERS_BEHIND_MAX),
                wakers: RwLock::new(Vec::new()),
            }),
        }
    }

    /// Wakes `waker` at every event of these topics.
    pub fn subscribe(&self, topics: &[Topic], waker: &Waker) {
        let mut wakers = self
            .inner
            .wakers
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        wakers.extend(topics.iter().map(|topic| (*topic, waker.clone())));
    }

    /// Every event from now on. A receiver that falls behind is told so and reads rows instead.
    pub fn watch(&self) -> broadcast::Receiver<Event> {
        self.inner.watchers.subscribe()
    }

    /// Tells everyone at once; for what is not part of a transaction.
    pub fn publish(&self, event: Event) {
        if let Some(topic) = event.topic() {
            let wakers = self
                .inner
                .wakers
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            for (_, waker) in wakers.iter().filter(|(wanted, _)| *wanted == topic) {
                waker.wake();
            }
        }
        // Without watchers there is nobody to tell.
        let _ = self.inner.watchers.send(event);
    }

    /// Tells everyone once the transaction is durable.
    pub fn publish_on_commit(&self, tx: &mut Tx, event: Event) {
        let bus = self.clone();
        tx.on_commit(move || bus.publish(event));
    }
}
