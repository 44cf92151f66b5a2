//! The tree speaks of no machine: a path of one developer's disk means nothing on another's.

use crate::tree::{Finding, Tree, assert_found, assert_none};

/// Starts of paths that exist on one machine only. The first letter stands apart, so that this
/// file is not a finding.
const STARTS: &[(&str, &str)] = &[
    ("/", "work/"),
    ("/", "home/"),
    ("/", "Users/"),
    ("/", "tmp/h/"),
];

fn check(tree: &Tree) -> Vec<Finding> {
    let starts: Vec<String> = STARTS
        .iter()
        .map(|(slash, rest)| format!("{slash}{rest}"))
        .collect();
    let mut findings = Vec::new();
    for file in &tree.files {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(start) = starts.iter().find(|start| starts_path(line, start)) {
                let message = format!("{start}… is a path of one machine");
                findings.push(Finding::new(&file.path, index + 1, message));
            }
        }
    }
    findings
}

/// Whether the line has the start of an absolute path, and not the middle of a relative one.
fn starts_path(line: &str, start: &str) -> bool {
    let alone = |at: usize| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|char| !char.is_alphanumeric() && !".-_>})".contains(char))
    };
    line.match_indices(start).any(|(at, _)| alone(at))
}

#[test]
fn no_path_of_a_machine() {
    assert_none(&check(&Tree::real()));
}

#[test]
fn a_path_of_a_machine_is_found_and_a_relative_one_is_not() {
    let line = |slash: &str| format!("see \"{slash}home/ana/x\"\nand a{slash}home/b\n");
    let tree = Tree::of(&[("a.md", &line("/")), ("b.md", "framework/x")]);
    assert_found(&check(&tree), &[("a.md", 1)]);
}
