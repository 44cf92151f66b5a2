//! The clock as a parameter: product code asks a [`Clock`], never the system.
//!
//! Wall time is for records and people; [`Monotonic`] is for measuring, and never goes back.

use jiff::{SignedDuration, Timestamp};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Tells the time. Shared by reference; implementations are cheap to call.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall-clock time in UTC. It may jump.
    fn now(&self) -> Timestamp;

    /// A reading that never goes back, for measuring spans within one process.
    fn monotonic(&self) -> Monotonic;
}

/// A point on the process's monotonic clock; only differences mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Monotonic(Duration);

impl Monotonic {
    /// The span from `earlier` to this reading; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// This reading moved forward.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// The system's clocks. The only place that reads them.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A shared system clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the system's clocks"
    )]
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self {
            started: Instant::now(),
        })
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the system's clocks"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.started.elapsed())
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<(Timestamp, Duration)>,
}

impl ManualClock {
    /// A clock at the given second since 1970-01-01 UTC; out-of-range values become 1970.
    pub fn at_second(second: i64) -> Self {
        let start = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            state: Mutex::new((start, Duration::ZERO)),
        }
    }

    /// Moves the wall clock by `span`, and the monotonic clock by the same when it is positive.
    pub fn advance(&self, span: SignedDuration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = state.0.saturating_add(span).unwrap_or(Timestamp::MAX);
        if let Ok(forward) = Duration::try_from(span) {
            state.1 = state.1.saturating_add(forward);
        }
    }

    /// Moves the wall clock alone, as somebody who sets it does.
    pub fn jump(&self, span: SignedDuration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = state.0.saturating_add(span).unwrap_or(Timestamp::MAX);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.state.lock().unwrap_or_else(PoisonError::into_inner).1)
    }
}

/// Integer microseconds since 1970-01-01 UTC: how instants stand in SQL.
pub fn to_micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// The instant of [`to_micros`]; values outside jiff's range are clamped.
pub fn from_micros(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(if micros < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::at_second(100);
        let before = clock.monotonic();
        assert_eq!(clock.now().as_second(), 100);
        clock.advance(SignedDuration::from_secs(5));
        assert_eq!(clock.now().as_second(), 105);
        assert_eq!(clock.monotonic().since(before), Duration::from_secs(5));
        clock.advance(SignedDuration::from_secs(-60));
        assert_eq!(clock.now().as_second(), 45);
        assert_eq!(clock.monotonic().since(before), Duration::from_secs(5));
        clock.jump(SignedDuration::from_secs(15));
        assert_eq!(clock.now().as_second(), 60);
        assert_eq!(clock.monotonic().since(before), Duration::from_secs(5));
    }

    #[test]
    fn micros_round_trip() {
        let time = Timestamp::from_microsecond(1_700_000_000_123_456).unwrap();
        assert_eq!(from_micros(to_micros(time)), time);
        assert_eq!(from_micros(i64::MAX), Timestamp::MAX);
    }
}
