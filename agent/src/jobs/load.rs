//! Brings a backup into an existing empty database: a directory archive whose data files are
//! named pipes, read by stock `pg_restore -j` (DESIGN, idea 2).
//!
//! Nothing of the data touches a disk on the way. When the stored data turns out damaged, or the
//! attempt ends early, `pg_restore` is killed *before* its pipe is closed: a closed pipe looks to
//! it like the end of the data, and half a table would be committed as a whole one.

mod pipes;
mod serve;
pub(super) mod words;

use super::source::OpenBackup;
use super::work::Hands;
use crate::postgres::ServerAddress;
use crate::postgres::inspect::error_text;
use crate::postgres::tools::{Ended, Invocation, ToolSet};
use pipes::PipeDirectory;
use provado_archive::{DirectoryLayout, FileKind, SelectedEntries};
use provado_model::{Error, Reason};
use serve::{Served, Server, Task};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use words::{Message, Words};

/// What to load and where to.
pub(super) struct LoadOrder {
    pub(super) backup: OpenBackup,
    pub(super) selected: SelectedEntries,
    pub(super) address: ServerAddress,
    pub(super) database: String,
    pub(super) tools: ToolSet,
    pub(super) jobs_count: u32,
    /// Further options of `pg_restore`, each one of a fixed list.
    pub(super) options: Vec<&'static str>,
    /// Below which the directory of pipes is made.
    pub(super) spool: PathBuf,
    /// Part of the directory's name.
    pub(super) attempt: String,
}

/// What was loaded.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) ended: Ended,
    /// Messages of `pg_restore`, in order.
    pub(super) messages: Vec<Message>,
    pub(super) served: Served,
}

/// Loads. Fails when nothing can be said of the result; errors that `pg_restore` went on after
/// are in the messages. Blocks the thread.
pub(super) fn load(order: LoadOrder, hands: &Hands) -> Result<Loaded, Error> {
    let lists = order.backup.large_object_lists();
    let layout = DirectoryLayout::from_toc(&order.backup.toc, &lists)
        .map_err(|error| Error::new(Reason::CheckFoundDamage, error.to_string()))?;
    let wanted: BTreeSet<_> = order.selected.dump_ids.iter().copied().collect();
    let directory = PipeDirectory::create(&order.spool, &order.attempt)?;
    directory.file("toc.dat", &layout.toc_dat)?;
    directory.file("list", order.selected.list_file().as_bytes())?;
    let tasks = tasks(&order, &layout, &wanted, &directory)?;

    let words = Arc::new(Mutex::new(Words::default()));
    let invocation = invocation(&order, hands, &directory, Arc::clone(&words));
    let child = hands
        .spawn(invocation)
        .map_err(|error| Error::new(Reason::ToolFailed, error_text(&error)))?;
    let killer = child.killer();
    let jobs = usize::try_from(order.jobs_count.max(1)).unwrap_or(1);
    let server = Server::start(order.backup.reader.clone(), tasks, jobs, killer, hands)?;
    let ended = child.wait();
    let served = server.finish();
    drop(directory);
    let words = std::mem::take(&mut *words.lock().unwrap_or_else(PoisonError::into_inner));
    let served = served?;
    if ended.killed || !matches!(ended.exit, crate::postgres::tools::Exit::Code(0 | 1)) {
        return Err(Error::new(Reason::ToolFailed, ended.describe()));
    }
    Ok(Loaded {
        messages: words.finish(),
        ended,
        served,
    })
}

/// Files for the small things, pipes for the data; only of what was selected.
fn tasks(
    order: &LoadOrder,
    layout: &DirectoryLayout,
    wanted: &BTreeSet<provado_archive::DumpId>,
    directory: &PipeDirectory,
) -> Result<Vec<Task>, Error> {
    let data = order.backup.data_entries();
    let large_objects = order.backup.large_objects();
    let mut out = Vec::new();
    let mut list_wanted = false;
    for file in &layout.files {
        let found = match &file.kind {
            FileKind::Table { dump_id } if wanted.contains(dump_id) => data.get(dump_id),
            FileKind::LargeObjectList { dump_id, contents } => {
                // From archive version 1.15 down all lists share one file name; only one of
                // them is ever there.
                list_wanted = wanted.contains(dump_id);
                if list_wanted {
                    directory.file(&file.name, contents)?;
                }
                continue;
            }
            FileKind::LargeObject { oid } if list_wanted => large_objects.get(oid),
            FileKind::Table { .. } | FileKind::LargeObject { .. } => continue,
        };
        let Some((index, entry)) = found else {
            return Err(Error::new(
                Reason::CheckFoundDamage,
                format!("the backup has no data for {} of its archive", file.name),
            ));
        };
        out.push(Task {
            path: directory.pipe(&file.name)?,
            entry: *index,
            name: entry.head.entry_name.clone(),
            row_count: entry.tail.row_count,
            is_table: matches!(file.kind, FileKind::Table { .. }),
        });
    }
    Ok(out)
}

fn invocation(
    order: &LoadOrder,
    hands: &Hands,
    directory: &PipeDirectory,
    words: Arc<Mutex<Words>>,
) -> Invocation {
    let name = &hands.application_name;
    let environment = order.address.child_environment(&order.database, name, &[]);
    let mut invocation = Invocation::new(order.tools.program("pg_restore"))
        .argument("--format=directory")
        .argument(format!("--jobs={}", order.jobs_count.max(1)))
        .argument("--no-password")
        .argument(format!("--dbname={}", connection_string(&order.database)))
        .argument("--use-list")
        .argument(directory.path().join("list"))
        .environment(environment);
    for option in &order.options {
        invocation = invocation.argument(*option);
    }
    invocation = invocation.argument(directory.path());
    invocation.sink = Some(Box::new(move |line| {
        words
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .line(line);
    }));
    invocation
}

/// `pg_restore` connects only when told by `--dbname`, which takes a connection string: the name
/// is escaped in one, so that it stays a name (RELIABILITY 4.8).
fn connection_string(database: &str) -> String {
    let mut out = String::from("dbname='");
    for c in database.chars() {
        if c == '\'' || c == '\\' {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_connection_string_stays_a_name() {
        for (name, expected) in [
            ("plain", "dbname='plain'"),
            ("host=evil port=1", "dbname='host=evil port=1'"),
            ("it's \\ x", "dbname='it\\'s \\\\ x'"),
        ] {
            assert_eq!(connection_string(name), expected);
        }
    }
}
