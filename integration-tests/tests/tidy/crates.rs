//! Which crate may know which, that versions and lints are set once, in the workspace, and that
//! every crate from outside is accounted for in docs/dependencies.md.

use toml::{Table, Value};

use crate::tree::{File, Finding, Tree, assert_found, assert_none};

/// A crate's folder, and the crates of ours it may depend on.
///
/// `repository` knows `proto` for the manifest's messages alone (docs/decisions/0002).
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("shared/model", &["proto"]),
    ("shared/archive", &["proto"]),
    ("shared/repository", &["model", "proto"]),
    ("shared/identity", &["model"]),
    ("shared/telemetry", &["model"]),
    ("agent", SHARED),
    ("controller", SHARED),
    ("cli", EVERYTHING),
    ("integration-tests", EVERYTHING),
];
const SHARED: &[&str] = &[
    "proto",
    "model",
    "archive",
    "repository",
    "identity",
    "telemetry",
];
const EVERYTHING: &[&str] = &[
    "proto",
    "model",
    "archive",
    "repository",
    "identity",
    "telemetry",
    "agent",
    "controller",
];

/// What only a crate's tests may know: those of `proto` hold its comments against the reasons.
const TESTS_MAY_KNOW: &[(&str, &str)] = &[("proto", "model")];

/// Where the command may use the agent's and the controller's libraries: the two commands that run
/// them in one process.
const CLI_LINKS: &[&str] = &["cli/src/commands/dev", "cli/src/commands/recover"];

const ACCOUNTS: &str = "docs/dependencies.md";

const SECTIONS: &[&str] = &["dependencies", "build-dependencies", "dev-dependencies"];

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree
        .files
        .iter()
        .filter(|file| file.path.ends_with("/Cargo.toml"))
    {
        let folder = file.path.trim_end_matches("/Cargo.toml");
        let table: Table = match file.text.parse() {
            Ok(table) => table,
            Err(error) => {
                findings.push(Finding::new(&file.path, 0, format!("not TOML: {error}")));
                continue;
            }
        };
        // A fuzzing crate stands outside the workspace: it needs another compiler.
        if table.contains_key("workspace") {
            continue;
        }
        check_directions(file, folder, &table, &mut findings);
        check_workspace(file, &table, &mut findings);
    }
    findings.extend(tree.under("cli/src/", "rs").filter_map(check_cli_links));
    findings
}

fn check_directions(file: &File, folder: &str, table: &Table, findings: &mut Vec<Finding>) {
    let Some((_, allowed)) = MAY_KNOW.iter().find(|(name, _)| *name == folder) else {
        let message = "a crate in no place: say in crates.rs and ARCHITECTURE.md whom it may know";
        findings.push(Finding::new(&file.path, 0, message));
        return;
    };
    for (name, _) in dependencies(table) {
        let Some(ours) = name.strip_prefix("provado-") else {
            continue;
        };
        let for_tests = table
            .get("dev-dependencies")
            .is_some_and(|it| it.get(name).is_some())
            && TESTS_MAY_KNOW.contains(&(folder, ours));
        if !allowed.contains(&ours) && !for_tests {
            let message = format!("{folder} depends on {name}: it may know only {allowed:?}");
            findings.push(Finding::new(&file.path, line_of(file, name), message));
        }
    }
}

fn check_workspace(file: &File, table: &Table, findings: &mut Vec<Finding>) {
    let of_workspace = |value: &Value| value.get("workspace") == Some(&Value::Boolean(true));
    if !table.get("lints").is_some_and(of_workspace) {
        let message = "no `[lints] workspace = true`: every crate is held to the same lints";
        findings.push(Finding::new(&file.path, 0, message));
    }
    for (name, value) in dependencies(table) {
        if !of_workspace(value) {
            let message = format!("{name}: its version is set in the workspace, not here");
            findings.push(Finding::new(&file.path, line_of(file, name), message));
        }
    }
}

fn check_cli_links(file: &File) -> Option<Finding> {
    if CLI_LINKS.iter().any(|place| file.path.starts_with(place)) {
        return None;
    }
    let code = crate::lexer::code_only(&file.text);
    let line = code.lines().position(|line| {
        line.contains("provado_agent::") || line.contains("provado_controller::")
    })?;
    let message = format!("only {CLI_LINKS:?} may link the agent's and the controller's libraries");
    Some(Finding::new(&file.path, line + 1, message))
}

/// Rows of docs/dependencies.md against the third-party crates of the workspace.
fn check_accounts(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let text = |path| tree.get(path).map_or("", |file| file.text.as_str());
    let workspace: Table = text("Cargo.toml").parse().unwrap_or_default();
    let named = workspace
        .get("workspace")
        .and_then(|it| it.get("dependencies"));
    let named = named.and_then(Value::as_table).cloned().unwrap_or_default();
    let named: Vec<&str> = named.keys().map(String::as_str).collect();
    let rows: Vec<&str> = text(ACCOUNTS)
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    for name in named.iter().filter(|name| !name.starts_with("provado-")) {
        if !rows.contains(name) {
            let message = format!("{name} has no row: say why it is here, and instead of what");
            findings.push(Finding::new(ACCOUNTS, 0, message));
        }
    }
    for name in rows.iter().filter(|name| !named.contains(name)) {
        let message = format!("{name} is no longer a dependency: take its row out");
        findings.push(Finding::new(ACCOUNTS, 0, message));
    }
    findings
}

fn dependencies(table: &Table) -> impl Iterator<Item = (&str, &Value)> {
    let sections = SECTIONS
        .iter()
        .filter_map(|section| table.get(*section)?.as_table());
    sections
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
}

fn line_of(file: &File, name: &str) -> usize {
    file.text
        .lines()
        .position(|line| line.starts_with(name))
        .map_or(0, |index| index + 1)
}

#[test]
fn crates_know_only_whom_they_may() {
    assert_none(&check(&Tree::real()));
}

#[test]
fn every_crate_from_outside_is_accounted_for() {
    assert_none(&check_accounts(&Tree::real()));
}

#[test]
fn a_crate_without_a_row_and_a_row_without_a_crate_are_found() {
    let manifest = "[workspace.dependencies]\nprovado-model = { path = \"a\" }\nb = \"1\"\n";
    let tree = Tree::of(&[
        ("Cargo.toml", manifest),
        (ACCOUNTS, "| crate |\n| `c` | why |\n"),
    ]);
    assert_found(&check_accounts(&tree), &[(ACCOUNTS, 0), (ACCOUNTS, 0)]);
}

#[test]
fn wrong_directions_versions_and_lints_are_found() {
    let lints = "[lints]\nworkspace = true\n";
    let with = |rest: &str| format!("{lints}{rest}");
    let tree = Tree::of(&[
        (
            "agent/Cargo.toml",
            &with("[dependencies]\nprovado-controller.workspace = true\n"),
        ),
        (
            "controller/Cargo.toml",
            &with("[dev-dependencies]\nprovado-agent.workspace = true\n"),
        ),
        (
            "proto/Cargo.toml",
            &with("[dependencies]\nprost = \"0.14\"\n"),
        ),
        ("shared/model/Cargo.toml", "[dependencies]\n"),
        ("shared/new/Cargo.toml", lints),
        (
            "cli/src/backup.rs",
            "// provado_agent::a\nuse provado_agent::b;",
        ),
        ("cli/src/commands/dev.rs", "use provado_agent::b;"),
    ]);
    assert_found(
        &check(&tree),
        &[
            ("agent/Cargo.toml", 4),
            ("controller/Cargo.toml", 4),
            ("proto/Cargo.toml", 4),
            ("shared/model/Cargo.toml", 0),
            ("shared/new/Cargo.toml", 0),
            ("cli/src/backup.rs", 2),
        ],
    );
}
