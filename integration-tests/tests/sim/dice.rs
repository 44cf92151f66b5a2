//! Choices, all from one seed.

use provado_model::random::{self, OsEntropy, SeededEntropy};

/// Seeds run beside the fixed ones each time.
const MORE_SEEDS: usize = 2;

/// Seeds that nobody has chosen, or the one that is to be repeated. The only place of the
/// simulation that asks the system for anything; a failure tells the seed.
#[expect(
    clippy::disallowed_methods,
    reason = "the variable is for whoever repeats a failure by hand"
)]
pub(crate) fn seeds_of_this_moment() -> Vec<u64> {
    match std::env::var("PROVADO_SIM_SEED") {
        Ok(seed) => vec![seed.parse().expect("PROVADO_SIM_SEED is a number")],
        Err(_) => (0..MORE_SEEDS)
            .map(|_| u64::from(u32::from_le_bytes(random::bytes(&OsEntropy))))
            .collect(),
    }
}

/// The source of every choice.
#[derive(Debug)]
pub(crate) struct Dice(SeededEntropy);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        // Ids come from another source with the same seed.
        Self(SeededEntropy::new(!seed))
    }

    /// A number in `0..bound`.
    pub(crate) fn below(&self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap();
        usize::try_from(random::below(&self.0, bound)).unwrap()
    }

    /// True so many times in a hundred.
    pub(crate) fn chance(&self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of several, if there are any.
    pub(crate) fn pick<T: Clone>(&self, from: &[T]) -> Option<T> {
        from.get(self.below(from.len())).cloned()
    }
}
