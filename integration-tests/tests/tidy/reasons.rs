//! Every reason has a page that says what happened, what is at risk and what to do; no page is
//! without a reason.

use provado_model::error::Reason;

use crate::tree::{Finding, Tree, assert_found, assert_none};

const FOLDER: &str = "docs/errors/";
const LIST: &str = "docs/errors/README.md";
const HEADINGS: &[&str] = &["## What happened", "## What is at risk", "## What to do"];

/// A sentence is longer than this; a heading over nothing is not a page.
const SECTION_BYTES_MIN: usize = 20;

fn check(tree: &Tree, reasons: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for reason in reasons {
        let path = format!("{FOLDER}{reason}.md");
        match tree.get(&path) {
            None => findings.push(Finding::new(&path, 0, "no page for this reason: write it")),
            Some(file) => check_page(&path, reason, &file.text, &mut findings),
        }
    }
    let list = tree.get(LIST).map_or("", |file| file.text.as_str());
    for reason in reasons
        .iter()
        .filter(|reason| !list.contains(&format!("]({reason}.md)")))
    {
        findings.push(Finding::new(
            LIST,
            0,
            format!("{reason} is not in the list"),
        ));
    }
    for file in tree.under(FOLDER, "md") {
        let name = file.path.trim_start_matches(FOLDER).trim_end_matches(".md");
        if name != "README" && !reasons.contains(&name) {
            findings.push(Finding::new(
                &file.path,
                0,
                "a page without a reason: take it out",
            ));
        }
    }
    findings
}

fn check_page(path: &str, reason: &str, text: &str, findings: &mut Vec<Finding>) {
    if text.lines().next() != Some(format!("# {reason}").as_str()) {
        findings.push(Finding::new(
            path,
            1,
            format!("its title is not `# {reason}`"),
        ));
    }
    for heading in HEADINGS {
        let section = text
            .split("\n## ")
            .find(|part| part.starts_with(&heading[3..]));
        let body = section
            .and_then(|part| part.split_once('\n'))
            .map_or("", |(_, body)| body);
        if body.trim().len() < SECTION_BYTES_MIN {
            findings.push(Finding::new(path, 0, format!("nothing under `{heading}`")));
        }
    }
}

#[test]
fn every_reason_has_its_page() {
    let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert!(reasons.len() > 10, "{reasons:?}");
    assert_none(&check(&Tree::real(), &reasons));
}

#[test]
fn missing_empty_and_left_over_pages_are_found() {
    let page = |title: &str| {
        format!(
            "# {title}\n\n## What happened\nThe disk is full, it says.\n\n## What is at risk\n\
             Nothing that is stored.\n\n## What to do\nMake room, then run it again.\n"
        )
    };
    let hollow = page("HOLLOW").replace("Nothing that is stored.", "");
    let tree = Tree::of(&[
        (
            LIST,
            "[GOOD](GOOD.md) [HOLLOW](HOLLOW.md) [MISSING](MISSING.md)",
        ),
        ("docs/errors/GOOD.md", &page("GOOD")),
        ("docs/errors/HOLLOW.md", &hollow),
        ("docs/errors/NAMED.md", &page("OTHER")),
        ("docs/errors/LEFT.md", &page("LEFT")),
    ]);
    assert_found(
        &check(&tree, &["GOOD", "HOLLOW", "NAMED", "MISSING"]),
        &[
            ("docs/errors/HOLLOW.md", 0),
            ("docs/errors/NAMED.md", 1),
            ("docs/errors/MISSING.md", 0),
            (LIST, 0),
            ("docs/errors/LEFT.md", 0),
        ],
    );
}
