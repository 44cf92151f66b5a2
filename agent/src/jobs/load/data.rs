//! Loads the rows and large objects: as many connections as jobs, each takes the next largest
//! entry, reads its segments and sends them by COPY, as `pg_restore` would.
//!
//! Every entry is one transaction. When stored data turns out damaged in the middle of a table,
//! the connection is dropped inside its COPY and the server takes the whole table back: half a
//! table is never committed as a whole one.

use super::words::{Class, Message};
use crate::jobs::work::Hands;
use crate::postgres::ServerAddress;
use crate::postgres::connection::PgError;
use crate::postgres::inspect::error_text;
use crate::postgres::sql::Statement;
use crate::postgres::trouble::is_of_the_host;
use crossbeam_channel::{Receiver, unbounded};
use provado_model::{Error, Reason};
use provado_repository::Cancel;
use provado_repository::reader::BackupReader;
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;

/// Where entries go.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) address: ServerAddress,
    pub(super) database: String,
    pub(super) application_name: String,
}

/// What one transaction loads.
#[derive(Debug)]
pub(super) enum Content {
    /// Rows, by these statements: `before` empties the table that this restore made, `copy` takes
    /// the rows.
    Rows {
        before: Option<Statement>,
        copy: String,
        entry: u64,
        row_count: u64,
    },
    /// Large objects that exist already, with the entry of each.
    LargeObjects(Vec<(u32, u64)>),
}

/// One piece of work.
#[derive(Debug)]
pub(super) struct Task {
    /// For people: `table public.orders`.
    pub(super) name: String,
    /// Plain bytes, by which the largest come first.
    pub(super) size_bytes: u64,
    pub(super) content: Content,
}

/// What was loaded to the end.
#[derive(Debug, Default, Clone, Copy)]
#[expect(
    clippy::struct_field_names,
    reason = "all are counts, each of another thing"
)]
pub(in crate::jobs) struct Served {
    /// Tables with rows; large objects are not among them.
    pub(in crate::jobs) table_count: u64,
    pub(in crate::jobs) row_count: u64,
    pub(in crate::jobs) byte_count: u64,
}

struct Shared {
    reader: BackupReader,
    target: Target,
    hands: Hands,
    cancel: Cancel,
    done: Mutex<(Served, Vec<Message>)>,
    failure: Mutex<Option<Error>>,
}

/// Loads everything. What the server refused is a message; a damaged backup, a lost connection
/// or a cancel is an error. Blocks the thread, which must be inside a runtime.
pub(super) fn load(
    reader: BackupReader,
    target: Target,
    mut tasks: Vec<Task>,
    jobs: usize,
    hands: &Hands,
    cancel: &Cancel,
) -> Result<(Served, Vec<Message>), Error> {
    tasks.sort_by_key(|task| std::cmp::Reverse(task.size_bytes));
    let count = jobs.min(tasks.len());
    let (sender, receiver) = unbounded();
    for task in tasks {
        // Both ends are here; the channel has no bound but the list's own.
        let _ = sender.send(task);
    }
    drop(sender);
    let shared = Arc::new(Shared {
        reader,
        target,
        hands: hands.clone(),
        cancel: cancel.clone(),
        done: Mutex::default(),
        failure: Mutex::default(),
    });
    let runtime = Handle::current();
    let threads: Result<Vec<_>, Error> = (0..count)
        .map(|_| {
            let (shared, tasks, runtime) = (Arc::clone(&shared), receiver.clone(), runtime.clone());
            std::thread::Builder::new()
                .name("provado-load".to_owned())
                .spawn(move || runtime.block_on(work(&shared, &tasks)))
                .map_err(|e| Error::new(Reason::Busy, "cannot start a thread").caused_by(e))
        })
        .collect();
    let threads = match threads {
        Ok(threads) => threads,
        Err(error) => {
            keep(&shared, error);
            Vec::new()
        }
    };
    for thread in threads {
        if thread.join().is_err() {
            keep(&shared, Error::internal("a loading thread failed"));
        }
    }
    let failure = shared
        .failure
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(error) = failure {
        return Err(error);
    }
    Ok(std::mem::take(
        &mut *shared.done.lock().unwrap_or_else(PoisonError::into_inner),
    ))
}

fn keep(shared: &Shared, error: Error) {
    let mut failure = shared
        .failure
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    failure.get_or_insert(error);
}

fn has_failed(shared: &Shared) -> bool {
    shared
        .failure
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .is_some()
}

/// Why one entry was not loaded.
enum Trouble {
    /// The whole load ends.
    End(Error),
    /// The server refused this one; the next may go well.
    Refused(PgError),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::End(error)
    }
}

async fn work(shared: &Shared, tasks: &Receiver<Task>) {
    let connected = shared
        .target
        .address
        .connect(&shared.target.database, &shared.target.application_name);
    let mut connection = match connected.await {
        Ok(connection) => connection,
        Err(error) => return keep(shared, lost(&error)),
    };
    for task in tasks {
        if has_failed(shared) {
            return;
        }
        if let Err(error) = ended(shared) {
            return keep(shared, error);
        }
        shared.hands.meter.item(&task.name);
        match one(shared, &mut connection, &task).await {
            Ok(served) => add(shared, served),
            Err(Trouble::End(error)) => return keep(shared, error),
            Err(Trouble::Refused(error)) => {
                // A connection that is gone refuses nothing: the server or the network failed.
                let sqlstate = error.sqlstate().unwrap_or_default();
                if is_of_the_host(&sqlstate, "") {
                    return keep(shared, no_room_or_lost(&sqlstate, &error));
                }
                if sqlstate.is_empty() || connection.ping().await.is_err() {
                    return keep(shared, lost(&error));
                }
                let _ = connection.execute("ROLLBACK").await;
                refused(shared, &task, &error);
            }
        }
    }
    // The server notices a closed socket as well; this is only politer.
    let _ = connection.close().await;
}

async fn one(
    shared: &Shared,
    connection: &mut PgConnection,
    task: &Task,
) -> Result<Served, Trouble> {
    run(connection, Statement::new("BEGIN")).await?;
    let served = match &task.content {
        Content::Rows {
            before,
            copy,
            entry,
            row_count,
        } => {
            if let Some(before) = before {
                run(connection, before.clone()).await?;
            }
            let (byte_count, loaded) = rows(shared, connection, copy, *entry).await?;
            if loaded != *row_count {
                miscounted(shared, task, loaded, *row_count);
            }
            Served {
                table_count: 1,
                row_count: loaded,
                byte_count,
            }
        }
        Content::LargeObjects(objects) => {
            let mut byte_count = 0;
            for (oid, entry) in objects {
                byte_count += large_object(shared, connection, *oid, *entry).await?;
                ended(shared)?;
            }
            Served {
                byte_count,
                ..Served::default()
            }
        }
    };
    run(connection, Statement::new("COMMIT")).await?;
    Ok(served)
}

async fn run(connection: &mut PgConnection, statement: Statement) -> Result<(), Trouble> {
    statement
        .execute(connection, "prepare a table")
        .await
        .map_err(Trouble::Refused)
}

/// Bytes sent, and rows as the server counted them.
async fn rows(
    shared: &Shared,
    connection: &mut PgConnection,
    copy: &str,
    entry: u64,
) -> Result<(u64, u64), Trouble> {
    let refused = |source| Trouble::Refused(PgError::query("load a table", source));
    let mut sink = connection.copy_in_raw(copy).await.map_err(refused)?;
    let mut bytes = 0;
    let mut reader = shared.reader.entry_reader(entry).map_err(Error::from)?;
    while let Some(segment) = next_segment(&mut reader) {
        // Leaving here drops the COPY half-way, which the server takes back.
        let segment = segment.map_err(Error::from)?;
        bytes += segment.len() as u64;
        sink.send(segment.as_slice()).await.map_err(refused)?;
        shared.hands.meter.bytes(segment.len() as u64);
        ended(shared)?;
    }
    let row_count = sink.finish().await.map_err(refused)?;
    Ok((bytes, row_count))
}

/// The reader blocks on the runtime by itself, which asynchronous code may only do so.
fn next_segment(
    reader: &mut provado_repository::reader::EntryReader,
) -> Option<provado_repository::Result<Vec<u8>>> {
    tokio::task::block_in_place(|| reader.next())
}

const LARGE_OBJECT_PUT: &str = "SELECT pg_catalog.lo_put($1::oid, $2, $3)";

async fn large_object(
    shared: &Shared,
    connection: &mut PgConnection,
    oid: u32,
    entry: u64,
) -> Result<u64, Trouble> {
    let mut offset = 0_i64;
    let mut reader = shared.reader.entry_reader(entry).map_err(Error::from)?;
    while let Some(segment) = next_segment(&mut reader) {
        let segment = segment.map_err(Error::from)?;
        sqlx::query(LARGE_OBJECT_PUT)
            .bind(i64::from(oid))
            .bind(offset)
            .bind(segment.as_slice())
            .execute(&mut *connection)
            .await
            .map_err(|source| Trouble::Refused(PgError::query("load a large object", source)))?;
        offset = offset.saturating_add(i64::try_from(segment.len()).unwrap_or(i64::MAX));
        shared.hands.meter.bytes(segment.len() as u64);
    }
    Ok(u64::try_from(offset).unwrap_or(0))
}

/// Fails when the attempt was canceled or stalled: its children are gone, and so should we be.
fn ended(shared: &Shared) -> Result<(), Error> {
    if shared.cancel.is_canceled() || shared.hands.children.has_ended() {
        return Err(crate::jobs::work::canceled());
    }
    Ok(())
}

/// The host cannot take the rest either: what is loaded so far is no restore of anything.
fn no_room_or_lost(sqlstate: &str, error: &PgError) -> Error {
    if sqlstate == "53100" {
        return Error::new(Reason::DiskFull, error_text(error));
    }
    lost(error)
}

fn lost(error: &PgError) -> Error {
    Error::new(Reason::PostgresUnreachable, error_text(error))
}

fn add(shared: &Shared, served: Served) {
    shared.hands.meter.one();
    let mut done = shared.done.lock().unwrap_or_else(PoisonError::into_inner);
    done.0.table_count += served.table_count;
    done.0.row_count += served.row_count;
    done.0.byte_count += served.byte_count;
}

/// The server's own count is another than that of the dump (INV-RESTORE-TRUTH).
fn miscounted(shared: &Shared, task: &Task, loaded: u64, expected: u64) {
    let mut done = shared.done.lock().unwrap_or_else(PoisonError::into_inner);
    done.1.push(Message {
        class: Class::Difference,
        text: format!(
            "{}: {loaded} rows were loaded, the backup has {expected}",
            task.name
        ),
    });
}

fn refused(shared: &Shared, task: &Task, error: &PgError) {
    let mut done = shared.done.lock().unwrap_or_else(PoisonError::into_inner);
    done.1.push(Message {
        class: Class::Difference,
        text: format!("{} was not loaded: {}", task.name, error_text(error)),
    });
}
