//! The live list of agents' certificates, asked at every handshake and on every call.
//!
//! It knows superseded certificates too: one that shows up where a stream is opened or a
//! certificate renewed is the sign of a clone, so it must get that far. It is rebuilt from the
//! rows when the controller starts and by a task; a change by this controller counts at once.

use super::model::{AgentState, AllowedAgent};
use super::store::certificate;
use crate::db::Database;
use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use provado_identity::PeerIdentity;
use provado_identity::tls::ClientCertAllow;
use provado_model::id::AgentId;
use provado_model::time::Clock;
use provado_model::{Error, Reason};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// Reloads that lose a race against a change in a row are tried this often.
const RELOADS_MAX: u32 = 5;
/// How long calls with a certificate are served after a newer one came into use: those that were
/// under way on the old connection.
const SUPERSEDED_GRACE: SignedDuration = SignedDuration::from_mins(5);

/// Which agents' certificates are known.
pub struct AgentAllowList {
    clock: Arc<dyn Clock>,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    known: HashMap<[u8; 32], AllowedAgent>,
    /// Rises with each change made here, so that a reload does not undo one that it did not see.
    changes: u64,
}

impl fmt::Debug for AgentAllowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentAllowList").finish_non_exhaustive()
    }
}

impl AgentAllowList {
    /// A list that knows nobody.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            state: RwLock::default(),
        })
    }

    /// Rebuilds the list from the rows.
    pub async fn reload(&self, database: &Database) -> Result<(), Error> {
        for _ in 0..RELOADS_MAX {
            let before = self.read(|state| state.changes);
            let now = self.clock.now();
            let mut tx = database.read().await?;
            let rows = certificate::certificate_allowed(&mut tx, now).await?;
            tx.rollback().await?;
            let mut known = HashMap::with_capacity(rows.len());
            for (sha256, agent) in rows {
                known.insert(digest(&sha256)?, agent);
            }
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            if state.changes == before {
                state.known = known;
                return Ok(());
            }
        }
        // So many changes at once mean that the list is being kept up to date anyway.
        Ok(())
    }

    /// Whose certificate this is, if it is known and has not ended.
    pub fn get(&self, sha256: &[u8; 32]) -> Option<AllowedAgent> {
        let now = self.clock.now();
        self.read(|state| {
            let found = state.known.get(sha256);
            found.filter(|agent| agent.not_after > now).cloned()
        })
    }

    /// Who calls with this certificate, or why the call is refused.
    ///
    /// Errors: `CERTIFICATE_REVOKED` for an unknown, ended or long superseded certificate and for
    /// a revoked agent, `AGENT_LOCKED` for a locked one.
    pub fn check(&self, sha256: &[u8; 32]) -> Result<AllowedAgent, Error> {
        let agent = self.check_standing(sha256)?;
        let now = self.clock.now();
        match agent.supersede_time {
            Some(time) if now.duration_since(time) > SUPERSEDED_GRACE => Err(Error::new(
                Reason::CertificateRevoked,
                format!(
                    "a newer certificate of the agent `{}` is in use; call with that one",
                    agent.name
                ),
            )
            .with("agent", &agent.name)),
            Some(_) | None => Ok(agent),
        }
    }

    /// The same where a superseded certificate is looked at more closely.
    ///
    /// Errors: the same without long superseded ones; one that ended when its agent came back with
    /// a join token is refused here too.
    pub fn check_standing(&self, sha256: &[u8; 32]) -> Result<AllowedAgent, Error> {
        let agent = self.get(sha256).ok_or_else(|| {
            Error::new(
                Reason::CertificateRevoked,
                "the certificate is not known, has ended or was revoked; make a token with \
                 `provado join-token create --agent NAME` and let the agent join with it",
            )
        })?;
        if agent.is_replaced {
            tracing::warn!(
                agent.id = %agent.id,
                agent.name = agent.name,
                certificate.generation = agent.generation,
                "someone holds an older copy of the identity of the agent {}: a certificate was \
                 shown that ended when the agent came back",
                agent.name
            );
            return Err(replaced(&agent.name));
        }
        match agent.state {
            AgentState::Active => Ok(agent),
            AgentState::Locked => Err(locked(&agent.name)),
            AgentState::Revoked | AgentState::Pending => Err(Error::new(
                Reason::CertificateRevoked,
                format!(
                    "the agent `{}` is {}; an operator decides about it",
                    agent.name, agent.state
                ),
            )
            .with("agent", &agent.name)),
        }
    }

    /// Adds a certificate, once its row is durable.
    pub fn insert(&self, sha256: [u8; 32], agent: AllowedAgent) {
        self.change(|known| {
            known.insert(sha256, agent);
        });
    }

    /// Notes where an agent stands now, once that is durable.
    pub fn set_state(&self, id: AgentId, state: AgentState) {
        self.change(|known| {
            for agent in known.values_mut().filter(|agent| agent.id == id) {
                agent.state = state;
            }
        });
    }

    /// Notes which generations are superseded, once that is durable.
    pub fn supersede(&self, id: AgentId, which: impl Fn(u64) -> bool, now: Timestamp) {
        self.change(|known| {
            for agent in known.values_mut() {
                if agent.id == id && which(agent.generation) {
                    agent.supersede_time.get_or_insert(now);
                }
            }
        });
    }

    /// After an unlock: no certificate of the agent is superseded.
    pub fn reinstate(&self, id: AgentId) {
        self.change(|known| {
            for agent in known.values_mut().filter(|agent| agent.id == id) {
                agent.state = AgentState::Active;
                agent.supersede_time = None;
            }
        });
    }

    /// The agent came back with a join token: it is in good standing, and every certificate of a
    /// lower generation is over.
    pub fn come_back(&self, id: AgentId, generation: u64) {
        self.change(|known| {
            for agent in known.values_mut().filter(|agent| agent.id == id) {
                agent.state = AgentState::Active;
                agent.is_replaced |= agent.generation < generation;
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<[u8; 32], AllowedAgent>)) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.changes = state.changes.wrapping_add(1);
        change(&mut state.known);
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientCertAllow for AgentAllowList {
    fn allowed(&self, identity: &PeerIdentity, cert_sha256: [u8; 32]) -> bool {
        match identity {
            PeerIdentity::Agent(id) => self
                .get(&cert_sha256)
                .is_some_and(|agent| agent.id == *id && agent.state == AgentState::Active),
            PeerIdentity::Operator(_) | PeerIdentity::Controller => false,
        }
    }
}

/// The refusal of a locked agent.
pub(super) fn locked(name: &str) -> Error {
    Error::new(
        Reason::AgentLocked,
        format!(
            "the agent `{name}` is locked because it showed itself cloned; find and remove the \
             copy, then run `provado agent unlock {name}`"
        ),
    )
    .with("agent", name)
}

/// The refusal of a certificate that ended when its agent came back.
pub(super) fn replaced(name: &str) -> Error {
    Error::new(
        Reason::CertificateRevoked,
        format!(
            "the agent `{name}` has come back with a join token since this certificate was issued; \
             if this is its host, run `provado-agent join` with that token again, else this is a \
             copy: stop it and remove its data directory"
        ),
    )
    .with("agent", name)
}

/// The 32 bytes of a stored fingerprint.
fn digest(hex: &str) -> Result<[u8; 32], Error> {
    HEXLOWER
        .decode(hex.as_bytes())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| Error::internal(format!("the stored fingerprint `{hex}` is no SHA-256")))
}
