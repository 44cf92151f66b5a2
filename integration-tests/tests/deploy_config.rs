//! The example configurations under deploy/ are read by the programs' own loaders, show every
//! option, and show it at its default.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;

fn example(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = root.join("deploy/config").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn agent(text: &str) -> provado_agent::config::Config {
    provado_agent::config::Config::parse(text, Path::new("agent.toml")).unwrap()
}

fn controller(text: &str) -> provado_controller::config::Config {
    provado_controller::config::Config::parse(text).unwrap_or_else(|error| panic!("{error:?}"))
}

/// The example with every option switched on, but those named.
fn switched_on(text: &str, left_out: &[&str]) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let option = line.strip_prefix('#').filter(|rest| !rest.starts_with(' '));
        let name = option.and_then(|rest| rest.split(' ').next());
        match (option, name) {
            (Some(_), Some(name)) if left_out.contains(&name) => {}
            (Some(option), _) => lines.push(option),
            (None, _) => lines.push(line),
        }
    }
    lines.join("\n")
}

/// Names of all fields of a value, nested ones too.
fn fields(value: &impl Debug) -> BTreeSet<String> {
    let text = format!("{value:#?}");
    let names = text
        .lines()
        .filter_map(|line| line.trim_start().split_once(": "));
    let is_name = |name: &str| {
        name.chars()
            .all(|char| char.is_ascii_lowercase() || char == '_')
    };
    names
        .map(|(name, _)| name.to_owned())
        .filter(|name| is_name(name))
        .collect()
}

/// Names that stand in the example as an option or a section.
fn shown(text: &str) -> BTreeSet<String> {
    let name = |line: &str| {
        let line = line.trim_start_matches('#').trim_start_matches('[');
        line.split([' ', ']']).next().unwrap_or_default().to_owned()
    };
    let is_option = |line: &&str| !line.starts_with("# ") && !line.is_empty();
    text.lines().filter(is_option).map(name).collect()
}

fn assert_shown(text: &str, fields: BTreeSet<String>, other_names: &[(&str, &str)]) {
    let shown = shown(text);
    for field in fields {
        let other = other_names
            .iter()
            .find(|(field_name, _)| *field_name == field);
        let name = other.map_or(field.as_str(), |(_, name)| name);
        assert!(
            shown.contains(name),
            "the example does not show {name}: {shown:?}"
        );
    }
}

#[test]
fn the_agents_example_is_the_default() {
    let default = format!("{:#?}", provado_agent::config::Config::default());
    assert_eq!(format!("{:#?}", agent(&example("agent.toml"))), default);
}

#[test]
fn the_controllers_example_is_the_default() {
    let default = format!("{:#?}", provado_controller::config::Config::default());
    assert_eq!(
        format!("{:#?}", controller(&example("controller.toml"))),
        default
    );
}

#[test]
fn every_option_of_the_agent_is_shown_and_can_be_switched_on() {
    let text = example("agent.toml");
    let config = agent(&switched_on(&text, &[]));
    assert_eq!(config.instances.len(), 1);
    assert_eq!(
        config.controller.as_deref(),
        Some("provado.example.org:7443")
    );
    assert_shown(&text, fields(&config), &[("instances", "instance")]);
}

#[test]
fn every_option_of_the_controller_is_shown_and_can_be_switched_on() {
    let text = example("controller.toml");
    let by_url = controller(&switched_on(&text, &["url_file"]));
    let by_file = controller(&switched_on(&text, &["url"]));
    assert!(by_url.store.url.is_some() && by_file.store.url_file.is_some());
    assert_shown(&text, fields(&by_url), &[]);
}

#[test]
fn an_option_that_is_not_shown_would_be_seen() {
    let config = provado_agent::config::Config::default();
    let names = fields(&config);
    assert!(
        names.contains("data_dir") && names.contains("drill_user"),
        "{names:?}"
    );
    assert!(!shown("# data_dir is said here\ndrill_user = 1\n").contains("data_dir"));
}
