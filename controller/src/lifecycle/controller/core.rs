//! What every slice is given: the database, the clock, randomness, the bus, the epoch.

use super::store::{ControllerState, controller_get, controller_init};
use crate::db::Database;
use crate::events::{Actor, Bus, Context};
use provado_model::Error;
use provado_model::id::{ControllerId, RequestId};
use provado_model::random::{self, Entropy};
use provado_model::time::{self, Clock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The ground that slices stand on. Cheap to clone; clones share.
#[derive(Debug, Clone)]
pub struct Core {
    /// The controller's database.
    pub db: Database,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Hints to tasks and watchers.
    pub bus: Bus,
    id: ControllerId,
    page_key: [u8; 32],
    epoch: Arc<AtomicU64>,
    amnesia: Arc<AtomicBool>,
}

impl Core {
    /// Reads the controller's own row, or makes it in a new database.
    pub async fn open(
        db: Database,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Error> {
        let mut tx = db.begin().await?;
        let fresh = ControllerState {
            id: ControllerId::new(clock.as_ref(), entropy.as_ref()),
            epoch: 1,
            version: 1,
            clock_high_water_time: clock.now(),
            amnesia_reason: None,
            amnesia_time: None,
            accepted_epoch: 0,
            page_key: random::bytes(entropy.as_ref()),
        };
        let state = controller_init(&mut tx, &fresh).await?;
        tx.commit().await?;
        Ok(Self {
            db,
            clock,
            entropy,
            bus: Bus::new(),
            id: state.id,
            page_key: state.page_key,
            epoch: Arc::new(AtomicU64::new(state.epoch)),
            amnesia: Arc::new(AtomicBool::new(state.amnesia_reason.is_some())),
        })
    }

    /// This controller's id, the same as long as its database lives.
    pub const fn id(&self) -> ControllerId {
        self.id
    }

    /// Authenticates page tokens.
    pub const fn page_key(&self) -> &[u8; 32] {
        &self.page_key
    }

    /// The epoch this controller believes in.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Takes over the epoch of the database, after it was raised here or elsewhere.
    pub async fn refresh_epoch(&self) -> Result<u64, Error> {
        let mut tx = self.db.read().await?;
        let state = controller_get(&mut tx).await?;
        self.epoch.store(state.epoch, Ordering::Release);
        self.note_amnesia(&state);
        Ok(state.epoch)
    }

    /// Whether it is known, as of the last look, that agents know more than this database, and no
    /// operator has agreed to go on. A hint for those who tell of it; rows decide.
    pub fn amnesia(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.amnesia)
    }

    /// Takes over from the database whether amnesia stands, after it was noticed or accepted here
    /// or elsewhere. The epoch stays: one that was raised elsewhere ends this controller's.
    pub async fn refresh_amnesia(&self) -> Result<(), Error> {
        let mut tx = self.db.read().await?;
        let state = controller_get(&mut tx).await?;
        self.note_amnesia(&state);
        Ok(())
    }

    fn note_amnesia(&self, state: &ControllerState) {
        let stands = state.amnesia_reason.is_some();
        self.amnesia.store(stands, Ordering::Release);
    }

    /// Believes in an epoch that this controller itself has raised and committed.
    pub fn adopt_epoch(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::Release);
    }

    /// The context of a change by a caller, now.
    pub fn context(&self, actor: Actor, request_id: Option<RequestId>) -> Context {
        Context {
            actor,
            request_id,
            // As rows hold it, so that what is answered is what is stored.
            now: time::from_micros(time::to_micros(self.clock.now())),
            epoch: self.epoch(),
            bus: self.bus.clone(),
        }
    }

    /// The context of a change by one of the controller's tasks, now.
    pub fn task_context(&self, task: &str) -> Context {
        self.context(Actor::task(task), None)
    }
}
