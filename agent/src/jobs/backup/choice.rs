//! Which relations a backup takes: the patterns of its selection, resolved in the inventory of the
//! very snapshot that is dumped, and given to `pg_dump` as exact names.
//!
//! `pg_dump` reads a pattern by rules of its own: without a schema it looks along the search path
//! alone, some characters are regular expressions, and a partitioned table comes without its
//! partitions, which hold its rows. What was chosen is therefore decided here, once, and what is
//! told to the operator is what is dumped. Nothing here asks a server.

use crate::jobs::context::JobContext;
use provado_archive::{Pattern, PatternError};
use provado_model::{Error, Reason};
use provado_proto::agent::v1::BackupJob;
use provado_proto::repository::v1::{Inventory, RelationKind};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Names in one argument: `pg_dump` asks the server once for each argument.
const ARGUMENT_NAMES_MAX: usize = 50;
/// Bytes of all such arguments together, well below what Linux hands to a program.
const ARGUMENTS_BYTES_MAX: usize = 1 << 20;
/// Names of one pattern's matches that the log tells.
const TOLD_NAMES_MAX: usize = 50;

/// Schema and name, unquoted.
pub(super) type Name = (String, String);

/// The relations and sequences that a backup with table patterns takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// Their names, partitions of chosen tables among them.
    pub(super) names: BTreeSet<Name>,
}

impl Choice {
    /// What the job's patterns match; `None` for the whole database. Every pattern must match
    /// something; what they match is told.
    pub(super) fn of(
        job: &BackupJob,
        inventory: &Inventory,
        context: &JobContext,
    ) -> Result<Option<Self>, Error> {
        let patterns = job.selection.clone().unwrap_or_default().table_patterns;
        if patterns.is_empty() {
            return Ok(None);
        }
        let below = partitions(inventory)?;
        let mut names = BTreeSet::new();
        let mut missing = Vec::new();
        for text in patterns {
            let pattern: Pattern = text.parse().map_err(|error: PatternError| {
                Error::new(Reason::InvalidArgument, error.to_string())
            })?;
            let matched = with_partitions(matches(&pattern, inventory), &below);
            if matched.is_empty() {
                missing.push(text);
                continue;
            }
            context.info(format!("pattern {text} takes {}", told(&matched)));
            names.extend(matched);
        }
        if missing.is_empty() {
            return Ok(Some(Self { names }));
        }
        Err(Error::new(
            Reason::PatternMatchesNothing,
            format!(
                "no table, view or sequence of database {:?} matches {}; names are case-folded \
                 unless quoted, as in \"Schema\".\"Table\"",
                job.database_name,
                missing.join(", ")
            ),
        ))
    }

    /// `pg_dump`'s arguments for exactly these names; `encoding` is the database's.
    pub(super) fn arguments(&self, encoding: &str) -> Result<Vec<String>, Error> {
        let mut of_schema: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (schema, name) in &self.names {
            let names = of_schema.entry(schema).or_default();
            names.push(quoted(name, encoding));
        }
        let mut out = vec!["--strict-names".to_owned()];
        for (schema, names) in of_schema {
            let schema = quoted(schema, encoding);
            for some in names.chunks(ARGUMENT_NAMES_MAX) {
                // Outside quotes these are a regular expression's alternatives.
                out.push(format!("--table={schema}.({})", some.join("|")));
            }
        }
        if out.iter().map(String::len).sum::<usize>() <= ARGUMENTS_BYTES_MAX {
            return Ok(out);
        }
        Err(Error::new(
            Reason::InvalidArgument,
            format!(
                "the patterns take {} tables, more than can be named to pg_dump; use patterns \
                 that take fewer in several backups, or back up the whole database",
                self.names.len()
            ),
        ))
    }
}

/// The relations and sequences that a pattern matches itself. Composite types have no rows and
/// are none to `pg_dump --table`.
fn matches(pattern: &Pattern, inventory: &Inventory) -> BTreeSet<Name> {
    let relations = inventory.relations.iter();
    let relations = relations
        .filter(|r| r.kind() != RelationKind::CompositeType)
        .map(|r| (&r.schema_name, &r.relation_name));
    let sequences = inventory.sequences.iter();
    let sequences = sequences.map(|s| (&s.schema_name, &s.sequence_name));
    relations
        .chain(sequences)
        .filter(|(schema, name)| pattern.matches(Some(schema), name))
        .map(|(schema, name)| (schema.clone(), name.clone()))
        .collect()
}

/// The partitions right below each partitioned table.
fn partitions(inventory: &Inventory) -> Result<HashMap<Name, Vec<Name>>, Error> {
    let mut out: HashMap<Name, Vec<Name>> = HashMap::new();
    for relation in &inventory.relations {
        if relation.partition_of.is_empty() {
            continue;
        }
        let Some(parent) = unquoted(&relation.partition_of) else {
            return Err(Error::internal(format!(
                "the name of a partitioned table cannot be read: {}",
                relation.partition_of
            )));
        };
        let own = (relation.schema_name.clone(), relation.relation_name.clone());
        out.entry(parent).or_default().push(own);
    }
    Ok(out)
}

/// These names, and all partitions below them however deep.
fn with_partitions(mut names: BTreeSet<Name>, below: &HashMap<Name, Vec<Name>>) -> BTreeSet<Name> {
    let mut todo: Vec<Name> = names.iter().cloned().collect();
    while let Some(name) = todo.pop() {
        for partition in below.get(&name).into_iter().flatten() {
            if names.insert(partition.clone()) {
                todo.push(partition.clone());
            }
        }
    }
    names
}

fn told(names: &BTreeSet<Name>) -> String {
    let some = names.iter().take(TOLD_NAMES_MAX);
    let some: Vec<String> = some
        .map(|(schema, name)| format!("{schema}.{name}"))
        .collect();
    match names.len().saturating_sub(some.len()) {
        0 => some.join(", "),
        more => format!("{} and {more} more", some.join(", ")),
    }
}

/// The two parts of a name as the server writes it: `schema.name`, each quoted where needed.
fn unquoted(text: &str) -> Option<Name> {
    let mut parts = vec![String::new()];
    let mut is_quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                parts.last_mut()?.push('"');
            }
            '"' => is_quoted = !is_quoted,
            '.' if !is_quoted => parts.push(String::new()),
            _ => parts.last_mut()?.push(character),
        }
    }
    let name = parts.pop()?;
    let schema = parts.pop()?;
    (parts.is_empty() && !is_quoted).then_some((schema, name))
}

/// A name in which `pg_dump` takes every character for itself. In a database of another encoding
/// the server would read our bytes as other characters; there any one character stands for each
/// that is not ASCII, which may take more than was chosen and never less.
fn quoted(name: &str, encoding: &str) -> String {
    let as_it_is = matches!(encoding, "UTF8" | "SQL_ASCII");
    let mut out = String::with_capacity(name.len().saturating_add(2));
    let mut is_open = false;
    for character in name.chars() {
        let stands_for_itself = as_it_is || character.is_ascii();
        if is_open != stands_for_itself {
            out.push('"');
            is_open = stands_for_itself;
        }
        match character {
            _ if !stands_for_itself => out.push('?'),
            '"' => out.push_str("\"\""),
            _ => out.push(character),
        }
    }
    if is_open {
        out.push('"');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_the_server_writes_them() {
        let name = |schema: &str, name: &str| Some((schema.to_owned(), name.to_owned()));
        assert_eq!(unquoted("app.orders"), name("app", "orders"));
        assert_eq!(unquoted("\"A.b\".\"c\"\"d\""), name("A.b", "c\"d"));
        for bad in ["orders", "a.b.c", "\"a.b"] {
            assert_eq!(unquoted(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_character_of_a_name_stands_for_itself() {
        for (name, encoding, expected) in [
            ("a|b[1]", "UTF8", "\"a|b[1]\""),
            ("q\"q", "UTF8", "\"q\"\"q\""),
            ("größe", "UTF8", "\"größe\""),
            ("größe", "LATIN1", "\"gr\"??\"e\""),
            ("é", "LATIN1", "?"),
            ("ab\u{e9}", "LATIN1", "\"ab\"?"),
        ] {
            assert_eq!(quoted(name, encoding), expected);
        }
    }

    #[test]
    fn many_names_are_few_arguments_and_too_many_are_refused() {
        let choice = |count: usize, length: usize| Choice {
            names: (0..count)
                .map(|i| ("s".to_owned(), format!("{i:0length$}")))
                .collect(),
        };
        assert_eq!(choice(120, 5).arguments("UTF8").unwrap().len(), 1 + 3);
        let error = choice(20_000, 60).arguments("UTF8").unwrap_err();
        assert_eq!(error.reason, Reason::InvalidArgument);
        assert!(error.message.contains("20000 tables"), "{}", error.message);
    }
}
