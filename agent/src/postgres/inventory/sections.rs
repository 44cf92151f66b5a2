//! The inventory as sections of a manifest: one list a section, long lists in several records.

use prost::Message;
use provado_proto::repository::v1::{
    CollationList, ConstraintList, DatabaseFacts, ExtensionList, IndexList, Inventory, ObjectList,
    RelationList, RoleList, SchemaList, SequenceList,
};

/// Bytes of one record's content; a manifest allows 1 MiB.
const RECORD_BYTES_MAX: usize = 512 * 1024;

/// One record of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionBytes {
    /// Such as `inventory/relations`.
    pub name: &'static str,
    /// Full name of the message in `content`.
    pub message_type: &'static str,
    /// The encoded message.
    pub content: Vec<u8>,
}

/// A section of the inventory cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("section {name} of the manifest cannot be read")]
pub struct SectionsError {
    /// Which.
    pub name: String,
    /// Why not.
    #[source]
    pub source: prost::DecodeError,
}

/// Every list of the inventory by its section's name, list type and field, in one place.
macro_rules! for_each_list {
    ($apply:ident) => {
        $apply!("inventory/schemas", SchemaList, "SchemaList", schemas);
        $apply!(
            "inventory/relations",
            RelationList,
            "RelationList",
            relations
        );
        $apply!(
            "inventory/constraints",
            ConstraintList,
            "ConstraintList",
            constraints
        );
        $apply!("inventory/indexes", IndexList, "IndexList", indexes);
        $apply!(
            "inventory/sequences",
            SequenceList,
            "SequenceList",
            sequences
        );
        $apply!(
            "inventory/extensions",
            ExtensionList,
            "ExtensionList",
            extensions
        );
        $apply!("inventory/roles", RoleList, "RoleList", roles);
        $apply!(
            "inventory/collations",
            CollationList,
            "CollationList",
            collations
        );
        $apply!("inventory/objects", ObjectList, "ObjectList", objects);
    };
}

const DATABASE: &str = "inventory/database";

/// The inventory as records in the order of its message's fields. Empty lists have none.
pub fn to_sections(inventory: &Inventory) -> Vec<SectionBytes> {
    let mut out = Vec::new();
    if let Some(database) = &inventory.database {
        out.push(SectionBytes {
            name: DATABASE,
            message_type: "provado.repository.v1.DatabaseFacts",
            content: database.encode_to_vec(),
        });
    }
    macro_rules! write {
        ($name:literal, $list:ident, $type:literal, $field:ident) => {
            for part in parts(&inventory.$field) {
                let list = $list {
                    $field: part.to_vec(),
                };
                out.push(SectionBytes {
                    name: $name,
                    message_type: concat!("provado.repository.v1.", $type),
                    content: list.encode_to_vec(),
                });
            }
        };
    }
    for_each_list!(write);
    out
}

/// Cuts a list so that each part encodes to about [`RECORD_BYTES_MAX`] at most.
fn parts<M: Message>(items: &[M]) -> Vec<&[M]> {
    let mut out = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, item) in items.iter().enumerate() {
        let length = item.encoded_len() + 8;
        if bytes + length > RECORD_BYTES_MAX && index > start {
            out.extend(items.get(start..index));
            (start, bytes) = (index, 0);
        }
        bytes += length;
    }
    out.extend(items.get(start..).filter(|rest| !rest.is_empty()));
    out
}

/// The inventory of a manifest's sections, given as name and content; others are passed over.
pub fn from_sections<'a>(
    sections: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<Inventory, SectionsError> {
    let mut inventory = Inventory::default();
    for (name, content) in sections {
        let failed = |source| SectionsError {
            name: name.to_owned(),
            source,
        };
        if name == DATABASE {
            inventory.database = Some(DatabaseFacts::decode(content).map_err(failed)?);
        }
        macro_rules! read {
            ($name:literal, $list:ident, $type:literal, $field:ident) => {
                if name == $name {
                    let list = $list::decode(content).map_err(failed)?;
                    inventory.$field.extend(list.$field);
                }
            };
        }
        for_each_list!(read);
    }
    Ok(inventory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_proto::repository::v1::{ObjectFacts, SchemaFacts};

    #[test]
    fn an_inventory_comes_back_whole_from_many_records() {
        let object = |number: usize| ObjectFacts {
            identity: format!("object {number}"),
            definition: "x".repeat(100_000),
            ..ObjectFacts::default()
        };
        let inventory = Inventory {
            database: Some(DatabaseFacts {
                database_name: "host=evil".to_owned(),
                ..DatabaseFacts::default()
            }),
            schemas: vec![SchemaFacts::default(), SchemaFacts::default()],
            objects: (0..20).map(object).collect(),
            ..Inventory::default()
        };
        let sections = to_sections(&inventory);
        assert!(sections.iter().all(|s| s.content.len() <= 1 << 20));
        assert!(
            sections
                .iter()
                .filter(|s| s.name == "inventory/objects")
                .count()
                > 2
        );
        let pairs = sections.iter().map(|s| (s.name, s.content.as_slice()));
        assert_eq!(from_sections(pairs).unwrap(), inventory);
        let broken = [("inventory/roles", [0xff_u8].as_slice())];
        assert!(from_sections(broken).is_err());
    }
}
