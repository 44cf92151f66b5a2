//! What the fleet does by itself: keeps the allow-list and the checkpoint fresh, and writes down
//! who was heard.

use super::store::agent;
use super::{Fleet, heard};
use crate::events::checkpoint_latest;
use crate::supervisor::{Activity, Task};
use async_trait::async_trait;
use provado_model::Error;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// The fleet's background work.
#[derive(Debug)]
pub struct FleetTask(pub Arc<Fleet>);

#[async_trait]
impl Task for FleetTask {
    fn name(&self) -> &'static str {
        "fleet"
    }

    fn period(&self) -> Duration {
        // A revocation by another controller counts here within this time, and what it has
        // noticed of amnesia.
        Duration::from_secs(10)
    }

    async fn activate(&self) -> Result<Activity, Error> {
        let fleet = &self.0;
        fleet.allow.reload(&fleet.core.db).await?;
        fleet.load_checkpoint().await?;
        fleet.core.refresh_amnesia().await?;
        fleet.progress.expire(fleet.core.clock.now());
        fleet.write_heard().await
    }
}

impl Fleet {
    /// Loads what must be known before the first agent dials: the allow-list and the checkpoint.
    pub async fn prepare(&self) -> Result<(), Error> {
        self.allow.reload(&self.core.db).await?;
        self.load_checkpoint().await
    }

    async fn load_checkpoint(&self) -> Result<(), Error> {
        let mut tx = self.core.db.read().await?;
        let latest = checkpoint_latest(&mut tx).await?;
        tx.rollback().await?;
        if let Some(latest) = latest {
            let mut kept = self
                .checkpoint
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            if **kept != *latest.note {
                *kept = Arc::from(latest.note);
            }
        }
        Ok(())
    }

    async fn write_heard(&self) -> Result<Activity, Error> {
        let batch = self.heard.take_due(self.core.clock.monotonic());
        if batch.is_empty() {
            return Ok(Activity::Idle);
        }
        let mut tx = self.core.db.begin().await?;
        for (id, time) in &batch {
            agent::agent_seen(&mut tx, *id, *time).await?;
        }
        tx.commit().await?;
        Ok(if batch.len() == heard::BATCH {
            Activity::More
        } else {
            Activity::Done
        })
    }
}
