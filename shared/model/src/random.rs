//! Randomness as a parameter: secrets and ids come from an [`Entropy`] that is passed in.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A source of random bytes.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Fills the slice with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// `N` random bytes.
pub fn bytes<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut out = [0_u8; N];
    entropy.fill(&mut out);
    out
}

/// A number in `0..bound` (0 when `bound` is 0), for jitter and sampling; not for secrets.
pub fn below(entropy: &dyn Entropy, bound: u64) -> u64 {
    u64::from_le_bytes(bytes(entropy))
        .checked_rem(bound)
        .unwrap_or(0)
}

/// The operating system's random source, fit for keys.
#[derive(Debug)]
pub struct OsEntropy;

impl OsEntropy {
    /// A shared handle.
    pub fn shared() -> Arc<dyn Entropy> {
        Arc::new(Self)
    }
}

impl Entropy for OsEntropy {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the system"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        // getrandom(2) fails only before the kernel's pool is ready or where the call is filtered
        // out. To go on with predictable bytes would make predictable keys, so the process ends.
        if getrandom::fill(bytes).is_err() {
            std::process::abort();
        }
    }
}

/// A repeatable source for tests (SplitMix64, Steele et al. 2014). Never for keys.
#[derive(Debug)]
pub struct SeededEntropy {
    state: Mutex<u64>,
}

impl SeededEntropy {
    /// A source that gives the same bytes for the same seed.
    pub fn new(seed: u64) -> Self {
        Self {
            state: Mutex::new(seed),
        }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in bytes.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = *state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            let word = z.to_le_bytes();
            let length = chunk.len();
            chunk.copy_from_slice(&word[..length]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_two_seeds_differ() {
        let first: [u8; 20] = bytes(&SeededEntropy::new(1));
        assert_eq!(first, bytes::<20>(&SeededEntropy::new(1)));
        assert_ne!(first, bytes::<20>(&SeededEntropy::new(2)));
        assert_ne!(bytes::<32>(&OsEntropy), [0; 32]);
        assert_eq!(below(&OsEntropy, 0), 0);
        assert!(below(&OsEntropy, 3) < 3);
    }
}
