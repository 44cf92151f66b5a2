//! Signs a checkpoint while the chain grows.

use crate::db::Tx;
use crate::events::{StoredCheckpoint, audit_head, checkpoint_insert, checkpoint_latest};
use crate::lifecycle::controller::{Core, controller_get};
use crate::supervisor::{Activity, Task};
use async_trait::async_trait;
use provado_identity::signed_note::{self, NoteKey};
use provado_identity::signing::{PublicKey, SigningKey};
use provado_model::audit_chain::Checkpoint;
use provado_model::id::ControllerId;
use provado_model::{Error, time};
use std::sync::Arc;
use std::time::Duration;

/// The name that a controller's checkpoints are signed under, with its public key.
pub fn origin(controller: ControllerId, key: PublicKey) -> Result<NoteKey, Error> {
    NoteKey::new(&name(controller), key)
        .map_err(|source| Error::internal("the controller's id names no key").caused_by(source))
}

fn name(controller: ControllerId) -> String {
    format!("provado-audit/{controller}")
}

/// Signs the head of the chain, when it has moved since the last time.
#[derive(Debug)]
pub struct CheckpointTask {
    core: Core,
    key: Arc<SigningKey>,
    period: Duration,
}

impl CheckpointTask {
    /// A task that signs at most once a period.
    pub const fn new(core: Core, key: Arc<SigningKey>, period: Duration) -> Self {
        Self { core, key, period }
    }

    async fn sign(&self, tx: &mut Tx) -> Result<Option<StoredCheckpoint>, Error> {
        let head = audit_head(tx).await?;
        let signed = checkpoint_latest(tx)
            .await?
            .map_or(0, |last| last.head.sequence);
        if head.sequence <= signed {
            return Ok(None);
        }
        let now = self.core.clock.now();
        let state = controller_get(tx).await?;
        let checkpoint = Checkpoint {
            controller: state.id.to_string(),
            head: head.clone(),
            epoch: state.epoch,
            time_micros: time::to_micros(now),
            accepted_epoch: state.accepted_epoch,
        };
        let note = signed_note::sign(&checkpoint.body(), &name(state.id), &self.key)
            .map_err(|source| Error::internal("a checkpoint was not signed").caused_by(source))?;
        Ok(Some(StoredCheckpoint {
            head,
            epoch: state.epoch,
            time: now,
            note,
        }))
    }
}

#[async_trait]
impl Task for CheckpointTask {
    fn name(&self) -> &'static str {
        "audit"
    }

    fn period(&self) -> Duration {
        self.period
    }

    async fn activate(&self) -> Result<Activity, Error> {
        let mut tx = self.core.db.begin().await?;
        let Some(checkpoint) = self.sign(&mut tx).await? else {
            return Ok(Activity::Idle);
        };
        checkpoint_insert(&mut tx, &checkpoint).await?;
        tx.commit().await?;
        Ok(Activity::Done)
    }
}
