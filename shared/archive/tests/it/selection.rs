//! Partial restores by stock pg_restore: what a selection takes is enough, and not too much.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use provado_archive::{
    Content, DumpId, LeftOut, Pattern, SelectedEntries, Selection, Toc, TocEntry,
};
use tempfile::TempDir;

use crate::collect::{Archive, parse};
use crate::corpus::corpus_directory;
use crate::server::{Server, write};
use crate::servers::{check_equal, check_table, write_directory};

/// A server with a dumped database, and its dump as a directory.
struct Fixture {
    server: Server,
    archive: Archive,
    directory: PathBuf,
    _scratch: TempDir,
}

impl Fixture {
    fn new(major: u32, script: &Path) -> Self {
        let server = Server::start(major);
        server.create_database("source");
        server.psql("source", &["-f".as_ref(), script.as_os_str()]);
        let (archive, _) = parse(&server.dump("source", &["-Fc", "-Z0"])).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let directory = write_directory(&scratch.path().join("directory"), &archive);
        Self {
            server,
            archive,
            directory,
            _scratch: scratch,
        }
    }

    fn toc(&self) -> &Toc {
        self.archive.toc.as_ref().unwrap()
    }

    fn list(&self, selected: &SelectedEntries) -> String {
        let path = self.directory.with_extension("list");
        write(&path, selected.list_file());
        path.to_str().unwrap().to_owned()
    }

    /// Restores what the patterns select; the relations that are there then, and what is not.
    fn restore(&self, database: &str, tables: Vec<Pattern>) -> (String, Vec<LeftOut>) {
        let selection = Selection {
            tables,
            ..Selection::default()
        };
        let selected = selection.resolve(self.toc()).unwrap();
        let list = self.list(&selected);
        self.server
            .restore(database, &self.directory, &["-Fd", "-j2", "-L", &list]);
        let relations = self.server.query_text(
            database,
            "SELECT string_agg(relname, ' ' ORDER BY relname COLLATE \"C\") FROM pg_class \
             WHERE relnamespace IN (SELECT oid FROM pg_namespace \
             WHERE nspname IN ('app', 'we ird', 'net', 'far'))",
        );
        (relations, selected.left_out)
    }

    fn check_table(&self, database: &str, name: &str) {
        check_table(&self.server, database, &self.archive, name);
    }
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn postgres_15_selections() {
    check_selections(15);
}

#[test]
fn postgres_16_selections() {
    check_selections(16);
}

#[test]
fn postgres_18_selections() {
    check_selections(18);
}

fn check_selections(major: u32) {
    let fixture = Fixture::new(major, &corpus_directory().join("source.sql"));
    let query = |database: &str, statement: &str| fixture.server.query_text(database, statement);

    let (relations, left_out) = fixture.restore("customer", patterns(&["app.customer"]));
    assert_eq!(
        relations,
        "customer customer_id_seq customer_name customer_pkey ticket"
    );
    assert_eq!(left_out, []);
    let sequence = "SELECT last_value FROM app.ticket";
    assert_eq!(query("customer", sequence), query("source", sequence));
    let comment = "SELECT obj_description('app.customer'::regclass)";
    assert_eq!(query("customer", comment), "who buys");
    fixture.check_table("customer", "customer");

    let (relations, left_out) = fixture.restore("purchase", patterns(&["PURCHASE"]));
    assert_eq!(relations, "purchase purchase_id_seq purchase_pkey");
    assert_eq!(left_out[0].desc, "FK CONSTRAINT");
    assert_eq!(left_out[0].needs, ["app.customer"]);

    let (_, left_out) = fixture.restore("both", patterns(&["app.purchase", "customer"]));
    assert_eq!(left_out, []);
    let keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f'";
    assert_eq!(query("both", keys), "1");

    let (relations, _) = fixture.restore("event", patterns(&["app.event"]));
    let expected = "event event_2024 event_2024_pkey event_2025 event_2025_pkey event_pkey";
    assert_eq!(relations, expected);
    fixture.check_table("event", "event_2024");
    assert_eq!(query("event", "SELECT count(*) FROM app.event"), "21");

    let (relations, _) = fixture.restore("one_partition", patterns(&["event_2024"]));
    assert_eq!(relations, "event_2024 event_2024_pkey");

    let (relations, _) = fixture.restore("view", patterns(&["app.total"]));
    assert_eq!(relations, "purchase purchase_id_seq purchase_pkey total");
    assert_eq!(query("view", "SELECT total FROM app.total"), "1025.00");

    let (relations, _) = fixture.restore("weird", patterns(&["\"we ird\".*"]));
    assert!(
        relations.starts_with("host=evil port=1 line\nbreak\".🦀 sixty_three"),
        "{relations}"
    );
    fixture.check_table("weird", "host=evil port=1");

    check_content(&fixture);
}

/// Schema and data are divided as pg_restore divides them; one after the other they are the whole.
fn check_content(fixture: &Fixture) {
    let resolve = |content: Content| {
        Selection {
            content,
            tables: Vec::new(),
        }
        .resolve(fixture.toc())
        .unwrap()
    };
    let (schema, data) = (resolve(Content::SchemaOnly), resolve(Content::DataOnly));
    assert_eq!(
        listed(fixture, "--schema-only"),
        comparable(fixture, &schema)
    );
    let mut of_data = comparable(fixture, &data);
    let total = entry_id(fixture, "MATERIALIZED VIEW DATA", "total");
    assert!(of_data.remove(&total), "pg_restore would not refresh it");
    assert_eq!(listed(fixture, "--data-only"), of_data);
    let all = resolve(Content::All);
    let ids: Vec<DumpId> = fixture
        .toc()
        .entries
        .iter()
        .map(|entry| entry.dump_id)
        .collect();
    assert_eq!(all.dump_ids, ids);

    let server = &fixture.server;
    let list = fixture.list(&schema);
    server.restore("halves", &fixture.directory, &["-Fd", "-L", &list]);
    assert_eq!(
        server.query_text("halves", "SELECT count(*) FROM app.wide"),
        "0"
    );
    let list = fixture.list(&data);
    let arguments = ["-Fd", "-L", &list, "--disable-triggers"];
    server.restore_into("halves", &fixture.directory, &arguments);
    check_equal(server, "halves", &fixture.archive);
    let total = server.query_text("halves", "SELECT total FROM app.total");
    assert_eq!(total, "1025.00");
}

fn entry_id(fixture: &Fixture, desc: &str, tag: &str) -> DumpId {
    let mut entries = fixture.toc().entries.iter();
    entries
        .find(|e| e.desc == desc && e.tag == tag)
        .unwrap()
        .dump_id
}

/// What pg_restore itself would take.
fn listed(fixture: &Fixture, flag: &str) -> BTreeSet<DumpId> {
    let list = fixture.server.list(&fixture.directory, &["-Fd", flag]);
    let ids = list.lines().filter(|line| !line.starts_with(';'));
    ids.map(|line| line.split(';').next().unwrap().parse().unwrap())
        .collect()
}

/// The ids, without those that pg_restore takes unasked or only with `--create`.
fn comparable(fixture: &Fixture, selected: &SelectedEntries) -> BTreeSet<DumpId> {
    let unlisted = ["ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE"];
    let is_listed =
        |id: &DumpId| !unlisted.contains(&fixture.toc().entry(*id).unwrap().desc.as_str());
    selected
        .dump_ids
        .iter()
        .copied()
        .filter(is_listed)
        .collect()
}

#[test]
fn postgres_15_each_relation_alone() {
    check_each_alone(15);
}

#[test]
fn postgres_18_each_relation_alone() {
    check_each_alone(18);
}

/// Each relation of a database full of dependencies restores by itself without a complaint, with
/// its rows, and without the data of tables that have nothing to do with it.
fn check_each_alone(major: u32) {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/selection.sql");
    let fixture = Fixture::new(major, &script);
    let kinds = [
        "TABLE",
        "FOREIGN TABLE",
        "VIEW",
        "MATERIALIZED VIEW",
        "SEQUENCE",
    ];
    let is_relation = |entry: &&TocEntry| kinds.contains(&entry.desc.as_str());
    let relations: Vec<_> = fixture.toc().entries.iter().filter(is_relation).collect();
    assert!(relations.len() > 25, "there are many relations");
    for (count, entry) in relations.iter().enumerate() {
        let schema = entry.namespace.as_deref().unwrap();
        let database = format!("alone_{count}");
        let (found, _) = fixture.restore(&database, vec![Pattern::exact(schema, &entry.tag)]);
        assert!(
            found.contains(&entry.tag),
            "{} is not among {found}",
            entry.tag
        );
        let has_data = |e: &TocEntry| e.is_table_data() && e.tag == entry.tag;
        if fixture.toc().entries.iter().any(has_data) {
            fixture.check_table(&database, &entry.tag);
        }
    }
    let relations =
        |database: &str, pattern: &str| fixture.restore(database, patterns(&[pattern])).0;
    // Other tables share its trigger function, which ties them in no way; `pair` is its type.
    let expected = "pair parent parent_name_key parent_pkey";
    assert_eq!(relations("parent", "net.parent"), expected);
    // The rows of what a policy reads are not the table's own.
    relations("guarded", "guarded");
    let rows = fixture
        .server
        .query_text("guarded", "SELECT count(*) FROM net.parent");
    assert_eq!(rows, "0");
    // A tree of partitions is one table, wherever its leaves are.
    relations("part", "net.part");
    let rows = fixture
        .server
        .query_text("part", "SELECT count(*) FROM net.part");
    assert_eq!(rows, "2");
    let stored = fixture.restore("stored", patterns(&["stored"]));
    assert_eq!(
        stored.1.len(),
        1,
        "the foreign key to the parent stays behind"
    );
    let rows = fixture
        .server
        .query_text("stored", "SELECT count(*) FROM net.stored");
    assert_eq!(rows, "3");
}
