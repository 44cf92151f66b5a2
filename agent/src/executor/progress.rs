//! How far attempts are, for whoever passes it on: the latest wins, earlier ones are dropped.

use crate::jobs::AttemptName;
use provado_model::id::AttemptId;
use provado_proto::common::v1::Progress;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// The latest progress of every attempt that has not been passed on.
#[derive(Debug, Default)]
pub struct ProgressBoard {
    latest: Mutex<HashMap<AttemptId, (AttemptName, Progress)>>,
    news: Notify,
}

impl ProgressBoard {
    /// Replaces what is known of an attempt.
    pub fn put(&self, name: AttemptName, progress: Progress) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.insert(name.attempt, (name, progress));
        drop(latest);
        self.news.notify_one();
    }

    /// Takes everything that has not been passed on.
    pub fn take(&self) -> Vec<(AttemptName, Progress)> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.drain().map(|(_, told)| told).collect()
    }

    /// Forgets an attempt that has ended.
    pub fn forget(&self, attempt: AttemptId) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.remove(&attempt);
    }

    /// Ends when there is something that has not been passed on.
    pub async fn waiting(&self) {
        loop {
            let news = self.news.notified();
            let is_empty = {
                let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
                latest.is_empty()
            };
            if !is_empty {
                return;
            }
            news.await;
        }
    }
}
