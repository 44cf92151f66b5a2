//! Reads an archive from standard input, or from the file named first, and tells what it found
//! and how fast: `pg_dump -Fc -Z0 ... | cargo run --release -p provado-archive --example scan`.
#![expect(
    clippy::print_stdout,
    reason = "the figures are what the program is for"
)]
#![expect(clippy::disallowed_methods, reason = "a measurement needs the clock")]

use std::error::Error;
use std::io::Read;
use std::time::{Duration, Instant};

use provado_archive::{
    ArchiveParser, CutPolicy, DumpId, EntryDigest, Limits, SegmentMode, Segmenter, Sink, SinkError,
    Toc,
};

/// Counts what the segmenter yields.
struct Scan {
    toc: Option<Toc>,
    segmenter: Segmenter,
    spare: Option<Vec<u8>>,
    segment_count: u64,
    segment_bytes: u64,
    row_count: u64,
}

impl Scan {
    fn end(&mut self) -> Result<(), SinkError> {
        let (count, bytes, spare) = (
            &mut self.segment_count,
            &mut self.segment_bytes,
            &mut self.spare,
        );
        let digest = self.segmenter.finish(|segment| {
            *count += 1;
            *bytes += segment.len() as u64;
            *spare = Some(segment);
            Ok(())
        })?;
        if let EntryDigest::Rows(digest) = digest {
            self.row_count += digest.row_count;
        }
        Ok(())
    }
}

impl Sink for Scan {
    fn toc(&mut self, archive: &Toc) -> Result<(), SinkError> {
        self.toc = Some(archive.clone());
        Ok(())
    }

    fn entry_start(&mut self, dump_id: DumpId) -> Result<(), SinkError> {
        let entry = self.toc.as_ref().and_then(|toc| toc.entry(dump_id));
        let rows = entry.is_some_and(|entry| entry.copy_stmt.is_some());
        self.segmenter.begin(if rows {
            SegmentMode::Rows
        } else {
            SegmentMode::Opaque
        });
        Ok(())
    }

    fn data(&mut self, payload: &[u8]) -> Result<(), SinkError> {
        if let Some(buffer) = self.spare.take() {
            self.segmenter.recycle(buffer);
        }
        let (count, bytes, spare) = (
            &mut self.segment_count,
            &mut self.segment_bytes,
            &mut self.spare,
        );
        self.segmenter.push(payload, |segment| {
            *count += 1;
            *bytes += segment.len() as u64;
            *spare = Some(segment);
            Ok(())
        })?;
        Ok(())
    }

    fn entry_end(&mut self, dump_id: DumpId) -> Result<(), SinkError> {
        let entry = self.toc.as_ref().and_then(|toc| toc.entry(dump_id));
        if entry.is_some_and(provado_archive::TocEntry::is_large_objects) {
            return Ok(());
        }
        self.end()
    }

    fn large_object_start(&mut self, _oid: u32) -> Result<(), SinkError> {
        self.segmenter.begin(SegmentMode::Opaque);
        Ok(())
    }

    fn large_object_end(&mut self, _oid: u32) -> Result<(), SinkError> {
        self.end()
    }
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut input: Box<dyn Read> = match std::env::args_os().nth(1) {
        Some(path) => Box::new(std::fs::File::open(path)?),
        None => Box::new(std::io::stdin().lock()),
    };
    let mut scan = Scan {
        toc: None,
        segmenter: Segmenter::new(42, CutPolicy::default()),
        spare: None,
        segment_count: 0,
        segment_bytes: 0,
        row_count: 0,
    };
    let mut parser = ArchiveParser::new(Limits::default());
    let mut buffer = vec![0; 1 << 18];
    let mut busy = Duration::ZERO;
    loop {
        let count = input.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        let start = Instant::now();
        parser.feed(&buffer[..count], &mut scan)?;
        busy += start.elapsed();
    }
    let summary = parser.finish(&mut scan)?;
    let rate = u128::from(summary.byte_count) / busy.as_micros().max(1);
    println!(
        "version {}, {} entries, {} with data, {} large objects, {} rows",
        summary.toc.version,
        summary.toc.entries.len(),
        summary.data_entry_count,
        summary.large_object_count,
        scan.row_count,
    );
    println!(
        "{} bytes, {} of payload in {} segments, {:.3} s, {rate} MB/s",
        summary.byte_count,
        scan.segment_bytes,
        scan.segment_count,
        busy.as_secs_f64(),
    );
    Ok(())
}
