//! A table's COPY text, read as it flows: rows counted, fingerprinted, and cut at row ends.
//! Never buffers: a row may be a gigabyte and arrive in any slices.
//!
//! In COPY's text format every newline ends a row, because newlines within values are escaped, and
//! a line of `\.` alone ends the data (PostgreSQL, COPY, "Text Format"). pg_dump ends a table with
//! that line and blank lines; a server's `COPY ... TO STDOUT` has neither.

use memchr::memchr2;
use xxhash_rust::xxh3::{Xxh3, xxh3_128_with_seed};

use crate::cut::{CutPolicy, Cutter};

/// The line that ends COPY data, without its newline.
const TERMINATOR: &[u8] = b"\\.";

/// What a table's contents come to. Equal rows give equal digests, whatever their order and
/// whether pg_dump or the server wrote them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TableDigest {
    /// Rows.
    pub row_count: u64,
    /// Bytes of the rows with the newline of each, without the terminator.
    pub byte_count: u64,
    /// Sum, modulo 2^128, of XXH3-128 (seeded) of every row without its newline; big-endian.
    pub fingerprint: [u8; 16],
}

/// Why COPY text was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// More than blank lines after the terminator.
    #[error("the table's data goes on after its terminator, in row {row}")]
    DataAfterTerminator {
        /// Rows before the terminator.
        row: u64,
    },
    /// A byte that COPY's text format never holds: what was taken for rows is something else.
    #[error("row {row} of the table's data holds a NUL byte, which COPY text never does")]
    NulByte {
        /// The row, counted from 1.
        row: u64,
    },
    /// pg_dump's data ended without `\.`: it was cut off.
    #[error("the table's data ends after {row} rows without its terminator")]
    TerminatorMissing {
        /// Rows seen.
        row: u64,
    },
    /// A server's data holds `\.`, which a server does not send.
    #[error("the table's data has a terminator after {row} rows, where a server sends none")]
    TerminatorUnexpected {
        /// Rows before it.
        row: u64,
    },
    /// The data ended within a row.
    #[error("the table's data ends in the middle of row {row}")]
    RowIncomplete {
        /// The row, counted from 1.
        row: u64,
    },
}

/// Scans one table's COPY text.
pub struct RowScanner {
    seed: u64,
    cutter: Cutter,
    row_count: u64,
    byte_count: u64,
    sum: u128,
    terminated: bool,
    /// The row at hand, if earlier slices held a part of it.
    partial: Partial,
}

/// A row whose start is gone with an earlier slice.
struct Partial {
    hasher: Box<Xxh3>,
    byte_count: u64,
    /// Its first two bytes, to know the terminator.
    head: [u8; 2],
}

impl std::fmt::Debug for RowScanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowScanner")
            .field("row_count", &self.row_count)
            .field("byte_count", &self.byte_count)
            .field("terminated", &self.terminated)
            .finish_non_exhaustive()
    }
}

impl RowScanner {
    /// A scanner at the start of a table, with the default [`CutPolicy`]. Digests and cuts of two
    /// scans compare only if they have the same seed.
    pub fn new(seed: u64) -> Self {
        Self::with_policy(seed, CutPolicy::default())
    }

    /// As [`RowScanner::new`], with other sizes of segments.
    pub fn with_policy(seed: u64, policy: CutPolicy) -> Self {
        Self {
            seed,
            cutter: Cutter::new(policy),
            row_count: 0,
            byte_count: 0,
            sum: 0,
            terminated: false,
            partial: Partial {
                hasher: Box::new(Xxh3::with_seed(seed)),
                byte_count: 0,
                head: [0; 2],
            },
        }
    }

    /// Starts over for another table.
    pub fn reset(&mut self) {
        self.cutter = self.cutter.restarted();
        (self.row_count, self.byte_count, self.sum, self.terminated) = (0, 0, 0, false);
        self.partial.clear();
    }

    /// Takes the next bytes; where cuts fall is not told.
    pub fn feed(&mut self, data: &[u8]) -> Result<(), RowError> {
        self.feed_with_cuts(data, |_| ())
    }

    /// Takes the next bytes and calls `cut` with each offset in `data` behind which the segment
    /// ends, in rising order, each from 1 to `data.len()`. How the content is sliced makes no
    /// difference to where it is cut. The terminator and blank lines are never cut off.
    pub fn feed_with_cuts(
        &mut self,
        data: &[u8],
        mut cut: impl FnMut(usize),
    ) -> Result<(), RowError> {
        let mut at = 0;
        while let Some(rest) = data.get(at..).filter(|rest| !rest.is_empty()) {
            if self.terminated {
                return self.after_terminator(rest);
            }
            let Some(end) = memchr2(b'\n', 0, rest) else {
                self.row_part(rest, at, &mut cut);
                return Ok(());
            };
            let (row, tail) = rest.split_at(end);
            if tail.first() != Some(&b'\n') {
                return Err(RowError::NulByte {
                    row: self.row_count + 1,
                });
            }
            self.row_end(row, at, &mut cut);
            at += end + 1;
        }
        Ok(())
    }

    /// Ends a table of pg_dump. Fails unless its terminator was seen.
    pub fn finish_dump(&self) -> Result<TableDigest, RowError> {
        if self.terminated {
            return Ok(self.digest());
        }
        Err(RowError::TerminatorMissing {
            row: self.row_count,
        })
    }

    /// Ends a server's `COPY ... TO STDOUT`. Fails if it ended within a row or had a terminator.
    pub fn finish_copy(&self) -> Result<TableDigest, RowError> {
        if self.terminated {
            return Err(RowError::TerminatorUnexpected {
                row: self.row_count,
            });
        }
        if self.partial.byte_count > 0 {
            return Err(RowError::RowIncomplete {
                row: self.row_count + 1,
            });
        }
        Ok(self.digest())
    }

    /// Rows seen so far, for progress.
    pub fn row_count(&self) -> u64 {
        self.row_count
    }

    fn digest(&self) -> TableDigest {
        TableDigest {
            row_count: self.row_count,
            byte_count: self.byte_count,
            fingerprint: self.sum.to_be_bytes(),
        }
    }

    fn after_terminator(&self, rest: &[u8]) -> Result<(), RowError> {
        if rest.iter().all(|byte| *byte == b'\n') {
            return Ok(());
        }
        Err(RowError::DataAfterTerminator {
            row: self.row_count,
        })
    }

    /// `row` ends the row at hand; it stands at `at` in the slice and is followed by a newline.
    #[inline]
    fn row_end(&mut self, row: &[u8], at: usize, cut: &mut impl FnMut(usize)) {
        if self.partial.byte_count > 0 {
            self.spanning_row_end(row, at, cut);
            return;
        }
        if row == TERMINATOR {
            self.terminated = true;
            return;
        }
        let hash = xxh3_128_with_seed(row, self.seed);
        self.settle(row.len() as u64, hash);
        self.cut_row(row.len(), at, hash, cut);
    }

    #[cold]
    fn spanning_row_end(&mut self, row: &[u8], at: usize, cut: &mut impl FnMut(usize)) {
        self.partial.extend(row);
        if self.partial.is_terminator() {
            self.terminated = true;
            return;
        }
        let hash = self.partial.hasher.digest128();
        self.settle(self.partial.byte_count, hash);
        self.partial.clear();
        self.cut_row(row.len(), at, hash, cut);
    }

    #[inline]
    fn settle(&mut self, row_bytes: u64, hash: u128) {
        self.row_count += 1;
        self.byte_count += row_bytes + 1;
        self.sum = self.sum.wrapping_add(hash);
    }

    /// The cuts that the last `bytes` of a row and its newline bring.
    #[inline]
    fn cut_row(&mut self, bytes: usize, at: usize, hash: u128, cut: &mut impl FnMut(usize)) {
        let (bytes, at) = self.cut_inside(bytes, at, cut);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low half of the hash is wanted"
        )]
        if self.cutter.row_ends(bytes as u64 + 1, hash as u64) {
            cut(at + bytes + 1);
        }
    }

    /// Cuts inside the row at hand for as long as it must be; returns what is left of it.
    #[inline]
    fn cut_inside(
        &mut self,
        mut bytes: usize,
        mut at: usize,
        cut: &mut impl FnMut(usize),
    ) -> (usize, usize) {
        while bytes as u64 >= self.cutter.row_bytes_left() {
            let piece = usize::try_from(self.cutter.row_bytes_left()).unwrap_or(bytes);
            if self.cutter.row_continues(piece as u64) {
                cut(at + piece);
            }
            bytes -= piece;
            at += piece;
        }
        (bytes, at)
    }

    /// `part` goes on with the row at hand without ending it.
    #[cold]
    fn row_part(&mut self, part: &[u8], at: usize, cut: &mut impl FnMut(usize)) {
        self.partial.extend(part);
        let (bytes, _) = self.cut_inside(part.len(), at, cut);
        self.cutter.row_continues(bytes as u64);
    }
}

impl Partial {
    fn extend(&mut self, part: &[u8]) {
        for (at, byte) in (self.byte_count..2).zip(part) {
            if let Some(slot) = usize::try_from(at)
                .ok()
                .and_then(|at| self.head.get_mut(at))
            {
                *slot = *byte;
            }
        }
        self.byte_count += part.len() as u64;
        self.hasher.update(part);
    }

    fn is_terminator(&self) -> bool {
        self.byte_count == TERMINATOR.len() as u64 && self.head == TERMINATOR
    }

    fn clear(&mut self) {
        if self.byte_count > 0 {
            self.hasher.reset();
            self.byte_count = 0;
        }
    }
}
