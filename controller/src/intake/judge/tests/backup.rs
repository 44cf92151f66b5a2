//! Lies about a backup, and about any report's frame.

use super::*;

/// One way in which the frame of a report could be wrong.
type Change = fn(&mut Outcome);

/// One way in which an agent could lie or err about a backup.
type Lie = (&'static str, fn(&mut BackupOutcome));

const BACKUP_LIES: &[Lie] = &[
    ("another id", |d| d.backup_id = backup_id(2).to_string()),
    ("no id", |d| d.backup_id.clear()),
    ("no evidence", |d| d.evidence = None),
    ("no tools", |d| evidence(d).tools.clear()),
    ("no pg_dump", |d| {
        evidence(d).tools[0].program = "cat".to_owned();
    }),
    ("exit 1", |d| evidence(d).tools[0].exit_code = Some(1)),
    ("exit 127 of another tool", |d| {
        evidence(d).tools[1].exit_code = Some(127);
    }),
    ("negative exit", |d| {
        evidence(d).tools[0].exit_code = Some(-9);
    }),
    ("killed", |d| {
        evidence(d).tools[0].exit_code = None;
        evidence(d).tools[0].signal = Some(9);
    }),
    ("killed, exit 0 said as well", |d| {
        evidence(d).tools[0].signal = Some(15);
    }),
    ("nobody saw the end", |d| {
        evidence(d).tools[0].exit_code = None;
    }),
    ("error lines", |d| evidence(d).tools[0].error_line_count = 1),
    ("negative error lines", |d| {
        evidence(d).tools[0].error_line_count = -1;
    }),
    ("nothing produced", |d| {
        evidence(d).produced_bytes = 0;
        evidence(d).parsed_bytes = 0;
    }),
    ("parsed less", |d| evidence(d).parsed_bytes = 999),
    ("parsed more", |d| evidence(d).parsed_bytes = 1_001),
    ("parsed nothing", |d| evidence(d).parsed_bytes = 0),
    ("nothing segmented", |d| {
        evidence(d).segmented_bytes = 0;
        evidence(d).manifest_bytes = 0;
    }),
    ("manifest holds less", |d| evidence(d).manifest_bytes = 899),
    ("manifest holds more", |d| evidence(d).manifest_bytes = 901),
    ("nothing written", |d| {
        evidence(d).written_bytes = 0;
        evidence(d).read_back_bytes = 0;
    }),
    ("read back less", |d| evidence(d).read_back_bytes = 399),
    ("read back nothing", |d| evidence(d).read_back_bytes = 0),
    ("read back differs", |d| evidence(d).read_back_equal = false),
    ("archive ended early", |d| {
        evidence(d).archive_complete = false;
    }),
    ("opaque although the version is known", |d| {
        evidence(d).opaque = true;
    }),
    ("no archive version", |d| d.archive_version.clear()),
    ("no consistent time", |d| d.consistent_time = None),
    ("no server version", |d| d.server_version_number = 0),
    ("no tool version", |d| d.tool_version.clear()),
    ("tool older than server", |d| {
        d.tool_version = "14.22".to_owned();
    }),
    ("no plain bytes", |d| d.plain_bytes = 0),
    ("no stored bytes", |d| d.stored_bytes = 0),
    ("no segments", |d| {
        d.segment_count = 0;
        d.reused_segment_count = 0;
    }),
    ("more reused than there are", |d| d.reused_segment_count = 5),
    ("negative rows", |d| d.row_count = -1),
    ("negative tables", |d| d.table_count = -1),
    ("negative large objects", |d| d.large_object_count = -1),
    ("negative added bytes", |d| d.added_bytes = -1),
    ("no packs", |d| d.packs.clear()),
    ("pack without id", |d| d.packs[0].pack_id.clear()),
    ("pack with a path for an id", |d| {
        d.packs[0].pack_id = "../../etc/passwd".to_owned();
    }),
    ("pack twice", |d| d.packs.push(d.packs[0].clone())),
    ("pack with a short digest", |d| {
        d.packs[0].pack_sha256.truncate(31);
    }),
    ("pack of which more is referred to than there is", |d| {
        d.packs[0].referred_bytes = 381;
    }),
    ("pack of which nothing is referred to", |d| {
        d.packs[0].referred_bytes = 0;
    }),
    ("no manifest digest", |d| d.manifest_sha256.clear()),
    ("no description digest", |d| d.description_sha256.clear()),
    ("another description", |d| d.description_sha256[0] ^= 1),
    ("no signature", |d| d.description_signature.clear()),
    ("a bent signature", |d| d.description_signature[10] ^= 1),
    ("signed by another key", |d| {
        let other = SigningKey::generate(&SeededEntropy::new(2)).unwrap();
        let message = statement::description(backup_id(1), &[5; 32]);
        d.description_signature = other.sign(&message).unwrap().to_vec();
    }),
    ("signed for another backup", |d| {
        let message = statement::description(backup_id(2), &[5; 32]);
        d.description_signature = key().sign(&message).unwrap().to_vec();
    }),
    ("not encrypted", |d| d.recipients.clear()),
    ("one recipient less", |d| d.recipients.truncate(1)),
    ("one recipient more", |d| {
        d.recipients.push("age1x".to_owned());
    }),
    ("another parent", |d| {
        d.parent_backup_id = backup_id(8).to_string();
    }),
    ("schema only instead of everything", |d| {
        d.selection.as_mut().unwrap().scope = Scope::SchemaOnly.into();
    }),
    ("some tables instead of all", |d| {
        d.selection.as_mut().unwrap().table_patterns = vec!["public.a".to_owned()];
    }),
];

#[test]
fn a_whole_backup_is_good() {
    let expected = backup_expected();
    let verdict = judge(&expected, &outcome(Detail::Backup(good_backup())));
    assert_eq!(verdict, Verdict::Good);
}

#[test]
fn a_newer_tool_no_parent_and_an_unknown_archive_are_good_too() {
    let changes: [fn(&mut BackupOutcome); 3] = [
        |d| d.tool_version = "18.1 (Debian)".to_owned(),
        |d| d.parent_backup_id.clear(),
        |d| {
            evidence(d).opaque = true;
            evidence(d).archive_complete = false;
            evidence(d).parsed_bytes = 0;
            d.archive_version.clear();
        },
    ];
    for change in changes {
        let mut detail = good_backup();
        change(&mut detail);
        let verdict = judge(&backup_expected(), &outcome(Detail::Backup(detail)));
        assert_eq!(verdict, Verdict::Good);
    }
}

#[test]
fn no_lie_about_a_backup_passes() {
    assert!(BACKUP_LIES.len() >= 40);
    for (name, lie) in BACKUP_LIES {
        let mut detail = good_backup();
        lie(&mut detail);
        let verdict = judge(&backup_expected(), &outcome(Detail::Backup(detail)));
        let reason = reason_of(&verdict);
        let expected = match *name {
            "read back differs" => "READ_BACK_DIFFERS",
            "archive ended early" => "DUMP_INCOMPLETE",
            _ => "EVIDENCE_INSUFFICIENT",
        };
        assert_eq!(reason, expected, "{name}");
    }
}

#[test]
fn every_problem_is_told_at_once_and_many_are_counted() {
    let detail = BackupOutcome::default();
    let verdict = judge(&backup_expected(), &outcome(Detail::Backup(detail)));
    let Verdict::Failed(failure) = verdict else {
        panic!("an empty report passed");
    };
    assert!(
        failure.message.contains("another id"),
        "{}",
        failure.message
    );
    assert!(failure.message.contains("there is no evidence"));
    assert!(
        failure.message.contains(" more. Nothing"),
        "{}",
        failure.message
    );
}

#[test]
fn a_report_of_another_kind_or_without_facts_is_not_good() {
    let details = [
        None,
        Some(Detail::Inspect(InspectOutcome { instance_count: 1 })),
    ];
    for detail in details {
        let mut report = outcome(Detail::Backup(good_backup()));
        report.detail = detail;
        let verdict = judge(&backup_expected(), &report);
        assert_eq!(reason_of(&verdict), "EVIDENCE_INSUFFICIENT");
    }
}

#[test]
fn the_frame_of_the_report_must_hold_too() {
    let changes: &[(Change, &str)] = &[
        (|o| o.result = 0, "EVIDENCE_INSUFFICIENT"),
        (|o| o.result = 99, "EVIDENCE_INSUFFICIENT"),
        (|o| o.start_time = None, "EVIDENCE_INSUFFICIENT"),
        (|o| o.end_time = None, "EVIDENCE_INSUFFICIENT"),
        (
            |o| {
                o.end_time = Some(prost_types::Timestamp {
                    seconds: 99,
                    nanos: 0,
                });
            },
            "EVIDENCE_INSUFFICIENT",
        ),
        (
            |o| o.failure = Some(WireFailure::default()),
            "EVIDENCE_INSUFFICIENT",
        ),
    ];
    for (change, reason) in changes {
        let mut report = outcome(Detail::Backup(good_backup()));
        change(&mut report);
        assert_eq!(reason_of(&judge(&backup_expected(), &report)), *reason);
    }
}

#[test]
fn a_failure_is_kept_as_reported_and_a_silent_one_gets_words() {
    let mut report = outcome(Detail::Backup(good_backup()));
    report.result = AttemptResult::Failed.into();
    assert_eq!(
        reason_of(&judge(&backup_expected(), &report)),
        "EVIDENCE_INSUFFICIENT"
    );
    report.failure = Some(WireFailure {
        kind: FailureKind::Exhausted.into(),
        reason: "DISK_FULL".to_owned(),
        message: "no room".to_owned(),
        ..WireFailure::default()
    });
    assert_eq!(reason_of(&judge(&backup_expected(), &report)), "DISK_FULL");
    report.result = AttemptResult::Canceled.into();
    assert_eq!(judge(&backup_expected(), &report), Verdict::Canceled);
}
