//! Content without rows: large objects and streams kept opaque. Digested as a whole and cut by a
//! rolling hash, so that unchanged stretches of a changed object are found again.

use xxhash_rust::xxh3::Xxh3;

use crate::cut::CutPolicy;

/// What a large object's contents come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LargeObjectDigest {
    /// The large object.
    pub oid: u32,
    /// Bytes of its contents.
    pub byte_count: u64,
    /// XXH3-128 (seeded) of its contents; big-endian.
    pub fingerprint: [u8; 16],
}

/// What any content without rows comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OpaqueDigest {
    /// Bytes of the content.
    pub byte_count: u64,
    /// XXH3-128 (seeded) of the content; big-endian.
    pub fingerprint: [u8; 16],
}

impl OpaqueDigest {
    /// As the digest of the large object `oid`.
    pub fn of_large_object(self, oid: u32) -> LargeObjectDigest {
        LargeObjectDigest {
            oid,
            byte_count: self.byte_count,
            fingerprint: self.fingerprint,
        }
    }
}

/// Scans content that has no rows.
pub struct OpaqueScanner {
    hasher: Box<Xxh3>,
    byte_count: u64,
    policy: CutPolicy,
    /// A cut is wanted where the rolling hash has zeros here.
    mask: u64,
    rolling: u64,
    /// Content since the last cut.
    segment_bytes: u64,
}

impl std::fmt::Debug for OpaqueScanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpaqueScanner")
            .field("byte_count", &self.byte_count)
            .finish_non_exhaustive()
    }
}

impl OpaqueScanner {
    /// A scanner at the start of some content. The seed changes the fingerprint, not the cuts.
    pub fn new(seed: u64, policy: CutPolicy) -> Self {
        let policy = policy.ordered();
        // The highest bits of a gear hash depend on the most bytes before it.
        let bits = policy.target_bytes.ilog2();
        let mask = u64::MAX.checked_shl(64 - bits).unwrap_or(0);
        let hasher = Box::new(Xxh3::with_seed(seed));
        Self {
            hasher,
            byte_count: 0,
            policy,
            mask,
            rolling: 0,
            segment_bytes: 0,
        }
    }

    /// Starts over for other content.
    pub fn reset(&mut self) {
        self.hasher.reset();
        (self.byte_count, self.rolling, self.segment_bytes) = (0, 0, 0);
    }

    /// Takes the next bytes and calls `cut` with each offset in `data` behind which the segment
    /// ends, in rising order. How the content is sliced makes no difference.
    pub fn feed_with_cuts(&mut self, data: &[u8], mut cut: impl FnMut(usize)) {
        self.hasher.update(data);
        self.byte_count += data.len() as u64;
        let mut at = 0;
        while let Some(rest) = data.get(at..).filter(|rest| !rest.is_empty()) {
            let (taken, ends) = self.advance(rest);
            at += taken;
            if ends {
                (self.rolling, self.segment_bytes) = (0, 0);
                cut(at);
            }
        }
    }

    /// The digest of all content so far.
    pub fn finish(&self) -> OpaqueDigest {
        OpaqueDigest {
            byte_count: self.byte_count,
            fingerprint: self.hasher.digest128().to_be_bytes(),
        }
    }

    /// Moves on to the next cut or the end of `rest`; says how far, and whether it is a cut.
    fn advance(&mut self, rest: &[u8]) -> (usize, bool) {
        let skipped = clamp(
            self.policy.min_bytes.saturating_sub(self.segment_bytes),
            rest.len(),
        );
        self.segment_bytes += skipped as u64;
        let left = clamp(
            self.policy.max_bytes - self.segment_bytes,
            rest.len() - skipped,
        );
        let mut rolling = self.rolling;
        for (at, byte) in rest.iter().skip(skipped).take(left).enumerate() {
            rolling = (rolling << 1).wrapping_add(GEAR[usize::from(*byte)]);
            if rolling & self.mask == 0 {
                return (skipped + at + 1, true);
            }
        }
        self.rolling = rolling;
        self.segment_bytes += left as u64;
        (skipped + left, self.segment_bytes >= self.policy.max_bytes)
    }
}

fn clamp(bytes: u64, limit: usize) -> usize {
    usize::try_from(bytes).map_or(limit, |bytes| bytes.min(limit))
}

/// 256 numbers without pattern, from the SplitMix64 generator started at zero. Part of what makes
/// segments of two backups equal: a change here costs every repository its deduplication once.
const GEAR: [u64; 256] = {
    let mut table = [0; 256];
    let mut state = 0_u64;
    let mut at = 0;
    while at < table.len() {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = state;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        table[at] = value ^ (value >> 31);
        at += 1;
    }
    table
};
