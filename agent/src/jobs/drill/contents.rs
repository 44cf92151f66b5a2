//! Rows and large objects of the restored database, held against the backup's fingerprints.
//!
//! Several connections read in parallel, each on a thread of its own, so that hashing never keeps
//! the agent from its heartbeat. The sessions have the settings of the
//! dump, the columns are those of the dump's own COPY statement (DESIGN, idea 3).

use super::large_objects::LargeObjects;
use super::parts::{self, Question, Task, Whole};
use super::stage::Stage;
use crate::jobs::source::OpenBackup;
use crate::jobs::work::{Hands, NoWatch, Work};
use crate::postgres::copy_out::{CopyOut, CopyOutError};
use crate::postgres::inspect::error_text;
use crate::postgres::trouble::is_of_the_host;
use crossbeam_channel::Receiver;
use provado_archive::RowScanner;
use provado_model::{Error, Reason};
use provado_proto::agent::v1::Difference;
use provado_repository::Cancel;
use std::collections::BTreeSet;

/// Bytes of rows between two signs of progress.
const METER_BYTES: u64 = 1024 * 1024;

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

/// What the reading threads share.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) address: crate::postgres::ServerAddress,
    pub(super) application_name: String,
    encoding: String,
    pub(super) seed: u64,
}

/// Reads and compares everything, by as many connections as jobs, at least two.
pub(super) async fn compare(
    backup: &OpenBackup,
    stage: &Stage,
    jobs: u32,
    work: &mut Work<'_>,
) -> Result<Compared, Error> {
    let (mut items, wholes, skipped) = items(backup);
    let tasks = parts::tasks(&items, wholes, stage).await?;
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
    let found = work
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
    parts::join(&mut items, found);
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

/// One item a table and large object, each with what it is; and what cannot be compared.
fn items(backup: &OpenBackup) -> (Vec<Item>, Vec<Whole>, Vec<String>) {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let extension_tables: BTreeSet<(&str, &str)> = backup
        .inventory
        .relations
        .iter()
        .filter(|relation| !relation.extension_name.is_empty())
        .map(|r| (r.schema_name.as_str(), r.relation_name.as_str()))
        .collect();
    let (mut items, mut wholes) = (Vec::new(), Vec::new());
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
        wholes.push(Whole::Table(target));
        items.push(Item {
            object: format!("table {name}"),
            expected: Digest {
                row_count: entry.tail.row_count,
                fingerprint: hex(&entry.tail.fingerprint),
            },
            found: Err("not read".to_owned()),
            byte_count: entry.tail.byte_count,
        });
    }
    for (oid, (_, entry)) in backup.large_objects() {
        wholes.push(Whole::LargeObject(oid));
        items.push(Item {
            object: format!("large object {oid}"),
            expected: Digest {
                row_count: 0,
                fingerprint: hex(&entry.tail.fingerprint),
            },
            found: Err("not read".to_owned()),
            byte_count: entry.tail.byte_count,
        });
    }
    (items, wholes, skipped)
}

/// A task's item, and its digest or why it has none.
type Read = (usize, Result<Digest, String>);

/// One thread with connections of its own.
fn read_all(
    session: &Session,
    tasks: &Receiver<Task>,
    hands: &Hands,
    cancel: &Cancel,
) -> Result<Vec<Read>, Error> {
    let mut rows = None;
    let mut large_objects = LargeObjects::new()?;
    let mut out = Vec::new();
    while let Ok(task) = tasks.try_recv() {
        if cancel.is_canceled() {
            return Err(crate::jobs::work::canceled());
        }
        hands.meter.item(&task.object);
        let found = match &task.question {
            Question::Rows(copy) => table(session, &mut rows, copy, hands, cancel),
            Question::LargeObject(oid) => large_objects.read(session, *oid, hands),
        };
        hands.meter.one();
        let found = match found {
            Ok(digest) => Ok(digest),
            Err(Trouble::Contents(why)) => Err(why),
            Err(Trouble::Broken(error)) => return Err(error),
        };
        out.push((task.item, found));
    }
    Ok(out)
}

/// Why a thing has no digest.
pub(super) enum Trouble {
    /// What is there cannot be read, or is not what COPY writes.
    Contents(String),
    /// Nothing can be said of it.
    Broken(Error),
}

/// A server's refusal is about the restored database, unless it tells of the host. A right that a
/// superuser lacks was taken by the host too: by a label, or by the files' owner.
pub(super) fn refused(sqlstate: &str, message: &str) -> Trouble {
    let told = format!("{message} (SQLSTATE {sqlstate})");
    if sqlstate == "42501" || is_of_the_host(sqlstate, message) {
        return Trouble::Broken(Error::new(Reason::ToolFailed, told));
    }
    Trouble::Contents(told)
}

fn table(
    session: &Session,
    connection: &mut Option<CopyOut>,
    copy: &str,
    hands: &Hands,
    cancel: &Cancel,
) -> Result<Digest, Trouble> {
    let lost = |error: CopyOutError| {
        Trouble::Broken(Error::new(Reason::PostgresUnreachable, error_text(&error)))
    };
    let mut open = match connection.take() {
        Some(open) => open,
        None => CopyOut::connect(
            &session.address,
            super::stage::DATABASE,
            &session.application_name,
            &session.encoding,
        )
        .map_err(lost)?,
    };
    let mut scanner = RowScanner::new(session.seed);
    let mut pending = 0;
    let read = open.copy(copy, |chunk| {
        pending += chunk.len() as u64;
        if pending > METER_BYTES {
            hands.meter.bytes(std::mem::take(&mut pending));
            cancel.check().map_err(|error| error.to_string())?;
        }
        scanner.feed(chunk).map_err(|error| error.to_string())
    });
    hands.meter.bytes(pending);
    match read {
        Ok(()) => *connection = Some(open),
        Err(CopyOutError::Server { message, sqlstate }) => {
            *connection = Some(open);
            return Err(refused(&sqlstate, &message));
        }
        Err(_) if cancel.is_canceled() => {
            return Err(Trouble::Broken(crate::jobs::work::canceled()));
        }
        Err(CopyOutError::Taker(why)) => return Err(Trouble::Contents(why)),
        Err(error) => return Err(lost(error)),
    }
    let digest = scanner
        .finish_copy()
        .map_err(|error| Trouble::Contents(error.to_string()))?;
    Ok(Digest {
        row_count: digest.row_count,
        fingerprint: data_encoding::HEXLOWER.encode(&digest.fingerprint),
    })
}
