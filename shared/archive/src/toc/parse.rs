//! Reads header and table of contents from a growing buffer, entry by entry, so that every byte is
//! looked at about once however the stream was sliced.

use std::collections::HashMap;

use crate::cursor::{Cursor, ReadError};
use crate::error::ParseError;
use crate::limits::Limits;
use crate::toc::extra;
use crate::toc::{
    CreateTime, DumpId, EntrySpan, FORMAT_CUSTOM, FORMAT_DIRECTORY, Section, Toc, TocEntry, Version,
};

/// The five bytes every archive starts with.
pub(crate) const MAGIC: &[u8] = b"PGDMP";
const INT_SIZE: u8 = 4;
pub(super) const OFF_SIZE: u8 = 8;
/// Bytes taken at a time; bounds what is copied beyond the end of the table of contents.
const BITE_BYTES: usize = 16 << 10;

/// What feeding bytes led to.
#[derive(Debug)]
pub(crate) enum TocProgress {
    /// All bytes were taken, more are needed.
    Incomplete,
    /// The table of contents ended; so many bytes of the input belong to it.
    Complete { toc: Box<Toc>, consumed: usize },
}

/// Header and entries read so far.
#[derive(Debug)]
pub(crate) struct TocParser {
    limits: Limits,
    /// The format byte that is taken.
    format: u8,
    raw: Vec<u8>,
    /// Everything before this is parsed.
    parsed: usize,
    /// Nothing more can be parsed before this many bytes are there.
    need: usize,
    header: Option<(Box<Toc>, usize)>,
}

impl TocParser {
    /// A parser of what `pg_dump` writes to a pipe.
    pub(crate) fn new(limits: Limits) -> Self {
        Self::of_format(limits, FORMAT_CUSTOM)
    }

    /// A parser of a directory archive's `toc.dat`.
    pub(crate) fn of_directory(limits: Limits) -> Self {
        Self::of_format(limits, FORMAT_DIRECTORY)
    }

    fn of_format(limits: Limits, format: u8) -> Self {
        Self {
            limits,
            format,
            raw: Vec::new(),
            parsed: 0,
            need: 1,
            header: None,
        }
    }

    /// Bytes taken so far.
    pub(crate) fn taken(&self) -> usize {
        self.raw.len()
    }

    pub(crate) fn feed(&mut self, input: &[u8]) -> Result<TocProgress, ParseError> {
        let mut consumed = 0;
        for bite in input.chunks(BITE_BYTES) {
            let before = self.raw.len();
            self.raw.extend_from_slice(bite);
            consumed += bite.len();
            if self.raw.len() < self.need {
                self.check_size(self.raw.len())?;
                continue;
            }
            match self.parse_available() {
                Ok(toc) => {
                    self.check_size(toc.raw.len())?;
                    let surplus = before + bite.len() - toc.raw.len();
                    return Ok(TocProgress::Complete {
                        toc,
                        consumed: consumed - surplus,
                    });
                }
                Err(ReadError::Short { need }) => {
                    self.check_size(need)?;
                    self.need = need;
                }
                Err(ReadError::Bad(error)) => return Err(error),
            }
        }
        Ok(TocProgress::Incomplete)
    }

    fn check_size(&self, bytes: usize) -> Result<(), ParseError> {
        if bytes <= self.limits.toc_bytes_max {
            return Ok(());
        }
        Err(ParseError::LimitExceeded {
            field: "the size of the table of contents",
            found: bytes as u64,
            limit: self.limits.toc_bytes_max as u64,
            offset: self.parsed as u64,
        })
    }

    /// Parses as far as the bytes go; the table of contents if they go to its end.
    fn parse_available(&mut self) -> Result<Box<Toc>, ReadError> {
        let mut cursor = Cursor::new(&self.raw, self.parsed);
        let (mut toc, count) = match self.header.take() {
            Some(header) => header,
            None => parse_header(&mut cursor, self.format, self.limits)?,
        };
        self.parsed = cursor.position;
        while toc.entries.len() < count {
            match parse_entry(&mut cursor, &toc, self.limits) {
                Ok(entry) => add(&mut toc, entry)?,
                Err(error) => {
                    self.header = Some((toc, count));
                    return Err(error);
                }
            }
            self.parsed = cursor.position;
        }
        let mut raw = std::mem::take(&mut self.raw);
        raw.truncate(self.parsed);
        toc.raw = raw;
        Ok(toc)
    }
}

fn add(toc: &mut Toc, entry: TocEntry) -> Result<(), ParseError> {
    if toc.index.insert(entry.dump_id, toc.entries.len()).is_some() {
        let what = format!("a second entry with dump id {}", entry.dump_id);
        return Err(ParseError::malformed(entry.span.start, what));
    }
    toc.entries.push(entry);
    Ok(())
}

fn parse_header(
    cursor: &mut Cursor,
    format: u8,
    limits: Limits,
) -> Result<(Box<Toc>, usize), ReadError> {
    if cursor.take(MAGIC.len())? != MAGIC {
        return Err(ParseError::NotAnArchive.into());
    }
    let version = Version {
        major: cursor.byte()?,
        minor: cursor.byte()?,
        revision: cursor.byte()?,
    };
    if !version.is_known() {
        let (major, minor) = (version.major, version.minor);
        return Err(ParseError::UnknownVersion { major, minor }.into());
    }
    let int_size = expect_byte(cursor, "integer size", INT_SIZE)?;
    let off_size = expect_byte(cursor, "offset size", OFF_SIZE)?;
    let format = expect_byte(cursor, "format", format)?;
    let compression = if version.names_algorithm() {
        i64::from(cursor.byte()?)
    } else {
        cursor.int()?
    };
    if compression != 0 {
        return Err(ParseError::Compressed.into());
    }
    let created = parse_created(cursor)?;
    let mut exact = true;
    let dbname = text(cursor, limits, &mut exact)?;
    let server_version = text(cursor, limits, &mut exact)?;
    let dump_version = text(cursor, limits, &mut exact)?;
    let header_bytes = cursor.position;
    let count = count(cursor, limits)?;
    let toc = Toc {
        version,
        int_size,
        off_size,
        format,
        compression,
        created,
        dbname,
        server_version,
        dump_version,
        entries: Vec::new(),
        raw: Vec::new(),
        index: HashMap::new(),
        header_bytes,
    };
    Ok((Box::new(toc), count))
}

fn expect_byte(cursor: &mut Cursor, field: &'static str, supported: u8) -> Result<u8, ReadError> {
    let found = cursor.byte()?;
    if found == supported {
        return Ok(found);
    }
    Err(ParseError::Unsupported {
        field,
        found,
        supported,
    }
    .into())
}

fn count(cursor: &mut Cursor, limits: Limits) -> Result<usize, ReadError> {
    let offset = cursor.position;
    let count = usize::try_from(cursor.int()?)
        .map_err(|_| ParseError::malformed(offset, "a negative count of entries"))?;
    if count > limits.entry_count_max {
        return Err(ParseError::LimitExceeded {
            field: "the count of entries",
            found: count as u64,
            limit: limits.entry_count_max as u64,
            offset: offset as u64,
        }
        .into());
    }
    Ok(count)
}

/// `struct tm` as seven integers: second, minute, hour, day, month from 0, year from 1900, DST.
fn parse_created(cursor: &mut Cursor) -> Result<CreateTime, ReadError> {
    let offset = cursor.position;
    let mut field = |low: u8, high: u8| -> Result<u8, ReadError> {
        let value = cursor.int()?;
        u8::try_from(value)
            .ok()
            .filter(|v| (low..=high).contains(v))
            .ok_or_else(|| {
                ParseError::malformed(offset, format!("{value} in the creation time")).into()
            })
    };
    let (second, minute, hour) = (field(0, 60)?, field(0, 59)?, field(0, 23)?);
    let (day, month) = (field(1, 31)?, field(0, 11)? + 1);
    let year = cursor.int()? + 1900;
    let daylight_saving = match cursor.int()? {
        0 => Some(false),
        value if value > 0 => Some(true),
        _ => None,
    };
    Ok(CreateTime {
        year,
        month,
        day,
        hour,
        minute,
        second,
        daylight_saving,
    })
}

fn parse_entry(cursor: &mut Cursor, toc: &Toc, limits: Limits) -> Result<TocEntry, ReadError> {
    let start = cursor.position;
    let bad = |what: &str| ReadError::Bad(ParseError::malformed(start, what));
    let dump_id = DumpId::try_from(cursor.int()?).ok().filter(|id| *id > 0);
    let dump_id = dump_id.ok_or_else(|| bad("an entry's dump id is not positive"))?;
    let had_dumper = match cursor.int()? {
        0 => false,
        1 => true,
        _ => return Err(bad("an entry is neither with nor without data")),
    };
    let mut exact = true;
    let table_oid = number(cursor, limits)?.ok_or_else(|| bad("a catalog OID is no number"))?;
    let oid = number(cursor, limits)?.ok_or_else(|| bad("an object's OID is no number"))?;
    let tag = text(cursor, limits, &mut exact)?;
    let desc = text(cursor, limits, &mut exact)?;
    if desc.is_empty() {
        return Err(bad("an entry is of no kind"));
    }
    let section = section(cursor.int()?).ok_or_else(|| bad("an entry is in no known section"))?;
    let defn_at = cursor.position;
    let defn = text(cursor, limits, &mut exact)?;
    let defn_end = cursor.position;
    let drop_stmt = text(cursor, limits, &mut exact)?;
    let copy_stmt = optional(cursor, limits, &mut exact)?;
    let namespace = optional(cursor, limits, &mut exact)?;
    let tablespace = optional(cursor, limits, &mut exact)?;
    let table_am = optional(cursor, limits, &mut exact)?;
    let relkind = if toc.version.has_relkind() {
        relkind(cursor)?
    } else {
        None
    };
    let owner = text(cursor, limits, &mut exact)?;
    match cursor.string(limits.string_bytes_max)? {
        Some(b"false" | b"true") => (),
        _ => return Err(bad("an entry's flag for OIDs is neither true nor false")),
    }
    let dependencies = dependencies(cursor, limits)?;
    let extra_at = cursor.position;
    let data_offset = extra::read(cursor, toc.format, had_dumper, limits)?;
    Ok(TocEntry {
        dump_id,
        had_dumper,
        table_oid,
        oid,
        tag,
        desc,
        section,
        defn,
        drop_stmt,
        copy_stmt,
        namespace,
        tablespace,
        table_am,
        relkind,
        owner,
        dependencies,
        data_offset,
        text_exact: exact,
        span: EntrySpan {
            start,
            defn: defn_at,
            after_defn: defn_end,
            extra: extra_at,
        },
    })
}

fn section(number: i64) -> Option<Section> {
    match number {
        1 => Some(Section::None),
        2 => Some(Section::PreData),
        3 => Some(Section::Data),
        4 => Some(Section::PostData),
        _ => None,
    }
}

fn dependencies(cursor: &mut Cursor, limits: Limits) -> Result<Vec<DumpId>, ReadError> {
    let mut found = Vec::new();
    loop {
        let offset = cursor.position;
        let Some(digits) = cursor.string(limits.string_bytes_max)? else {
            return Ok(found);
        };
        if found.len() >= limits.dependency_count_max {
            return Err(ParseError::LimitExceeded {
                field: "the count of an entry's dependencies",
                found: found.len() as u64 + 1,
                limit: limits.dependency_count_max as u64,
                offset: offset as u64,
            }
            .into());
        }
        let id = decimal(digits).filter(|id| *id > 0);
        found.push(id.ok_or_else(|| ParseError::malformed(offset, "a dependency is no dump id"))?);
    }
}

fn relkind(cursor: &mut Cursor) -> Result<Option<char>, ReadError> {
    let offset = cursor.position;
    let value = cursor.int()?;
    match u8::try_from(value) {
        Ok(0) => Ok(None),
        Ok(kind) if kind.is_ascii_alphabetic() => Ok(Some(char::from(kind))),
        _ => Err(ParseError::malformed(offset, format!("{value} is no relkind")).into()),
    }
}

fn number(cursor: &mut Cursor, limits: Limits) -> Result<Option<u32>, ReadError> {
    Ok(cursor.string(limits.string_bytes_max)?.and_then(decimal))
}

fn decimal(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok()?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

fn optional(c: &mut Cursor, limits: Limits, exact: &mut bool) -> Result<Option<String>, ReadError> {
    Ok(Some(text(c, limits, exact)?).filter(|text| !text.is_empty()))
}

/// A string, NULL as empty; clears `exact` where bytes had to be replaced.
fn text(cursor: &mut Cursor, limits: Limits, exact: &mut bool) -> Result<String, ReadError> {
    let bytes = cursor.string(limits.string_bytes_max)?.unwrap_or_default();
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(text.to_owned());
    }
    *exact = false;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}
