//! `pg_dump` into the repository: the blocking part of a backup, on a thread of its own.

use super::sink::{Counts, EntrySink};
use super::whole::Expected;
use crate::jobs::work::Hands;
use crate::postgres::inspect::error_text;
use crate::postgres::inventory::apply_sequence_values;
use crate::postgres::tools::{Ended, Invocation};
use provado_archive::parser::PROBE_BYTES;
use provado_archive::{ArchiveParser, Limits, ParseError, Probe, SegmentMode, Toc, probe};
use provado_model::{Error, Reason};
use provado_proto::common::v1::Phase;
use provado_proto::repository::v1::Inventory;
use provado_repository::Repository;
use provado_repository::inventory::to_sections;
use provado_repository::manifest::{EntryHead, EntryKind};
use provado_repository::writer::{ManifestTail, WriterOptions, WrittenBackup};
use std::fs::File;
use std::io::Read as _;

/// Bytes read from the pipe at a time.
const READ_BYTES: usize = 1024 * 1024;

/// What to dump and where to.
pub(super) struct Order {
    pub(super) writer: WriterOptions,
    pub(super) repository: Repository,
    pub(super) invocation: Invocation,
    /// What the archive must hold.
    pub(super) expected: Expected,
    pub(super) inventory: Inventory,
    /// Roles and settings as text.
    pub(super) globals: Option<Vec<u8>>,
    pub(super) warnings: Vec<String>,
}

/// What is known of the archive.
pub(super) struct Archive {
    pub(super) counts: Counts,
    pub(super) produced_bytes: u64,
    pub(super) parsed_bytes: u64,
    /// Such as `1.14`; `None` for one that was not understood.
    pub(super) version: Option<String>,
}

/// A backup that exists, and how it came about.
pub(super) struct Dumped {
    pub(super) written: WrittenBackup,
    pub(super) archive: Archive,
    pub(super) ended: Ended,
    /// What the dump itself gave reason to tell, each a sentence.
    pub(super) warnings: Vec<String>,
}

/// Tells of tables whose rows a restore could not send, while there is still time to know it.
fn names_not_utf8(toc: &Toc) -> Option<String> {
    let tables = toc.entries.iter().filter(|entry| entry.is_table_data());
    let mut names = tables
        .filter(|entry| !entry.text_exact)
        .map(provado_archive::TocEntry::display_name);
    let first = names.next()?;
    Some(format!(
        "the database is not in UTF-8, and the names of {} tables or of their columns are not \
         ASCII, first {first}: the agent cannot restore or drill this backup yet, only stock \
         pg_restore can, by hand",
        names.count() + 1
    ))
}

/// Runs the dump to its end. The manifest is written last, after every check that is possible
/// here; on any error there is no backup.
pub(super) fn run(order: Order, hands: &Hands) -> Result<Dumped, Error> {
    let Order {
        mut writer,
        repository,
        invocation,
        expected,
        mut inventory,
        globals,
        mut warnings,
    } = order;
    let told_before = warnings.len();
    let mut child = hands
        .spawn(invocation)
        .map_err(|error| super::tool_error(&error))?;
    let Some(mut output) = child.take_output() else {
        return Err(Error::internal("pg_dump was started without a pipe"));
    };
    let mut start = vec![0; PROBE_BYTES];
    let got = read_full(&mut output, &mut start);
    start.truncate(got);
    let kind = probe(&start);
    writer.header.content_format = match kind {
        Probe::Known(version) => format!("pg_dump-directory-{}.{}", version.major, version.minor),
        _ => "pg_dump-opaque".to_owned(),
    };
    let seed = writer.header.fingerprint_seed;
    let opening = repository.backup_writer(writer);
    let writer = tokio::runtime::Handle::current().block_on(opening)?;
    let mut sink = EntrySink::new(writer, seed, hands.meter.clone());
    let streamed = match kind {
        Probe::Known(_) => parse(&start, &mut output, &mut sink),
        Probe::UnknownVersion { major, minor } => {
            warnings.push(format!(
                "pg_dump wrote archive version {major}.{minor}, which this agent does not know: \
                 the dump is stored whole, without rows and fingerprints; upgrade the agent"
            ));
            opaque(&start, &mut output, &mut sink)
        }
        Probe::NeedMore | Probe::NotAnArchive => Err(ParseError::NotAnArchive),
    };
    if streamed.as_ref().is_err_and(|error| !is_early_end(error)) {
        // It would go on writing what nobody takes.
        child.killer().kill();
    }
    drop(output);
    let ended = child.wait();
    let (archive, toc) = conclude(streamed, &ended, &mut sink)?;
    if let Some(toc) = &toc {
        warnings.extend(expected.check(toc)?);
        warnings.extend(names_not_utf8(toc));
        apply_sequence_values(&mut inventory.sequences, toc);
    }
    if let Some(text) = globals {
        store_globals(&text, &mut sink)?;
    }
    hands.meter.phase(Phase::Committing, None, None);
    let counts = sink.counts;
    let told = warnings.get(told_before..).unwrap_or_default().to_vec();
    let written = sink.into_writer().finish(ManifestTail {
        sections: to_sections(&inventory),
        warnings,
        end_lsn: String::new(),
    })?;
    Ok(Dumped {
        written,
        archive: Archive { counts, ..archive },
        ended,
        warnings: told,
    })
}

fn store_globals(text: &[u8], sink: &mut EntrySink) -> Result<(), Error> {
    let head = EntryHead {
        kind: EntryKind::Globals.into(),
        entry_name: "roles and settings".to_owned(),
        ..EntryHead::default()
    };
    sink.whole(head, text)
        .map_err(|_| sink_error(sink, "storing roles and settings"))
}

/// Reads until the buffer is full or the stream ends.
fn read_full(output: &mut File, buffer: &mut [u8]) -> usize {
    let mut got = 0;
    while let Some(rest) = buffer.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match output.read(rest) {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    got
}

/// Whether the stream simply ended too soon: then the child's own words tell why.
fn is_early_end(error: &ParseError) -> bool {
    matches!(
        error,
        ParseError::Truncated { .. } | ParseError::MissingData { .. } | ParseError::NotAnArchive
    )
}

type Streamed = Result<(Archive, Option<Toc>), ParseError>;

fn parse(start: &[u8], output: &mut File, sink: &mut EntrySink) -> Streamed {
    let mut parser = ArchiveParser::new(Limits::default());
    parser.feed(start, sink)?;
    let mut produced_bytes = start.len() as u64;
    each_block(output, |block| {
        produced_bytes += block.len() as u64;
        sink.alive();
        parser.feed(block, sink)
    })?;
    let summary = parser.finish(sink)?;
    let version = summary.toc.version;
    let archive = Archive {
        counts: sink.counts,
        produced_bytes,
        parsed_bytes: summary.byte_count,
        version: Some(format!("{}.{}", version.major, version.minor)),
    };
    Ok((archive, Some(summary.toc)))
}

fn opaque(start: &[u8], output: &mut File, sink: &mut EntrySink) -> Streamed {
    let head = EntryHead {
        kind: EntryKind::OpaqueArchive.into(),
        entry_name: "archive".to_owned(),
        archive_file_name: "archive.dump".to_owned(),
        ..EntryHead::default()
    };
    sink.begin(head, SegmentMode::Opaque)
        .map_err(ParseError::Sink)?;
    sink.push(start).map_err(ParseError::Sink)?;
    let mut produced_bytes = start.len() as u64;
    each_block(output, |block| {
        produced_bytes += block.len() as u64;
        sink.alive();
        sink.push(block).map_err(ParseError::Sink)
    })?;
    sink.end().map_err(ParseError::Sink)?;
    let archive = Archive {
        counts: sink.counts,
        produced_bytes,
        parsed_bytes: 0,
        version: None,
    };
    Ok((archive, None))
}

fn each_block(
    output: &mut File,
    mut take: impl FnMut(&[u8]) -> Result<(), ParseError>,
) -> Result<(), ParseError> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match output.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => take(buffer.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ParseError::Sink(error.into())),
        }
    }
}

/// Weighs what the stream, the child and the repository say; any doubt is a failure.
fn conclude(
    streamed: Streamed,
    ended: &Ended,
    sink: &mut EntrySink,
) -> Result<(Archive, Option<Toc>), Error> {
    if let Some(error) = sink.take_failure() {
        return Err(error.into());
    }
    let has_failed = !ended.succeeded() || ended.stderr.error_count + ended.stderr.fatal_count > 0;
    match streamed {
        // The child's own words say more than the hole it left in the stream.
        _ if has_failed && !ended.killed => Err(tool_failed(ended)),
        Err(error) => Err(Error::new(
            Reason::DumpIncomplete,
            format!(
                "what pg_dump wrote is not a whole archive: {}; {}",
                error_text(&error),
                ended.describe()
            ),
        )),
        Ok(_) if has_failed => Err(tool_failed(ended)),
        Ok(found) => Ok(found),
    }
}

fn tool_failed(ended: &Ended) -> Error {
    let text = ended.stderr.tail_text(100);
    let reason = if text.contains("lock timeout") {
        Reason::LockTimeout
    } else if text.contains("permission denied") {
        Reason::PostgresRights
    } else if text.contains("server version mismatch") {
        Reason::ToolTooOld
    } else {
        Reason::ToolFailed
    };
    Error::new(reason, ended.describe())
}

fn sink_error(sink: &mut EntrySink, doing: &str) -> Error {
    match sink.take_failure() {
        Some(error) => error.into(),
        None => Error::internal(format!("{doing} failed without a cause")),
    }
}
