//! Writes down who was refused what, and why: a caller that reaches for more than its role allows,
//! or asks for a change that cannot be, is worth an audit event; the same one over and over is not.

use crate::events::{AuditEntry, AuditOutcome, audit_append};
use crate::lifecycle::controller::Core;
use crate::request::{Caller, RefusalLog, Refused};
use async_trait::async_trait;
use provado_model::Error;
use provado_model::time::Monotonic;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long the same refusal is not written again.
const REPEAT_AFTER: Duration = Duration::from_mins(1);
/// Refusals that are remembered; while there are so many, no more are written.
const REMEMBERED_MAX: usize = 1_024;
/// Longest message that is kept, in characters.
const MESSAGE_CHARS_MAX: usize = 500;

/// Which refusals are the same: those of a caller, a method and a reason.
type Key = (String, String, String);

/// The audit of refused calls.
#[derive(Debug)]
pub struct Refusals {
    core: Core,
    recent: Mutex<HashMap<Key, Monotonic>>,
}

impl Refusals {
    /// Writes into this database.
    pub fn new(core: Core) -> Self {
        Self {
            core,
            recent: Mutex::default(),
        }
    }

    /// Whether this refusal has not been written for a while.
    fn is_news(&self, key: Key) -> bool {
        let now = self.core.clock.monotonic();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|_, at| now.since(*at) < REPEAT_AFTER);
        if recent.len() >= REMEMBERED_MAX {
            return false;
        }
        recent.insert(key, now).is_none()
    }

    async fn write(&self, caller: &Caller, method: &str, refused: &Refused) -> Result<(), Error> {
        let ctx = self.core.context(caller.actor(), None);
        let (action, outcome) = if refused.failed {
            ("call.fail", AuditOutcome::Failed)
        } else {
            ("call.refuse", AuditOutcome::Refused)
        };
        let message: String = refused.message.chars().take(MESSAGE_CHARS_MAX).collect();
        let entry = AuditEntry::done(action, "method", method)
            .outcome(outcome)
            .with("reason", refused.reason.as_str())
            .with("message", message);
        let mut tx = self.core.db.begin().await?;
        audit_append(&mut tx, &ctx, entry).await?;
        tx.commit().await
    }
}

#[async_trait]
impl RefusalLog for Refusals {
    async fn refused(&self, caller: &Caller, method: &str, refused: &Refused) {
        let id = caller.id();
        // Anyone who reaches the port can be anonymous; that is not worth a row.
        if id.is_empty() || !self.is_news((id, method.to_owned(), refused.reason.clone())) {
            return;
        }
        if let Err(error) = self.write(caller, method, refused).await {
            tracing::warn!(
                rpc.method = method,
                "a refused call could not be written into the audit: {}",
                error.chain()
            );
        }
    }
}
