//! Wake-ups: hints that there may be work.

use std::sync::Arc;
use tokio::sync::Notify;

/// Wakes one task. Wakes that come while the task runs are kept as one.
#[derive(Debug, Clone)]
pub struct Waker {
    notify: Arc<Notify>,
}

impl Default for Waker {
    fn default() -> Self {
        Self::new()
    }
}

impl Waker {
    /// A waker that nobody waits on yet.
    pub fn new() -> Self {
        Self {
            notify: Arc::new(Notify::new()),
        }
    }

    /// Says that there may be work.
    pub fn wake(&self) {
        self.notify.notify_one();
    }

    /// Waits for a wake-up; returns at once if one came since the last wait.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }
}
