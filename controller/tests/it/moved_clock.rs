//! A clock that a test moves.

use jiff::{SignedDuration, Timestamp};
use provado_model::time::{Clock, Monotonic};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The system's clock, moved by a test.
#[derive(Debug)]
pub(crate) struct MovedClock {
    pub(crate) system: Arc<dyn Clock>,
    pub(crate) moved_seconds: AtomicI64,
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        let moved = SignedDuration::from_secs(self.moved_seconds.load(Ordering::SeqCst));
        self.system.now() + moved
    }

    fn monotonic(&self) -> Monotonic {
        self.system.monotonic()
    }
}
