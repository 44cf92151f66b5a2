//! A flag that ends work early. Every wait in this crate looks at it, so that a canceled backup
//! ends within one segment or one call of the backend.

use crossbeam_channel::{Receiver, Sender, bounded};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// The work was canceled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("canceled")]
pub struct Canceled;

/// A flag shared by whoever may cancel and whoever works. Clones are the same flag; once set it
/// stays set.
#[derive(Clone)]
pub struct Cancel {
    shared: Arc<Shared>,
}

struct Shared {
    state: watch::Sender<bool>,
    /// Dropped on cancel, which wakes every thread that selects on `ended`.
    alive: Mutex<Option<Sender<()>>>,
    ended: Receiver<()>,
}

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_canceled()).finish()
    }
}

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Self {
        let (alive, ended) = bounded(0);
        Self {
            shared: Arc::new(Shared {
                state: watch::Sender::new(false),
                alive: Mutex::new(Some(alive)),
                ended,
            }),
        }
    }

    /// Sets the flag and wakes every waiter.
    pub fn cancel(&self) {
        self.shared.state.send_replace(true);
        self.shared
            .alive
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// Whether the flag is set.
    pub fn is_canceled(&self) -> bool {
        *self.shared.state.borrow()
    }

    /// Fails if the flag is set.
    pub fn check(&self) -> Result<(), Canceled> {
        if self.is_canceled() {
            return Err(Canceled);
        }
        Ok(())
    }

    /// Ends when the flag is set.
    pub async fn canceled(&self) {
        let mut state = self.shared.state.subscribe();
        // The sender lives as long as `self`, so this ends by the flag alone.
        let _ = state.wait_for(|set| *set).await;
    }

    /// A channel that carries nothing and closes when the flag is set, for `select!` in threads.
    pub fn closed(&self) -> &Receiver<()> {
        &self.shared.ended
    }
}

/// Sets a flag if the thread that holds it panics, so that nobody waits for what never comes.
#[derive(Debug)]
pub(crate) struct CancelOnPanic(pub(crate) Cancel);

impl Drop for CancelOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_kind_of_waiter_wakes() {
        let cancel = Cancel::new();
        assert_eq!(cancel.check(), Ok(()));
        let other = cancel.clone();
        let thread = std::thread::spawn(move || other.closed().recv().is_err());
        cancel.cancel();
        cancel.cancel();
        cancel.canceled().await;
        assert!(thread.join().unwrap());
        assert_eq!(cancel.check(), Err(Canceled));
    }

    #[test]
    fn a_panic_sets_the_flag_and_an_ordinary_end_does_not() {
        for (panics, expected) in [(false, Ok(())), (true, Err(Canceled))] {
            let cancel = Cancel::new();
            let guard = CancelOnPanic(cancel.clone());
            let thread = std::thread::spawn(move || {
                let _guard = guard;
                assert!(!panics, "a panic that was asked for");
            });
            assert_eq!(thread.join().is_err(), panics);
            assert_eq!(cancel.check(), expected);
        }
    }
}
