//! A file fits in a reader's head and a line on a screen; exceptions are listed and only shrink.
//!
//! Functions are held by clippy (`too-many-lines-threshold` in clippy.toml).

use crate::tree::{Finding, Tree, assert_found, assert_none, has_extension};

const FILE_LINES_MAX: usize = 400;
const LINE_COLUMNS_MAX: usize = 100;

/// Lines of `<path> <file lines>`; `#` starts a comment.
const EXCEPTIONS: &str = "integration-tests/tidy-exceptions.txt";

/// How many exceptions there may be. It is only ever lowered.
const EXCEPTIONS_COUNT_MAX: usize = 0;

fn check(tree: &Tree, exceptions_count_max: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    let exceptions = exceptions(tree, &mut findings);
    if exceptions.len() > exceptions_count_max {
        let message = format!("more than {exceptions_count_max} exceptions: split a file instead");
        findings.push(Finding::new(EXCEPTIONS, 0, message));
    }
    for file in &tree.files {
        if !has_extension(&file.path, "rs") && !has_extension(&file.path, "proto") {
            continue;
        }
        let lines = file.text.lines().count();
        let listed = exceptions
            .iter()
            .find(|(path, _)| *path == file.path)
            .map(|(_, max)| *max);
        if let Some(message) = judge(lines, listed) {
            findings.push(Finding::new(&file.path, 0, message));
        }
        for (index, line) in file.text.lines().enumerate() {
            let columns = line.chars().count();
            // An address cannot be broken.
            if columns > LINE_COLUMNS_MAX && !line.contains("https://") {
                let message = format!("{columns} columns, at most {LINE_COLUMNS_MAX}");
                findings.push(Finding::new(&file.path, index + 1, message));
            }
        }
    }
    for (path, _) in &exceptions {
        if tree.get(path).is_none() {
            let message = format!("{path} is gone: take its line out");
            findings.push(Finding::new(EXCEPTIONS, 0, message));
        }
    }
    findings
}

fn judge(lines: usize, listed: Option<usize>) -> Option<String> {
    match listed {
        None if lines > FILE_LINES_MAX => Some(format!(
            "{lines} lines, at most {FILE_LINES_MAX}: split it by theme"
        )),
        None => None,
        Some(_) if lines <= FILE_LINES_MAX => Some(format!(
            "{lines} lines: it needs no exception any more, take it out"
        )),
        Some(max) if lines > max => Some(format!(
            "{lines} lines, its exception is {max}: exceptions only shrink"
        )),
        Some(max) if lines < max => Some(format!(
            "{lines} lines: lower its exception from {max} to that"
        )),
        Some(_) => None,
    }
}

fn exceptions<'a>(tree: &'a Tree, findings: &mut Vec<Finding>) -> Vec<(&'a str, usize)> {
    let text = tree.get(EXCEPTIONS).map_or("", |file| file.text.as_str());
    let mut exceptions = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parsed = line
            .split_once(' ')
            .and_then(|(path, max)| Some((path, max.parse().ok()?)));
        match parsed {
            Some(exception) => exceptions.push(exception),
            None => findings.push(Finding::new(EXCEPTIONS, index + 1, "not `<path> <lines>`")),
        }
    }
    exceptions
}

#[test]
fn files_and_lines_are_short() {
    assert_none(&check(&Tree::real(), EXCEPTIONS_COUNT_MAX));
}

#[test]
fn long_files_long_lines_and_stale_exceptions_are_found() {
    let of = |lines: usize| "x\n".repeat(lines);
    let wide = format!("\n{}\n// https://{}\n", "é".repeat(101), "a".repeat(101));
    let list = "# why\na.rs 450\nb.rs 450\nc.rs 450\nd.rs 450\ngone.rs 9\nnonsense\n";
    let tree = Tree::of(&[
        (EXCEPTIONS, list),
        ("a.rs", &of(450)),
        ("b.rs", &of(451)),
        ("c.rs", &of(449)),
        ("d.rs", &of(400)),
        ("e.rs", &of(401)),
        ("f.proto", &wide),
        ("g.md", &of(1000)),
    ]);
    assert_found(
        &check(&tree, 4),
        &[
            (EXCEPTIONS, 7),
            (EXCEPTIONS, 0),
            ("b.rs", 0),
            ("c.rs", 0),
            ("d.rs", 0),
            ("e.rs", 0),
            ("f.proto", 2),
            (EXCEPTIONS, 0),
        ],
    );
}
