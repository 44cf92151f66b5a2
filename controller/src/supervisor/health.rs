//! When each task last ran, and what went wrong since.

use jiff::Timestamp;
use provado_model::Error;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is known of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskHealth {
    /// Its name.
    pub name: &'static str,
    /// How often it runs.
    pub period: Duration,
    /// When an activation last ended well.
    pub last_run_time: Option<Timestamp>,
    /// What the last activation failed with, if it failed.
    pub last_failure: Option<String>,
}

impl TaskHealth {
    /// Whether it ended well within the last two periods (at least 10 seconds) and does not fail.
    pub fn is_fit(&self, now: Timestamp) -> bool {
        let allowed = self.period.saturating_mul(2).max(Duration::from_secs(10));
        self.last_failure.is_none()
            && self.last_run_time.is_some_and(|last| {
                Duration::try_from(now.duration_since(last)).unwrap_or_default() <= allowed
            })
    }
}

/// The health of all tasks. Cheap to clone; clones share.
#[derive(Debug, Clone, Default)]
pub struct Health {
    tasks: Arc<Mutex<BTreeMap<&'static str, TaskHealth>>>,
}

impl Health {
    /// Every task in order of name.
    pub fn tasks(&self) -> Vec<TaskHealth> {
        self.locked().values().cloned().collect()
    }

    /// Whether every task is fit.
    pub fn is_fit(&self, now: Timestamp) -> bool {
        self.locked().values().all(|task| task.is_fit(now))
    }

    pub(super) fn add(&self, name: &'static str, period: Duration) {
        self.locked().insert(
            name,
            TaskHealth {
                name,
                period,
                last_run_time: None,
                last_failure: None,
            },
        );
    }

    pub(super) fn ran(&self, name: &'static str, now: Timestamp) {
        if let Some(task) = self.locked().get_mut(name) {
            task.last_run_time = Some(now);
            task.last_failure = None;
        }
    }

    pub(super) fn failed(&self, name: &'static str, error: &Error) {
        if let Some(task) = self.locked().get_mut(name) {
            task.last_failure = Some(error.chain());
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, TaskHealth>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
