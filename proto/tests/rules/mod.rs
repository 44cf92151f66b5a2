//! The lint rules: buf's here, those of the house in a file of their own.

mod house;

pub(crate) use house::{bytes_fields, paging, reasons, request_ids, units, words};

use prost_reflect::{
    DescriptorPool, EnumDescriptor, FileDescriptor, MessageDescriptor, MethodDescriptor,
    ServiceDescriptor,
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
