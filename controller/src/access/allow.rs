//! The live list of operators' certificates, asked at every handshake and on every call.
//!
//! It is rebuilt from the rows when the controller starts and by a task, so that a revocation by
//! another controller is known here within one period; one by this controller counts at once.

use super::model::AllowedCaller;
use super::store;
use crate::db::Database;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use provado_identity::PeerIdentity;
use provado_identity::tls::ClientCertAllow;
use provado_model::Error;
use provado_model::id::CallerId;
use provado_model::time::Clock;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use tokio_util::sync::CancellationToken;

/// Reloads that lose a race against a change in a row are tried this often.
const RELOADS_MAX: u32 = 5;

/// Which operators' certificates are wanted.
pub struct CallerAllowList {
    clock: Arc<dyn Clock>,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    allowed: HashMap<[u8; 32], AllowedCaller>,
    /// Canceled when a certificate that was asked about is no longer wanted.
    watched: HashMap<[u8; 32], CancellationToken>,
    /// Rises with each change made here, so that a reload does not undo one that it did not see.
    changes: u64,
}

impl State {
    /// Cancels the tokens of certificates that are not wanted.
    fn dismiss(&mut self) {
        let allowed = &self.allowed;
        self.watched.retain(|sha256, token| {
            let wanted = allowed.contains_key(sha256);
            if !wanted {
                token.cancel();
            }
            wanted
        });
    }
}

impl fmt::Debug for CallerAllowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerAllowList").finish_non_exhaustive()
    }
}

impl CallerAllowList {
    /// A list that allows nobody.
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
            let rows = store::certificate_allowed(&mut tx, now).await?;
            tx.rollback().await?;
            let mut allowed = HashMap::with_capacity(rows.len());
            for (sha256, caller) in rows {
                allowed.insert(digest(&sha256)?, caller);
            }
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            if state.changes == before {
                state.allowed = allowed;
                state.dismiss();
                return Ok(());
            }
        }
        // So many changes at once mean that the list is being kept up to date anyway.
        Ok(())
    }

    /// Whose certificate this is, if it is still wanted and has not ended.
    pub fn get(&self, sha256: &[u8; 32]) -> Option<AllowedCaller> {
        let now: Timestamp = self.clock.now();
        self.read(|state| {
            let found = state.allowed.get(sha256);
            found.filter(|caller| caller.not_after > now).cloned()
        })
    }

    /// A token that is canceled once this certificate is no longer wanted; at once if it is not.
    /// One that ends by its time is noticed at the next reload.
    pub fn when_unwanted(&self, sha256: &[u8; 32]) -> CancellationToken {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let token = state.watched.entry(*sha256).or_default().clone();
        state.dismiss();
        token
    }

    /// Adds a certificate, once its row is durable.
    pub fn insert(&self, sha256: [u8; 32], caller: AllowedCaller) {
        self.change(|allowed| {
            allowed.insert(sha256, caller);
        });
    }

    /// Takes every certificate of a caller out, once its revocation is durable.
    pub fn remove(&self, id: CallerId) {
        self.change(|allowed| allowed.retain(|_, caller| caller.id != id));
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<[u8; 32], AllowedCaller>)) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.changes = state.changes.wrapping_add(1);
        change(&mut state.allowed);
        state.dismiss();
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientCertAllow for CallerAllowList {
    fn allowed(&self, identity: &PeerIdentity, cert_sha256: [u8; 32]) -> bool {
        match identity {
            PeerIdentity::Operator(id) => self
                .get(&cert_sha256)
                .is_some_and(|caller| caller.id == *id),
            PeerIdentity::Agent(_) | PeerIdentity::Controller => false,
        }
    }
}

/// The 32 bytes of a stored fingerprint.
fn digest(hex: &str) -> Result<[u8; 32], Error> {
    HEXLOWER
        .decode(hex.as_bytes())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| Error::internal(format!("the stored fingerprint `{hex}` is no SHA-256")))
}
