//! The breaking-change check: what agents and scripts out there rely on stays.
//!
//! The present descriptors are compared with `baseline/provado.binpb`, which moves only at a
//! release, by `PROVADO_MOVE_BASELINE=1 cargo test -p provado-proto --test breaking`. The rules
//! are buf's WIRE_JSON plus "no RPC, service, message or enum is deleted".
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, MessageDescriptor};
use std::path::PathBuf;

fn baseline() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("baseline/provado.binpb")
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a named command moves the baseline"
)]
fn nothing_that_was_released_breaks() {
    if std::env::var_os("PROVADO_MOVE_BASELINE").is_some() {
        std::fs::write(baseline(), provado_proto::FILE_DESCRIPTOR_SET).unwrap();
    }
    let old = std::fs::read(baseline()).expect("proto/baseline/provado.binpb must exist");
    let old = DescriptorPool::decode(old.as_slice()).unwrap();
    let new = DescriptorPool::decode(provado_proto::FILE_DESCRIPTOR_SET).unwrap();
    let complaints = breaks(&old, &new);
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn breaks(old: &DescriptorPool, new: &DescriptorPool) -> Vec<String> {
    let mut out = Vec::new();
    for message in old.all_messages() {
        match new.get_message_by_name(message.full_name()) {
            Some(now) => message_breaks(&message, &now, &mut out),
            None => out.push(format!("{}: message deleted", message.full_name())),
        }
    }
    for enumeration in old.all_enums() {
        match new.get_enum_by_name(enumeration.full_name()) {
            Some(now) => enum_breaks(&enumeration, &now, &mut out),
            None => out.push(format!("{}: enum deleted", enumeration.full_name())),
        }
    }
    for service in old.services() {
        let Some(now) = new.get_service_by_name(service.full_name()) else {
            out.push(format!("{}: service deleted", service.full_name()));
            continue;
        };
        for method in service.methods() {
            let Some(now) = now.methods().find(|m| m.name() == method.name()) else {
                out.push(format!("{}: RPC deleted", method.full_name()));
                continue;
            };
            if method.input().full_name() != now.input().full_name()
                || method.output().full_name() != now.output().full_name()
                || method.is_client_streaming() != now.is_client_streaming()
                || method.is_server_streaming() != now.is_server_streaming()
            {
                out.push(format!(
                    "{}: request, response or streaming changed",
                    method.full_name()
                ));
            }
        }
    }
    out
}

fn message_breaks(old: &MessageDescriptor, new: &MessageDescriptor, out: &mut Vec<String>) {
    for field in old.fields() {
        let Some(now) = new.get_field(field.number()) else {
            let number = new
                .reserved_ranges()
                .any(|range| range.contains(&field.number()));
            let name = new.reserved_names().any(|name| name == field.name());
            if !(number && name) {
                out.push(format!(
                    "{}: removed without reserving number and name",
                    field.full_name()
                ));
            }
            continue;
        };
        field_breaks(&field, &now, out);
    }
}

fn field_breaks(old: &FieldDescriptor, new: &FieldDescriptor, out: &mut Vec<String>) {
    let place = |field: &FieldDescriptor| {
        field
            .containing_oneof()
            .map(|oneof| oneof.full_name().to_owned())
    };
    if format!("{:?}", old.kind()) != format!("{:?}", new.kind()) {
        out.push(format!("{}: type changed", old.full_name()));
    }
    if old.cardinality() != new.cardinality() {
        out.push(format!("{}: cardinality changed", old.full_name()));
    }
    if old.json_name() != new.json_name() {
        out.push(format!(
            "{}: JSON name changed to {}",
            old.full_name(),
            new.json_name()
        ));
    }
    if place(old) != place(new) {
        out.push(format!("{}: moved into or out of a oneof", old.full_name()));
    }
}

fn enum_breaks(old: &EnumDescriptor, new: &EnumDescriptor, out: &mut Vec<String>) {
    for value in old.values() {
        match new.get_value(value.number()) {
            Some(now) if now.name() == value.name() => {}
            Some(now) => out.push(format!("{}: now called {}", value.full_name(), now.name())),
            None => {
                let number = new
                    .reserved_ranges()
                    .any(|range| range.contains(&value.number()));
                let name = new.reserved_names().any(|name| name == value.name());
                if !(number && name) {
                    out.push(format!(
                        "{}: removed without reserving it",
                        value.full_name()
                    ));
                }
            }
        }
    }
}

fn compile(source: &str) -> DescriptorPool {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.proto"), source).unwrap();
    let mut compiler = protox::Compiler::new([folder.path()]).unwrap();
    compiler.include_imports(true).open_file("a.proto").unwrap();
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap()
}

#[test]
fn every_sort_of_break_is_found() {
    let base = r#"syntax = "proto3"; package a.v1;
        enum E { E_UNSPECIFIED = 0; E_ONE = 1; }
        message M { string x = 1; repeated string y = 2; oneof o { string p = 3; } E e = 4; }
        message N { string x = 1; }
        service S { rpc Do(M) returns (N); }"#;
    let check = |from: &str, to: &str, expected: &str| {
        assert!(base.contains(from), "{from}");
        let found = breaks(&compile(base), &compile(&base.replace(from, to)));
        assert!(
            found.iter().any(|c| c.contains(expected)),
            "{from} -> {to}: {found:?}"
        );
    };
    assert!(breaks(&compile(base), &compile(base)).is_empty());
    let more = base.replace(
        "string x = 1; repeated",
        "string x = 1; string z = 9; repeated",
    );
    assert!(breaks(&compile(base), &compile(&more)).is_empty());
    check(
        "string x = 1; repeated",
        "int32 x = 1; repeated",
        "type changed",
    );
    check("repeated string y", "string y", "cardinality");
    check(
        "string x = 1; repeated",
        "string xx = 1; repeated",
        "JSON name",
    );
    check(
        "string x = 1; repeated",
        "repeated",
        "removed without reserving",
    );
    check("oneof o { string p = 3; }", "string p = 3;", "oneof");
    check("E_ONE = 1", "E_TWO = 1", "now called");
    check(" E_ONE = 1;", "", "removed without reserving it");
    check("rpc Do(M)", "rpc Do(stream M)", "streaming changed");
    check("rpc Do(M) returns (N);", "", "RPC deleted");
    check(
        "service S { rpc Do(M) returns (N); }",
        "",
        "service deleted",
    );
}
