//! Who was heard when: at once in memory, once a minute in the rows, so that an idle fleet of
//! thousands writes little.

use jiff::Timestamp;
use provado_model::id::AgentId;
use provado_model::time::Monotonic;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often the rows follow.
const WRITE_PERIOD: Duration = Duration::from_mins(1);
/// Agents written in one transaction.
pub(super) const BATCH: usize = 500;

/// The last sign of life of each agent since the rows were written.
#[derive(Debug, Default)]
pub(super) struct Heard {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    agents: HashMap<AgentId, Timestamp>,
    written: Option<Monotonic>,
}

impl Heard {
    /// Notes that an agent was heard.
    pub(super) fn note(&self, agent: AgentId, now: Timestamp) {
        self.locked().agents.insert(agent, now);
    }

    /// When an agent was heard, if its row does not know it yet.
    pub(super) fn get(&self, agent: AgentId) -> Option<Timestamp> {
        self.locked().agents.get(&agent).copied()
    }

    /// What is to be written now: nothing within a minute of the last time.
    pub(super) fn take_due(&self, now: Monotonic) -> Vec<(AgentId, Timestamp)> {
        let mut state = self.locked();
        let is_due = state
            .written
            .is_none_or(|last| now.since(last) >= WRITE_PERIOD);
        if !is_due {
            return Vec::new();
        }
        let ids: Vec<AgentId> = state.agents.keys().copied().take(BATCH).collect();
        if ids.len() < BATCH {
            state.written = Some(now);
        }
        ids.into_iter()
            .filter_map(|id| state.agents.remove(&id).map(|time| (id, time)))
            .collect()
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_model::random::SeededEntropy;
    use provado_model::time::{Clock, ManualClock};

    #[test]
    fn rows_follow_once_a_minute_and_in_bounded_portions() {
        let clock = ManualClock::at_second(1);
        let entropy = SeededEntropy::new(1);
        let heard = Heard::default();
        let mut last = None;
        for _ in 0..=BATCH {
            let agent = AgentId::new(&clock, &entropy);
            heard.note(agent, clock.now());
            last = Some(agent);
        }
        assert_eq!(heard.take_due(clock.monotonic()).len(), BATCH);
        assert_eq!(heard.take_due(clock.monotonic()).len(), 1);
        heard.note(last.unwrap(), clock.now());
        assert!(heard.take_due(clock.monotonic()).is_empty());
        assert_eq!(heard.get(last.unwrap()), Some(clock.now()));
        clock.advance(jiff::SignedDuration::from_secs(60));
        assert_eq!(heard.take_due(clock.monotonic()).len(), 1);
        assert_eq!(heard.get(last.unwrap()), None);
    }
}
