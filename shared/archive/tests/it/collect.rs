//! A sink that keeps everything, and the round through all of the crate that tests and the fuzz
//! target share.

use std::collections::BTreeMap;
use std::io;

use provado_archive::{
    ArchiveParser, CustomWriter, CutPolicy, DirectoryLayout, DumpId, EntryDigest, Limits,
    ParseError, SegmentMode, Segmenter, Selection, Sink, SinkError, Summary, Toc,
};

/// The seed of every digest in the tests.
pub(crate) const SEED: u64 = 7;

/// Small sizes, so that small tables are cut too.
pub(crate) const POLICY: CutPolicy = CutPolicy {
    min_bytes: 64,
    target_bytes: 128,
    max_bytes: 512,
};

/// Everything an archive held.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Archive {
    pub(crate) toc: Option<Toc>,
    /// Data by entry.
    pub(crate) tables: BTreeMap<DumpId, Content>,
    /// Large objects by entry, in order.
    pub(crate) large_objects: BTreeMap<DumpId, Vec<(u32, Content)>>,
    /// Where payload lay in the archive, if it was fed in one slice.
    pub(crate) payload: Vec<std::ops::Range<usize>>,
}

/// Contents of a table or large object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) segments: Vec<Vec<u8>>,
    pub(crate) digest: EntryDigest,
}

impl Content {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.segments.concat()
    }
}

struct Collector {
    archive: Archive,
    segmenter: Segmenter,
    segments: Vec<Vec<u8>>,
    entry: Option<DumpId>,
    /// Address of the first byte of the archive.
    base: usize,
}

impl Collector {
    fn content(&mut self) -> Result<Content, SinkError> {
        let segments = &mut self.segments;
        let digest = self.segmenter.finish(|segment| {
            segments.push(segment);
            Ok(())
        })?;
        Ok(Content {
            segments: std::mem::take(&mut self.segments),
            digest,
        })
    }
}

impl Sink for Collector {
    fn toc(&mut self, archive: &Toc) -> Result<(), SinkError> {
        assert!(self.archive.toc.is_none(), "a table of contents comes once");
        self.archive.toc = Some(archive.clone());
        Ok(())
    }

    fn entry_start(&mut self, dump_id: DumpId) -> Result<(), SinkError> {
        assert_eq!(self.entry.replace(dump_id), None, "entries do not nest");
        let entry = self.archive.toc.as_ref().and_then(|toc| toc.entry(dump_id));
        let rows = entry.is_some_and(|entry| entry.copy_stmt.is_some());
        self.segmenter.begin(if rows {
            SegmentMode::Rows
        } else {
            SegmentMode::Opaque
        });
        Ok(())
    }

    fn data(&mut self, payload: &[u8]) -> Result<(), SinkError> {
        assert!(!payload.is_empty(), "no slice is empty");
        let start = (payload.as_ptr() as usize).wrapping_sub(self.base);
        self.archive
            .payload
            .push(start..start.wrapping_add(payload.len()));
        let segments = &mut self.segments;
        self.segmenter.push(payload, |segment| {
            segments.push(segment);
            Ok(())
        })?;
        Ok(())
    }

    fn entry_end(&mut self, dump_id: DumpId) -> Result<(), SinkError> {
        assert_eq!(
            self.entry.take(),
            Some(dump_id),
            "the entry that started ends"
        );
        let entry = self.archive.toc.as_ref().and_then(|toc| toc.entry(dump_id));
        if entry.is_some_and(provado_archive::TocEntry::is_large_objects) {
            self.archive.large_objects.entry(dump_id).or_default();
            return Ok(());
        }
        let content = self.content()?;
        self.archive.tables.insert(dump_id, content);
        Ok(())
    }

    fn large_object_start(&mut self, _oid: u32) -> Result<(), SinkError> {
        self.segmenter.begin(SegmentMode::Opaque);
        Ok(())
    }

    fn large_object_end(&mut self, oid: u32) -> Result<(), SinkError> {
        let content = self.content()?;
        let entry = self.entry.ok_or("a large object outside of an entry")?;
        self.archive
            .large_objects
            .entry(entry)
            .or_default()
            .push((oid, content));
        Ok(())
    }
}

/// Parses an archive fed in slices of the lengths that `slices` yields, then the rest at once.
pub(crate) fn parse_sliced(
    bytes: &[u8],
    limits: Limits,
    slices: impl IntoIterator<Item = usize>,
) -> Result<(Archive, Summary), ParseError> {
    let mut collector = Collector {
        archive: Archive::default(),
        segmenter: Segmenter::new(SEED, POLICY),
        segments: Vec::new(),
        entry: None,
        base: bytes.as_ptr() as usize,
    };
    let mut parser = ArchiveParser::new(limits);
    let mut rest = bytes;
    for length in slices {
        let (slice, tail) = rest.split_at(length.min(rest.len()));
        parser.feed(slice, &mut collector)?;
        rest = tail;
    }
    parser.feed(rest, &mut collector)?;
    let summary = parser.finish(&mut collector)?;
    Ok((collector.archive, summary))
}

/// Parses an archive fed at once.
pub(crate) fn parse(bytes: &[u8]) -> Result<(Archive, Summary), ParseError> {
    parse_sliced(bytes, Limits::default(), [])
}

/// Writes the archive anew in custom format.
pub(crate) fn export(archive: &Archive) -> io::Result<Vec<u8>> {
    let toc = archive
        .toc
        .as_ref()
        .ok_or_else(|| io::Error::other("no table of contents"))?;
    let mut writer = CustomWriter::new(Vec::new(), toc)?;
    for (dump_id, content) in &archive.tables {
        writer.entry_start(*dump_id)?;
        for segment in &content.segments {
            writer.data(segment)?;
        }
        writer.entry_end()?;
    }
    for (dump_id, objects) in &archive.large_objects {
        writer.entry_start(*dump_id)?;
        for (oid, content) in objects {
            writer.large_object_start(*oid)?;
            writer.data(&content.bytes())?;
            writer.large_object_end()?;
        }
        writer.entry_end()?;
    }
    writer.finish()
}

/// The OIDs of each `BLOBS` entry.
pub(crate) fn large_object_ids(archive: &Archive) -> Vec<(DumpId, Vec<u32>)> {
    let objects = archive.large_objects.iter();
    objects
        .map(|(id, objects)| (*id, objects.iter().map(|(oid, _)| *oid).collect()))
        .collect()
}

/// Takes any bytes through everything; what can be parsed must come back from an export as it was.
pub(crate) fn exercise(bytes: &[u8], slice: usize) -> Option<Archive> {
    let limits = Limits {
        toc_bytes_max: 1 << 24,
        ..Limits::default()
    };
    let slices = bytes.chunks(slice.max(1)).map(<[u8]>::len);
    let (archive, summary) = parse_sliced(bytes, limits, slices).ok()?;
    let toc = &summary.toc;
    assert_eq!(summary.byte_count, bytes.len() as u64);
    assert_eq!(toc.raw, bytes[..toc.raw.len()]);
    let layout = DirectoryLayout::from_toc(toc, &large_object_ids(&archive)).expect("a layout");
    let stored = Toc::from_raw(&layout.toc_dat, limits).expect("the directory form parses");
    let again = DirectoryLayout::from_toc(&stored, &large_object_ids(&archive));
    assert_eq!(again.expect("a layout"), layout);
    let tables = vec!["*".parse().expect("a pattern")];
    for content in [
        provado_archive::Content::All,
        provado_archive::Content::DataOnly,
    ] {
        // An archive without any relation has no answer.
        let _ = Selection {
            content,
            tables: tables.clone(),
        }
        .resolve(toc);
    }
    let exported = export(&archive).expect("what was parsed can be written");
    let (again, _) = parse(&exported).expect("what was written can be parsed");
    assert_eq!(again.tables, archive.tables);
    assert_eq!(again.large_objects, archive.large_objects);
    Some(archive)
}
