//! Lies about drills.

use super::*;

/// A document that says what [`drilled`] reports.
fn document() -> String {
    serde_json::json!({
        "proof_id": proof_id().to_string(),
        "backup_id": backup_id(1).to_string(),
        "document_sha256": "ab".repeat(32),
        "level": "equal",
        "table_count": 3,
        "row_count": 10,
        "large_object_count": 1,
        "plain_bytes": 900,
        "recovery_millis": 5,
    })
    .to_string()
}

fn signed(document: String) -> DrillOutcome {
    DrillOutcome {
        proof_signature: key().sign(document.as_bytes()).unwrap().to_vec(),
        proof_document: document,
        proof_id: proof_id().to_string(),
        table_count: 3,
        row_count: 10,
        large_object_count: 1,
        plain_bytes: 900,
        recovery_millis: 5,
        server_version: "15.18".to_owned(),
        tools: vec![exit("pg_restore")],
        ..DrillOutcome::default()
    }
}

fn work() -> DrillWork {
    DrillWork {
        backup: backup_id(1),
        proof: proof_id(),
        description_sha256: "ab".repeat(32),
        table_count: 3,
        row_count: 10,
        large_object_count: 1,
        plain_bytes: 900,
    }
}

fn judged(work: DrillWork, detail: DrillOutcome) -> String {
    let expected = Expected {
        signer: key().public_key(),
        work: Work::Drill(work),
    };
    reason_of(&judge(&expected, &outcome(Detail::Drill(detail)))).to_owned()
}

#[test]
fn a_drill_needs_a_signed_proof_of_this_backup() {
    let check = |change: fn(&mut DrillOutcome), reason: &str| {
        let mut detail = signed(document());
        change(&mut detail);
        assert_eq!(judged(work(), detail), reason);
    };
    check(|_| {}, "GOOD");
    check(|d| d.proof_document.push(' '), "DRILL_BROKEN");
    check(|d| d.proof_signature.clear(), "DRILL_BROKEN");
    check(|d| d.proof_id.clear(), "DRILL_BROKEN");
    check(|d| d.recovery_millis = 0, "DRILL_BROKEN");
    check(|d| d.server_version.clear(), "DRILL_BROKEN");
    check(|d| d.row_count = -1, "DRILL_BROKEN");
    check(|d| d.tools.clear(), "DRILL_BROKEN");
    check(|d| d.tools[0].signal = Some(9), "DRILL_BROKEN");
    check(
        |d| d.differences.push(Difference::default()),
        "DRILL_FOUND_DIFFERENCE",
    );
}

#[test]
fn a_proof_says_what_the_report_says() {
    let check = |(from, to): (&str, &str)| {
        let changed = document().replace(from, to);
        assert_ne!(changed, document(), "{from}");
        assert_eq!(judged(work(), signed(changed)), "DRILL_BROKEN", "{from}");
    };
    [
        (
            r#""backup_id":"00000000-0000-0000-0000-000000000001""#,
            r#""backup_id":"x""#,
        ),
        (
            r#""proof_id":"00000000-0000-0000-0000-000000000009""#,
            r#""proof_id":"x""#,
        ),
        ("abab", "cdcd"),
        (r#""level":"equal""#, r#""level":"different""#),
        (r#""table_count":3"#, r#""table_count":2"#),
        (r#""row_count":10"#, r#""row_count":9"#),
        (r#""large_object_count":1"#, r#""large_object_count":0"#),
        (r#""plain_bytes":900"#, r#""plain_bytes":1"#),
        (r#""recovery_millis":5"#, r#""recovery_millis":4"#),
    ]
    .into_iter()
    .for_each(check);
    assert_eq!(judged(work(), signed("equal".to_owned())), "DRILL_BROKEN");
}

#[test]
fn a_drill_compares_what_the_backup_has() {
    let check = |change: fn(&mut DrillWork), reason: &str| {
        let mut work = work();
        change(&mut work);
        assert_eq!(judged(work, signed(document())), reason);
    };
    check(|w| w.table_count = 4, "DRILL_BROKEN");
    check(|w| w.table_count = 2, "DRILL_BROKEN");
    check(|w| w.row_count = 11, "DRILL_BROKEN");
    check(|w| w.row_count = 9, "DRILL_BROKEN");
    check(|w| w.large_object_count = 2, "DRILL_BROKEN");
    check(|w| w.plain_bytes = 899, "DRILL_BROKEN");
    // What cannot be compared is named, and its rows are not counted.
    let mut named = signed(document());
    named
        .remarks
        .push("table public.x belongs to an extension".to_owned());
    let mut more = work();
    more.table_count = 4;
    more.row_count = 12;
    assert_eq!(judged(more.clone(), named.clone()), "GOOD");
    more.table_count = 5;
    assert_eq!(judged(more, named), "DRILL_BROKEN");
}
