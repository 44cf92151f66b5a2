//! `--help` of every command.

use crate::args::Cli;
use clap::{Command, CommandFactory as _, Parser as _};
use std::fmt::Write as _;

const COLUMNS: usize = 100;

fn tree() -> Command {
    let mut tree = Cli::command().term_width(COLUMNS);
    tree.build();
    tree
}

/// Hands over every command with the words that lead to it.
fn each(command: &Command, path: &str, visit: &mut impl FnMut(&str, &Command)) {
    visit(path, command);
    for below in command.get_subcommands() {
        each(below, &format!("{path} {}", below.get_name()), visit);
    }
}

#[test]
fn help_of_every_command() {
    let tree = tree();
    let top = tree.clone().render_long_help().to_string();
    insta::assert_snapshot!("help", top);
    for noun in tree.get_subcommands() {
        let mut text = String::new();
        each(
            noun,
            &format!("provado {}", noun.get_name()),
            &mut |path, command| {
                let help = command.clone().render_long_help();
                writeln!(text, "$ {path} --help\n{help}").unwrap();
            },
        );
        insta::assert_snapshot!(format!("help_{}", noun.get_name()), text);
    }
}

/// What stands behind the options of a command.
fn remarks(command: &Command) -> String {
    let remarks = command.get_after_long_help().or(command.get_after_help());
    remarks.map(ToString::to_string).unwrap_or_default()
}

#[test]
fn every_command_that_does_something_has_an_example() {
    let mut without = Vec::new();
    each(&tree(), "provado", &mut |path, command| {
        if !command.has_subcommands() && !remarks(command).contains("Example") {
            without.push(path.to_owned());
        }
    });
    assert!(without.is_empty(), "{without:?}");
}

/// The words of a command line, up to what the shell would take for itself.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for char in line.chars() {
        match char {
            '\'' => (quoted, begun) = (!quoted, true),
            ' ' if !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            _ => {
                word.push(char);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    let end = words
        .iter()
        .position(|word| ["|", "&&", ">"].contains(&word.as_str()));
    words.truncate(end.unwrap_or(words.len()));
    words
}

#[test]
fn every_example_is_a_command_line_that_the_program_takes() {
    let mut count = 0;
    each(&tree(), "provado", &mut |path, command| {
        for line in remarks(command).replace("\\\n", " ").lines() {
            let Some((_, line)) = line.split_once("provado ") else {
                continue;
            };
            let words = words(line);
            let line = std::iter::once("provado").chain(words.iter().map(String::as_str));
            let parsed = Cli::try_parse_from(line);
            assert!(parsed.is_ok(), "{path}: {words:?}: {}", parsed.unwrap_err());
            count += 1;
        }
    });
    assert!(count > 40, "only {count} examples");
}
