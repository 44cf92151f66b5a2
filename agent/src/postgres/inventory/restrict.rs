//! The part of an inventory that a partial backup or restore is about.

use provado_archive::{DumpId, Toc};
use provado_proto::repository::v1::Inventory;
use std::collections::HashSet;

/// What an archive's selected entries create, by name.
#[derive(Debug, Default)]
pub struct Created {
    relations: HashSet<(String, String)>,
    sequences: HashSet<(String, String)>,
    indexes: HashSet<(String, String)>,
    /// Schema, table, constraint.
    constraints: HashSet<(String, String, String)>,
    extensions: HashSet<String>,
    schemas: HashSet<String>,
}

impl Created {
    /// Of these entries of the archive.
    pub fn of(toc: &Toc, selected: &[DumpId]) -> Self {
        let selected: HashSet<DumpId> = selected.iter().copied().collect();
        let mut out = Self::default();
        for entry in toc.entries.iter().filter(|e| selected.contains(&e.dump_id)) {
            let schema = entry.namespace.clone().unwrap_or_default();
            let pair = (schema.clone(), entry.tag.clone());
            match entry.desc.as_str() {
                "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE" => {
                    out.relations.insert(pair);
                }
                "SEQUENCE" => {
                    out.sequences.insert(pair);
                }
                "INDEX" => {
                    out.indexes.insert(pair);
                }
                "CONSTRAINT" | "FK CONSTRAINT" | "CHECK CONSTRAINT" => {
                    // The tag is `table constraint`; either may hold blanks, so try every cut.
                    for (at, _) in entry.tag.match_indices(' ') {
                        let (table, name) = entry.tag.split_at(at);
                        let name = name.trim_start_matches(' ').to_owned();
                        out.indexes.insert((schema.clone(), name.clone()));
                        let key = (schema.clone(), table.to_owned(), name);
                        out.constraints.insert(key);
                    }
                }
                "EXTENSION" => {
                    out.extensions.insert(entry.tag.clone());
                }
                "SCHEMA" => {
                    out.schemas.insert(entry.tag.clone());
                }
                _ => {}
            }
        }
        out
    }

    /// Keeps what the entries create, and check constraints of kept tables, which have no entry
    /// of their own. Functions, types and the like are left out: a selection of tables brings
    /// only those that are needed.
    #[must_use]
    pub fn keep(&self, mut inventory: Inventory) -> Inventory {
        let has = |set: &HashSet<(String, String)>, schema: &str, name: &str| {
            set.contains(&(schema.to_owned(), name.to_owned()))
        };
        inventory
            .schemas
            .retain(|f| self.schemas.contains(&f.schema_name));
        inventory
            .relations
            .retain(|f| has(&self.relations, &f.schema_name, &f.relation_name));
        inventory
            .sequences
            .retain(|f| has(&self.sequences, &f.schema_name, &f.sequence_name));
        inventory
            .indexes
            .retain(|f| has(&self.indexes, &f.schema_name, &f.index_name));
        inventory.constraints.retain(|f| {
            let key = (
                f.schema_name.clone(),
                f.owner_name.clone(),
                f.constraint_name.clone(),
            );
            self.constraints.contains(&key)
                || (f.r#type == "check" && has(&self.relations, &f.schema_name, &f.owner_name))
        });
        inventory
            .extensions
            .retain(|f| self.extensions.contains(&f.extension_name));
        inventory.objects.clear();
        inventory.database = None;
        inventory
    }
}
