//! The lint rules.

use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FileDescriptor, Kind, MessageDescriptor,
    MethodDescriptor, ServiceDescriptor,
};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) type Complaint = String;
pub(crate) type Rule = fn(&Schema) -> Vec<Complaint>;

pub(crate) const ALL: &[(&str, Rule)] = &[
    ("packages", packages),
    ("cases", cases),
    ("enums", enums),
    ("rpcs", rpcs),
    ("comments", comments),
    ("reasons", reasons),
    ("paging", paging),
    ("request_ids", request_ids),
    ("units", units),
    ("bytes_fields", bytes_fields),
    ("words", words),
];

/// Our own files of a descriptor pool.
pub(crate) struct Schema {
    pool: DescriptorPool,
}

impl Schema {
    pub(crate) fn new(pool: DescriptorPool) -> Self {
        Self { pool }
    }

    fn files(&self) -> impl Iterator<Item = FileDescriptor> {
        self.pool
            .files()
            .filter(|f| !f.package_name().starts_with("google."))
    }

    fn messages(&self) -> Vec<MessageDescriptor> {
        self.pool
            .all_messages()
            .filter(|m| !m.package_name().starts_with("google.") && !m.is_map_entry())
            .collect()
    }

    fn enums(&self) -> Vec<EnumDescriptor> {
        self.pool
            .all_enums()
            .filter(|e| !e.package_name().starts_with("google."))
            .collect()
    }

    fn services(&self) -> Vec<ServiceDescriptor> {
        self.pool.services().collect()
    }

    fn methods(&self) -> Vec<MethodDescriptor> {
        self.services()
            .iter()
            .flat_map(|s| s.methods().collect::<Vec<_>>())
            .collect()
    }
}

fn pascal(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase()) && !name.contains('_')
}

fn snake(name: &str) -> bool {
    name.bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn upper_snake(pascal_name: &str) -> String {
    let mut out = String::new();
    for (index, c) in pascal_name.chars().enumerate() {
        if c.is_ascii_uppercase() && index > 0 {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

pub(crate) fn packages(schema: &Schema) -> Vec<Complaint> {
    let mut out = Vec::new();
    for file in schema.files() {
        let folder = file
            .name()
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        let package = file.package_name();
        if folder.replace('/', ".") != package {
            out.push(format!(
                "{}: package `{package}` does not match its folder",
                file.name()
            ));
        }
        let version = package.rsplit('.').next().unwrap_or("");
        if version
            .strip_prefix('v')
            .is_none_or(|n| n.parse::<u32>().is_err())
        {
            out.push(format!(
                "{}: package `{package}` has no version",
                file.name()
            ));
        }
        if file.file_descriptor_proto().syntax() != "proto3" {
            out.push(format!("{}: no syntax", file.name()));
        }
        if !file.file_descriptor_proto().public_dependency.is_empty() {
            out.push(format!("{}: public import", file.name()));
        }
        if file.services().count() > 1 {
            out.push(format!("{}: more than one service", file.name()));
        }
        for service in file.services() {
            let wanted = format!("{}.proto", upper_snake(service.name()).to_lowercase());
            if !file.name().ends_with(&wanted) {
                out.push(format!(
                    "{}: {} belongs in {wanted}",
                    file.name(),
                    service.name()
                ));
            }
        }
    }
    out
}

pub(crate) fn cases(schema: &Schema) -> Vec<Complaint> {
    let mut out = Vec::new();
    for message in schema.messages() {
        if !pascal(message.name()) {
            out.push(format!("{}: not PascalCase", message.full_name()));
        }
        for field in message.fields() {
            if !snake(field.name()) {
                out.push(format!("{}: not lower_snake_case", field.full_name()));
            }
        }
        for oneof in message.oneofs() {
            if !snake(oneof.name()) {
                out.push(format!("{}: not lower_snake_case", oneof.full_name()));
            }
        }
    }
    for method in schema.methods() {
        if !pascal(method.name()) {
            out.push(format!("{}: not PascalCase", method.full_name()));
        }
    }
    out
}

pub(crate) fn enums(schema: &Schema) -> Vec<Complaint> {
    let mut out = Vec::new();
    for enumeration in schema.enums() {
        let prefix = format!("{}_", upper_snake(enumeration.name()));
        for value in enumeration.values() {
            if !value.name().starts_with(&prefix) {
                out.push(format!(
                    "{}: does not start with {prefix}",
                    value.full_name()
                ));
            }
            if value.number() == 0 && value.name() != format!("{prefix}UNSPECIFIED") {
                out.push(format!(
                    "{}: zero must be {prefix}UNSPECIFIED",
                    value.full_name()
                ));
            }
        }
    }
    out
}

pub(crate) fn rpcs(schema: &Schema) -> Vec<Complaint> {
    let mut out = Vec::new();
    let mut used = BTreeSet::new();
    for service in schema.services() {
        if !service.name().ends_with("Service") {
            out.push(format!("{}: must end in Service", service.full_name()));
        }
    }
    for method in schema.methods() {
        for (message, suffix) in [(method.input(), "Request"), (method.output(), "Response")] {
            if message.name() != format!("{}{suffix}", method.name()) {
                out.push(format!(
                    "{}: wants {}{suffix}",
                    method.full_name(),
                    method.name()
                ));
            }
            if !used.insert(message.full_name().to_owned()) {
                out.push(format!("{}: shares {}", method.full_name(), message.name()));
            }
        }
    }
    out
}

/// The leading comment of every element, by its path of names.
fn leading_comments(file: &FileDescriptor) -> BTreeMap<Vec<i32>, String> {
    let Some(info) = file.file_descriptor_proto().source_code_info.as_ref() else {
        return BTreeMap::new();
    };
    info.location
        .iter()
        .filter_map(|l| Some((l.path.clone(), l.leading_comments.clone()?)))
        .filter(|(_, text)| !text.trim().is_empty())
        .collect()
}

fn comment_at(file: &FileDescriptor, path: &[i32]) -> Option<String> {
    leading_comments(file).remove(path)
}

pub(crate) fn comments(schema: &Schema) -> Vec<Complaint> {
    let mut out = Vec::new();
    for file in schema.files() {
        let comments = leading_comments(&file);
        let mut want = |path: &[i32], name: &str| {
            let ends_well = comments
                .get(path)
                .is_some_and(|text| text.trim().ends_with('.'));
            if !ends_well {
                out.push(format!("{name}: has no comment that is a sentence"));
            }
        };
        for message in schema.messages().iter().filter(|m| m.parent_file() == file) {
            want(message.path(), message.full_name());
            for field in message.fields() {
                want(field.path(), field.full_name());
            }
            for oneof in message.oneofs().filter(|o| !o.is_synthetic()) {
                want(oneof.path(), oneof.full_name());
            }
        }
        for enumeration in schema.enums().iter().filter(|e| e.parent_file() == file) {
            want(enumeration.path(), enumeration.full_name());
            for value in enumeration.values() {
                want(value.path(), value.full_name());
            }
        }
        for service in file.services() {
            want(service.path(), service.full_name());
            for method in service.methods() {
                want(method.path(), method.full_name());
            }
        }
    }
    out
}

pub(crate) fn reasons(schema: &Schema) -> Vec<Complaint> {
    let mut out = Vec::new();
    let known: BTreeSet<&str> = provado_model::Reason::ALL
        .iter()
        .map(|r| r.as_str())
        .collect();
    for method in schema.methods() {
        let comment = comment_at(&method.parent_file(), method.path()).unwrap_or_default();
        let Some((_, list)) = comment.split_once("Reasons:") else {
            out.push(format!("{}: names no reasons", method.full_name()));
            continue;
        };
        for reason in list
            .split([',', '.'])
            .map(str::trim)
            .filter(|r| !r.is_empty())
        {
            if !known.contains(reason) {
                out.push(format!("{}: unknown reason {reason}", method.full_name()));
            }
        }
    }
    out
}

pub(crate) fn paging(schema: &Schema) -> Vec<Complaint> {
    let mut out = Vec::new();
    for method in schema
        .methods()
        .iter()
        .filter(|m| m.name().starts_with("List"))
    {
        for (message, fields) in [
            (method.input(), &["page_size", "page_token"][..]),
            (method.output(), &["next_page_token"][..]),
        ] {
            for field in fields {
                if message.get_field_by_name(field).is_none() {
                    out.push(format!("{}: lacks {field}", message.full_name()));
                }
            }
        }
        if method
            .output()
            .get_field(1)
            .is_none_or(|f| f.cardinality() != Cardinality::Repeated)
        {
            out.push(format!(
                "{}: results must be field 1",
                method.output().full_name()
            ));
        }
    }
    out
}

pub(crate) fn request_ids(schema: &Schema) -> Vec<Complaint> {
    const READS: &[&str] = &[
        "Get", "List", "Watch", "Stream", "Verify", "Session", "Sync",
    ];
    let mut out = Vec::new();
    for method in schema.methods() {
        let reads = READS.iter().any(|prefix| method.name().starts_with(prefix));
        if !reads && method.input().get_field_by_name("request_id").is_none() {
            out.push(format!("{}: lacks request_id", method.input().full_name()));
        }
    }
    out
}

pub(crate) fn units(schema: &Schema) -> Vec<Complaint> {
    let mut out = Vec::new();
    for message in schema.messages() {
        for field in message.fields() {
            // A kept format may hold unsigned sizes; times are named the same everywhere.
            let kept = message.package_name() == "provado.repository.v1";
            let is_time = matches!(field.kind(), Kind::Message(m)
                if m.full_name() == "google.protobuf.Timestamp");
            if is_time && !field.name().ends_with("_time") {
                out.push(format!(
                    "{}: a Timestamp must end in _time",
                    field.full_name()
                ));
            }
            let size = field.kind() == Kind::Int64 || (kept && field.kind() == Kind::Uint64);
            if field.name().ends_with("_bytes") && !size && field.kind() != Kind::Uint32 {
                out.push(format!("{}: sizes are int64", field.full_name()));
            }
            let integer = matches!(field.kind(), Kind::Int32 | Kind::Int64)
                || (kept && field.kind() == Kind::Uint64);
            if field.name().ends_with("_count") && !integer {
                out.push(format!("{}: counts are integers", field.full_name()));
            }
        }
    }
    out
}

pub(crate) fn bytes_fields(schema: &Schema) -> Vec<Complaint> {
    const ENDINGS: &[&str] = &[
        "sha256",
        "signature",
        "public_key",
        "fingerprint",
        "_id",
        "inventory",
        "section",
    ];
    let mut out = Vec::new();
    // The manifest is a format of its own that is never sent; its sections are read one by one.
    let sent = schema
        .messages()
        .into_iter()
        .filter(|m| !m.full_name().contains(".repository."));
    for message in sent {
        for field in message.fields() {
            let named = ENDINGS.iter().any(|end| field.name().ends_with(end));
            if field.kind() == Kind::Bytes && !named {
                out.push(format!("{}: bytes that are no digest", field.full_name()));
            }
        }
    }
    out
}

pub(crate) fn words(schema: &Schema) -> Vec<Complaint> {
    const BANNED: &[&str] = &[
        "estate",
        "node",
        "worker",
        "client",
        "cluster",
        "stanza",
        "storage",
        "destination",
        "vault",
        "driver",
        "dao",
        "repo",
        "profile",
        "cron",
        "tick",
        "firing",
        "execution",
        "task",
        "try",
        "generation_number",
        "lock_token",
        "dump",
        "chunk",
        "blob",
        "scrub",
        "pin",
        "purge",
        "forget",
        "gc",
        "alert",
        "principal",
        "user",
    ];
    /// PostgreSQL's own names for its own things.
    const POSTGRES: &[&str] = &["dump_id", "storage"];
    let mut out = Vec::new();
    let mut look = |name: &str, whole: &str| {
        let parts: Vec<String> = upper_snake(name)
            .to_lowercase()
            .split('_')
            .map(str::to_owned)
            .collect();
        for banned in BANNED {
            if parts.iter().any(|part| part == banned) {
                out.push(format!("{whole}: `{banned}` is not a word of the glossary"));
            }
        }
    };
    for message in schema.messages() {
        look(message.name(), message.full_name());
        for field in message.fields().filter(|f| !POSTGRES.contains(&f.name())) {
            look(field.name(), field.full_name());
        }
    }
    for method in schema.methods() {
        look(method.name(), method.full_name());
    }
    out
}
