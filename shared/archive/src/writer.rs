//! A custom archive written back, so that a backup can leave as an ordinary `-Fc` file that any
//! pg_restore reads. The table of contents is the dumped one, byte by byte, but for the offsets:
//! they are set to "not known", because data need not come back in the chunks it was dumped in.

use std::collections::HashMap;
use std::io::{self, Write};

use crate::cursor::encode_int;
use crate::toc::{DumpId, FORMAT_CUSTOM, Toc};

/// `BLK_DATA` and `BLK_BLOBS` of pg_backup_archiver.h.
const BLOCK_DATA: u8 = 1;
const BLOCK_LARGE_OBJECTS: u8 = 3;
/// `K_OFFSET_POS_NOT_SET`, then an offset of zero.
const OFFSET_NOT_SET: [u8; 9] = [1, 0, 0, 0, 0, 0, 0, 0, 0];
/// pg_restore takes a whole chunk into memory.
const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Writes one archive. Calls must follow the shape of a [`crate::Sink`]; a call out of turn fails
/// with [`io::ErrorKind::InvalidInput`] and writes nothing.
#[derive(Debug)]
pub struct CustomWriter<W: Write> {
    output: W,
    /// Entries that must have data and had none yet: their names and kinds.
    awaited: HashMap<DumpId, Awaited>,
    place: Place,
}

#[derive(Debug)]
struct Awaited {
    name: String,
    large_objects: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Between,
    Table,
    LargeObjects,
    LargeObject,
}

impl<W: Write> CustomWriter<W> {
    /// Writes header and table of contents, which must have been those of a custom archive.
    pub fn new(mut output: W, toc: &Toc) -> io::Result<Self> {
        if toc.format != FORMAT_CUSTOM {
            return Err(misuse(format!(
                "a table of contents of format {}",
                toc.format
            )));
        }
        let mut at = 0;
        for entry in toc.entries.iter().filter(|entry| entry.had_dumper) {
            output.write_all(raw(toc, at, entry.span.extra)?)?;
            output.write_all(&OFFSET_NOT_SET)?;
            at = entry.span.extra + OFFSET_NOT_SET.len();
        }
        output.write_all(raw(toc, at, toc.raw.len())?)?;
        let awaited = toc
            .entries
            .iter()
            .filter(|entry| entry.had_dumper)
            .map(|entry| {
                let (name, large_objects) = (entry.display_name(), entry.is_large_objects());
                (
                    entry.dump_id,
                    Awaited {
                        name,
                        large_objects,
                    },
                )
            });
        Ok(Self {
            output,
            awaited: awaited.collect(),
            place: Place::Between,
        })
    }

    /// Starts the data of an entry that has data and was not written yet.
    pub fn entry_start(&mut self, dump_id: DumpId) -> io::Result<()> {
        self.expect(Place::Between)?;
        let entry = self
            .awaited
            .remove(&dump_id)
            .ok_or_else(|| misuse(format!("dump id {dump_id} awaits no data in this archive")))?;
        let (block, place) = if entry.large_objects {
            (BLOCK_LARGE_OBJECTS, Place::LargeObjects)
        } else {
            (BLOCK_DATA, Place::Table)
        };
        self.place = place;
        self.output.write_all(&[block])?;
        self.int(i64::from(dump_id))
    }

    /// Writes payload of the table or large object at hand.
    pub fn data(&mut self, payload: &[u8]) -> io::Result<()> {
        if !matches!(self.place, Place::Table | Place::LargeObject) {
            return Err(misuse("data outside of a table or large object".to_owned()));
        }
        for chunk in payload.chunks(CHUNK_BYTES_MAX) {
            let length = i64::try_from(chunk.len()).map_err(io::Error::other)?;
            self.int(length)?;
            self.output.write_all(chunk)?;
        }
        Ok(())
    }

    /// Starts a large object within a `BLOBS` entry. OID 0 is refused: it ends the list.
    pub fn large_object_start(&mut self, oid: u32) -> io::Result<()> {
        self.expect(Place::LargeObjects)?;
        if oid == 0 {
            return Err(misuse("a large object with OID 0".to_owned()));
        }
        self.place = Place::LargeObject;
        // Written through a signed int, as pg_dump does.
        self.output.write_all(&encode_int(oid.cast_signed()))
    }

    /// Ends the large object at hand.
    pub fn large_object_end(&mut self) -> io::Result<()> {
        self.expect(Place::LargeObject)?;
        self.place = Place::LargeObjects;
        self.int(0)
    }

    /// Ends the entry at hand.
    pub fn entry_end(&mut self) -> io::Result<()> {
        if !matches!(self.place, Place::Table | Place::LargeObjects) {
            return Err(misuse(
                "the end of an entry that was not started".to_owned(),
            ));
        }
        self.place = Place::Between;
        self.int(0)
    }

    /// Flushes and gives the output back. Fails if an entry is open or still awaits its data.
    pub fn finish(mut self) -> io::Result<W> {
        self.expect(Place::Between)?;
        if let Some(entry) = self.awaited.values().min_by_key(|entry| &entry.name) {
            let count = self.awaited.len();
            let name = &entry.name;
            return Err(misuse(format!(
                "{count} entries have no data yet, among them {name}"
            )));
        }
        self.output.flush()?;
        Ok(self.output)
    }

    fn expect(&self, place: Place) -> io::Result<()> {
        if self.place == place {
            return Ok(());
        }
        Err(misuse(format!(
            "expected to be {place:?}, is {:?}",
            self.place
        )))
    }

    fn int(&mut self, value: i64) -> io::Result<()> {
        let value = i32::try_from(value).map_err(io::Error::other)?;
        self.output.write_all(&encode_int(value))
    }
}

fn raw(toc: &Toc, start: usize, end: usize) -> io::Result<&[u8]> {
    let slice = toc.raw.get(start..end);
    slice.ok_or_else(|| misuse("the raw table of contents is not that of its entries".to_owned()))
}

fn misuse(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
