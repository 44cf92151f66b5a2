//! Rows and large objects of the restored database, held against the backup's fingerprints.
//!
//! Several connections read in parallel, each on a thread with a small runtime of its own, so
//! that hashing never keeps the agent from its heartbeat. The sessions have the settings of the
//! dump, the columns are those of the dump's own COPY statement (DESIGN, idea 3).

use super::stage::Stage;
use crate::jobs::place::query_failed;
use crate::jobs::source::OpenBackup;
use crate::jobs::work::{Hands, NoWatch, Work};
use crate::postgres::connection::PgError;
use crate::postgres::inspect::error_text;
use crate::postgres::sql::Statement;
use crossbeam_channel::Receiver;
use futures_util::StreamExt as _;
use provado_archive::large_object::OpaqueScanner;
use provado_archive::{CutPolicy, RowScanner};
use provado_model::{Error, Reason};
use provado_proto::agent::v1::Difference;
use sqlx::PgConnection;
use std::collections::BTreeSet;

/// Bytes of a large object read at a time.
const LARGE_OBJECT_BYTES: i32 = 1024 * 1024;

/// What a thing came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) row_count: u64,
    /// Lower-case hex.
    pub(super) fingerprint: String,
}

/// One table or large object: expected and found.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// `table public.orders` or `large object 16390`.
    pub(super) object: String,
    pub(super) expected: Digest,
    /// What was found, or why nothing was.
    pub(super) found: Result<Digest, String>,
    /// Bytes of the dump.
    pub(super) byte_count: u64,
}

/// Everything that was compared.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) tables: Vec<Item>,
    pub(super) large_objects: Vec<Item>,
    /// Tables whose rows could not be compared, with the reason.
    pub(super) skipped: Vec<String>,
}

impl Compared {
    pub(super) fn table_count(&self) -> u64 {
        self.tables.len() as u64
    }

    pub(super) fn row_count(&self) -> u64 {
        self.tables.iter().map(|item| item.expected.row_count).sum()
    }

    pub(super) fn byte_count(&self) -> u64 {
        let all = self.tables.iter().chain(&self.large_objects);
        all.map(|item| item.byte_count).sum()
    }

    /// Where found is not expected.
    pub(super) fn differences(&self) -> Vec<Difference> {
        let all = self.tables.iter().chain(&self.large_objects);
        all.flat_map(differences_of).collect()
    }
}

fn differences_of(item: &Item) -> Vec<Difference> {
    let difference = |aspect: &str, expected: String, found: String| Difference {
        object: item.object.clone(),
        aspect: aspect.to_owned(),
        expected,
        found,
    };
    match &item.found {
        Err(why) => vec![difference("contents", "readable".to_owned(), why.clone())],
        Ok(found) if found.row_count != item.expected.row_count => vec![difference(
            "rows",
            item.expected.row_count.to_string(),
            found.row_count.to_string(),
        )],
        Ok(found) if found.fingerprint != item.expected.fingerprint => vec![difference(
            "fingerprint",
            item.expected.fingerprint.clone(),
            found.fingerprint.clone(),
        )],
        Ok(_) => Vec::new(),
    }
}

/// What to read from the server.
enum Question {
    Table(String),
    LargeObject(u32),
}

struct Task {
    item: Item,
    question: Question,
}

/// What the reading threads share.
#[derive(Clone)]
struct Session {
    address: crate::postgres::ServerAddress,
    application_name: String,
    encoding: String,
    seed: u64,
}

/// Reads and compares everything, by as many connections as jobs, at least two.
pub(super) async fn compare(
    backup: &OpenBackup,
    stage: &Stage,
    jobs: u32,
    work: &mut Work<'_>,
) -> Result<Compared, Error> {
    let (tasks, skipped) = tasks(backup);
    let header = backup.reader.header();
    let session = Session {
        address: stage.address.clone(),
        application_name: work.hands.application_name.clone(),
        encoding: header
            .session_settings
            .get("client_encoding")
            .cloned()
            .unwrap_or_else(|| "UTF8".to_owned()),
        seed: header.fingerprint_seed,
    };
    let count = usize::try_from(jobs.max(2))
        .unwrap_or(2)
        .min(tasks.len().max(1));
    let cancel = work.context.cancel.clone();
    let items = work
        .blocking(NoWatch, move |hands| {
            let (sender, receiver) = crossbeam_channel::unbounded();
            for task in tasks {
                // Both ends are here; the channel has no bound but the list's own.
                let _ = sender.send(task);
            }
            drop(sender);
            let threads: Vec<_> = (0..count)
                .map(|_| {
                    let (session, tasks) = (session.clone(), receiver.clone());
                    let (hands, cancel) = (hands.clone(), cancel.clone());
                    std::thread::spawn(move || read_all(&session, &tasks, &hands, &cancel))
                })
                .collect();
            let mut out = Vec::new();
            for thread in threads {
                let joined = thread.join();
                out.extend(joined.map_err(|_| Error::internal("a comparing thread failed"))??);
            }
            Ok(out)
        })
        .await?;
    let mut compared = Compared {
        skipped,
        ..Compared::default()
    };
    for item in items {
        if item.object.starts_with("table ") {
            compared.tables.push(item);
        } else {
            compared.large_objects.push(item);
        }
    }
    compared.tables.sort_by(|a, b| a.object.cmp(&b.object));
    compared
        .large_objects
        .sort_by(|a, b| a.object.cmp(&b.object));
    Ok(compared)
}

/// One task a table and large object, the largest first; and what cannot be compared.
fn tasks(backup: &OpenBackup) -> (Vec<Task>, Vec<String>) {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let extension_tables: BTreeSet<(&str, &str)> = backup
        .inventory
        .relations
        .iter()
        .filter(|relation| !relation.extension_name.is_empty())
        .map(|r| (r.schema_name.as_str(), r.relation_name.as_str()))
        .collect();
    let mut tasks = Vec::new();
    let mut skipped = Vec::new();
    for (dump_id, (_, entry)) in backup.data_entries() {
        let head = &entry.head;
        let name = &head.entry_name;
        if extension_tables.contains(&(head.schema_name.as_str(), head.table_name.as_str())) {
            skipped.push(format!(
                "table {name} belongs to an extension, which fills it too: its rows were restored \
                 and not compared"
            ));
            continue;
        }
        let target = backup
            .toc
            .entry(dump_id)
            .and_then(provado_archive::TocEntry::copy_target);
        let Some(target) = target else {
            skipped.push(format!(
                "table {name} was not dumped by COPY, or its name is not text: its rows were \
                 restored and not compared"
            ));
            continue;
        };
        tasks.push(Task {
            item: Item {
                object: format!("table {name}"),
                expected: Digest {
                    row_count: entry.tail.row_count,
                    fingerprint: hex(&entry.tail.fingerprint),
                },
                found: Err("not read".to_owned()),
                byte_count: entry.tail.byte_count,
            },
            question: Question::Table(target.copy_to_stdout()),
        });
    }
    for (oid, (_, entry)) in backup.large_objects() {
        tasks.push(Task {
            item: Item {
                object: format!("large object {oid}"),
                expected: Digest {
                    row_count: 0,
                    fingerprint: hex(&entry.tail.fingerprint),
                },
                found: Err("not read".to_owned()),
                byte_count: entry.tail.byte_count,
            },
            question: Question::LargeObject(oid),
        });
    }
    tasks.sort_by_key(|task| std::cmp::Reverse(task.item.byte_count));
    (tasks, skipped)
}

/// One thread: its own connection on its own runtime.
fn read_all(
    session: &Session,
    tasks: &Receiver<Task>,
    hands: &Hands,
    cancel: &provado_repository::Cancel,
) -> Result<Vec<Item>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(Reason::Busy, "cannot start a runtime").caused_by(error))?;
    runtime.block_on(async {
        let mut connection = connect(session).await.map_err(|e| query_failed(&e))?;
        let mut out = Vec::new();
        while let Ok(mut task) = tasks.try_recv() {
            if cancel.is_canceled() {
                return Err(crate::jobs::work::canceled());
            }
            hands.meter.item(&task.item.object);
            let found = match &task.question {
                Question::Table(copy) => table(&mut connection, copy, session.seed, hands).await,
                Question::LargeObject(oid) => {
                    large_object(&mut connection, *oid, session.seed, hands).await
                }
            };
            hands.meter.one();
            task.item.found = match found {
                Ok(digest) => Ok(digest),
                Err(Trouble::Contents(why)) => Err(why),
                // A server's refusal is about the restored database; a lost connection is not.
                Err(Trouble::Server(error)) if error.sqlstate().is_some() => {
                    let text = error_text(&error);
                    connection = connect(session).await.map_err(|e| query_failed(&e))?;
                    Err(text)
                }
                Err(Trouble::Server(error)) => return Err(query_failed(&error)),
            };
            out.push(task.item);
        }
        Ok(out)
    })
}

enum Trouble {
    Server(PgError),
    Contents(String),
}

async fn connect(session: &Session) -> Result<PgConnection, PgError> {
    let mut connection = session
        .address
        .connect(super::stage::DATABASE, &session.application_name)
        .await?;
    // The driver sets these two for itself when it connects.
    Statement::new("SET extra_float_digits = 3")
        .execute(&mut connection, "set the session as the dump's")
        .await?;
    Statement::new("SET client_encoding = ")
        .literal(&session.encoding)
        .execute(&mut connection, "set the session as the dump's")
        .await?;
    Ok(connection)
}

async fn table(
    connection: &mut PgConnection,
    copy: &str,
    seed: u64,
    hands: &Hands,
) -> Result<Digest, Trouble> {
    let failed = |source| Trouble::Server(PgError::query("read a table", source));
    let odd = |error: provado_archive::RowError| Trouble::Contents(error.to_string());
    let mut rows = connection.copy_out_raw(copy).await.map_err(failed)?;
    let mut scanner = RowScanner::new(seed);
    let mut pending = 0;
    while let Some(chunk) = rows.next().await {
        let chunk = chunk.map_err(failed)?;
        scanner.feed(&chunk).map_err(odd)?;
        pending += chunk.len() as u64;
        if pending > 1 << 20 {
            hands.meter.bytes(std::mem::take(&mut pending));
        }
    }
    hands.meter.bytes(pending);
    let digest = scanner.finish_copy().map_err(odd)?;
    Ok(Digest {
        row_count: digest.row_count,
        fingerprint: data_encoding::HEXLOWER.encode(&digest.fingerprint),
    })
}

const LARGE_OBJECT: &str = "SELECT pg_catalog.lo_get($1::oid, $2, $3)";

async fn large_object(
    connection: &mut PgConnection,
    oid: u32,
    seed: u64,
    hands: &Hands,
) -> Result<Digest, Trouble> {
    let mut scanner = OpaqueScanner::new(seed, CutPolicy::default());
    let mut offset = 0_i64;
    loop {
        let bytes: Vec<u8> = sqlx::query_scalar(LARGE_OBJECT)
            .bind(i64::from(oid))
            .bind(offset)
            .bind(LARGE_OBJECT_BYTES)
            .fetch_one(&mut *connection)
            .await
            .map_err(|source| Trouble::Server(PgError::query("read a large object", source)))?;
        if bytes.is_empty() {
            break;
        }
        scanner.feed_with_cuts(&bytes, |_| {});
        hands.meter.bytes(bytes.len() as u64);
        offset += i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    }
    Ok(Digest {
        row_count: 0,
        fingerprint: data_encoding::HEXLOWER.encode(&scanner.finish().fingerprint),
    })
}
