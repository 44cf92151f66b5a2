//! Lies about everything else.

use super::*;

fn restored() -> RestoreOutcome {
    RestoreOutcome {
        verdict: RestoreVerdict::Restored.into(),
        database_name: "copy".to_owned(),
        database_oid: 5,
        table_count: 1,
        row_count: 1,
        plain_bytes: 1,
        read_bytes: 1,
        tools: vec![exit("pg_restore")],
        ..RestoreOutcome::default()
    }
}

#[test]
fn a_restore_is_judged_by_comparison() {
    let expected = Expected {
        signer: key().public_key(),
        work: Work::Restore {
            database_name: "copy".to_owned(),
        },
    };
    let check = |change: fn(&mut RestoreOutcome), reason: &str| {
        let mut detail = restored();
        change(&mut detail);
        let verdict = judge(&expected, &outcome(Detail::Restore(detail)));
        assert_eq!(reason_of(&verdict), reason);
    };
    check(|_| {}, "GOOD");
    check(|d| d.tools[0].exit_code = Some(1), "GOOD");
    check(|d| d.tools[0].exit_code = Some(2), "EVIDENCE_INSUFFICIENT");
    check(|d| d.tools[0].signal = Some(9), "EVIDENCE_INSUFFICIENT");
    check(|d| d.tools.clear(), "EVIDENCE_INSUFFICIENT");
    check(|d| d.database_oid = 0, "EVIDENCE_INSUFFICIENT");
    check(
        |d| d.database_name = "prod".to_owned(),
        "EVIDENCE_INSUFFICIENT",
    );
    check(|d| d.read_bytes = 0, "EVIDENCE_INSUFFICIENT");
    check(|d| d.row_count = -1, "EVIDENCE_INSUFFICIENT");
    check(|d| d.verdict = 0, "EVIDENCE_INSUFFICIENT");
    check(
        |d| d.verdict = RestoreVerdict::Failed.into(),
        "EVIDENCE_INSUFFICIENT",
    );
    check(
        |d| d.differences.push(Difference::default()),
        "EVIDENCE_INSUFFICIENT",
    );
    check(
        |d| {
            d.verdict = RestoreVerdict::WithDifferences.into();
            d.differences.push(Difference {
                object: "table public.t".to_owned(),
                aspect: "rows".to_owned(),
                expected: "2".to_owned(),
                found: "1".to_owned(),
            });
        },
        "RESTORE_DIFFERS",
    );
}

#[test]
fn a_check_reads_as_far_as_asked_and_damage_is_damage() {
    let expected = Expected {
        signer: key().public_key(),
        work: Work::Check {
            level: CheckLevel::Intact,
            stored: PackTotals {
                pack_count: 2,
                stored_bytes: 300,
            },
        },
    };
    let check = |change: fn(&mut CheckOutcome, &mut i32), reason: &str| {
        let mut report = outcome(Detail::Prune(PruneOutcome::default()));
        let mut detail = CheckOutcome {
            level: CheckLevel::Intact.into(),
            object_count: 4,
            read_bytes: 400,
            damages: Vec::new(),
        };
        change(&mut detail, &mut report.result);
        report.detail = Some(Detail::Check(detail));
        assert_eq!(reason_of(&judge(&expected, &report)), reason);
    };
    check(|_, _| {}, "GOOD");
    check(|d, _| d.level = CheckLevel::Readable.into(), "GOOD");
    check(
        |d, _| d.level = CheckLevel::Present.into(),
        "EVIDENCE_INSUFFICIENT",
    );
    check(|d, _| d.level = 0, "EVIDENCE_INSUFFICIENT");
    check(|d, _| d.object_count = 0, "EVIDENCE_INSUFFICIENT");
    check(|d, _| d.object_count = -1, "EVIDENCE_INSUFFICIENT");
    // Every pack, and what describes them.
    check(|d, _| d.object_count = 2, "EVIDENCE_INSUFFICIENT");
    check(|d, _| d.read_bytes = 0, "EVIDENCE_INSUFFICIENT");
    check(|d, _| d.read_bytes = 300, "EVIDENCE_INSUFFICIENT");
    check(
        |d, _| d.damages.push(Damage::default()),
        "CHECK_FOUND_DAMAGE",
    );
    check(
        |d, result| {
            d.damages.push(Damage::default());
            *result = AttemptResult::Failed.into();
        },
        "CHECK_FOUND_DAMAGE",
    );
}

#[test]
fn sweeps_inspections_and_new_repositories_say_what_they_did() {
    let check = |work: Work, detail: Detail, reason: &str| {
        let expected = Expected {
            signer: key().public_key(),
            work,
        };
        assert_eq!(reason_of(&judge(&expected, &outcome(detail))), reason);
    };
    let swept = |stored_bytes| {
        Detail::Prune(PruneOutcome {
            objects: vec![SweptObject {
                stored_bytes,
                ..SweptObject::default()
            }],
            ..PruneOutcome::default()
        })
    };
    check(Work::Prune, swept(1), "GOOD");
    check(Work::Prune, swept(-1), "EVIDENCE_INSUFFICIENT");
    let inspected = |instance_count| Detail::Inspect(InspectOutcome { instance_count });
    check(Work::Inspect, inspected(0), "GOOD");
    check(Work::Inspect, inspected(-1), "EVIDENCE_INSUFFICIENT");
    let mut made = InitOutcome::default();
    check(
        Work::Init,
        Detail::Init(made.clone()),
        "EVIDENCE_INSUFFICIENT",
    );
    made.capabilities
        .insert("link".to_owned(), "yes".to_owned());
    check(Work::Init, Detail::Init(made), "GOOD");
}
