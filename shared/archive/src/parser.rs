//! The push parser: takes the bytes of a custom archive in whatever slices they arrive and tells a
//! [`Sink`] what they mean. It never reads ahead, never copies payload and keeps nothing of it.

mod blocks;
mod large_objects;

use crate::cursor::{INT_BYTES, Int, decode_int};
use crate::error::ParseError;
use crate::limits::Limits;
use crate::toc::{DumpId, Toc, TocParser, TocProgress, Version};

/// What a sink may fail with; passed through as [`ParseError::Sink`].
pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// Receives the parts of an archive in the order of the stream.
///
/// After [`Sink::toc`], each entry with data comes as `entry_start`, its contents, `entry_end`.
/// The contents of a table are `data` calls; those of a `BLOBS` entry are any number of
/// `large_object_start`, `data` calls, `large_object_end`. An error ends the parsing.
pub trait Sink {
    /// Header and table of contents are complete. Called exactly once, before anything else.
    fn toc(&mut self, archive: &Toc) -> Result<(), SinkError>;
    /// The data of this entry starts.
    fn entry_start(&mut self, dump_id: DumpId) -> Result<(), SinkError>;
    /// Payload without any framing, borrowed from what was fed. Slices follow neither rows nor
    /// pg_dump's chunks, and are never empty.
    fn data(&mut self, payload: &[u8]) -> Result<(), SinkError>;
    /// The data of this entry is complete.
    fn entry_end(&mut self, dump_id: DumpId) -> Result<(), SinkError>;
    /// A large object starts, within a `BLOBS` entry.
    fn large_object_start(&mut self, oid: u32) -> Result<(), SinkError>;
    /// The large object is complete.
    fn large_object_end(&mut self, oid: u32) -> Result<(), SinkError>;
}

/// What a stream is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Too few bytes to tell; [`PROBE_BYTES`] always suffice.
    NeedMore,
    /// An archive this build can parse, if it is in custom format and not compressed.
    Known(Version),
    /// An archive of a version this build does not know: keep it as one opaque stream and warn.
    UnknownVersion {
        /// Major version of the archive format.
        major: u8,
        /// Minor version of the archive format.
        minor: u8,
    },
    /// No archive of pg_dump.
    NotAnArchive,
}

/// Bytes that [`probe`] needs at most.
pub const PROBE_BYTES: usize = 8;

/// Tells from its first bytes what a stream is, without a parser. Consumes nothing.
pub fn probe(start: &[u8]) -> Probe {
    let magic = crate::toc::MAGIC;
    let seen = start.len().min(magic.len());
    if start.get(..seen) != magic.get(..seen) {
        return Probe::NotAnArchive;
    }
    match start.get(magic.len()..PROBE_BYTES) {
        Some(&[major, minor, revision]) => {
            let version = Version {
                major,
                minor,
                revision,
            };
            if version.is_known() {
                Probe::Known(version)
            } else {
                Probe::UnknownVersion { major, minor }
            }
        }
        _ => Probe::NeedMore,
    }
}

/// Facts about an archive that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Header and table of contents.
    pub toc: Toc,
    /// Bytes of the whole archive.
    pub byte_count: u64,
    /// Bytes of payload, without framing.
    pub payload_byte_count: u64,
    /// Entries that had data; each entry that should have is among them.
    pub data_entry_count: u64,
    /// Large objects in all `BLOBS` entries.
    pub large_object_count: u64,
}

/// A parser of one archive in custom format.
///
/// Feed it every byte in order, then [`ArchiveParser::finish`]. Any error is final.
#[derive(Debug)]
pub struct ArchiveParser {
    limits: Limits,
    state: State,
    offset: u64,
    carry: Carry,
    blocks: blocks::Blocks,
}

/// Where in the stream the parser is.
#[derive(Debug)]
enum State {
    Toc(TocParser),
    /// Before a block's type byte, or at the end of the archive.
    BlockType,
    /// Before the dump id of a block that started at this offset.
    BlockId {
        kind: BlockKind,
        offset: u64,
    },
    /// Before a large object's OID, or the zero that ends the list.
    LargeObjectOid,
    /// Before a chunk's length, or the zero that ends the chunks.
    ChunkLength,
    /// Within a chunk, so many bytes before its end.
    Chunk {
        left: usize,
    },
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BlockKind {
    /// `BLK_DATA` of pg_backup_archiver.h.
    Data,
    /// `BLK_BLOBS`.
    LargeObjects,
}

/// The bytes of an integer that a slice cut in two.
#[derive(Debug, Default)]
struct Carry {
    bytes: [u8; INT_BYTES],
    filled: usize,
}

impl ArchiveParser {
    /// A parser at the first byte of an archive.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Toc(TocParser::new(limits)),
            offset: 0,
            carry: Carry::default(),
            blocks: blocks::Blocks::default(),
        }
    }

    /// Takes the next bytes of the archive. An error is final: the archive is not whole.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<(), ParseError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Failed => Err(ParseError::AlreadyFailed),
            State::Toc(parser) => self.feed_toc(parser, bytes, sink),
            state => self.feed_blocks(state, bytes, sink),
        }
    }

    /// Ends the archive. Fails if it ends in the middle of something, or if an entry that should
    /// have data had none; the error names them. The sink is not called.
    pub fn finish(self, _sink: &mut impl Sink) -> Result<Summary, ParseError> {
        let within = match &self.state {
            State::BlockType => None,
            State::Toc(_) => Some("its table of contents"),
            State::BlockId { .. } => Some("the head of a data block"),
            State::LargeObjectOid => Some("a list of large objects"),
            State::ChunkLength | State::Chunk { .. } => Some("an entry's data"),
            State::Failed => return Err(ParseError::AlreadyFailed),
        };
        if let Some(within) = within {
            return Err(ParseError::Truncated {
                offset: self.offset,
                within,
            });
        }
        self.blocks.into_summary(self.offset)
    }

    fn feed_toc(
        &mut self,
        mut parser: TocParser,
        bytes: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), ParseError> {
        match parser.feed(bytes)? {
            TocProgress::Incomplete => {
                self.offset = parser.taken() as u64;
                self.state = State::Toc(parser);
                Ok(())
            }
            TocProgress::Complete { toc, consumed } => {
                self.offset = toc.raw.len() as u64;
                self.blocks = blocks::Blocks::new(*toc);
                sink.toc(self.blocks.toc()?).map_err(ParseError::Sink)?;
                let rest = bytes.get(consumed..).unwrap_or_default();
                self.feed_blocks(State::BlockType, rest, sink)
            }
        }
    }

    /// Leaves `self.state` failed on every error, so that no later call can succeed.
    fn feed_blocks(
        &mut self,
        mut state: State,
        mut input: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), ParseError> {
        while !input.is_empty() {
            state = match state {
                State::Chunk { left } => {
                    let (payload, rest) = input.split_at(left.min(input.len()));
                    input = rest;
                    self.offset += payload.len() as u64;
                    self.blocks.payload_byte_count += payload.len() as u64;
                    sink.data(payload).map_err(ParseError::Sink)?;
                    match left - payload.len() {
                        0 => State::ChunkLength,
                        left => State::Chunk { left },
                    }
                }
                State::ChunkLength => match self.take_int(&mut input)? {
                    Some(length) => self.chunk(length, sink)?,
                    None => State::ChunkLength,
                },
                State::BlockType => self.block_type(&mut input)?,
                State::BlockId { kind, offset } => match self.take_int(&mut input)? {
                    Some(id) => self.block_start(kind, offset, id, sink)?,
                    None => State::BlockId { kind, offset },
                },
                State::LargeObjectOid => match self.take_int(&mut input)? {
                    Some(oid) => self.large_object(oid.oid(), sink)?,
                    None => State::LargeObjectOid,
                },
                State::Toc(_) | State::Failed => return Err(ParseError::AlreadyFailed),
            };
        }
        self.state = state;
        Ok(())
    }

    fn block_type(&mut self, input: &mut &[u8]) -> Result<State, ParseError> {
        let offset = self.offset;
        let Some((byte, rest)) = input.split_first() else {
            return Ok(State::BlockType);
        };
        let kind = match byte {
            1 => BlockKind::Data,
            3 => BlockKind::LargeObjects,
            _ => return Err(self.malformed(format!("a data block of unknown type {byte}"))),
        };
        *input = rest;
        self.offset += 1;
        Ok(State::BlockId { kind, offset })
    }

    fn block_start(
        &mut self,
        kind: BlockKind,
        offset: u64,
        id: Int,
        sink: &mut impl Sink,
    ) -> Result<State, ParseError> {
        let dump_id = self.blocks.start(kind, offset, id)?;
        sink.entry_start(dump_id).map_err(ParseError::Sink)?;
        Ok(match kind {
            BlockKind::Data => State::ChunkLength,
            BlockKind::LargeObjects => State::LargeObjectOid,
        })
    }

    fn chunk(&mut self, length: Int, sink: &mut impl Sink) -> Result<State, ParseError> {
        if length.magnitude == 0 {
            return self.chunks_end(sink);
        }
        if length.negative {
            return Err(self.malformed("a chunk of negative length"));
        }
        let left = length.magnitude as usize;
        if left > self.limits.chunk_bytes_max {
            return Err(ParseError::LimitExceeded {
                field: "the length of a chunk",
                found: left as u64,
                limit: self.limits.chunk_bytes_max as u64,
                offset: self.offset,
            });
        }
        Ok(State::Chunk { left })
    }

    fn chunks_end(&mut self, sink: &mut impl Sink) -> Result<State, ParseError> {
        if let Some(oid) = self.blocks.large_object_end() {
            sink.large_object_end(oid).map_err(ParseError::Sink)?;
            return Ok(State::LargeObjectOid);
        }
        let dump_id = self.blocks.end()?;
        sink.entry_end(dump_id).map_err(ParseError::Sink)?;
        Ok(State::BlockType)
    }

    fn large_object(&mut self, oid: u32, sink: &mut impl Sink) -> Result<State, ParseError> {
        if oid == 0 {
            let dump_id = self.blocks.end()?;
            sink.entry_end(dump_id).map_err(ParseError::Sink)?;
            return Ok(State::BlockType);
        }
        self.blocks.large_object_start(oid, self.offset)?;
        sink.large_object_start(oid).map_err(ParseError::Sink)?;
        Ok(State::ChunkLength)
    }

    /// The next integer, once all its bytes are there.
    fn take_int(&mut self, input: &mut &[u8]) -> Result<Option<Int>, ParseError> {
        if self.carry.filled == 0
            && let Some((head, rest)) = input.split_at_checked(INT_BYTES)
        {
            *input = rest;
            self.offset += INT_BYTES as u64;
            return decode_int(head).map(Some).ok_or_else(|| self.bad_int());
        }
        let wanted = (INT_BYTES - self.carry.filled).min(input.len());
        let (head, rest) = input.split_at(wanted);
        let filled = self.carry.filled;
        if let Some(free) = self.carry.bytes.get_mut(filled..filled + wanted) {
            free.copy_from_slice(head);
        }
        *input = rest;
        self.offset += wanted as u64;
        self.carry.filled += wanted;
        if self.carry.filled < INT_BYTES {
            return Ok(None);
        }
        self.carry.filled = 0;
        decode_int(&self.carry.bytes)
            .map(Some)
            .ok_or_else(|| self.bad_int())
    }

    fn bad_int(&self) -> ParseError {
        self.malformed("an integer with a bad sign")
    }

    fn malformed(&self, what: impl Into<String>) -> ParseError {
        ParseError::Malformed {
            offset: self.offset,
            what: what.into(),
        }
    }
}
