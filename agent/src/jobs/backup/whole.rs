//! Whether a dump has what its snapshot had: data for every table, and every relation that was
//! chosen by a pattern.
//!
//! An archive that came to its end with every program content may still lack a table that its own
//! table of contents does not name. The inventory of the same snapshot does. Relations are told
//! apart by their oid, which does not depend on how a name is encoded.

use super::choice::Choice;
use provado_archive::Toc;
use provado_model::{Error, Reason};
use provado_proto::common::v1::Scope;
use provado_proto::repository::v1::{Inventory, RelationFacts, RelationKind};
use std::collections::BTreeSet;

/// The oid of `pg_class`, the same in every database (`catalog/pg_class.h`).
const PG_CLASS: u32 = 1259;
/// Names that a message tells.
const TOLD_NAMES_MAX: usize = 20;

/// What an archive must hold.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// Tables with rows of their own.
    data: Vec<Table>,
    /// Chosen relations, whose definitions must be there.
    definitions: Vec<Table>,
    /// A standby cannot read unlogged tables, and `pg_dump` leaves their rows out without a word.
    is_standby: bool,
}

#[derive(Debug)]
struct Table {
    oid: u32,
    name: String,
    is_unlogged: bool,
}

/// Oids of what an archive holds.
#[derive(Debug, Default)]
struct Held {
    data: BTreeSet<u32>,
    definitions: BTreeSet<u32>,
}

impl Expected {
    /// What the archive of this selection must hold.
    pub(super) fn of(
        inventory: &Inventory,
        choice: Option<&Choice>,
        scope: Scope,
        in_recovery: bool,
    ) -> Self {
        let is_chosen = |r: &RelationFacts| {
            choice.is_none_or(|choice| {
                let name = (r.schema_name.clone(), r.relation_name.clone());
                choice.names.contains(&name)
            })
        };
        // What belongs to an extension comes with the extension, rows only where it says so.
        let is_dumped = |r: &&RelationFacts| {
            r.extension_name.is_empty() && !r.schema_name.starts_with("pg_") && is_chosen(r)
        };
        let dumped = || inventory.relations.iter().filter(is_dumped);
        let of_kind = |wanted: fn(RelationKind) -> bool| {
            let of_kind = dumped().filter(|r| wanted(r.kind()));
            of_kind.map(Table::of).collect::<Vec<_>>()
        };
        Self {
            data: match scope {
                Scope::SchemaOnly => Vec::new(),
                _ => of_kind(|kind| kind == RelationKind::Table),
            },
            definitions: match (choice, scope) {
                (None, _) | (_, Scope::DataOnly) => Vec::new(),
                _ => of_kind(|kind| kind != RelationKind::CompositeType),
            },
            is_standby: in_recovery,
        }
    }

    /// Fails if the archive lacks something; what may be lacking is told, each a sentence.
    pub(super) fn check(&self, toc: &Toc) -> Result<Vec<String>, Error> {
        self.check_held(&Held::by(toc))
    }

    fn check_held(&self, held: &Held) -> Result<Vec<String>, Error> {
        let lacking = |all: &[Table], held: &BTreeSet<u32>, is_excused: bool| {
            let without = all.iter().filter(|table| !held.contains(&table.oid));
            let without = without
                .filter(|table| (self.is_standby && table.is_unlogged) == is_excused)
                .map(|table| table.name.clone());
            without.collect::<Vec<_>>()
        };
        let mut lacks = lacking(&self.data, &held.data, false);
        lacks.extend(
            self.definitions
                .iter()
                .filter(|table| !held.definitions.contains(&table.oid))
                .map(|table| format!("{} (its definition)", table.name)),
        );
        if !lacks.is_empty() {
            return Err(Error::new(
                Reason::DumpIncomplete,
                format!(
                    "the archive of pg_dump is whole, but it does not have the data of {} tables \
                     that the snapshot has: {}",
                    lacks.len(),
                    told(&lacks)
                ),
            ));
        }
        let excused = lacking(&self.data, &held.data, true);
        if excused.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![format!(
            "the rows of {} unlogged tables are not in this backup, because a standby does not \
             have them; back up the primary if they matter: {}",
            excused.len(),
            told(&excused)
        )])
    }
}

impl Table {
    fn of(facts: &RelationFacts) -> Self {
        Self {
            oid: facts.oid,
            name: format!("{}.{}", facts.schema_name, facts.relation_name),
            is_unlogged: facts.persistence == "unlogged",
        }
    }
}

impl Held {
    fn by(toc: &Toc) -> Self {
        let mut out = Self::default();
        for entry in &toc.entries {
            if entry.is_table_data() && entry.had_dumper {
                out.data.insert(entry.oid);
            } else if entry.table_oid == PG_CLASS {
                out.definitions.insert(entry.oid);
            }
        }
        out
    }
}

fn told(names: &[String]) -> String {
    let some: Vec<&str> = names
        .iter()
        .take(TOLD_NAMES_MAX)
        .map(String::as_str)
        .collect();
    match names.len().saturating_sub(some.len()) {
        0 => some.join(", "),
        more => format!("{} and {more} more", some.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(oid: u32, kind: RelationKind, persistence: &str) -> RelationFacts {
        RelationFacts {
            schema_name: "s".to_owned(),
            relation_name: format!("t{oid}"),
            kind: kind.into(),
            persistence: persistence.to_owned(),
            oid,
            ..RelationFacts::default()
        }
    }

    fn inventory() -> Inventory {
        let of_extension = RelationFacts {
            extension_name: "postgis".to_owned(),
            ..relation(4, RelationKind::Table, "permanent")
        };
        Inventory {
            relations: vec![
                relation(1, RelationKind::Table, "permanent"),
                relation(2, RelationKind::Table, "unlogged"),
                relation(3, RelationKind::PartitionedTable, "permanent"),
                of_extension,
                relation(5, RelationKind::View, "permanent"),
            ],
            ..Inventory::default()
        }
    }

    fn check(expected: &Expected, data: &[u32], definitions: &[u32]) -> Result<Vec<String>, Error> {
        expected.check_held(&Held {
            data: data.iter().copied().collect(),
            definitions: definitions.iter().copied().collect(),
        })
    }

    #[test]
    fn every_table_has_data_and_only_a_standby_may_lack_unlogged_rows() {
        let of = |scope, standby| Expected::of(&inventory(), None, scope, standby);
        let primary = of(Scope::Everything, false);
        assert_eq!(check(&primary, &[1, 2], &[]).unwrap(), Vec::<String>::new());
        let error = check(&primary, &[1], &[]).unwrap_err();
        assert_eq!(error.reason, Reason::DumpIncomplete);
        assert!(error.message.contains("s.t2"), "{}", error.message);
        let standby = of(Scope::DataOnly, true);
        assert!(check(&standby, &[2], &[]).is_err());
        let told = check(&standby, &[1], &[]).unwrap();
        assert!(told.len() == 1 && told[0].contains("s.t2"), "{told:?}");
        let schema = of(Scope::SchemaOnly, false);
        assert_eq!(check(&schema, &[], &[]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_was_chosen_is_there_and_nothing_else_is_asked_for() {
        let names = [
            ("s".to_owned(), "t1".to_owned()),
            ("s".to_owned(), "t5".to_owned()),
        ];
        let choice = Choice {
            names: names.into(),
        };
        let of = |scope| Expected::of(&inventory(), Some(&choice), scope, false);
        let chosen = of(Scope::Everything);
        assert!(check(&chosen, &[1], &[1, 5]).is_ok());
        let error = check(&chosen, &[1], &[1]).unwrap_err();
        assert!(
            error.message.contains("s.t5 (its definition)"),
            "{}",
            error.message
        );
        assert!(check(&chosen, &[], &[1, 5]).is_err());
        assert!(check(&of(Scope::DataOnly), &[1], &[]).is_ok());
    }
}
