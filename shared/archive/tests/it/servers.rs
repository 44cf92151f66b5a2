//! Archives of real servers of every major: read, compared with the server, and given back to
//! stock pg_restore in every form.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use provado_archive::{
    DirectoryLayout, DumpId, EntryDigest, FileKind, ParseError, RowScanner, TableDigest, Toc,
};

use crate::collect::{Archive, SEED, export, large_object_ids, parse};
use crate::corpus::corpus_directory;
use crate::server::{Server, write};

#[test]
fn postgres_15_round_trip() {
    check_major(15, 14);
}

#[test]
fn postgres_16_round_trip() {
    check_major(16, 15);
}

#[test]
fn postgres_18_round_trip() {
    check_major(18, 16);
}

/// PostgreSQL 17 and later put at most a thousand large objects in one entry; a row may be large.
#[test]
fn postgres_18_many_large_objects_and_a_large_row() {
    let server = Server::start(18);
    let scratch = tempfile::tempdir().unwrap();
    server.create_database("source");
    let fill = "SELECT lo_from_bytea(100000 + i, convert_to(repeat('x', i), 'UTF8')) \
        FROM generate_series(1, 2500) AS i; \
        CREATE ROLE other; ALTER LARGE OBJECT 100007 OWNER TO other; \
        CREATE SCHEMA app; CREATE TABLE app.large (id integer, line text); \
        INSERT INTO app.large VALUES (1, repeat('0123456789', 2000000)), (2, 'small');";
    server.query("source", fill);
    let (archive, summary) = parse(&server.dump("source", &["-Fc", "-Z0"])).unwrap();
    assert_eq!(summary.large_object_count, 2500);
    assert!(archive.large_objects.len() > 3, "there are several lists");
    let content = archive.tables.values().next().unwrap();
    assert!(matches!(content.digest, EntryDigest::Rows(digest) if digest.row_count == 2));
    assert!(content.segments.iter().all(|segment| segment.len() < 1100));

    let directory = write_directory(&scratch.path().join("directory"), &archive);
    server.restore("from_directory", &directory, &["-Fd", "-j2"]);
    let sum = "SELECT count(*), sum(length(lo_get(oid))) FROM pg_largeobject_metadata";
    assert_eq!(server.query_text("from_directory", sum), "2500|3126250");
    check_table(&server, "from_directory", &archive, "large");
}

fn check_major(major: u32, minor: u8) {
    let server = Server::start(major);
    let scratch = tempfile::tempdir().unwrap();
    server.create_database("source");
    let script = corpus_directory().join("source.sql");
    server.psql("source", &["-f".as_ref(), script.as_os_str()]);

    let dumped = server.dump("source", &["-Fc", "-Z0"]);
    write_corpus(major, &dumped);
    let (archive, summary) = parse(&dumped).unwrap();
    assert_eq!(summary.toc.version.minor, minor);
    assert_eq!(summary.toc.dbname, "source");
    assert!(summary.toc.dump_version.starts_with(&major.to_string()));
    assert_eq!(summary.large_object_count, 3);
    assert_eq!(
        table_digests(&archive),
        server_digests(&server, "source", &summary.toc)
    );

    let directory = write_directory(&scratch.path().join("directory"), &archive);
    server.restore("from_directory", &directory, &["-Fd", "-j2"]);
    check_equal(&server, "from_directory", &archive);

    let file = scratch.path().join("exported");
    write(&file, export(&archive).unwrap());
    server.restore("from_export", &file, &["-Fc"]);
    check_equal(&server, "from_export", &archive);
    server.restore("from_export_parallel", &file, &["-Fc", "-j2"]);
    check_equal(&server, "from_export_parallel", &archive);

    check_seekable(&server, scratch.path(), &archive);
    check_refused(&server);
    check_statements(&server);
}

/// A dump to a file has offsets in its table of contents; all else is the same.
fn check_seekable(server: &Server, scratch: &Path, archive: &Archive) {
    let file = scratch.join("seekable");
    let path = file.to_str().unwrap();
    server.dump("source", &["-Fc", "-Z0", "-f", path]);
    let mut bytes = fs::read(&file).unwrap();
    let (seekable, summary) = parse(&bytes).unwrap();
    assert_eq!(table_digests(&seekable), table_digests(archive));
    let with_data = summary.toc.entries.iter().filter(|entry| entry.had_dumper);
    let offsets: Vec<u64> = with_data.filter_map(|entry| entry.data_offset).collect();
    assert_eq!(offsets.len() as u64, summary.data_entry_count);

    let offset = offsets[0].to_le_bytes();
    let at = bytes
        .windows(8)
        .position(|window| window == offset)
        .unwrap();
    bytes[at] ^= 1;
    let error = parse(&bytes).unwrap_err();
    assert!(
        error.to_string().contains("not where its entry says"),
        "{error}"
    );
}

fn check_refused(server: &Server) {
    let error = parse(&server.dump("source", &["-Fc"])).unwrap_err();
    assert!(matches!(error, ParseError::Compressed), "{error}");
    for format in ["-Fp", "-Ft"] {
        let error = parse(&server.dump("source", &[format])).unwrap_err();
        assert!(
            matches!(error, ParseError::NotAnArchive),
            "{format}: {error}"
        );
    }
}

/// Data as INSERT statements is no COPY text and is taken as it is.
fn check_statements(server: &Server) {
    let dumped = server.dump("source", &["-Fc", "-Z0", "--inserts", "-t", "app.purchase"]);
    let (archive, _) = parse(&dumped).unwrap();
    let content = archive.tables.values().next().unwrap();
    assert!(matches!(content.digest, EntryDigest::Opaque(_)));
    assert!(
        content
            .bytes()
            .starts_with(b"INSERT INTO app.purchase VALUES")
    );
}

/// One table, by its name without schema, is as it was dumped.
pub(crate) fn check_table(server: &Server, database: &str, archive: &Archive, name: &str) {
    let toc = archive.toc.as_ref().unwrap();
    let mut entries = toc.entries.iter().filter(|entry| entry.is_table_data());
    let entry = entries.find(|entry| entry.tag == name).unwrap();
    let statement = entry.copy_target().unwrap().copy_to_stdout();
    let found = scan_copy(&server.query(database, &statement));
    assert_eq!(found, table_digests(archive)[&entry.dump_id], "{name}");
}

/// Every table and every large object in the database is as it was dumped.
pub(crate) fn check_equal(server: &Server, database: &str, archive: &Archive) {
    let toc = archive.toc.as_ref().unwrap();
    assert_eq!(
        table_digests(archive),
        server_digests(server, database, toc),
        "{database}"
    );
    for (oid, content) in archive.large_objects.values().flatten() {
        let statement = format!("SELECT encode(lo_get({oid}), 'escape')");
        let found = server.query_text(database, &statement);
        assert_eq!(
            found.as_bytes(),
            content.bytes().trim_ascii_end(),
            "large object {oid}"
        );
    }
    let count = server.query_text(database, "SELECT count(*) FROM pg_largeobject_metadata");
    let expected: usize = archive.large_objects.values().map(Vec::len).sum();
    assert_eq!(count, expected.to_string());
}

pub(crate) fn table_digests(archive: &Archive) -> BTreeMap<DumpId, TableDigest> {
    let digests = archive
        .tables
        .iter()
        .map(|(id, content)| match content.digest {
            EntryDigest::Rows(digest) => (*id, digest),
            EntryDigest::Opaque(_) => panic!("dump id {id} has no rows"),
        });
    digests.collect()
}

/// The digest of every table as the server gives it, by the columns of the archive.
pub(crate) fn server_digests(
    server: &Server,
    database: &str,
    toc: &Toc,
) -> BTreeMap<DumpId, TableDigest> {
    let tables = toc.entries.iter().filter(|entry| entry.is_table_data());
    let digests = tables.map(|entry| {
        let target = entry
            .copy_target()
            .expect("pg_dump's statement is understood");
        let text = server.query(database, &target.copy_to_stdout());
        (entry.dump_id, scan_copy(&text))
    });
    let digests: BTreeMap<_, _> = digests.collect();
    assert!(digests.len() >= 10, "the source has many tables");
    digests
}

pub(crate) fn scan_copy(text: &[u8]) -> TableDigest {
    let mut scanner = RowScanner::new(SEED);
    for slice in text.chunks(37) {
        scanner.feed(slice).unwrap();
    }
    scanner.finish_copy().unwrap()
}

pub(crate) fn write_directory(directory: &Path, archive: &Archive) -> PathBuf {
    let toc = archive.toc.as_ref().unwrap();
    let layout = DirectoryLayout::from_toc(toc, &large_object_ids(archive)).unwrap();
    fs::create_dir(directory).unwrap();
    write(&directory.join("toc.dat"), &layout.toc_dat);
    let objects: BTreeMap<u32, Vec<u8>> = archive
        .large_objects
        .values()
        .flatten()
        .map(|(oid, content)| (*oid, content.bytes()))
        .collect();
    for file in layout.files {
        let contents = match file.kind {
            FileKind::Table { dump_id } => archive.tables[&dump_id].bytes(),
            FileKind::LargeObjectList { contents, .. } => contents,
            FileKind::LargeObject { oid } => objects[&oid].clone(),
        };
        write(&directory.join(file.name), contents);
    }
    directory.to_owned()
}

/// Replaces the corpus if asked to; else checks that it still is what this major writes.
fn write_corpus(major: u32, dumped: &[u8]) {
    let file = corpus_directory().join(format!("postgres-{major}.dump"));
    #[expect(
        clippy::disallowed_methods,
        reason = "how the corpus is made anew, see its README"
    )]
    let asked: bool =
        std::env::var_os("PROVADO_CORPUS_WRITE").is_some_and(|v| v == OsStr::new("1"));
    if asked {
        write(&file, dumped);
    }
    let (kept, _) = parse(&fs::read(&file).unwrap()).unwrap();
    let (fresh, _) = parse(dumped).unwrap();
    let names = |archive: &Archive| {
        let toc = archive.toc.as_ref().unwrap();
        let mut names: Vec<_> = toc
            .entries
            .iter()
            .map(|entry| (entry.desc.clone(), entry.display_name()))
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        names(&kept),
        names(&fresh),
        "make the corpus anew, see tests/corpus/README.md"
    );
    assert_eq!(
        kept.tables
            .values()
            .map(|content| content.digest)
            .collect::<Vec<_>>()
            .len(),
        fresh.tables.len(),
    );
}
