//! Every command line that the documents show is one that the programs take.
//!
//! Documents are read for code that starts with one of our programs; the program's own `--help`
//! says whether the commands and flags exist. Only `--help` is ever run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
// These tests run our own programs, in this one file.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAMS: &[&str] = &["provado", "provado-agent", "provado-controller"];

/// Documents and folders of documents.
const PLACES: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs",
    "deploy",
];

/// Texts that start like a command line and are none: names in the repository's format.
const NO_COMMANDS: &[&str] = &["provado repository format 1:"];

/// Flags that every program takes without listing them.
const FLAGS_EVERYWHERE: &[&str] = &["--help", "--version"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The programs lie beside the folder of the test programs.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join(name);
    assert!(
        path.exists(),
        "{} is missing: cargo build --workspace --bins",
        path.display()
    );
    path
}

/// Answers of `--help`, asked once each.
#[derive(Default)]
struct Helps {
    texts: BTreeMap<Vec<String>, String>,
}

impl Helps {
    fn of(&mut self, words: &[String]) -> &str {
        self.texts.entry(words.to_vec()).or_insert_with(|| {
            let output = Command::new(program(&words[0]))
                .args(&words[1..])
                .arg("--help")
                .output();
            let output = output.unwrap();
            assert!(
                output.status.success(),
                "{words:?} --help: {}",
                output.status
            );
            String::from_utf8(output.stdout).unwrap()
        })
    }
}

/// What is wrong with a command line, if anything.
fn judge(line: &str, helps: &mut Helps) -> Result<(), String> {
    // What a pipe or a redirection leads to is not ours.
    let line = line
        .split([';', '>'])
        .next()
        .unwrap()
        .split(" | ")
        .next()
        .unwrap();
    let mut tokens = line.split_whitespace().map(str::to_owned).peekable();
    let mut words: Vec<String> = tokens.next().into_iter().collect();
    while let Some(token) = tokens.peek() {
        let help = helps.of(&words).to_owned();
        if words.len() == 1 && token.starts_with('-') {
            // A flag before the command, such as `-o json`.
            let with_value = help
                .lines()
                .any(|it| it.contains(token) && it.contains('<'));
            tokens.next();
            if with_value {
                tokens.next();
            }
            continue;
        }
        let commands = commands(&help);
        if commands.is_empty() || token.starts_with('-') || !is_word(token) {
            break;
        }
        // `a|b` stands for each of them; the first leads on.
        let choices: Vec<&str> = token.split('|').collect();
        if let Some(unknown) = choices
            .iter()
            .find(|it| !commands.iter().any(|name| name == *it))
        {
            return Err(format!("`{}` has no command `{unknown}`", words.join(" ")));
        }
        words.push(choices[0].to_owned());
        tokens.next();
    }
    let help = helps.of(&words).to_owned();
    let top = helps.of(&words[..1]).to_owned();
    for token in tokens {
        let flag = token.trim_matches(|char| "[]…,.".contains(char));
        let flag = flag.split(['=', '/']).next().unwrap();
        let known = |help: &str| {
            help.split(|char: char| char.is_whitespace() || ",[]=".contains(char))
                .any(|word| word == flag)
        };
        let is_flag = flag.starts_with("--") && flag.len() > 2;
        if is_flag && !FLAGS_EVERYWHERE.contains(&flag) && !known(&help) && !known(&top) {
            return Err(format!("`{}` has no flag `{flag}`", words.join(" ")));
        }
    }
    Ok(())
}

fn is_word(token: &str) -> bool {
    token
        .chars()
        .all(|char| char.is_ascii_lowercase() || "-|".contains(char))
}

/// Names in the section `Commands:` of a help text.
fn commands(help: &str) -> Vec<String> {
    let section = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    section
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

/// Command lines in fenced blocks, between backticks and in units, with the line they stand on.
fn command_lines(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut fenced) = (Vec::new(), false);
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let spans: Vec<&str> = if let Some(started) = line.strip_prefix("ExecStart=/usr/bin/") {
            vec![started]
        } else if fenced {
            // A remark stands behind a wide gap or a hash.
            let code = line
                .trim_start()
                .trim_start_matches("$ ")
                .split(" #")
                .next()
                .unwrap();
            vec![code.split("   ").next().unwrap()]
        } else {
            line.split('`').skip(1).step_by(2).collect()
        };
        for span in spans {
            let first = span.split_whitespace().next().unwrap_or_default();
            let is_ours = PROGRAMS.contains(&first) && span.trim() != first;
            if is_ours && !NO_COMMANDS.iter().any(|start| span.starts_with(start)) {
                found.push((index + 1, span.to_owned()));
            }
        }
    }
    found
}

fn documents(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            documents(&entry.unwrap().path(), found);
        }
    } else if path
        .extension()
        .is_some_and(|it| it == "md" || it == "service")
    {
        found.push(path.to_owned());
    }
}

#[test]
fn commands_in_documents_exist() {
    let (mut files, mut helps, mut wrong, mut count) = (Vec::new(), Helps::default(), vec![], 0);
    for place in PLACES {
        documents(&root().join(place), &mut files);
    }
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (line, command) in command_lines(&text) {
            count += 1;
            if let Err(message) = judge(&command, &mut helps) {
                wrong.push(format!("{}:{line}: {command}: {message}", file.display()));
            }
        }
    }
    assert!(count > 30, "only {count} command lines found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_command_that_does_not_exist_would_be_seen() {
    let mut helps = Helps::default();
    let mut check = |line: &str| judge(line, &mut helps);
    assert_eq!(
        check("provado -o json run list --state failed | jq --arg i x"),
        Ok(())
    );
    assert!(
        check("provado -o json perform")
            .unwrap_err()
            .contains("no command `perform`")
    );
    assert_eq!(check("provado backup run shop/orders --wait"), Ok(()));
    assert!(
        check("provado backup perform x")
            .unwrap_err()
            .contains("no command `perform`")
    );
    assert!(
        check("provado backup run x --sideways")
            .unwrap_err()
            .contains("no flag `--sideways`")
    );
    assert!(
        check("provado backup list|perform")
            .unwrap_err()
            .contains("no command `perform`")
    );
}

#[test]
fn command_lines_are_found_where_they_stand() {
    let text = concat!(
        "see `provado run list` and `provado`\n```\nprovado dev   (a remark)\n",
        "$ provado-agent x # y\n```\nExecStart=/usr/bin/provado-agent z\n"
    );
    let found: Vec<_> = command_lines(text)
        .into_iter()
        .map(|(line, text)| (line, text.trim().to_owned()))
        .collect();
    let expected = [
        (1, "provado run list"),
        (3, "provado dev"),
        (4, "provado-agent x"),
        (6, "provado-agent z"),
    ];
    assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
}
