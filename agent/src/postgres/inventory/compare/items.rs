//! Facts as items: a name for people and the aspects that must be equal.

use super::normal::normal;
use super::{CompareOptions, Owners, Privileges, Scope};
use crate::postgres::sql::quote_identifier;
use provado_proto::repository::v1::{
    ColumnFacts, ConstraintFacts, DatabaseFacts, IndexFacts, Inventory, ObjectFacts, RelationFacts,
    RelationKind, SequenceFacts,
};
use std::collections::BTreeMap;

/// One object with its aspects.
pub(super) struct Item {
    pub(super) object: String,
    pub(super) aspects: BTreeMap<String, String>,
}

/// Collects aspects; empty values are left out, so that absent and empty are the same.
struct Builder {
    item: Item,
    options: CompareOptions,
}

impl Builder {
    fn new(object: String, options: CompareOptions) -> Self {
        let aspects = BTreeMap::new();
        Self {
            item: Item { object, aspects },
            options,
        }
    }

    fn aspect(mut self, name: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.item.aspects.insert(name.to_owned(), value);
        }
        self
    }

    /// Text that servers of different majors may write differently.
    fn definition(self, name: &str, value: &str) -> Self {
        if self.options.same_major() {
            self.aspect(name, normal(value))
        } else {
            self
        }
    }

    fn owner(self, owner: &str) -> Self {
        match self.options.owners {
            Owners::Compare => self.aspect("owner", owner),
            Owners::Ignore => self,
        }
    }

    fn privileges(self, privileges: &str) -> Self {
        // Default privileges name the owner, and 17 added one (MAINTAIN).
        match self.options.privileges {
            Privileges::Compare
                if self.options.owners == Owners::Compare && self.options.same_major() =>
            {
                self.aspect("privileges", privileges)
            }
            Privileges::Compare | Privileges::Ignore => self,
        }
    }
}

/// `schema.name`, with quotes where a plain name would mislead.
fn name(schema: &str, name: &str) -> String {
    let plain = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let shown = |text: &str| {
        if plain(text) {
            text.to_owned()
        } else {
            quote_identifier(text)
        }
    };
    if schema.is_empty() {
        return shown(name);
    }
    format!("{}.{}", shown(schema), shown(name))
}

fn flag(value: bool, word: &str) -> String {
    if value {
        word.to_owned()
    } else {
        String::new()
    }
}

pub(super) fn items(inventory: &Inventory, options: CompareOptions) -> Vec<Item> {
    let mut out: Vec<Builder> = Vec::new();
    out.extend(inventory.database.iter().map(|f| database(f, options)));
    out.extend(inventory.schemas.iter().map(|f| {
        Builder::new(format!("schema {}", name("", &f.schema_name)), options)
            .owner(&f.owner)
            .privileges(&f.privileges)
            .aspect("comment", &f.comment)
    }));
    out.extend(inventory.extensions.iter().map(|f| {
        Builder::new(
            format!("extension {}", name("", &f.extension_name)),
            options,
        )
        .aspect("schema", &f.schema_name)
    }));
    let relations = inventory.relations.iter();
    out.extend(
        relations
            .filter(|f| f.extension_name.is_empty())
            .map(|f| relation(f, options)),
    );
    // From 18 on NOT NULL is listed as constraint too; the columns tell of it in every version.
    let constraints = inventory.constraints.iter();
    out.extend(
        constraints
            .filter(|f| f.r#type != "not null")
            .map(|f| constraint(f, options)),
    );
    let indexes = inventory.indexes.iter();
    out.extend(
        indexes
            .filter(|f| is_dumped(f, inventory))
            .map(|f| index(f, options)),
    );
    out.extend(inventory.sequences.iter().map(|f| sequence(f, options)));
    let objects = inventory.objects.iter();
    out.extend(
        objects
            .filter(|f| f.extension_name.is_empty())
            .map(|f| object(f, options)),
    );
    out.into_iter().map(|builder| builder.item).collect()
}

fn database(facts: &DatabaseFacts, options: CompareOptions) -> Builder {
    Builder::new("the database".to_owned(), options)
        .aspect("encoding", &facts.encoding)
        .aspect("collate", &facts.collate)
        .aspect("ctype", &facts.ctype)
        .aspect("locale provider", &facts.locale_provider)
        .aspect("locale", &facts.locale)
        .aspect("icu rules", &facts.icu_rules)
        .aspect("settings", facts.database_settings.join("; "))
        .aspect("comment", &facts.comment)
        .owner(&facts.owner)
        .privileges(&facts.privileges)
}

fn relation(facts: &RelationFacts, options: CompareOptions) -> Builder {
    let word = match facts.kind() {
        RelationKind::Unspecified => "relation",
        RelationKind::Table => "table",
        RelationKind::PartitionedTable => "partitioned table",
        RelationKind::View => "view",
        RelationKind::MaterializedView => "materialized view",
        RelationKind::ForeignTable => "foreign table",
        RelationKind::CompositeType => "composite type",
    };
    let object = format!("{word} {}", name(&facts.schema_name, &facts.relation_name));
    let mut builder = Builder::new(object, options)
        .owner(&facts.owner)
        .privileges(&facts.privileges)
        .aspect("persistence", &facts.persistence)
        .aspect("partition of", &facts.partition_of)
        .aspect("partition bound", &facts.partition_bound)
        .aspect("partition key", &facts.partition_key)
        .aspect("inherits", facts.inherits.join(", "))
        .definition("definition", &facts.definition)
        .aspect("options", facts.options.join(", "))
        .aspect("row security", flag(facts.row_security, "on"))
        .aspect("forced row security", flag(facts.row_security_forced, "on"))
        .aspect("replica identity", &facts.replica_identity)
        .aspect("comment", &facts.comment);
    if facts.kind() == RelationKind::MaterializedView && options.scope == Scope::All {
        let word = if facts.populated {
            "populated"
        } else {
            "empty"
        };
        builder = builder.aspect("rows", word);
    }
    for (index, facts) in facts.columns.iter().enumerate() {
        let label = format!("column {} {}", index + 1, facts.column_name);
        let text = column(facts, options);
        // An empty description still counts as a column.
        builder.item.aspects.insert(label, text);
    }
    builder
}

fn column(facts: &ColumnFacts, options: CompareOptions) -> String {
    let mut text = facts.r#type.clone();
    let mut add = |word: &str, value: &str| {
        if !value.is_empty() {
            text.push(' ');
            text.push_str(word);
            text.push_str(value);
        }
    };
    add("", &flag(facts.not_null, "not null"));
    add("collate ", &facts.collation);
    if options.same_major() {
        add("default ", &normal(&facts.default_expression));
    }
    add("identity ", &facts.identity);
    add("generated ", &facts.generated);
    add("storage ", &facts.storage);
    add("compression ", &facts.compression);
    add("statistics ", &facts.statistics_target);
    add("comment ", &facts.comment);
    if options.privileges == Privileges::Compare && options.same_major() {
        add("privileges ", &facts.privileges);
    }
    text
}

fn constraint(facts: &ConstraintFacts, options: CompareOptions) -> Builder {
    let on = name(&facts.schema_name, &facts.owner_name);
    let object = format!("constraint {} on {on}", name("", &facts.constraint_name));
    Builder::new(object, options)
        .aspect("type", &facts.r#type)
        .definition("definition", &facts.definition)
        .aspect("validity", flag(!facts.validated, "not validated"))
        .aspect("deferrable", flag(facts.deferrable, "yes"))
        .aspect("enforcement", flag(!facts.enforced, "not enforced"))
}

/// pg_dump leaves out an index that is not valid, as a failed CREATE INDEX CONCURRENTLY leaves it;
/// that of a partitioned table is not valid before its last part is (`getIndexes` in `pg_dump.c`).
fn is_dumped(facts: &IndexFacts, inventory: &Inventory) -> bool {
    facts.valid
        || inventory.relations.iter().any(|r| {
            r.kind() == RelationKind::PartitionedTable
                && r.schema_name == facts.schema_name
                && r.relation_name == facts.table_name
        })
}

fn index(facts: &IndexFacts, options: CompareOptions) -> Builder {
    let on = name(&facts.schema_name, &facts.table_name);
    let index = name(&facts.schema_name, &facts.index_name);
    let validity = if facts.valid { "valid" } else { "invalid" };
    Builder::new(format!("index {index} on {on}"), options)
        .definition("definition", &facts.definition)
        .aspect("unique", flag(facts.unique, "yes"))
        .aspect("constraint", flag(facts.constraint, "yes"))
        .aspect("clustered", flag(facts.clustered, "yes"))
        .aspect("validity", validity)
}

fn sequence(facts: &SequenceFacts, options: CompareOptions) -> Builder {
    let object = format!(
        "sequence {}",
        name(&facts.schema_name, &facts.sequence_name)
    );
    let rule = format!(
        "start {} step {} from {} to {} cache {}{}",
        facts.start_value,
        facts.increment,
        facts.min_value,
        facts.max_value,
        facts.cache_count,
        if facts.cycles { " cycling" } else { "" }
    );
    let mut builder = Builder::new(object, options)
        .owner(&facts.owner)
        .privileges(&facts.privileges)
        .aspect("type", &facts.r#type)
        .aspect("rule", rule)
        .aspect("owned by", &facts.owned_by);
    if options.scope == Scope::All && facts.readable {
        let called = if facts.is_called {
            "called"
        } else {
            "not called"
        };
        builder = builder.aspect("value", format!("{}, {called}", facts.last_value));
    }
    builder
}

fn object(facts: &ObjectFacts, options: CompareOptions) -> Builder {
    let digest = data_encoding::HEXLOWER.encode(&facts.definition_sha256);
    Builder::new(format!("{} {}", facts.r#type, facts.identity), options)
        .owner(&facts.owner)
        .privileges(&facts.privileges)
        .definition("definition", &facts.definition)
        .definition("definition's SHA-256", &digest)
        .aspect("state", &facts.state)
        .aspect("comment", &facts.comment)
}
