//! The inventory of a database as sections of a manifest, and back. Lists are cut into sections of
//! about 1 MiB, so that no record of a manifest grows with the number of tables.

use crate::error::{Error, Result};
use crate::limits::SECTION_BYTES_MAX;
use crate::manifest::Section;
use prost::Message;
use provado_proto::repository::v1 as proto;

pub use proto::Inventory;

/// What every section of the inventory is named, before the name of its list.
pub const SECTION_PREFIX: &str = "inventory/";

macro_rules! lists {
    ($($field:ident: $list:ident = $name:literal;)*) => {
        /// The sections of an inventory.
        pub fn to_sections(inventory: &Inventory) -> Vec<Section> {
            let mut out = Vec::new();
            if let Some(database) = &inventory.database {
                out.push(section("database", "DatabaseFacts", database.encode_to_vec()));
            }
            $(for items in cut(&inventory.$field) {
                let list = proto::$list { $field: items };
                out.push(section($name, stringify!($list), list.encode_to_vec()));
            })*
            out
        }

        /// Adds what a section holds to an inventory; sections of other names are left alone.
        /// Fails on one that does not parse.
        pub fn add_section(inventory: &mut Inventory, section: &Section) -> Result<()> {
            let Some(name) = section.section_name.strip_prefix(SECTION_PREFIX) else {
                return Ok(());
            };
            let bytes = &*section.content;
            match name {
                "database" => inventory.database = Some(parse(name, bytes)?),
                $($name => inventory.$field.extend(parse::<proto::$list>(name, bytes)?.$field),)*
                // A list this program does not know was written by a newer one.
                _ => {}
            }
            Ok(())
        }
    };
}

lists! {
    schemas: SchemaList = "schemas";
    relations: RelationList = "relations";
    constraints: ConstraintList = "constraints";
    indexes: IndexList = "indexes";
    sequences: SequenceList = "sequences";
    extensions: ExtensionList = "extensions";
    roles: RoleList = "roles";
    collations: CollationList = "collations";
    objects: ObjectList = "objects";
}

fn section(name: &str, message: &str, content: Vec<u8>) -> Section {
    Section {
        section_name: format!("{SECTION_PREFIX}{name}"),
        message_type: format!("provado.repository.v1.{message}"),
        content,
    }
}

fn parse<T: Message + Default>(name: &str, bytes: &[u8]) -> Result<T> {
    T::decode(bytes).map_err(|_| {
        Error::damaged(
            format!("section {SECTION_PREFIX}{name}"),
            "it does not parse",
        )
    })
}

/// Cuts a list so that each part encodes to about the size of a section.
fn cut<T: Message + Clone>(items: &[T]) -> Vec<Vec<T>> {
    let mut out = Vec::new();
    let mut part = Vec::new();
    let mut bytes = 0;
    for item in items {
        part.push(item.clone());
        bytes += item.encoded_len();
        if bytes >= SECTION_BYTES_MAX {
            out.push(std::mem::take(&mut part));
            bytes = 0;
        }
    }
    if !part.is_empty() {
        out.push(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_comes_back_from_many_sections() {
        let inventory = Inventory {
            database: Some(proto::DatabaseFacts {
                database_name: "d".to_owned(),
                ..Default::default()
            }),
            sequences: vec![proto::SequenceFacts {
                sequence_name: "s".to_owned(),
                last_value: -5,
                ..Default::default()
            }],
            objects: (0..40)
                .map(|n| proto::ObjectFacts {
                    identity: format!("f{n}()"),
                    definition: "x".repeat(100_000),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        let sections = to_sections(&inventory);
        assert!(sections.len() > 5);
        let mut again = Inventory::default();
        for section in &sections {
            assert!(section.content.len() < 2 * SECTION_BYTES_MAX);
            add_section(&mut again, section).unwrap();
        }
        assert_eq!(again, inventory);
        let bad = section("roles", "RoleList", vec![0xff]);
        assert!(add_section(&mut again, &bad).is_err());
    }
}
