//! ARCHITECTURE.md shows the state machines exactly as the code has them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;

const BEGIN: &str = "<!-- states: from controller::lifecycle::transition_table -->\n\n";
const END: &str = "\n<!-- end of states -->";

/// What stands between the two marks.
fn shown(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once(BEGIN)?;
    rest.split_once(END).map(|(shown, _)| shown)
}

fn differ(page: &str, table: &str) -> Option<String> {
    match shown(page) {
        Some(shown) if shown.trim_end() == table.trim_end() => None,
        Some(_) => Some(format!(
            "ARCHITECTURE.md must say between its marks:\n\n{table}"
        )),
        None => Some("ARCHITECTURE.md has lost its marks around the states".to_owned()),
    }
}

#[test]
fn the_states_of_architecture_are_those_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("ARCHITECTURE.md");
    let page = std::fs::read_to_string(path).unwrap();
    let table = provado_controller::lifecycle::transition_table();
    assert!(table.contains("| event |"), "{table}");
    if let Some(difference) = differ(&page, &table) {
        panic!("{difference}");
    }
}

#[test]
fn a_changed_table_and_lost_marks_would_be_seen() {
    let page = format!("# A\n\n{BEGIN}| event |\n| a |\n{END}\n");
    assert_eq!(differ(&page, "| event |\n| a |\n\n"), None);
    assert!(
        differ(&page, "| event |\n| b |\n")
            .unwrap()
            .contains("| b |")
    );
    assert!(differ("# A\n", "| event |\n").unwrap().contains("marks"));
}
