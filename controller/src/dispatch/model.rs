//! What the tasks of this slice share.

use crate::db::Tx;
use crate::fleet::{Command, Sessions};
use crate::lifecycle::attempt::Attempt;
use crate::lifecycle::controller::Core;
use crate::sealed::SealedIdentities;
use jiff::{SignedDuration, Timestamp};
use provado_model::id::{AgentId, BackupId, ProofId};
use provado_model::limits;
use std::sync::Arc;

/// The slice: what its tasks share. Cheap to clone; clones share.
#[derive(Debug, Clone)]
pub struct Dispatch {
    pub(super) core: Core,
    pub(super) sessions: Arc<dyn Sessions>,
    pub(super) sealed: SealedIdentities,
    pub(super) times: DispatchTimes,
}

/// Spans and bounds, from [`limits`] unless a test has others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DispatchTimes {
    /// How long an offer may stay unanswered.
    pub offer: SignedDuration,
    /// How long after an offer it is repeated.
    pub repeat: SignedDuration,
    /// How long to wait after a lost or refused attempt; doubled with each further one.
    pub back_off: SignedDuration,
    /// Attempts one agent works on at a time.
    pub agent_attempts_max: u64,
}

impl Default for DispatchTimes {
    fn default() -> Self {
        let offer = i64::try_from(limits::OFFER_SECONDS_MAX).unwrap_or(i64::MAX);
        Self {
            offer: SignedDuration::from_secs(offer),
            repeat: SignedDuration::from_secs(3),
            back_off: SignedDuration::from_secs(5),
            agent_attempts_max: u64::try_from(limits::AGENT_ATTEMPTS_MAX).unwrap_or(1),
        }
    }
}

impl Dispatch {
    /// The slice over the agents' streams; `sealed` is shared with `admit`.
    pub fn new(core: &Core, sessions: Arc<dyn Sessions>, sealed: SealedIdentities) -> Self {
        Self {
            core: core.clone(),
            sessions,
            sealed,
            times: DispatchTimes::default(),
        }
    }

    /// The same with other spans.
    #[must_use]
    pub const fn with_times(mut self, times: DispatchTimes) -> Self {
        self.times = times;
        self
    }

    /// Sends a command once the transaction is durable. One that cannot be sent is not kept: the
    /// reaper looks at the rows.
    pub(super) fn push_on_commit(&self, tx: &mut Tx, agent: AgentId, command: Command) {
        let sessions = Arc::clone(&self.sessions);
        tx.on_commit(move || {
            if let Err(error) = sessions.send(agent, command) {
                tracing::info!(agent.id = %agent, "a command was not sent to an agent: {error}");
            }
        });
    }
}

/// The id of the backup that an attempt makes: its own UUID, so that no two attempts ever write
/// under the same name.
pub(super) fn backup_id_of(attempt: &Attempt) -> BackupId {
    BackupId::from_uuid(attempt.id.uuid())
}

/// The id of the proof that an attempt makes.
pub(super) fn proof_id_of(attempt: &Attempt) -> ProofId {
    ProofId::from_uuid(attempt.id.uuid())
}

/// An instant so much later; the end of the calendar at most.
pub(super) fn later(now: Timestamp, span: SignedDuration) -> Timestamp {
    now.saturating_add(span).unwrap_or(Timestamp::MAX)
}
