//! Where content is cut into segments. A cut depends on nothing but the content since the cut
//! before it, so after an insertion or deletion the cuts fall into step again.

/// How large segments shall be. All in bytes of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutPolicy {
    /// No content-defined cut before this many bytes.
    pub min_bytes: u64,
    /// Mean distance from the minimum to the next cut.
    pub target_bytes: u64,
    /// From here on the next row end is cut. Where a single row grows past this, the row is cut
    /// inside, each time it has given a segment this many bytes.
    pub max_bytes: u64,
}

impl Default for CutPolicy {
    /// 256 KiB, 1 MiB and 4 MiB.
    fn default() -> Self {
        Self {
            min_bytes: 256 << 10,
            target_bytes: 1 << 20,
            max_bytes: 4 << 20,
        }
    }
}

impl CutPolicy {
    /// The largest segment the policy can lead to: one that is just short of the maximum when a
    /// row of the maximum starts. A COPY terminator and its blank lines may come on top.
    pub fn segment_bytes_max(&self) -> u64 {
        self.max_bytes.saturating_mul(2)
    }

    /// The policy with its bounds in order (minimum ≤ target ≤ maximum), the minimum at least 1
    /// and the maximum at least 4, so that a terminator is never cut inside.
    pub(crate) fn ordered(self) -> Self {
        let min_bytes = self.min_bytes.max(1);
        let target_bytes = self.target_bytes.max(min_bytes);
        Self {
            min_bytes,
            target_bytes,
            max_bytes: self.max_bytes.max(target_bytes).max(4),
        }
    }
}

/// Decides row by row. Told of every row's end and hash, it says where the segment ends.
#[derive(Debug, Clone)]
pub struct Cutter {
    policy: CutPolicy,
    /// A row of one byte is cut after if its hash is below this; a longer row in proportion.
    threshold_per_byte: u64,
    /// Content since the last cut up to the start of the row at hand.
    settled_bytes: u64,
    /// Bytes of the row at hand since its start or the last cut inside it.
    row_bytes: u64,
    /// All bytes of the row at hand.
    row_bytes_total: u64,
}

impl Cutter {
    /// A cutter at the start of an entry's content. Bounds out of order are raised into order.
    pub fn new(policy: CutPolicy) -> Self {
        let policy = policy.ordered();
        let threshold_per_byte = u64::MAX / policy.target_bytes;
        Self {
            policy,
            threshold_per_byte,
            settled_bytes: 0,
            row_bytes: 0,
            row_bytes_total: 0,
        }
    }

    /// A cutter of the same policy at the start of other content.
    #[must_use]
    pub fn restarted(&self) -> Self {
        Self::new(self.policy)
    }

    /// How many more bytes the row at hand may have before it is cut inside; at least 1.
    #[inline]
    pub fn row_bytes_left(&self) -> u64 {
        self.policy.max_bytes - self.row_bytes
    }

    /// The row at hand goes on by `bytes`, at most [`Cutter::row_bytes_left`], without ending.
    /// True if the content is to be cut behind them.
    #[inline]
    pub fn row_continues(&mut self, bytes: u64) -> bool {
        self.row_bytes += bytes;
        self.row_bytes_total += bytes;
        if self.row_bytes < self.policy.max_bytes {
            return false;
        }
        self.settled_bytes = 0;
        self.row_bytes = 0;
        true
    }

    /// The row at hand ends after `bytes` more, its newline included; `hash` is of the whole row.
    /// True if the content is to be cut behind the row.
    #[inline]
    pub fn row_ends(&mut self, bytes: u64, hash: u64) -> bool {
        let row_bytes_total = self.row_bytes_total + bytes;
        self.settled_bytes += self.row_bytes + bytes;
        self.row_bytes = 0;
        self.row_bytes_total = 0;
        if self.settled_bytes < self.policy.min_bytes {
            return false;
        }
        let wanted = hash < row_bytes_total.saturating_mul(self.threshold_per_byte);
        if !wanted && self.settled_bytes < self.policy.max_bytes {
            return false;
        }
        self.settled_bytes = 0;
        true
    }
}
