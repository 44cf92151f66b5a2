//! From slices of content to whole segments: the buffers between the parser and the repository.
//! One segmenter serves a whole archive, entry after entry, and holds one segment at a time.

use crate::cut::CutPolicy;
use crate::large_object::{OpaqueDigest, OpaqueScanner};
use crate::parser::SinkError;
use crate::rows::{RowError, RowScanner, TableDigest};

/// Buffers kept for reuse.
const SPARE_COUNT_MAX: usize = 4;
/// A segment below this is handed out as a copy, so that ten thousand small tables do not cost ten
/// thousand large buffers.
const COPY_BYTES_MAX: usize = 128 << 10;

/// What an entry's content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentMode {
    /// COPY text: cut at row ends, rows counted and fingerprinted.
    Rows,
    /// Anything else: cut by a rolling hash, fingerprinted as a whole.
    Opaque,
}

/// What an entry's content came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryDigest {
    /// Of COPY text as pg_dump writes it.
    Rows(TableDigest),
    /// Of anything else.
    Opaque(OpaqueDigest),
}

/// Why an entry could not be segmented.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The content is not COPY text of pg_dump.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// The receiver of a segment failed.
    #[error("a finished segment was not taken")]
    Emit(#[source] SinkError),
}

/// Gathers the slices of one entry after another into segments.
///
/// For each entry: [`Segmenter::begin`], any number of [`Segmenter::push`], [`Segmenter::finish`].
/// The segments of an entry, one after another, are exactly its content, terminator included.
#[derive(Debug)]
pub struct Segmenter {
    mode: SegmentMode,
    rows: RowScanner,
    opaque: OpaqueScanner,
    segment: Vec<u8>,
    spare: Vec<Vec<u8>>,
    /// Cuts in the slice at hand; kept for its memory only.
    cuts: Vec<usize>,
}

impl Segmenter {
    /// A segmenter before its first entry. `seed` is that of all digests, see [`RowScanner`].
    pub fn new(seed: u64, policy: CutPolicy) -> Self {
        Self {
            mode: SegmentMode::Opaque,
            rows: RowScanner::with_policy(seed, policy),
            opaque: OpaqueScanner::new(seed, policy),
            segment: Vec::new(),
            spare: Vec::new(),
            cuts: Vec::new(),
        }
    }

    /// Starts an entry. What was pushed of an entry that was not finished is dropped.
    pub fn begin(&mut self, mode: SegmentMode) {
        self.mode = mode;
        self.rows.reset();
        self.opaque.reset();
        self.segment.clear();
    }

    /// Takes the next bytes of the entry and hands every segment they complete to `emit`, in
    /// order; no segment is empty. Fails if COPY text goes on after its terminator, or if `emit`
    /// does; the entry is then lost.
    pub fn push(
        &mut self,
        data: &[u8],
        mut emit: impl FnMut(Vec<u8>) -> Result<(), SinkError>,
    ) -> Result<(), SegmentError> {
        let cuts = &mut self.cuts;
        cuts.clear();
        match self.mode {
            SegmentMode::Rows => self.rows.feed_with_cuts(data, |at| cuts.push(at))?,
            SegmentMode::Opaque => self.opaque.feed_with_cuts(data, |at| cuts.push(at)),
        }
        let mut start = 0;
        for at in 0..self.cuts.len() {
            let end = self.cuts.get(at).copied().unwrap_or(start);
            self.segment
                .extend_from_slice(data.get(start..end).unwrap_or_default());
            start = end;
            emit(self.take_segment()).map_err(SegmentError::Emit)?;
        }
        self.segment
            .extend_from_slice(data.get(start..).unwrap_or_default());
        Ok(())
    }

    /// Ends the entry: hands out its last segment, if any content is left, and returns the digest.
    /// Fails if COPY text has no terminator, or if `emit` does.
    pub fn finish(
        &mut self,
        mut emit: impl FnMut(Vec<u8>) -> Result<(), SinkError>,
    ) -> Result<EntryDigest, SegmentError> {
        let digest = match self.mode {
            SegmentMode::Rows => EntryDigest::Rows(self.rows.finish_dump()?),
            SegmentMode::Opaque => EntryDigest::Opaque(self.opaque.finish()),
        };
        if !self.segment.is_empty() {
            emit(self.take_segment()).map_err(SegmentError::Emit)?;
        }
        Ok(digest)
    }

    /// Gives a buffer back that a segment came in, for reuse.
    pub fn recycle(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > COPY_BYTES_MAX && self.spare.len() < SPARE_COUNT_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Rows of the entry so far, for progress; 0 in opaque mode.
    pub fn row_count(&self) -> u64 {
        self.rows.row_count()
    }

    fn take_segment(&mut self) -> Vec<u8> {
        if self.segment.len() <= COPY_BYTES_MAX {
            let copy = self.segment.clone();
            self.segment.clear();
            return copy;
        }
        let next = self
            .spare
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(self.segment.len()));
        std::mem::replace(&mut self.segment, next)
    }
}
