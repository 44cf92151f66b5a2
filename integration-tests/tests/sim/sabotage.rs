//! What is broken on purpose, to see that the simulation would notice.

/// One defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// Nothing is broken.
    None,
    /// An agent's journal is gone when it starts again.
    JournalForgets,
    /// The controller takes the report of an attempt that is over for a success.
    LowerFenceBelieved,
}
