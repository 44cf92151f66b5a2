//! How often something may happen: so many times in a row, and then once in a while.

use provado_model::id::AgentId;
use provado_model::time::Monotonic;
use provado_model::{Error, Reason};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How many times in a row.
    pub burst: u32,
    /// How long until it may happen once more.
    pub refill: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: u32,
    since: Monotonic,
}

impl Bucket {
    /// Takes one; false when there is none.
    fn take(&mut self, now: Monotonic, pace: Pace) -> bool {
        let elapsed = now.since(self.since).as_millis();
        let gained = elapsed / pace.refill.as_millis().max(1);
        if gained > 0 {
            let gained = u32::try_from(gained).unwrap_or(u32::MAX);
            self.tokens = self.tokens.saturating_add(gained).min(pace.burst);
            self.since = if self.tokens == pace.burst {
                now
            } else {
                self.since.plus(pace.refill.saturating_mul(gained))
            };
        }
        let Some(left) = self.tokens.checked_sub(1) else {
            return false;
        };
        self.tokens = left;
        true
    }
}

/// The same pace for each of many, of whom a bounded number is remembered.
#[derive(Debug)]
pub struct Rates<K> {
    pace: Pace,
    keys_max: usize,
    buckets: HashMap<K, Bucket>,
}

impl<K: Eq + Hash> Rates<K> {
    /// Nothing has happened yet.
    pub fn new(pace: Pace, keys_max: usize) -> Self {
        Self {
            pace,
            keys_max,
            buckets: HashMap::new(),
        }
    }

    /// Whether it may happen to this one now; then it has. While too many are remembered, it may
    /// not happen to anyone else.
    pub fn allows(&mut self, key: K, now: Monotonic) -> bool {
        let pace = self.pace;
        if self.buckets.len() >= self.keys_max && !self.buckets.contains_key(&key) {
            let full_again = pace.refill.saturating_mul(pace.burst);
            self.buckets
                .retain(|_, bucket| now.since(bucket.since) < full_again);
            if self.buckets.len() >= self.keys_max {
                return false;
            }
        }
        let bucket = self.buckets.entry(key).or_insert(Bucket {
            tokens: pace.burst,
            since: now,
        });
        bucket.take(now, pace)
    }
}

/// What an agent can make the controller write down for ever, by its own word alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Told {
    /// A checkpoint that is not believed.
    Checkpoint,
    /// A change of its certificate.
    Certificate,
    /// A change of what it has.
    Inventory,
    /// A report that contradicts an earlier one.
    Report,
}

/// Each in a row, and then one a minute: an hour of a host that flaps, and no chain that grows
/// without bound.
const TOLD: Pace = Pace {
    burst: 60,
    refill: Duration::from_mins(1),
};
/// Agents and kinds that are remembered.
const TOLD_MAX: usize = 400_000;

/// How much each agent makes the controller write down.
#[derive(Debug)]
pub struct ToldRate(Mutex<Rates<(AgentId, Told)>>);

impl Default for ToldRate {
    fn default() -> Self {
        Self(Mutex::new(Rates::new(TOLD, TOLD_MAX)))
    }
}

impl ToldRate {
    /// Whether this may be written down now.
    pub fn allows(&self, agent: AgentId, told: Told, now: Monotonic) -> bool {
        let mut rates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rates.allows((agent, told), now)
    }

    /// The same as an error. Errors: `BUSY` when it may not.
    pub fn check(&self, agent: AgentId, told: Told, now: Monotonic) -> Result<(), Error> {
        if self.allows(agent, told, now) {
            return Ok(());
        }
        Err(Error::new(
            Reason::Busy,
            "this agent tells of changes so often that no more are written down; it is heard again \
             in a minute",
        )
        .with("agent", agent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_model::time::{Clock, ManualClock};

    #[test]
    fn a_row_is_allowed_and_then_one_in_a_while() {
        let clock = ManualClock::at_second(1);
        let mut rates = Rates::new(TOLD, 2);
        for _ in 0..60 {
            assert!(rates.allows(1, clock.monotonic()));
        }
        assert!(!rates.allows(1, clock.monotonic()));
        assert!(rates.allows(2, clock.monotonic()), "another one");
        assert!(!rates.allows(3, clock.monotonic()), "one too many");
        clock.advance(jiff::SignedDuration::from_secs(60));
        assert!(rates.allows(1, clock.monotonic()));
        assert!(!rates.allows(1, clock.monotonic()));
        clock.advance(jiff::SignedDuration::from_hours(1));
        assert!(
            rates.allows(3, clock.monotonic()),
            "the others are forgotten"
        );
    }
}
