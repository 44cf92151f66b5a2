//! Reads the archive's primitive values from bytes that may not all be there yet.
//! It never copies and never allocates.

use crate::error::ParseError;

/// Bytes of an integer of the archive: a sign byte (0 or 1), then four bytes of magnitude, the
/// least significant first (`WriteInt` in pg_backup_archiver.c).
pub(crate) const INT_BYTES: usize = 5;

/// Why a value could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// At least `need` bytes, counted from the start of the buffer, must be there.
    Short { need: usize },
    /// No more bytes will help.
    Bad(ParseError),
}

impl From<ParseError> for ReadError {
    fn from(error: ParseError) -> Self {
        Self::Bad(error)
    }
}

/// A place in a buffer whose first byte is the first byte of the archive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    pub(crate) position: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], position: usize) -> Self {
        Self { bytes, position }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], ReadError> {
        let need = self.position.saturating_add(count);
        let taken = self
            .bytes
            .get(self.position..need)
            .ok_or(ReadError::Short { need })?;
        self.position = need;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, ReadError> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    /// An integer of the archive.
    pub(crate) fn int(&mut self) -> Result<i64, ReadError> {
        let offset = self.position;
        let taken = self.take(INT_BYTES)?;
        decode_int(taken)
            .map(Int::value)
            .ok_or_else(|| ParseError::malformed(offset, "an integer with a bad sign").into())
    }

    /// A string of the archive: its length as an integer, -1 for NULL, then its bytes.
    pub(crate) fn string(&mut self, bytes_max: usize) -> Result<Option<&'a [u8]>, ReadError> {
        let offset = self.position;
        let length = self.int()?;
        if length == -1 {
            return Ok(None);
        }
        let Ok(length) = usize::try_from(length) else {
            return Err(ParseError::malformed(offset, "a string with a negative length").into());
        };
        if length > bytes_max {
            return Err(ParseError::LimitExceeded {
                field: "the length of a string",
                found: length as u64,
                limit: bytes_max as u64,
                offset: offset as u64,
            }
            .into());
        }
        self.take(length).map(Some)
    }
}

/// An integer of the archive as it stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Int {
    pub(crate) negative: bool,
    pub(crate) magnitude: u32,
}

impl Int {
    pub(crate) fn value(self) -> i64 {
        let magnitude = i64::from(self.magnitude);
        if self.negative { -magnitude } else { magnitude }
    }

    /// An OID: unsigned, but pg_dump writes it through a signed int, so the upper half of the
    /// range appears negative.
    pub(crate) fn oid(self) -> u32 {
        if self.negative {
            self.magnitude.wrapping_neg()
        } else {
            self.magnitude
        }
    }
}

/// None unless `bytes` are what pg_dump writes for some integer: sign 0 or 1, no negative zero.
pub(crate) fn decode_int(bytes: &[u8]) -> Option<Int> {
    let (&sign, magnitude) = bytes.split_first()?;
    let magnitude = u32::from_le_bytes(magnitude.try_into().ok()?);
    match sign {
        0 => Some(Int {
            negative: false,
            magnitude,
        }),
        1 if magnitude != 0 => Some(Int {
            negative: true,
            magnitude,
        }),
        _ => None,
    }
}

/// An integer as pg_dump writes it.
pub(crate) fn encode_int(value: i32) -> [u8; INT_BYTES] {
    let [a, b, c, d] = value.unsigned_abs().to_le_bytes();
    [u8::from(value < 0), a, b, c, d]
}
