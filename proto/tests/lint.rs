//! buf's STANDARD and COMMENTS rules, and the house rules, over the compiled descriptors.
//!
//! Each rule is a function from the descriptors to complaints, so that each can be shown to
//! complain (see the last test).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod rules;

use prost_reflect::DescriptorPool;
use rules::{Complaint, Schema};

fn product() -> Schema {
    Schema::new(DescriptorPool::decode(provado_proto::FILE_DESCRIPTOR_SET).unwrap())
}

fn check(rule: fn(&Schema) -> Vec<Complaint>) {
    let complaints = rule(&product());
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn packages_match_their_folders_and_carry_a_version() {
    check(rules::packages);
}

#[test]
fn names_have_their_case() {
    check(rules::cases);
}

#[test]
fn enums_start_at_an_unspecified_zero_and_prefix_their_values() {
    check(rules::enums);
}

#[test]
fn every_rpc_has_messages_of_its_own() {
    check(rules::rpcs);
}

#[test]
fn everything_is_commented() {
    check(rules::comments);
}

#[test]
fn every_rpc_names_its_reasons() {
    check(rules::reasons);
}

#[test]
fn every_list_is_paged() {
    check(rules::paging);
}

#[test]
fn every_mutating_request_carries_a_request_id() {
    check(rules::request_ids);
}

#[test]
fn times_sizes_and_counts_are_named_as_such() {
    check(rules::units);
}

#[test]
fn bytes_are_digests_keys_or_signatures() {
    check(rules::bytes_fields);
}

#[test]
fn only_words_of_the_glossary() {
    check(rules::words);
}

#[test]
fn every_rule_can_complain() {
    let bad = r#"
syntax = "proto3";
package provado.wrong;
enum color { RED = 0; }
message thing {
  string BadName = 1; bytes blob = 2; int64 retry_bytes_of = 3; int32 size_bytes = 4;
  string cluster = 5;
}
message ListThingsRequest { string x = 1; }
message ListThingsResponse { string x = 1; }
message DeleteThingRequest { string x = 1; }
service Things {
  rpc ListThings(ListThingsRequest) returns (ListThingsResponse);
  rpc DeleteThing(DeleteThingRequest) returns (ListThingsResponse);
}
"#;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.proto"), bad).unwrap();
    let mut compiler = protox::Compiler::new([folder.path()]).unwrap();
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_file("bad.proto")
        .unwrap();
    let pool = DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap();
    let schema = Schema::new(pool);
    for (name, rule) in rules::ALL {
        assert!(!rule(&schema).is_empty(), "rule `{name}` did not complain");
    }
}
