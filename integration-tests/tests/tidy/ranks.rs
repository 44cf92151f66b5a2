//! The controller's modules import only lower ranks, and a stage never imports a stage.
//!
//! The table is the one in ARCHITECTURE.md. A module that is in no rank is a finding, so that a new
//! one gets a place before it gets users.

use std::collections::BTreeSet;

use crate::lexer::code_only;
use crate::tree::{File, Finding, Tree, assert_found, assert_none};

const ROOT: &str = "controller/src/";

/// How the modules of one rank see each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Siblings {
    /// A module may import those written to its left.
    Left,
    /// They never import each other.
    Never,
    /// They may: here everything is put together.
    Free,
}

/// Lowest first.
const RANKS: &[(&str, Siblings, &[&str])] = &[
    ("ground", Siblings::Left, &["config", "db", "supervisor"]),
    (
        "medium",
        Siblings::Left,
        &["events", "request", "lifecycle"],
    ),
    (
        "reference",
        Siblings::Left,
        &["access", "fleet", "sealed", "resolve", "policy"],
    ),
    (
        "stages",
        Siblings::Never,
        &[
            "schedule", "admit", "dispatch", "intake", "catalog", "verify", "retain", "incident",
            "notify", "audit",
        ],
    ),
    (
        "assembly",
        Siblings::Free,
        &["listeners", "console", "app", "main", "lib"],
    ),
];

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut unranked = BTreeSet::new();
    for file in tree.under(ROOT, "rs") {
        let module = module_of(file);
        let Some(rank) = rank_of(module) else {
            if unranked.insert(module.to_owned()) {
                let message = format!(
                    "module {module} is in no rank: give it one in ARCHITECTURE.md and in ranks.rs"
                );
                findings.push(Finding::new(&file.path, 0, message));
            }
            continue;
        };
        for (line, import) in imports(file) {
            if import != module && rank_of(&import).is_some() && !may(module, &import) {
                let message = format!(
                    "{module} ({}) imports {import}: only lower ranks may be imported; write a row \
                     and wake the other's task instead",
                    RANKS[rank].0
                );
                findings.push(Finding::new(&file.path, line, message));
            }
        }
    }
    findings
}

/// The part of the path below the root up to the first `/` or `.`.
fn module_of(file: &File) -> &str {
    let rest = file.path.strip_prefix(ROOT).unwrap();
    rest.split(['/', '.']).next().unwrap()
}

fn rank_of(module: &str) -> Option<usize> {
    RANKS
        .iter()
        .position(|(_, _, modules)| modules.contains(&module))
}

fn may(importer: &str, other: &str) -> bool {
    let (Some(from), Some(to)) = (rank_of(importer), rank_of(other)) else {
        return false;
    };
    let (_, siblings, modules) = RANKS[from];
    let place = |module| modules.iter().position(|it| *it == module);
    match siblings {
        _ if to != from => to < from,
        Siblings::Free => true,
        Siblings::Never => false,
        Siblings::Left => place(other) < place(importer),
    }
}

/// Top-level modules of the crate that a file names, with the line: `crate::x`, `crate::{x, y::z}`,
/// and `super::x` where that reaches the top.
fn imports(file: &File) -> Vec<(usize, String)> {
    let code = code_only(&file.text);
    let depth = depth_of(file);
    let mut found = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        let before = code[..start].chars().next_back();
        if before.is_some_and(|char| char.is_alphanumeric() || char == '_' || char == '$') {
            continue;
        }
        let line = line_of(&code, start);
        found.extend(
            heads(&code[start + 7..])
                .into_iter()
                .map(|head| (line, head)),
        );
    }
    for (start, _) in code.match_indices("super::") {
        if code[..start].ends_with("super::") {
            continue;
        }
        let run = code.as_bytes()[start..]
            .chunks(7)
            .take_while(|it| *it == b"super::")
            .count();
        if run >= depth {
            let line = line_of(&code, start);
            found.extend(
                heads(&code[start + 7 * run..])
                    .into_iter()
                    .map(|head| (line, head)),
            );
        }
    }
    found.sort();
    found
}

/// How many `super::` lead from a file's module to the crate's root.
fn depth_of(file: &File) -> usize {
    let rest = file.path.strip_prefix(ROOT).unwrap();
    let parts = rest.split('/').count();
    match rest {
        "lib.rs" | "main.rs" => usize::MAX,
        _ if rest.ends_with("/mod.rs") => parts - 1,
        _ => parts,
    }
}

/// The first name of every path in `x::…` or `{x::…, y}`.
fn heads(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|it| it.is_alphanumeric() || *it == '_')
            .collect()
    };
    let Some(group) = rest.trim_start().strip_prefix('{') else {
        return vec![name(rest)];
    };
    let (mut heads, mut depth, mut part) = (Vec::new(), 0_usize, String::new());
    for char in group.chars() {
        match char {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(name(&std::mem::take(&mut part))),
            _ => {}
        }
        if depth == 0 && char != ',' {
            part.push(char);
        }
    }
    heads.push(name(&part));
    heads.retain(|head| !head.is_empty());
    heads
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

#[test]
fn modules_import_only_lower_ranks() {
    assert_none(&check(&Tree::real()));
}

#[test]
fn every_way_of_importing_upwards_is_found() {
    let tree = Tree::of(&[
        (
            "controller/src/db/mod.rs",
            "//! crate::app\nuse crate::fleet::Agent;",
        ),
        (
            "controller/src/admit/task.rs",
            "use crate::{\n  db::Tx,\n  dispatch::{Task, a}};",
        ),
        (
            "controller/src/admit/plan.rs",
            "fn f() { super::super::catalog::g(); super::model::h() }",
        ),
        (
            "controller/src/audit.rs",
            "use super::verify::a;\nuse super::lifecycle::b;",
        ),
        ("controller/src/access/mod.rs", "use crate::fleet::a;"),
        ("controller/src/odd.rs", ""),
    ]);
    assert_found(
        &check(&tree),
        &[
            ("controller/src/db/mod.rs", 2),
            ("controller/src/admit/task.rs", 1),
            ("controller/src/admit/plan.rs", 1),
            ("controller/src/audit.rs", 1),
            ("controller/src/access/mod.rs", 1),
            ("controller/src/odd.rs", 0),
        ],
    );
}

#[test]
fn downward_imports_are_let_be() {
    let tree = Tree::of(&[
        (
            "controller/src/fleet/mod.rs",
            "use crate::{access::A, db::Tx};\nuse crate::fleet::x;",
        ),
        (
            "controller/src/admit/task.rs",
            "use crate::admit::plan;\nuse crate::request::Caller;",
        ),
        (
            "controller/src/app.rs",
            "use crate::listeners;\nuse crate::audit;",
        ),
        ("controller/src/lib.rs", "pub mod app;"),
    ]);
    assert_none(&check(&tree));
}
