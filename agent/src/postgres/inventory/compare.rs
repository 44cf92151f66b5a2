//! Compares what a backup's database held with what is found, and names every difference.
//!
//! Pure. What is not compared is said in the options, never silently left out: objects that
//! belong to an extension stand or fall with the extension. Its version is the server's matter,
//! since a dump does not ask for one: another version is told by [`extension_versions`].

mod items;
mod normal;

use items::{Item, items};
use provado_proto::agent::v1::Difference;
use provado_proto::repository::v1::Inventory;
use std::collections::BTreeMap;

/// Whether owners are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// They must be equal.
    Compare,
    /// The restore left them out on request.
    Ignore,
}

/// Whether privileges are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privileges {
    /// They must be equal.
    Compare,
    /// The restore left them out on request.
    Ignore,
}

/// What was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Definitions and data.
    All,
    /// Definitions only: sequences have no values, materialized views no rows.
    SchemaOnly,
}

/// How to compare.
#[derive(Debug, Clone, Copy)]
pub struct CompareOptions {
    /// Owners.
    pub owners: Owners,
    /// Privileges.
    pub privileges: Privileges,
    /// What was restored.
    pub scope: Scope,
    /// Major version of the server the backup is from.
    pub expected_major: u32,
    /// Major version of the server it was restored into. Servers of different majors write the
    /// same definition differently, so only the presence of views and the like is compared then.
    pub found_major: u32,
}

impl CompareOptions {
    fn same_major(self) -> bool {
        self.expected_major == self.found_major
    }
}

/// Every difference, in the order of the inventory; none means equal.
pub fn compare(
    expected: &Inventory,
    found: &Inventory,
    options: CompareOptions,
) -> Vec<Difference> {
    let expected = items(expected, options);
    let found = items(found, options);
    let by_name: BTreeMap<&str, &Item> = found.iter().map(|i| (i.object.as_str(), i)).collect();
    let mut out = Vec::new();
    for item in &expected {
        match by_name.get(item.object.as_str()) {
            Some(other) => compare_item(item, other, &mut out),
            None => out.push(difference(&item.object, "presence", "present", "missing")),
        }
    }
    let known: BTreeMap<&str, &Item> = expected.iter().map(|i| (i.object.as_str(), i)).collect();
    for item in &found {
        if !known.contains_key(item.object.as_str()) {
            out.push(difference(&item.object, "presence", "absent", "present"));
        }
    }
    out
}

/// Extensions whose version is another than in the backup, each as a sentence.
pub fn extension_versions(expected: &Inventory, found: &Inventory) -> Vec<String> {
    let found: BTreeMap<&str, &str> = found
        .extensions
        .iter()
        .map(|e| (e.extension_name.as_str(), e.version.as_str()))
        .collect();
    let expected = expected.extensions.iter();
    expected
        .filter_map(|e| {
            let version = found.get(e.extension_name.as_str())?;
            (*version != e.version).then(|| {
                format!(
                    "extension {} is {version} here, it was {} in the backup",
                    e.extension_name, e.version
                )
            })
        })
        .collect()
}

fn compare_item(expected: &Item, found: &Item, out: &mut Vec<Difference>) {
    for (aspect, value) in &expected.aspects {
        let other = found.aspects.get(aspect).map_or("", String::as_str);
        if value != other {
            out.push(difference(&expected.object, aspect, value, other));
        }
    }
    for (aspect, value) in &found.aspects {
        if !expected.aspects.contains_key(aspect) {
            out.push(difference(&expected.object, aspect, "", value));
        }
    }
}

/// Longest text of one side that is reported.
const VALUE_CHARACTERS_MAX: usize = 500;

fn difference(object: &str, aspect: &str, expected: &str, found: &str) -> Difference {
    let cut = |text: &str| text.chars().take(VALUE_CHARACTERS_MAX).collect();
    Difference {
        object: object.to_owned(),
        aspect: aspect.to_owned(),
        expected: cut(expected),
        found: cut(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_proto::repository::v1::{
        ColumnFacts, ConstraintFacts, ExtensionFacts, IndexFacts, RelationFacts, RelationKind,
        SequenceFacts,
    };

    fn options() -> CompareOptions {
        CompareOptions {
            owners: Owners::Compare,
            privileges: Privileges::Compare,
            scope: Scope::All,
            expected_major: 15,
            found_major: 15,
        }
    }

    fn sample() -> Inventory {
        Inventory {
            relations: vec![RelationFacts {
                schema_name: "s".to_owned(),
                relation_name: "t".to_owned(),
                kind: RelationKind::Table.into(),
                owner: "ann".to_owned(),
                privileges: "ann=r/ann".to_owned(),
                columns: vec![ColumnFacts {
                    column_name: "a".to_owned(),
                    r#type: "integer".to_owned(),
                    ..ColumnFacts::default()
                }],
                ..RelationFacts::default()
            }],
            constraints: vec![ConstraintFacts {
                schema_name: "s".to_owned(),
                owner_name: "t".to_owned(),
                constraint_name: "t_fk".to_owned(),
                definition: "FOREIGN KEY (a) REFERENCES s.u(a)".to_owned(),
                ..ConstraintFacts::default()
            }],
            indexes: vec![IndexFacts {
                schema_name: "s".to_owned(),
                table_name: "t".to_owned(),
                index_name: "t_i".to_owned(),
                valid: true,
                ..IndexFacts::default()
            }],
            sequences: vec![SequenceFacts {
                schema_name: "s".to_owned(),
                sequence_name: "q".to_owned(),
                last_value: 42,
                is_called: true,
                readable: true,
                ..SequenceFacts::default()
            }],
            ..Inventory::default()
        }
    }

    fn check(change: impl FnOnce(&mut Inventory), expected: &[&str]) {
        let mut found = sample();
        change(&mut found);
        let lines: Vec<String> = compare(&sample(), &found, options())
            .iter()
            .map(|d| {
                format!(
                    "{}: {}: {:?} -> {:?}",
                    d.object, d.aspect, d.expected, d.found
                )
            })
            .collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn equal_inventories_have_no_difference_and_each_change_has_one() {
        check(|_| {}, &[]);
        check(
            |i| i.indexes.clear(),
            &["index s.t_i on s.t: presence: \"present\" -> \"missing\""],
        );
        check(
            |i| i.indexes[0].valid = false,
            &["index s.t_i on s.t: presence: \"present\" -> \"missing\""],
        );
        check(
            |i| i.sequences[0].last_value = 41,
            &["sequence s.q: value: \"42, called\" -> \"41, called\""],
        );
        check(
            |i| i.relations[0].owner = "bob".to_owned(),
            &["table s.t: owner: \"ann\" -> \"bob\""],
        );
        check(
            |i| i.relations[0].columns[0].not_null = true,
            &["table s.t: column 1 a: \"integer\" -> \"integer not null\""],
        );
        check(
            |i| i.relations[0].columns.push(ColumnFacts::default()),
            &["table s.t: column 2 : \"\" -> \"\""],
        );
        check(
            |i| {
                let mut extra = i.relations[0].clone();
                extra.relation_name = "extra".to_owned();
                i.relations.push(extra);
            },
            &["table s.extra: presence: \"absent\" -> \"present\""],
        );
    }

    #[test]
    fn what_pg_dump_leaves_out_is_not_missed_and_versions_are_only_told() {
        let mut expected = sample();
        expected.indexes[0].valid = false;
        let mut found = sample();
        found.indexes.clear();
        assert_eq!(compare(&expected, &found, options()), vec![]);
        expected.relations[0].kind = RelationKind::PartitionedTable.into();
        found.relations[0].kind = RelationKind::PartitionedTable.into();
        assert_eq!(compare(&expected, &found, options()).len(), 1);

        let extension = |version: &str| Inventory {
            extensions: vec![ExtensionFacts {
                extension_name: "hstore".to_owned(),
                version: version.to_owned(),
                ..ExtensionFacts::default()
            }],
            ..Inventory::default()
        };
        let (old, new) = (extension("1.7"), extension("1.8"));
        assert_eq!(compare(&old, &new, options()), vec![]);
        assert_eq!(
            extension_versions(&old, &new),
            ["extension hstore is 1.8 here, it was 1.7 in the backup"]
        );
        assert_eq!(extension_versions(&old, &old), [""; 0]);
    }

    #[test]
    fn what_was_left_out_on_request_is_not_compared() {
        let mut found = sample();
        found.relations[0].owner = "bob".to_owned();
        found.relations[0].privileges = String::new();
        found.sequences[0].is_called = false;
        found.sequences[0].last_value = 1;
        let lenient = CompareOptions {
            owners: Owners::Ignore,
            privileges: Privileges::Ignore,
            scope: Scope::SchemaOnly,
            ..options()
        };
        assert_eq!(compare(&sample(), &found, lenient), vec![]);
        assert_eq!(compare(&sample(), &found, options()).len(), 3);
    }
}
