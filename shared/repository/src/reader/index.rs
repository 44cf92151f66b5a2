//! What is kept of a manifest while its backup is open: entries in memory, places in a spool.

use super::Entry;
use crate::document::{BackupDocument, SignedDocument};
use crate::error::{Error, Result};
use crate::hash::to_hex;
use crate::keys::{Identity, InstanceKey, SegmentId};
use crate::manifest::{
    EntryHead, EntryTail, ManifestHeader, ManifestReader, ManifestTrailer, SegmentPlace, Visitor,
};
use crate::spool::{Spool, SpoolPlace};
use crate::table::Record;
use std::io::Write as _;

/// A manifest, taken apart.
pub(crate) struct Index {
    pub(crate) header: ManifestHeader,
    pub(crate) trailer: ManifestTrailer,
    pub(crate) entries: Vec<Entry>,
    pub(crate) places: Spool,
    pub(crate) key: InstanceKey,
}

/// Reads a manifest once and holds it against its document.
pub(crate) fn build(
    manifest: &Spool,
    identity: &Identity,
    document: &SignedDocument,
    object: &str,
    place: SpoolPlace,
) -> Result<Index> {
    let mut builder = Builder {
        document: &document.document,
        object,
        header: None,
        trailer: None,
        entries: Vec::new(),
        head: None,
        stored_bytes: 0,
        first_segment: 0,
        segment_count: 0,
        places: Spool::new(place),
    };
    ManifestReader::new(manifest, identity, object).walk(&mut builder)?;
    let header = builder.header.unwrap_or_default();
    let key: [u8; 32] = header
        .segment_id_key
        .as_slice()
        .try_into()
        .map_err(|_| Error::damaged(object, "its key of segment ids is not one"))?;
    Ok(Index {
        header,
        trailer: builder.trailer.unwrap_or_default(),
        entries: builder.entries,
        places: builder.places,
        key: InstanceKey::from_bytes(key),
    })
}

struct Builder<'a> {
    document: &'a BackupDocument,
    object: &'a str,
    header: Option<ManifestHeader>,
    trailer: Option<ManifestTrailer>,
    entries: Vec<Entry>,
    head: Option<EntryHead>,
    stored_bytes: u64,
    first_segment: u64,
    segment_count: u64,
    places: Spool,
}

impl Builder<'_> {
    fn damaged(&self, what: &str) -> Error {
        Error::damaged(self.object, what)
    }
}

impl Visitor for Builder<'_> {
    fn header(&mut self, header: ManifestHeader) -> Result<()> {
        let document = self.document;
        let fits = header.repository_id == document.repository_id.to_string()
            && header.instance_id == document.instance_id.to_string()
            && header.backup_id == document.backup_id.to_string();
        if !fits {
            return Err(self.damaged("it is the manifest of another backup"));
        }
        self.header = Some(header);
        Ok(())
    }

    fn entry_head(&mut self, head: EntryHead) -> Result<()> {
        self.head = Some(head);
        self.stored_bytes = 0;
        self.first_segment = self.segment_count;
        Ok(())
    }

    fn segment(&mut self, place: SegmentPlace) -> Result<()> {
        let record = record(&place)
            .filter(|record| {
                usize::try_from(record.pack_index)
                    .ok()
                    .and_then(|index| self.document.packs.get(index))
                    .is_some_and(|pack| record.end_bytes() <= pack.bytes)
            })
            .ok_or_else(|| self.damaged("a segment is in none of the backup's packs"))?;
        self.stored_bytes += u64::from(place.stored_bytes);
        self.segment_count += 1;
        self.places
            .write_all(&record.to_bytes())
            .map_err(|source| Error::Spool {
                doing: "writing",
                source,
            })
    }

    fn entry_tail(&mut self, tail: EntryTail) -> Result<()> {
        let head = self.head.take().unwrap_or_default();
        self.entries.push(Entry {
            head,
            tail,
            stored_bytes: self.stored_bytes,
            first_segment: self.first_segment,
        });
        Ok(())
    }

    fn trailer(&mut self, trailer: ManifestTrailer) -> Result<()> {
        let document = self.document;
        let packs = document.packs.len() == trailer.packs.len()
            && document.packs.iter().zip(&trailer.packs).all(|(one, two)| {
                one.pack_id.to_string() == two.pack_id
                    && one.bytes == two.stored_bytes
                    && one.sha256 == to_hex(&two.sha256)
            });
        let fits = packs
            && document.entry_count == trailer.entry_count
            && document.segment_count == trailer.segment_count
            && document.plain_bytes == trailer.plain_bytes;
        if !fits {
            return Err(self.damaged("its trailer does not fit the backup's document"));
        }
        self.trailer = Some(trailer);
        Ok(())
    }
}

/// The place of a segment as a record; `None` if its id is not one.
pub(crate) fn record(place: &SegmentPlace) -> Option<Record> {
    Some(Record {
        id: SegmentId(place.segment_id.as_slice().try_into().ok()?),
        pack_index: place.pack_index,
        offset_bytes: place.offset_bytes,
        stored_bytes: place.stored_bytes,
        plain_bytes: place.plain_bytes,
    })
}
