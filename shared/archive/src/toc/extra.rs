//! What stands at the end of an entry and is different in each form of an archive.

use super::parse::OFF_SIZE;
use crate::cursor::{Cursor, ReadError};
use crate::error::ParseError;
use crate::limits::Limits;

/// `archCustom` in pg_backup.h: an entry ends in where its data stands.
pub(crate) const FORMAT_CUSTOM: u8 = 1;
/// `archTar`, a number that the directory form shares: an entry ends in the name of its file.
pub(crate) const FORMAT_DIRECTORY: u8 = 3;

/// Reads the end of an entry; where its data stands, if that is known.
pub(super) fn read(
    cursor: &mut Cursor,
    format: u8,
    had_dumper: bool,
    limits: Limits,
) -> Result<Option<u64>, ReadError> {
    if format == FORMAT_CUSTOM {
        return data_offset(cursor, had_dumper);
    }
    let at = cursor.position;
    let name = cursor.string(limits.string_bytes_max)?.unwrap_or_default();
    if had_dumper == name.is_empty() {
        return Err(ParseError::malformed(at, "an entry's file contradicts the entry").into());
    }
    Ok(None)
}

/// The flag (1 not known, 2 known, 3 no data; `K_OFFSET_*` in pg_backup_archiver.h) and the
/// eight bytes of the offset, least significant first.
fn data_offset(cursor: &mut Cursor, had_dumper: bool) -> Result<Option<u64>, ReadError> {
    let at = cursor.position;
    let flag = cursor.byte()?;
    let offset = cursor.take(usize::from(OFF_SIZE))?;
    let offset = offset
        .iter()
        .rev()
        .fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
    match (flag, had_dumper) {
        (1, true) | (3, false) => Ok(None),
        (2, true) => Ok(Some(offset)),
        _ => Err(ParseError::malformed(at, "an entry's offset contradicts the entry").into()),
    }
}
