//! Every module opens by saying what it is, and nothing is left half done.

use crate::lexer::{code_only, identifiers};
use crate::tree::{Finding, Tree, assert_found, assert_none};

/// Files that open a module or a program.
const HEADS: &[&str] = &["mod.rs", "lib.rs", "main.rs", "build.rs"];

/// Macros that promise later work.
const MACROS: &[&str] = &["todo", "unimplemented"];

/// Marks that promise later work, in any text; in two parts, so that this file is not a finding.
const MARKS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
];

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.is_rust()) {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        let is_test_target = file.path.contains("/tests/") && file.path.matches('/').count() == 2;
        if (HEADS.contains(&name) || is_test_target) && !file.text.starts_with("//! ") {
            let message = "opens without `//!`: say what it owns and what it never does";
            findings.push(Finding::new(&file.path, 1, message));
        }
        let code = code_only(&file.text);
        for (index, line) in file.text.lines().enumerate() {
            // A process that a test starts from its own program is not a test.
            let attribute = line.trim_start().strip_prefix("#[ignore");
            if attribute.is_some_and(|reason| !reason.starts_with(" = \"started by ")) {
                let message = "a test that is not run protects nothing: run it or remove it";
                findings.push(Finding::new(&file.path, index + 1, message));
            }
        }
        for (line, word) in identifiers(&code) {
            let calls = || {
                code.lines()
                    .nth(line - 1)
                    .unwrap()
                    .contains(&format!("{word}!"))
            };
            if MACROS.contains(&word) && calls() {
                findings.push(Finding::new(
                    &file.path,
                    line,
                    "unfinished: finish it or leave it out",
                ));
            }
        }
    }
    for file in &tree.files {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(mark) = MARKS.iter().find(|mark| line.contains(**mark)) {
                let message = format!("{mark}: finish it, or open an issue that says it");
                findings.push(Finding::new(&file.path, index + 1, message));
            }
        }
    }
    findings
}

#[test]
fn modules_say_what_they_are_and_nothing_is_half_done() {
    assert_none(&check(&Tree::real()));
}

#[test]
fn silent_modules_and_promises_are_found() {
    let mark = format!("//! Owns.\n// {} later\n", MARKS[0]);
    let tree = Tree::of(&[
        ("a/src/lib.rs", "use b;"),
        ("a/src/b/mod.rs", "// no\n"),
        (
            "a/src/c.rs",
            "fn c() {\n  todo!()\n}\n// unimplemented!()\n",
        ),
        ("a/tests/d.rs", "fn d() {}"),
        (
            "a/src/e.rs",
            "#[test]\n#[ignore = \"slow\"]\nfn e() {}\n#[ignore = \"started by e\"]",
        ),
        ("a/src/main.rs", &mark),
    ]);
    assert_found(
        &check(&tree),
        &[
            ("a/src/lib.rs", 1),
            ("a/src/b/mod.rs", 1),
            ("a/src/c.rs", 2),
            ("a/tests/d.rs", 1),
            ("a/src/e.rs", 2),
            ("a/src/main.rs", 2),
        ],
    );
}
