//! Brings a backup into an existing empty database, in three steps: stock `pg_restore` makes what
//! must be there before data, the agent itself sends the rows by COPY over parallel connections,
//! and `pg_restore -j` makes indexes, constraints and the rest (decision 0012).
//!
//! Nothing of the data touches a disk on the way. What a step could not do is a message with a
//! class; only what leaves nothing to be said of the result is an error.

mod data;
mod directory;
pub(super) mod ground;
mod watch;
pub(super) mod words;

use super::source::OpenBackup;
use super::work::Hands;
use crate::postgres::ServerAddress;
use crate::postgres::inspect::error_text;
use crate::postgres::sql::Statement;
use crate::postgres::tools::{Ended, Exit, Invocation, ToolSet};
use data::{Content, Served, Target, Task};
use directory::ArchiveDirectory;
use provado_archive::{DirectoryLayout, DumpId, Section, SelectedEntries, TocEntry};
use provado_model::{Error, Reason};
use provado_repository::Cancel;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
pub(super) use watch::WorkWatch;
use words::{Message, Words};

/// Large objects that one transaction loads.
const LARGE_OBJECTS_PER_TASK: usize = 500;

/// What to load and where to.
pub(super) struct LoadOrder {
    pub(super) backup: OpenBackup,
    pub(super) selected: SelectedEntries,
    /// Versions of extensions that are not the server's default.
    pub(super) versions: HashMap<DumpId, String>,
    pub(super) address: ServerAddress,
    pub(super) database: String,
    pub(super) tools: ToolSet,
    pub(super) jobs_count: u32,
    /// Further options of `pg_restore`, each one of a fixed list.
    pub(super) options: Vec<&'static str>,
    /// Below which the directory for `pg_restore` is made.
    pub(super) spool: PathBuf,
    /// Part of the directory's name.
    pub(super) attempt: String,
    /// Ends the work early.
    pub(super) cancel: Cancel,
}

/// What was loaded.
#[derive(Debug)]
pub(super) struct Loaded {
    /// How each `pg_restore` ended.
    pub(super) ended: Vec<Ended>,
    /// Messages of all steps, in order.
    pub(super) messages: Vec<Message>,
    pub(super) served: Served,
}

/// The selected entries by the step that restores them.
#[derive(Debug, Default)]
struct Steps {
    before: Vec<DumpId>,
    data: Vec<DumpId>,
    after: Vec<DumpId>,
}

/// Loads. Fails when nothing can be said of the result; errors that a step went on after are in
/// the messages. Blocks the thread, which must be inside a runtime.
pub(super) fn load(order: &LoadOrder, hands: &Hands) -> Result<Loaded, Error> {
    let layout = DirectoryLayout::with_versions(&order.backup.toc, &order.versions)
        .map_err(|error| Error::new(Reason::CheckFoundDamage, error.to_string()))?;
    let steps = steps(order);
    let directory = ArchiveDirectory::create(&order.spool, &order.attempt)?;
    directory.file("toc.dat", &layout.toc_dat)?;
    let jobs = usize::try_from(order.jobs_count.max(1)).unwrap_or(1);
    let mut loaded = Loaded {
        ended: Vec::new(),
        messages: Vec::new(),
        served: Served::default(),
    };
    let list = directory.file("before.list", &list_text(&steps.before))?;
    definitions(order, hands, directory.path(), &list, 1, &mut loaded)?;
    let tasks = tasks(order, &steps)?;
    let target = Target {
        address: order.address.clone(),
        database: order.database.clone(),
        application_name: hands.application_name.clone(),
    };
    let reader = order.backup.reader.clone();
    let (served, refused) = data::load(reader, target, tasks, jobs, hands, &order.cancel)?;
    loaded.served = served;
    loaded.messages.extend(refused);
    let list = directory.file("after.list", &list_text(&steps.after))?;
    definitions(order, hands, directory.path(), &list, jobs, &mut loaded)?;
    Ok(loaded)
}

/// Which step restores which entry. Comments and privileges go last: they may be on anything.
fn steps(order: &LoadOrder) -> Steps {
    let wanted: BTreeSet<DumpId> = order.selected.dump_ids.iter().copied().collect();
    let mut steps = Steps::default();
    for entry in order
        .backup
        .toc
        .entries
        .iter()
        .filter(|e| wanted.contains(&e.dump_id))
    {
        let step = match entry.section {
            Section::PreData => &mut steps.before,
            // These make large objects, which must be there before their contents.
            Section::Data if entry.desc.starts_with("BLOB") && !entry.is_large_objects() => {
                &mut steps.before
            }
            Section::Data if is_content(entry) => &mut steps.data,
            Section::Data | Section::PostData | Section::None => &mut steps.after,
        };
        step.push(entry.dump_id);
    }
    steps
}

/// Whether the entry's data is in the backup as an entry of its own.
fn is_content(entry: &TocEntry) -> bool {
    entry.had_dumper && (entry.is_table_data() || entry.is_large_objects())
}

fn list_text(dump_ids: &[DumpId]) -> Vec<u8> {
    let mut out = Vec::with_capacity(dump_ids.len() * 8);
    for id in dump_ids {
        out.extend_from_slice(id.to_string().as_bytes());
        out.extend_from_slice(b";\n");
    }
    out
}

fn tasks(order: &LoadOrder, steps: &Steps) -> Result<Vec<Task>, Error> {
    let toc = &order.backup.toc;
    let made: BTreeSet<DumpId> = steps.before.iter().copied().collect();
    let mut out = Vec::new();
    let data = order.backup.data_entries();
    for id in &steps.data {
        let Some(entry) = toc.entry(*id) else {
            continue;
        };
        if entry.is_large_objects() {
            continue;
        }
        let (index, stored) = data.get(id).ok_or_else(|| missing(entry))?;
        let target = entry.copy_target().ok_or_else(|| no_target(entry))?;
        let columns = target
            .columns
            .as_ref()
            .map(|c| format!(" ({c})"))
            .unwrap_or_default();
        let encoding = order.backup.encoding().replace('\'', "''");
        // What this restore has made is empty; saying so in the transaction of its rows spares the
        // server their WAL where wal_level is minimal. An extension's own table is left alone.
        let is_made = entry
            .dependencies
            .iter()
            .any(|id| made.contains(id) && toc.entry(*id).is_some_and(|made| made.desc == "TABLE"));
        let before = is_made.then(|| Statement::new("TRUNCATE TABLE ONLY ").relation(&target));
        out.push(Task {
            name: format!("table {}", entry.display_name()),
            size_bytes: stored.tail.byte_count,
            content: Content::Rows {
                before,
                copy: format!(
                    "COPY {}{columns} FROM STDIN WITH (ENCODING '{encoding}')",
                    target.relation
                ),
                entry: *index,
                row_count: stored.tail.row_count,
            },
        });
    }
    if steps
        .data
        .iter()
        .any(|id| toc.entry(*id).is_some_and(TocEntry::is_large_objects))
    {
        let objects: Vec<_> = order.backup.large_objects().into_iter().collect();
        for (number, group) in objects.chunks(LARGE_OBJECTS_PER_TASK).enumerate() {
            out.push(Task {
                name: format!("large objects, group {}", number + 1),
                size_bytes: group
                    .iter()
                    .map(|(_, (_, entry))| entry.tail.byte_count)
                    .sum(),
                content: Content::LargeObjects(
                    group
                        .iter()
                        .map(|(oid, (index, _))| (*oid, *index))
                        .collect(),
                ),
            });
        }
    }
    Ok(out)
}

/// Why a table's rows cannot be sent. A name that is not UTF-8 is no damage.
fn no_target(entry: &TocEntry) -> Error {
    let name = entry.display_name();
    if entry.text_exact {
        let text = format!("the rows of {name} come with no COPY statement");
        return Error::new(Reason::CheckFoundDamage, text);
    }
    Error::new(
        Reason::Unimplemented,
        format!(
            "the database is not in UTF-8 and the name of table {name}, or of one of its columns, \
             is not ASCII: the agent cannot send its rows yet; restore the database by hand as \
             docs/repository-format.md tells"
        ),
    )
}

fn missing(entry: &TocEntry) -> Error {
    Error::new(
        Reason::CheckFoundDamage,
        format!(
            "the backup has no data for {} of its archive",
            entry.display_name()
        ),
    )
}

/// Runs `pg_restore` over the entries of a list.
fn definitions(
    order: &LoadOrder,
    hands: &Hands,
    directory: &Path,
    list: &Path,
    jobs: usize,
    loaded: &mut Loaded,
) -> Result<(), Error> {
    let words = Arc::new(Mutex::new(Words::default()));
    let invocation = invocation(order, hands, directory, list, jobs, Arc::clone(&words));
    let child = hands
        .spawn(invocation)
        .map_err(|error| Error::new(Reason::ToolFailed, error_text(&error)))?;
    let ended = child.wait();
    if ended.killed || !matches!(ended.exit, Exit::Code(0 | 1)) {
        return Err(Error::new(Reason::ToolFailed, ended.describe()));
    }
    let words = std::mem::take(&mut *words.lock().unwrap_or_else(PoisonError::into_inner));
    let messages = words.finish();
    // It gave up before it had done its list: that says nothing of the backup.
    if let Some(fatal) = messages
        .iter()
        .find(|message| message.class == words::Class::Fatal)
    {
        return Err(Error::new(
            Reason::ToolFailed,
            format!("pg_restore gave up: {}", fatal.text),
        ));
    }
    loaded.messages.extend(messages);
    loaded.ended.push(ended);
    Ok(())
}

fn invocation(
    order: &LoadOrder,
    hands: &Hands,
    directory: &Path,
    list: &Path,
    jobs: usize,
    words: Arc<Mutex<Words>>,
) -> Invocation {
    let name = &hands.application_name;
    let environment = order.address.child_environment(&order.database, name, &[]);
    let mut invocation = Invocation::new(order.tools.program("pg_restore"))
        .argument("--format=directory")
        .argument(format!("--jobs={jobs}"))
        .argument("--no-password")
        .argument(format!("--dbname={}", connection_string(&order.database)))
        .argument("--use-list")
        .argument(list)
        .environment(environment);
    for option in &order.options {
        invocation = invocation.argument(*option);
    }
    invocation = invocation.argument(directory);
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
