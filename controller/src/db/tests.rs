use super::*;
use std::collections::BTreeSet;

async fn memory() -> Database {
    Database::open("sqlite::memory:").await.unwrap()
}

#[tokio::test]
async fn a_transaction_that_is_dropped_leaves_nothing_and_calls_nothing() {
    const INSERT: Sql = Sql::both(
        "INSERT INTO audit_checkpoint (sequence, epoch, hash, checkpoint_time, note) \
         VALUES ($1, 1, $2, 0, '')",
    );
    const READ: Sql = Sql::both("SELECT sequence, hash FROM audit_checkpoint");
    let database = memory().await;
    let (sender, receiver) = std::sync::mpsc::channel();

    let mut tx = database.begin().await.unwrap();
    tx.execute_one(INSERT, &values![1_i64, "a"]).await.unwrap();
    let dropped = sender.clone();
    tx.on_commit(move || dropped.send("dropped").unwrap());
    drop(tx);

    let mut tx = database.begin().await.unwrap();
    assert!(tx.fetch_optional(READ, &[]).await.unwrap().is_none());
    tx.execute_one(INSERT, &values![2_i64, "b"]).await.unwrap();
    tx.on_commit(move || sender.send("kept").unwrap());
    tx.commit().await.unwrap();

    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), ["kept"]);
    let mut tx = database.read().await.unwrap();
    let row = tx.fetch_one(READ, &[]).await.unwrap();
    assert_eq!(row.int("sequence").unwrap(), 2);
}

#[tokio::test]
async fn a_value_that_cannot_be_understood_names_table_column_and_id() {
    const READ: Sql = Sql::both("SELECT 'x1' AS id, 'sleeping' AS state, -1 AS count FROM run_x");
    const REAL: Sql = Sql::both("SELECT 'x1' AS id, 'sleeping' AS state, -1 AS count");
    let database = memory().await;
    let mut tx = database.begin().await.unwrap();
    let row = tx.fetch_one(REAL, &[]).await.unwrap();
    let error = row
        .parse::<provado_model::state::RunState>("state")
        .unwrap_err();
    assert_eq!(
        error.detail.unwrap(),
        "column state of ? row x1 cannot be understood: `sleeping` is no run state"
    );
    assert!(row.size("count").is_err() && row.flag("count").is_err());
    assert!(row.int("missing").is_err());
    assert_eq!(READ.table(), "run_x");
}

#[tokio::test]
async fn a_second_controller_on_the_same_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("controller.db");
    let url = format!("sqlite://{}", path.display());
    let first = Database::open(&url).await.unwrap();
    let error = Database::open(&url).await.unwrap_err();
    assert_eq!(error.reason, Reason::ServiceUnavailable);
    assert!(
        error.message.contains("another controller is using"),
        "{error}"
    );
    first.close().await;
    drop(first);
    // Migrations that were applied are not applied again.
    Database::open(&url).await.unwrap();
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_reader_of_a_file_cannot_write() {
    const INSERT: Sql = Sql::both("DELETE FROM audit_checkpoint");
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/c.db", directory.path().display());
    let database = Database::open(&url).await.unwrap();
    let mut tx = database.read().await.unwrap();
    assert!(tx.execute(INSERT, &[]).await.is_err());
}

#[tokio::test]
async fn an_address_of_another_form_is_refused_without_showing_it() {
    for url in ["mysql://a:secret@b/c", "postgres://a:secret@b:port/c", ""] {
        let error = Database::open(url).await.unwrap_err();
        assert_eq!(error.reason, Reason::InvalidArgument);
        assert!(!error.chain().contains("secret"), "{}", error.chain());
    }
}

#[test]
fn every_migration_file_is_in_the_program_and_on_both_engines() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let known: BTreeSet<String> = migrate::MIGRATIONS
        .iter()
        .map(|(number, name, ..)| {
            assert!(name.starts_with(&format!("{number:04}_")), "{name}");
            format!("{name}.sql")
        })
        .collect();
    for engine in ["sqlite", "postgres"] {
        let files: BTreeSet<String> = std::fs::read_dir(root.join(engine))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(files, known, "{engine}");
    }
}

/// An error of a database that has nothing but a code.
#[derive(Debug)]
struct Coded(&'static str);

impl std::fmt::Display for Coded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Coded {}

impl sqlx::error::DatabaseError for Coded {
    fn message(&self) -> &str {
        self.0
    }

    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        Some(self.0.into())
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> sqlx::error::ErrorKind {
        sqlx::error::ErrorKind::Other
    }
}

#[test]
fn a_code_of_one_engine_is_not_read_as_one_of_the_other() {
    let cases = [
        // PostgreSQL. The low byte of 42501 and of 22021 is 5, which is SQLITE_BUSY.
        ("40001", Reason::VersionStale),
        ("40P01", Reason::VersionStale),
        ("55P03", Reason::VersionStale),
        ("42501", Reason::Internal),
        ("22021", Reason::InvalidArgument),
        ("25006", Reason::Internal),
        ("22000", Reason::Internal),
        ("57P01", Reason::ServiceUnavailable),
        ("08006", Reason::ServiceUnavailable),
        ("53300", Reason::ServiceUnavailable),
        // SQLite: BUSY, BUSY_TIMEOUT, LOCKED, IOERR_FSYNC, FULL, CORRUPT, ERROR.
        ("5", Reason::VersionStale),
        ("773", Reason::VersionStale),
        ("6", Reason::VersionStale),
        ("1034", Reason::ServiceUnavailable),
        ("13", Reason::ServiceUnavailable),
        ("11", Reason::Internal),
        ("1", Reason::Internal),
    ];
    for (code, expected) in cases {
        let error = translate(sqlx::Error::Database(Box::new(Coded(code))), "SELECT 1");
        assert_eq!(error.reason, expected, "{code}");
    }
}
