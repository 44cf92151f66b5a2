//! Waiting between two tries. Nothing else in the agent waits for time to pass.

use provado_model::random::{self, Entropy};
use std::time::Duration;

/// Lets the span pass.
pub async fn pause(span: Duration) {
    // Nothing to wait for, with a bound.
    let _ = tokio::time::timeout(span, std::future::pending::<()>()).await;
}

/// Spans between tries that grow, each drawn from zero to its ceiling ("full jitter"), so that a
/// fleet that lost its controller does not come back in one instant.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
}

impl Backoff {
    /// Ceilings that start at `first` and double up to `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            tries: 0,
        }
    }

    /// The next span.
    pub fn next(&mut self, entropy: &dyn Entropy) -> Duration {
        let factor = 2_u32.saturating_pow(self.tries.min(16));
        let ceiling = self.first.saturating_mul(factor).min(self.most);
        self.tries = self.tries.saturating_add(1);
        let millis = u64::try_from(ceiling.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(random::below(entropy, millis.saturating_add(1)))
    }

    /// Starts again from the first ceiling: something worked.
    pub const fn reset(&mut self) {
        self.tries = 0;
    }

    /// Starts from the highest ceiling: trying soon is of no use.
    pub const fn slow(&mut self) {
        self.tries = 16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_model::random::SeededEntropy;

    #[test]
    fn spans_stay_below_ceilings_that_double_up_to_the_most() {
        let entropy = SeededEntropy::new(7);
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, Duration::from_secs(5));
        for ceiling in [1, 2, 4, 5, 5, 5] {
            assert!(backoff.next(&entropy) <= Duration::from_secs(ceiling));
        }
        backoff.reset();
        assert!((0..8).all(|_| {
            backoff.reset();
            backoff.next(&entropy) <= second
        }));
        backoff.slow();
        let slow: Vec<_> = (0..64).map(|_| backoff.next(&entropy)).collect();
        assert!(slow.iter().any(|span| *span > second), "{slow:?}");
    }
}
