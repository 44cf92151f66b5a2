//! Files are touched in few places: who reads or writes the disk is listed here, with what for.
//!
//! Clippy could ban the functions, but not say where they are at home without a mark in each file.

use crate::lexer::code_only;
use crate::tree::{File, Finding, Tree, assert_found, assert_none};

/// Crates whose tests and tools may do as they like.
const FREE: &[&str] = &["integration-tests/", "proto/"];

/// Start of a path, and what it keeps on disk.
const PLACES: &[(&str, &str)] = &[
    ("agent/src/config", "reads its configuration"),
    ("agent/src/inbox", "keeps accepted attempts"),
    (
        "agent/src/outbox",
        "keeps outcomes until they are acknowledged",
    ),
    ("agent/src/host", "reads the host's name and identifiers"),
    (
        "agent/src/journal",
        "what inbox and outbox keep, written so that a crash loses nothing",
    ),
    (
        "agent/src/membership",
        "keeps keys and what the controller gave",
    ),
    ("agent/src/local", "knows the agent's own folders"),
    (
        "agent/src/jobs/backup/dump",
        "the pipe that pg_dump writes to",
    ),
    (
        "agent/src/jobs/load/",
        "the named pipes that pg_restore reads from",
    ),
    (
        "agent/src/jobs/restore/journal",
        "keeps the names of databases that are being made",
    ),
    ("agent/src/jobs/restore/room", "asks for free space"),
    ("agent/src/jobs/drill", "asks for free space"),
    (
        "agent/src/jobs/sweep",
        "finds what drills of a killed agent left",
    ),
    ("agent/src/jobs/work", "makes a job's own folder"),
    (
        "agent/src/postgres/",
        "throw-away instances, named pipes, tools",
    ),
    ("shared/identity/src/", "keeps keys and certificates"),
    (
        "shared/repository/src/spool",
        "bytes on their way that are too many for memory",
    ),
    ("shared/repository/src/backend/", "keeps objects"),
    ("controller/src/config", "reads its configuration"),
    ("controller/src/db", "keeps the embedded database"),
    ("controller/src/listeners", "reloads certificates"),
    (
        "cli/src/",
        "reads contexts, writes what the operator asked for",
    ),
];

const MODULES: &[&str] = &["std::fs", "tokio::fs", "rustix::fs"];

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| is_product(file)) {
        if PLACES.iter().any(|(place, _)| file.path.starts_with(place)) {
            continue;
        }
        let code = code_only(&file.text);
        let product = code.split("#[cfg(test)]").next().unwrap();
        for (index, line) in product.lines().enumerate() {
            if let Some(module) = MODULES.iter().find(|module| line.contains(**module)) {
                let message = format!(
                    "{module} here: leave the disk to the places listed in files.rs, or add this \
                     one with what it keeps"
                );
                findings.push(Finding::new(&file.path, index + 1, message));
            }
        }
    }
    findings
}

fn is_product(file: &File) -> bool {
    let is_test = file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
    let is_free = FREE.iter().any(|free| file.path.starts_with(free));
    file.is_rust() && file.path.contains("src/") && !is_test && !is_free
}

#[test]
fn the_disk_is_touched_in_listed_places() {
    assert_none(&check(&Tree::real()));
}

#[test]
fn a_file_opened_elsewhere_is_found() {
    let tree = Tree::of(&[
        (
            "controller/src/admit/task.rs",
            "fn a() {\n  std::fs::read(b)\n}",
        ),
        ("controller/src/admit/plan.rs", "#[cfg(test)]\nuse std::fs;"),
        ("controller/src/admit/tests.rs", "use std::fs;"),
        ("agent/src/inbox/mod.rs", "use std::fs;"),
    ]);
    assert_found(&check(&tree), &[("controller/src/admit/task.rs", 2)]);
}
