//! Which large objects an archive declares, against which it holds.

use std::collections::HashSet;

use crate::toc::Toc;

/// Large objects that the table of contents declares and whose contents are still to come.
///
/// Before archive version 1.16 each has a `BLOB` entry; from then on `BLOB METADATA` entries list
/// OIDs, one a line (`dumpLO` in pg_dump.c). An archive that declares none, as one made with
/// options that leave definitions out, is not checked.
#[derive(Debug, Default)]
pub(super) struct LargeObjects {
    declared: Option<HashSet<u32>>,
}

impl LargeObjects {
    pub(super) fn new(toc: &Toc) -> Self {
        let mut declared = HashSet::new();
        for entry in &toc.entries {
            match entry.desc.as_str() {
                "BLOB" => declared.extend((entry.oid != 0).then_some(entry.oid)),
                "BLOB METADATA" => {
                    declared.extend(
                        entry
                            .defn
                            .lines()
                            .filter_map(|line| line.parse::<u32>().ok()),
                    );
                }
                _ => (),
            }
        }
        let has_contents = toc
            .entries
            .iter()
            .any(|e| e.is_large_objects() && e.had_dumper);
        Self {
            declared: (has_contents && !declared.is_empty()).then_some(declared),
        }
    }

    /// Whether the contents of this large object may come now: it was declared, and not had yet.
    pub(super) fn take(&mut self, oid: u32) -> bool {
        self.declared
            .as_mut()
            .is_none_or(|declared| declared.remove(&oid))
    }

    /// Those that were declared and never came, by name, in rising order.
    pub(super) fn missing(self) -> impl Iterator<Item = String> {
        let mut missing: Vec<u32> = self.declared.unwrap_or_default().into_iter().collect();
        missing.sort_unstable();
        missing.into_iter().map(|oid| format!("large object {oid}"))
    }
}
