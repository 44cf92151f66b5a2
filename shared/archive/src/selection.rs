//! Which entries of an archive a restore takes: all, or schema only, or data only, or some tables
//! with what they need. Pure decisions on the table of contents; the answer is a list file for
//! `pg_restore -L`. It never renames and never reorders.

mod closure;
mod pattern;

use std::collections::HashSet;
use std::fmt::Write;

use crate::toc::{DumpId, Section, Toc, TocEntry};

pub use pattern::{Pattern, PatternError};

/// Definitions, data, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Content {
    /// Both.
    #[default]
    All,
    /// Definitions only, as `pg_restore --schema-only`.
    SchemaOnly,
    /// Table data, sequence values and large objects only, as `pg_restore --data-only`.
    DataOnly,
}

/// What a restore shall take.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Definitions, data, or both.
    pub content: Content,
    /// The relations; empty for the whole archive. See [`Pattern`].
    pub tables: Vec<Pattern>,
}

/// Why a selection has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// Patterns that no relation of the archive matches.
    #[error(
        "no table, view or sequence of the backup matches {}; \
         names are case-folded unless quoted, as in \"Schema\".\"Table\"",
        patterns.join(", ")
    )]
    NothingMatches {
        /// Each such pattern as it was given.
        patterns: Vec<String>,
    },
}

/// The entries that a restore takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedEntries {
    /// Their ids, in the order of the archive.
    pub dump_ids: Vec<DumpId>,
    /// What belongs to a selected table but cannot be restored without others.
    pub left_out: Vec<LeftOut>,
}

/// Something that belongs to a selected table but is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The entry.
    pub dump_id: DumpId,
    /// Its kind, such as `FK CONSTRAINT`.
    pub desc: String,
    /// Its name with the schema.
    pub name: String,
    /// The relations it needs that are not selected.
    pub needs: Vec<String>,
}

impl Selection {
    /// The entries of this archive that the selection takes.
    ///
    /// Selected tables come with their data, defaults, constraints, indexes, triggers, rules,
    /// policies, statistics, comments, ACLs, partitions, the sequences they own or draw from, and
    /// the definitions all of that needs (schemas, types, functions, extensions, inheritance
    /// parents). Selected views come with the tables they read. A foreign key is taken if the
    /// table it refers to is. Large objects belong to no table and are taken only with the whole.
    ///
    /// Fails if a pattern matches nothing; the error names every such pattern.
    pub fn resolve(&self, toc: &Toc) -> Result<SelectedEntries, SelectionError> {
        let (taken, left_out) = if self.tables.is_empty() {
            (None, Vec::new())
        } else {
            let (taken, left_out) = closure::close(toc, &self.matches(toc)?);
            (Some(taken), left_out)
        };
        let in_closure = |id: DumpId| taken.as_ref().is_none_or(|taken| taken.contains(&id));
        let entries = toc.entries.iter().filter(|entry| in_closure(entry.dump_id));
        let entries = entries.filter(|entry| self.content.takes(entry));
        let dump_ids = entries.map(|entry| entry.dump_id).collect();
        let left_out = if self.content == Content::DataOnly {
            Vec::new()
        } else {
            left_out
        };
        Ok(SelectedEntries { dump_ids, left_out })
    }

    /// Indexes of the relations that the patterns match.
    fn matches(&self, toc: &Toc) -> Result<HashSet<usize>, SelectionError> {
        let relations = || {
            toc.entries
                .iter()
                .enumerate()
                .filter(|(_, e)| is_relation(e))
        };
        let mut found = HashSet::new();
        let mut patterns = Vec::new();
        for pattern in &self.tables {
            let fits = |e: &TocEntry| pattern.matches(e.namespace.as_deref(), &e.tag);
            let matching: Vec<usize> = relations()
                .filter(|(_, e)| fits(e))
                .map(|(index, _)| index)
                .collect();
            if matching.is_empty() {
                patterns.push(pattern.to_string());
            }
            found.extend(matching);
        }
        if patterns.is_empty() {
            return Ok(found);
        }
        Err(SelectionError::NothingMatches { patterns })
    }
}

impl SelectedEntries {
    /// The list file for `pg_restore -L`: a line `<dump id>;` for each entry. pg_restore takes the
    /// number and ignores what follows the semicolon; settings that every restore needs
    /// (`ENCODING` and the like) it takes even when they are not listed.
    pub fn list_file(&self) -> String {
        let mut text = String::with_capacity(self.dump_ids.len() * 8);
        for dump_id in &self.dump_ids {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{dump_id};");
        }
        text
    }
}

impl Content {
    /// Whether an entry counts as definition or as data, as pg_restore draws the line
    /// (`_tocEntryRequired` in pg_backup_archiver.c), but for one thing: materialized views are
    /// refreshed with the data too, where pg_restore would leave them as they were. Planner
    /// statistics are neither.
    fn takes(self, entry: &TocEntry) -> bool {
        match self {
            Self::All => true,
            _ if is_setting(entry) => true,
            _ if entry.desc == "MATERIALIZED VIEW DATA" => true,
            _ if entry.desc == "STATISTICS DATA" => false,
            Self::SchemaOnly => !is_data(entry),
            Self::DataOnly => is_data(entry),
        }
    }
}

fn is_setting(entry: &TocEntry) -> bool {
    matches!(
        entry.desc.as_str(),
        "ENCODING" | "STDSTRINGS" | "SEARCHPATH"
    )
}

fn is_data(entry: &TocEntry) -> bool {
    match entry.desc.as_str() {
        "BLOB" | "BLOB METADATA" => true,
        "COMMENT" | "ACL" | "SECURITY LABEL" => entry.tag.starts_with("LARGE OBJECT"),
        _ => entry.section == Section::Data,
    }
}

/// What a table pattern can match, as for `pg_dump --table`.
fn is_relation(entry: &TocEntry) -> bool {
    let desc = entry.desc.as_str();
    matches!(
        desc,
        "TABLE" | "FOREIGN TABLE" | "VIEW" | "MATERIALIZED VIEW" | "SEQUENCE"
    )
}
