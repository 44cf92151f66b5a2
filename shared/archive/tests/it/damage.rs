//! Archives put together wrongly, one fault each, and the error that names the fault.

use provado_archive::{
    ArchiveParser, CustomWriter, DirectoryLayout, DumpId, LayoutError, Limits, ParseError, Probe,
    Sink, SinkError, Toc, probe,
};

use crate::collect::{parse, parse_sliced};
use crate::corpus::corpus;

/// An archive of the corpus in two parts, with ids of some of its entries.
struct Parts {
    toc: Toc,
    blocks: Vec<u8>,
}

fn parts(major: u32) -> Parts {
    let bytes = corpus(major);
    let (_, summary) = parse(&bytes).unwrap();
    let blocks = bytes[summary.toc.raw.len()..].to_vec();
    Parts {
        toc: summary.toc,
        blocks,
    }
}

impl Parts {
    fn id(&self, desc: &str, tag: &str) -> DumpId {
        let mut entries = self.toc.entries.iter();
        entries
            .find(|e| e.desc == desc && e.tag.starts_with(tag))
            .unwrap()
            .dump_id
    }

    /// The archive with more behind its last block.
    fn with(&self, more: &[u8]) -> Vec<u8> {
        [&self.toc.raw, self.blocks.as_slice(), more].concat()
    }
}

fn int(value: u32) -> Vec<u8> {
    [vec![0], value.to_le_bytes().to_vec()].concat()
}

fn block(kind: u8, dump_id: DumpId) -> Vec<u8> {
    [vec![kind], int(dump_id)].concat()
}

fn error_of(bytes: &[u8]) -> ParseError {
    let whole = parse(bytes).expect_err("the archive is wrong");
    let sliced = parse_sliced(bytes, Limits::default(), bytes.chunks(3).map(<[u8]>::len));
    assert_eq!(
        whole.to_string(),
        sliced.expect_err("however it is sliced").to_string()
    );
    whole
}

#[test]
fn blocks_must_belong_to_entries_that_await_them() {
    for major in [15, 16, 18] {
        let parts = parts(major);
        let customer = parts.id("TABLE DATA", "customer");
        let error = error_of(&parts.with(&block(1, 999_999)));
        assert!(
            matches!(
                error,
                ParseError::UnknownDumpId {
                    dump_id: 999_999,
                    ..
                }
            ),
            "{error}"
        );
        let error = error_of(&parts.with(&block(1, customer)));
        assert!(
            matches!(&error, ParseError::DuplicateData { name, .. } if name == "app.customer"),
            "{error}"
        );
        let error = error_of(&parts.with(&block(1, parts.id("TABLE", "customer"))));
        assert!(
            matches!(&error, ParseError::UnexpectedData { name, .. } if name == "app.customer"),
            "{error}"
        );
        let error = error_of(&parts.with(&[2]));
        assert!(error.to_string().contains("unknown type 2"), "{error}");
        let wrong = [&parts.toc.raw, block(3, customer).as_slice()].concat();
        assert!(
            error_of(&wrong)
                .to_string()
                .contains("wrong type for TABLE DATA app.customer")
        );
        let mut negative = block(1, customer);
        negative[1] = 1;
        let error = error_of(&[&parts.toc.raw, negative.as_slice()].concat());
        assert!(
            matches!(error, ParseError::UnknownDumpId { dump_id: 0, .. }),
            "{error}"
        );
    }
}

#[test]
fn large_objects_must_be_the_declared_ones() {
    for major in [15, 16, 18] {
        let parts = parts(major);
        let start = block(3, parts.id("BLOBS", ""));
        let at = parts
            .blocks
            .windows(start.len())
            .position(|w| w == start)
            .unwrap();
        let list = |oids: &[u32]| {
            let objects = oids.iter().flat_map(|oid| [int(*oid), int(0)].concat());
            let mut blocks = [&parts.blocks[..at], start.as_slice()].concat();
            blocks.extend(objects);
            blocks.extend(int(0));
            [parts.toc.raw.clone(), blocks].concat()
        };
        let error = error_of(&list(&[70001, 70003]));
        assert!(
            matches!(error, ParseError::UnexpectedLargeObject { oid: 70003, .. }),
            "{error}"
        );
        let error = error_of(&list(&[70001, 70001]));
        assert!(
            matches!(error, ParseError::UnexpectedLargeObject { oid: 70001, .. }),
            "{error}"
        );
        let error = error_of(&list(&[70001]));
        let ParseError::MissingData { names } = error else {
            panic!("{error}")
        };
        assert_eq!(names, ["large object 70002", "large object 4000000000"]);
    }
}

#[test]
fn headers_of_other_kinds_are_told_apart() {
    let bytes = corpus(18);
    let with = |at: usize, value: u8| {
        let mut other = bytes.clone();
        other[at] = value;
        other
    };
    for (major, minor) in [(1, 17), (1, 13), (2, 14), (0, 16)] {
        let mut other = with(5, major);
        other[6] = minor;
        assert_eq!(probe(&other), Probe::UnknownVersion { major, minor });
        let error = error_of(&other[..8]);
        let ParseError::UnknownVersion { major: a, minor: b } = error else {
            panic!("{error}");
        };
        assert_eq!((a, b), (major, minor));
    }
    let error = error_of(&with(0, b'Q'));
    assert!(matches!(error, ParseError::NotAnArchive), "{error}");
    for (at, value, field) in [
        (8, 8, "integer size"),
        (9, 4, "offset size"),
        (10, 3, "format"),
    ] {
        let error = error_of(&with(at, value));
        let ParseError::Unsupported {
            field: f, found, ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((f, found), (field, value));
    }
    let error = error_of(&with(11, 1));
    assert!(matches!(error, ParseError::Compressed), "{error}");
    assert_eq!(probe(b""), Probe::NeedMore);
    assert_eq!(probe(b"PGDMP\x01"), Probe::NeedMore);
    assert_eq!(probe(b"PGDUMP"), Probe::NotAnArchive);
    let error = parse(b"").unwrap_err();
    assert!(
        matches!(error, ParseError::Truncated { offset: 0, .. }),
        "{error}"
    );
}

#[test]
fn limits_are_kept() {
    let bytes = corpus(16);
    let default = Limits::default();
    let checks = [
        (
            Limits {
                toc_bytes_max: 5000,
                ..default
            },
            "the size of the table of contents",
        ),
        (
            Limits {
                entry_count_max: 10,
                ..default
            },
            "the count of entries",
        ),
        (
            Limits {
                string_bytes_max: 100,
                ..default
            },
            "the length of a string",
        ),
        (
            Limits {
                dependency_count_max: 1,
                ..default
            },
            "the count of an entry's dependencies",
        ),
        (
            Limits {
                chunk_bytes_max: 100,
                ..default
            },
            "the length of a chunk",
        ),
    ];
    for (limits, expected) in checks {
        for slice in [1, usize::MAX] {
            let slices = bytes.chunks(slice).map(<[u8]>::len);
            let error = parse_sliced(&bytes, limits, slices).err().unwrap();
            assert!(
                matches!(error, ParseError::LimitExceeded { field, .. } if field == expected),
                "{expected}: {error}"
            );
        }
    }
    // A string that claims more than there is takes no memory for it.
    let mut claims = corpus(16)[..40].to_vec();
    claims.extend_from_slice(&[0, 0xff, 0xff, 0xff, 0x7f]);
    let error = parse(&claims).unwrap_err();
    assert!(!matches!(error, ParseError::NotAnArchive), "{error}");
}

#[test]
fn the_table_of_contents_stands_alone() {
    let Parts { toc, blocks } = parts(18);
    assert_eq!(Toc::from_raw(&toc.raw, Limits::default()).unwrap(), toc);
    let cut = &toc.raw[..toc.raw.len() - 1];
    let error = Toc::from_raw(cut, Limits::default()).unwrap_err();
    assert!(matches!(error, ParseError::Truncated { .. }), "{error}");
    let more = [&toc.raw, &blocks[..1]].concat();
    let error = Toc::from_raw(&more, Limits::default()).unwrap_err();
    assert!(
        error.to_string().contains("more than a table of contents"),
        "{error}"
    );
    let id = toc.entries[3].dump_id;
    assert_eq!(toc.entry(id).unwrap(), &toc.entries[3]);
    assert_eq!(toc.entry(999_999), None);
}

/// Fails at its n-th call.
struct Failing {
    calls_left: usize,
}

impl Failing {
    fn call(&mut self) -> Result<(), SinkError> {
        self.calls_left = self.calls_left.checked_sub(1).ok_or("the disk is full")?;
        Ok(())
    }
}

impl Sink for Failing {
    fn toc(&mut self, _: &Toc) -> Result<(), SinkError> {
        self.call()
    }
    fn entry_start(&mut self, _: DumpId) -> Result<(), SinkError> {
        self.call()
    }
    fn data(&mut self, _: &[u8]) -> Result<(), SinkError> {
        self.call()
    }
    fn entry_end(&mut self, _: DumpId) -> Result<(), SinkError> {
        self.call()
    }
    fn large_object_start(&mut self, _: u32) -> Result<(), SinkError> {
        self.call()
    }
    fn large_object_end(&mut self, _: u32) -> Result<(), SinkError> {
        self.call()
    }
}

#[test]
fn a_sink_s_error_comes_through_and_is_final() {
    let bytes = corpus(15);
    let mut calls = 0;
    loop {
        let mut sink = Failing { calls_left: calls };
        let mut parser = ArchiveParser::new(Limits::default());
        let Err(error) = parser.feed(&bytes, &mut sink) else {
            break;
        };
        let ParseError::Sink(source) = error else {
            panic!("{error}")
        };
        assert_eq!(source.to_string(), "the disk is full");
        let mut sink = Failing {
            calls_left: usize::MAX,
        };
        let again = parser.feed(b"", &mut sink).unwrap_err();
        assert!(matches!(again, ParseError::AlreadyFailed), "{again}");
        let end = parser.finish(&mut sink).unwrap_err();
        assert!(matches!(end, ParseError::AlreadyFailed), "{end}");
        calls += 1;
    }
    assert!(calls > 100, "the archive has many parts");
}

#[test]
fn writers_refuse_what_is_no_archive() {
    let Parts { toc, .. } = parts(18);
    let customer = toc
        .entries
        .iter()
        .find(|e| e.is_table_data())
        .unwrap()
        .dump_id;
    let objects = toc
        .entries
        .iter()
        .find(|e| e.is_large_objects())
        .unwrap()
        .dump_id;
    let new = || CustomWriter::new(Vec::new(), &toc).unwrap();
    let refused = |result: std::io::Result<()>| {
        assert_eq!(result.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    };
    refused(new().data(b"x"));
    refused(new().entry_end());
    refused(new().large_object_start(1));
    refused(new().entry_start(999_999));
    let mut writer = new();
    writer.entry_start(customer).unwrap();
    refused(writer.large_object_start(1));
    refused(writer.entry_start(objects));
    writer.entry_end().unwrap();
    refused(writer.entry_start(customer));
    writer.entry_start(objects).unwrap();
    refused(writer.data(b"x"));
    refused(writer.large_object_start(0));
    writer.large_object_start(1).unwrap();
    refused(writer.entry_end());
    writer.large_object_end().unwrap();
    writer.entry_end().unwrap();
    let error = writer.finish().unwrap_err().to_string();
    assert!(
        error.contains("entries have no data yet, among them app."),
        "{error}"
    );

    let layout = DirectoryLayout::from_toc(&toc, &[(customer, vec![1])]);
    assert_eq!(
        layout.unwrap_err(),
        LayoutError::NoLargeObjects { dump_id: customer }
    );
}
