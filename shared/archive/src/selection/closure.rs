//! From the relations a pattern matched to every entry a restore of them takes.
//!
//! pg_dump records for each entry what must exist before it. That says what a table *needs*; what
//! *belongs* to it follows from the entry's kind and name. Dependencies alone would drag every
//! other table that shares a trigger function along.

use std::collections::{HashMap, HashSet};

use crate::selection::{LeftOut, is_relation};
use crate::toc::{DumpId, Toc, TocEntry};

/// How much of an entry is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Out,
    /// A relation's bare definition, so that others can refer to it; any other entry as it is.
    Definition,
    /// With everything that belongs to it.
    Whole,
}

struct Closure<'a> {
    entries: &'a [TocEntry],
    index: HashMap<DumpId, usize>,
    /// Entries that depend on an id.
    dependents: HashMap<DumpId, Vec<usize>>,
    schemas: HashMap<&'a str, usize>,
    /// Partition and the table it is attached to.
    attached: HashSet<(DumpId, DumpId)>,
    grades: Vec<Grade>,
    queue: Vec<usize>,
}

/// The ids of all entries that go with the relations at these indexes, and what stays behind.
pub(super) fn close(toc: &Toc, selected: &HashSet<usize>) -> (HashSet<DumpId>, Vec<LeftOut>) {
    let mut closure = Closure::new(&toc.entries);
    for index in selected {
        closure.take(*index, Grade::Whole);
    }
    closure.settle();
    let left_out = closure.link();
    closure.settle();
    let taken = |index: &usize| closure.grades.get(*index) > Some(&Grade::Out);
    let taken = closure
        .index
        .iter()
        .filter(|(_, index)| taken(index))
        .map(|(id, _)| *id);
    (taken.collect(), left_out)
}

impl<'a> Closure<'a> {
    fn new(entries: &'a [TocEntry]) -> Self {
        let mut closure = Self {
            entries,
            index: HashMap::with_capacity(entries.len()),
            dependents: HashMap::new(),
            schemas: HashMap::new(),
            attached: HashSet::new(),
            grades: vec![Grade::Out; entries.len()],
            queue: Vec::new(),
        };
        for (index, entry) in entries.iter().enumerate() {
            closure.index.insert(entry.dump_id, index);
            for dependency in &entry.dependencies {
                closure
                    .dependents
                    .entry(*dependency)
                    .or_default()
                    .push(index);
            }
            if entry.desc == "SCHEMA" {
                closure.schemas.insert(entry.tag.as_str(), index);
            }
        }
        for entry in entries.iter().filter(|entry| entry.desc == "TABLE ATTACH") {
            let tables = || entry.dependencies.iter().filter_map(|id| closure.get(*id));
            let is_child = |table: &&TocEntry| same_name(entry, table);
            let Some(child) = tables().find(is_child) else {
                continue;
            };
            let parents = tables().filter(|table| table.dump_id != child.dump_id);
            let pairs: Vec<_> = parents
                .map(|parent| (child.dump_id, parent.dump_id))
                .collect();
            closure.attached.extend(pairs);
        }
        closure
    }

    fn get(&self, id: DumpId) -> Option<&'a TocEntry> {
        self.index
            .get(&id)
            .and_then(|index| self.entries.get(*index))
    }

    fn grade(&self, id: DumpId) -> Grade {
        let grade = self
            .index
            .get(&id)
            .and_then(|index| self.grades.get(*index));
        grade.copied().unwrap_or(Grade::Out)
    }

    fn take(&mut self, index: usize, grade: Grade) {
        if let Some(current) = self.grades.get_mut(index)
            && *current < grade
        {
            *current = grade;
            self.queue.push(index);
        }
    }

    /// Follows what is needed and what belongs until nothing is added.
    fn settle(&mut self) {
        while let Some(index) = self.queue.pop() {
            let Some(entry) = self.entries.get(index) else {
                continue;
            };
            let schema = entry
                .namespace
                .as_deref()
                .and_then(|name| self.schemas.get(name));
            if let Some(schema) = schema.copied() {
                self.take(schema, Grade::Definition);
            }
            for dependency in needs(entry) {
                if let Some((needed, grade)) = self.needed(entry, *dependency) {
                    self.take(needed, grade);
                }
            }
            let grade = self.grade(entry.dump_id);
            for part in self
                .dependents
                .get(&entry.dump_id)
                .cloned()
                .unwrap_or_default()
            {
                if let Some(grade) = self.part_grade(part, entry, grade) {
                    self.take(part, grade);
                }
            }
        }
    }

    /// Whether and how `entry` needs this dependency to exist.
    fn needed(&self, entry: &TocEntry, dependency: DumpId) -> Option<(usize, Grade)> {
        let index = *self.index.get(&dependency)?;
        let needed = self.entries.get(index)?;
        // A partition is created apart from its table and attached later; so are their indexes.
        if self.attached.contains(&(entry.dump_id, dependency))
            || is_index(entry) && is_index(needed)
            || needed.had_dumper
            || needed.desc == "DATABASE"
        {
            return None;
        }
        // A view without the rows it reads, or a default whose sequence starts again, would
        // restore without an error and be wrong.
        let is_view = matches!(entry.desc.as_str(), "VIEW" | "MATERIALIZED VIEW");
        let whole = is_relation(needed) && (is_view || needed.desc == "SEQUENCE");
        Some((
            index,
            if whole {
                Grade::Whole
            } else {
                Grade::Definition
            },
        ))
    }

    /// How the entry at `part` is taken because `owner` is; None if it does not belong to it.
    fn part_grade(&self, part: usize, owner: &TocEntry, grade: Grade) -> Option<Grade> {
        let part = self.entries.get(part)?;
        let whole = grade == Grade::Whole;
        let belongs = match part.desc.as_str() {
            "COMMENT" | "ACL" | "SECURITY LABEL" => true,
            "STATISTICS DATA" => whole || !is_relation(owner),
            "INDEX" | "STATISTICS" => whole && is_relation(owner),
            "TABLE DATA"
            | "SEQUENCE SET"
            | "SEQUENCE OWNED BY"
            | "MATERIALIZED VIEW DATA"
            | "ROW SECURITY" => whole && same_name(part, owner),
            "DEFAULT" | "CONSTRAINT" | "CHECK CONSTRAINT" | "TRIGGER" | "RULE" | "POLICY" => {
                (whole || !is_relation(owner)) && named_after(part, owner)
            }
            "SEQUENCE" if whole && owner.desc.ends_with("TABLE") => return Some(Grade::Whole),
            "TABLE" | "FOREIGN TABLE" if whole => {
                let partition = self.attached.contains(&(part.dump_id, owner.dump_id));
                return partition.then_some(Grade::Whole);
            }
            _ => false,
        };
        belongs.then_some(Grade::Definition)
    }

    /// Takes what ties two relations together where both are there.
    fn link(&mut self) -> Vec<LeftOut> {
        let mut left_out = Vec::new();
        for (index, entry) in self.entries.iter().enumerate() {
            let known = || entry.dependencies.iter().filter_map(|id| self.get(*id));
            match entry.desc.as_str() {
                "TABLE ATTACH" | "INDEX ATTACH" => {
                    let ties = |e: &&TocEntry| is_relation(e) || is_index(e);
                    let mut ends = known().filter(ties).peekable();
                    let any = ends.peek().is_some();
                    if any && ends.all(|e| self.grade(e.dump_id) > Grade::Out) {
                        self.take(index, Grade::Definition);
                    }
                }
                "FK CONSTRAINT" => {
                    let relations = || known().filter(|e| is_relation(e));
                    let is_whole = |e: &TocEntry| self.grade(e.dump_id) == Grade::Whole;
                    if !relations().any(|e| named_after(entry, e) && is_whole(e)) {
                        continue;
                    }
                    let missing = relations().filter(|e| !is_whole(e));
                    let needs: Vec<String> = missing.map(TocEntry::display_name).collect();
                    if needs.is_empty() {
                        self.take(index, Grade::Definition);
                        continue;
                    }
                    let (desc, name) = (entry.desc.clone(), entry.display_name());
                    left_out.push(LeftOut {
                        dump_id: entry.dump_id,
                        desc,
                        name,
                        needs,
                    });
                }
                _ => (),
            }
        }
        left_out
    }
}

/// What an entry needs before it; nothing for one that only says something about another.
fn needs(entry: &TocEntry) -> &[DumpId] {
    match entry.desc.as_str() {
        "COMMENT"
        | "ACL"
        | "SECURITY LABEL"
        | "STATISTICS DATA"
        | "TABLE DATA"
        | "SEQUENCE SET"
        | "MATERIALIZED VIEW DATA" => &[],
        _ => &entry.dependencies,
    }
}

fn is_index(entry: &TocEntry) -> bool {
    matches!(entry.desc.as_str(), "INDEX" | "CONSTRAINT")
}

fn same_name(part: &TocEntry, owner: &TocEntry) -> bool {
    part.namespace == owner.namespace && part.tag == owner.tag
}

/// Whether the tag is `<relation> <name>`, as for constraints, triggers, rules and policies.
fn named_after(part: &TocEntry, owner: &TocEntry) -> bool {
    let rest = part.tag.strip_prefix(owner.tag.as_str());
    part.namespace == owner.namespace && rest.is_some_and(|rest| rest.starts_with(' '))
}
