//! Opening a database by its address, with every setting said and its reason beside it.

use super::{Sql, Tx, migrate, translate, tx};
use provado_model::{Error, Reason};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Executor, PgPool, SqlSafeStr, SqlitePool};
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Connections that read at the same time on SQLite; writers take turns on one.
const SQLITE_READERS_MAX: u32 = 4;
/// Connections to PostgreSQL.
const POSTGRES_CONNECTIONS_MAX: u32 = 16;
/// How long a caller waits for a connection before it is told to come back.
const ACQUIRE_WAIT: Duration = Duration::from_secs(10);
/// How long SQLite waits for a lock of another process (a copy, an operator's shell).
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// Which database engine holds the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// One file, one controller.
    Sqlite,
    /// A server; a controller that starts ends the work of the one before (INV-EPOCH).
    Postgres,
}

/// The controller's database. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Database {
    /// SQLite: one connection writes, a few read.
    Sqlite {
        /// The one connection that writes.
        writer: SqlitePool,
        /// Connections that only read; the writer itself in memory.
        readers: SqlitePool,
        /// Held as long as any clone lives; a second controller is refused by it.
        lock: Option<Arc<File>>,
    },
    /// PostgreSQL.
    Postgres {
        /// All connections.
        pool: PgPool,
    },
}

impl Database {
    /// Opens `sqlite:///path/to/file`, `sqlite::memory:` (one connection, gone when dropped) or
    /// `postgres://...` and brings its schema up to this program's version.
    ///
    /// Errors: `INVALID_ARGUMENT` for an address of another form, `SERVICE_UNAVAILABLE` when it
    /// cannot be opened or another controller has it, `INTERNAL` when a migration fails.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let database = Self::connect(url).await?;
        migrate::run(&database).await?;
        Ok(database)
    }

    async fn connect(url: &str) -> Result<Self, Error> {
        if url == "sqlite::memory:" {
            return Self::open_memory().await;
        }
        if let Some(path) = url.strip_prefix("sqlite://") {
            return Self::open_file(Path::new(path)).await;
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Self::open_postgres(url).await;
        }
        Err(Error::new(
            Reason::InvalidArgument,
            "the store's address must begin with sqlite:// or postgres://",
        ))
    }

    async fn open_memory() -> Result<Self, Error> {
        // One connection: each further one would be a database of its own.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(ACQUIRE_WAIT)
            .connect_with(sqlite_options().in_memory(true))
            .await
            .map_err(|source| translate(source, "open a database in memory"))?;
        Ok(Self::Sqlite {
            writer: pool.clone(),
            readers: pool,
            lock: None,
        })
    }

    async fn open_file(path: &Path) -> Result<Self, Error> {
        let lock = lock_file(path)?;
        create_private(path)?;
        let doing = format!("open {}", path.display());
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(ACQUIRE_WAIT)
            .connect_with(sqlite_options().filename(path))
            .await
            .map_err(|source| translate(source, &doing))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(SQLITE_READERS_MAX)
            .acquire_timeout(ACQUIRE_WAIT)
            // A write on a reader's connection is a bug: it would not take its turn.
            .connect_with(sqlite_options().filename(path).pragma("query_only", "on"))
            .await
            .map_err(|source| translate(source, &doing))?;
        Ok(Self::Sqlite {
            writer,
            readers,
            lock: Some(Arc::new(lock)),
        })
    }

    async fn open_postgres(url: &str) -> Result<Self, Error> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|source| {
                // The driver's text may hold the password, so only its kind is shown.
                drop(source);
                Error::new(
                    Reason::InvalidArgument,
                    "the store's postgres:// address cannot be parsed",
                )
            })?
            .application_name("provado-controller")
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_WAIT)
            .connect_with(options)
            .await
            .map_err(|source| translate(source, "connect to the store's PostgreSQL"))?;
        Ok(Self::Postgres { pool })
    }

    /// Which engine it is.
    pub const fn engine(&self) -> Engine {
        match self {
            Self::Sqlite { .. } => Engine::Sqlite,
            Self::Postgres { .. } => Engine::Postgres,
        }
    }

    /// Begins a transaction that writes. On SQLite it has its turn from the first statement
    /// (BEGIN IMMEDIATE), so that what it reads is what it writes on; on PostgreSQL it is READ
    /// COMMITTED, and updates are guarded by versions.
    pub async fn begin(&self) -> Result<Tx, Error> {
        Ok(Tx::new(match self {
            Self::Sqlite { writer, .. } => tx::Inner::Sqlite(
                writer
                    .begin_with("BEGIN IMMEDIATE")
                    .await
                    .map_err(|source| translate(source, "BEGIN IMMEDIATE"))?,
            ),
            Self::Postgres { pool } => tx::Inner::Postgres(
                pool.begin()
                    .await
                    .map_err(|source| translate(source, "BEGIN"))?,
            ),
        }))
    }

    /// Begins a transaction that only reads, over one consistent picture. In memory it shares the
    /// one connection: do not hold it while another transaction begins.
    pub async fn read(&self) -> Result<Tx, Error> {
        Ok(Tx::new(match self {
            Self::Sqlite { readers, .. } => tx::Inner::Sqlite(
                readers
                    .begin()
                    .await
                    .map_err(|source| translate(source, "BEGIN"))?,
            ),
            Self::Postgres { pool } => tx::Inner::Postgres(
                pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    .await
                    .map_err(|source| translate(source, "BEGIN READ ONLY"))?,
            ),
        }))
    }

    /// Asks the engine whether it understands a statement, without running it.
    pub async fn prepare(&self, sql: Sql) -> Result<(), Error> {
        let text = sql.on(self.engine());
        match self {
            Self::Sqlite { writer, .. } => writer.prepare(text.into_sql_str()).await.map(drop),
            Self::Postgres { pool } => pool.prepare(text.into_sql_str()).await.map(drop),
        }
        .map_err(|source| translate(source, text))
    }

    /// Closes every connection; transactions that are open end first.
    pub async fn close(&self) {
        match self {
            Self::Sqlite {
                writer, readers, ..
            } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres { pool } => pool.close().await,
        }
    }
}

fn sqlite_options() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .create_if_missing(false)
        // Readers see a consistent picture while the writer works.
        .journal_mode(SqliteJournalMode::Wal)
        // WAL with NORMAL may lose the last commits on power loss; then a run that an agent has
        // accepted would not exist here.
        .synchronous(SqliteSynchronous::Full)
        // Off by default in SQLite.
        .foreign_keys(true)
        .busy_timeout(BUSY_WAIT)
        // Overwritten and deleted contents leave the file; it holds hashes of secrets.
        .pragma("secure_delete", "on")
        .disable_statement_logging()
}

fn lock_file(path: &Path) -> Result<File, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let cannot = |source| {
        Error::new(
            Reason::ServiceUnavailable,
            format!(
                "the lock file {} cannot be opened; check that its directory exists and that \
                 the controller may write to it",
                lock_path.display()
            ),
        )
        .caused_by(source)
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock_path)
        .map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::new(
            Reason::ServiceUnavailable,
            format!(
                "another controller is using {}; a SQLite store serves one controller only: \
                 stop the other one, or move the store to PostgreSQL",
                path.display()
            ),
        )),
        Err(TryLockError::Error(source)) => Err(cannot(source)),
    }
}

/// Creates the file for its owner alone before SQLite would create it for everybody.
fn create_private(path: &Path) -> Result<(), Error> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|source| {
            Error::new(
                Reason::ServiceUnavailable,
                format!("the store's file {} cannot be opened", path.display()),
            )
            .caused_by(source)
        })
}
