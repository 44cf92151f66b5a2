//! `<backup>.listing`: the place of every segment as lines of text, so that a table can be
//! recovered with stock `age`, `zstd`, `awk` and `dd` when nothing of Provado is at hand.

use super::{EntryHead, SealedWriter, SegmentPlace};
use crate::error::Result;
use crate::keys::Recipient;
use crate::spool::{Spool, SpoolPlace};
use provado_model::id::PackId;
use std::fmt::Write as _;

/// Columns: entry's number, dump id, file in a directory archive (or `-`), pack, offset, stored
/// bytes, plain bytes, entry's name; separated by tabs. First line of every listing.
const TITLE: &str =
    "#entry\tdump_id\tarchive_file\tpack\toffset_bytes\tstored_bytes\tplain_bytes\tname\n";

/// Writes the listing while segments are placed.
pub(crate) struct ListingWriter {
    out: SealedWriter,
    line: String,
    prefix: String,
    name: String,
}

impl ListingWriter {
    pub(crate) fn new(place: SpoolPlace, recipients: &[Recipient]) -> Result<Self> {
        let mut out = SealedWriter::new(place, recipients, "writing the listing")?;
        out.write(TITLE.as_bytes())?;
        Ok(Self {
            out,
            line: String::new(),
            prefix: String::new(),
            name: String::new(),
        })
    }

    pub(crate) fn entry(&mut self, head: &EntryHead) {
        let file = match escape(&head.archive_file_name) {
            empty if empty.is_empty() => "-".to_owned(),
            file => file,
        };
        self.name = escape(&head.entry_name);
        self.prefix = format!("{}\t{}\t{file}\t", head.entry_index, head.dump_id);
    }

    /// A line for an entry that has no segment, so that its empty file is not forgotten.
    pub(crate) fn empty_entry(&mut self) -> Result<()> {
        self.line.clear();
        self.line.push_str(&self.prefix);
        self.line.push_str("-\t0\t0\t0\t");
        self.end_line()
    }

    pub(crate) fn segment(&mut self, pack: PackId, place: &SegmentPlace) -> Result<()> {
        self.line.clear();
        self.line.push_str(&self.prefix);
        // Writing to a String cannot fail.
        let _ = write!(
            self.line,
            "{pack}\t{}\t{}\t{}\t",
            place.offset_bytes, place.stored_bytes, place.plain_bytes
        );
        self.end_line()
    }

    fn end_line(&mut self) -> Result<()> {
        self.line.push_str(&self.name);
        self.line.push('\n');
        self.out.write(self.line.as_bytes())
    }

    pub(crate) fn finish(self) -> Result<Spool> {
        self.out.finish()
    }
}

/// Names may hold anything: backslash, tab, newline and carriage return are written as in C.
fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn a_name_stays_on_one_line_and_in_one_column() {
        assert_eq!(escape("public.a\tb\n\\ \r é"), "public.a\\tb\\n\\\\ \\r é");
    }
}
