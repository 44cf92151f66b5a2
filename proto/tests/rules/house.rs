//! Rules of the house: reasons, paging, request ids, units, bytes, words.

use super::{Complaint, Schema, comment_at, upper_snake};
use prost_reflect::{Cardinality, Kind};
use std::collections::BTreeSet;

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
