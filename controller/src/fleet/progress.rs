//! How far live attempts are: the latest in memory, every few seconds into the attempt's row.

use jiff::Timestamp;
use provado_model::id::{AttemptId, RunId};
use provado_proto::common::v1::{Phase, Progress};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Shortest time between two writes of an attempt's progress into its row.
pub(super) const WRITE_PERIOD: Duration = Duration::from_secs(3);
/// Longest name of an object that is kept, in characters.
const ITEM_CHARS_MAX: usize = 255;
/// How long the last word on a run is kept in memory.
const KEPT: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

/// How far an attempt is.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveProgress {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Its number.
    pub number: u32,
    /// How far.
    pub progress: Progress,
    /// When that came.
    pub time: Timestamp,
}

/// The latest progress of each run that is at work. It may be lost at any time.
#[derive(Debug, Default)]
pub struct ProgressBoard {
    runs: Mutex<HashMap<RunId, LiveProgress>>,
}

impl ProgressBoard {
    /// The latest of a run.
    pub fn get(&self, run: RunId) -> Option<LiveProgress> {
        self.locked().get(&run).cloned()
    }

    /// Notes the latest of a run; that of an older attempt is dropped.
    pub fn put(&self, run: RunId, latest: LiveProgress) {
        let mut runs = self.locked();
        match runs.get(&run) {
            Some(known) if known.number > latest.number => {}
            Some(_) | None => {
                runs.insert(run, latest);
            }
        }
    }

    /// Forgets what nobody has told of for a while.
    pub fn expire(&self, now: Timestamp) {
        self.locked()
            .retain(|_, live| now.duration_since(live.time) < KEPT);
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<RunId, LiveProgress>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The form in which progress stands in an attempt's row.
pub fn progress_to_json(progress: &Progress) -> Value {
    json!({
        "phase": progress.phase().as_str_name(),
        "item": progress.item,
        "done_bytes": progress.done_bytes,
        "total_bytes": progress.total_bytes,
        "done_count": progress.done_count,
        "total_count": progress.total_count,
        "rate_bytes": progress.rate_bytes,
        "update_seconds": progress.update_time.as_ref().map(|time| time.seconds),
        "update_nanos": progress.update_time.as_ref().map(|time| time.nanos),
    })
}

/// The progress that [`progress_to_json`] wrote; what is missing is left out.
pub fn progress_from_json(value: &Value) -> Progress {
    let number = |name: &str| value.get(name).and_then(Value::as_i64);
    let phase = value
        .get("phase")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let nanos = number("update_nanos").and_then(|nanos| i32::try_from(nanos).ok());
    Progress {
        phase: Phase::from_str_name(phase).unwrap_or_default().into(),
        item: value
            .get("item")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        done_bytes: number("done_bytes").unwrap_or(0),
        total_bytes: number("total_bytes"),
        done_count: number("done_count").unwrap_or(0),
        total_count: number("total_count"),
        rate_bytes: number("rate_bytes").unwrap_or(0),
        update_time: number("update_seconds").map(|seconds| prost_types::Timestamp {
            seconds,
            nanos: nanos.unwrap_or(0),
        }),
    }
}

/// Progress as an agent told it, with bounds and the controller's own time where it told none.
pub(super) fn bounded(mut progress: Progress, now: Timestamp) -> Progress {
    progress.item = progress.item.chars().take(ITEM_CHARS_MAX).collect();
    progress.update_time.get_or_insert(prost_types::Timestamp {
        seconds: now.as_second(),
        nanos: now.subsec_nanosecond(),
    });
    progress
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_model::random::SeededEntropy;
    use provado_model::time::ManualClock;

    #[test]
    fn progress_survives_its_stored_form() {
        let progress = Progress {
            phase: Phase::Dumping.into(),
            item: "public.orders".into(),
            done_bytes: 7,
            total_bytes: Some(9),
            done_count: 1,
            total_count: None,
            rate_bytes: 3,
            update_time: Some(prost_types::Timestamp {
                seconds: 5,
                nanos: 6,
            }),
        };
        assert_eq!(progress_from_json(&progress_to_json(&progress)), progress);
        assert_eq!(progress_from_json(&json!({})), Progress::default());
    }

    #[test]
    fn an_older_attempt_does_not_hide_a_newer_one() {
        let clock = ManualClock::at_second(1_000);
        let entropy = SeededEntropy::new(1);
        let run = RunId::new(&clock, &entropy);
        let live = |number, second| LiveProgress {
            attempt: AttemptId::new(&clock, &entropy),
            number,
            progress: Progress::default(),
            time: Timestamp::from_second(second).unwrap(),
        };
        let board = ProgressBoard::default();
        board.put(run, live(2, 1_000));
        board.put(run, live(1, 1_001));
        assert_eq!(board.get(run).unwrap().number, 2);
        board.expire(Timestamp::from_second(1_299).unwrap());
        assert!(board.get(run).is_some());
        board.expire(Timestamp::from_second(1_300).unwrap());
        assert!(board.get(run).is_none());
    }
}
