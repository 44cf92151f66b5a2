//! The lying agents: each row changes a good report in one way, and none may pass.

use super::*;
use provado_identity::SigningKey;
use provado_model::random::SeededEntropy;
use provado_model::statement;
use provado_proto::agent::v1::{
    BackupEvidence, BackupOutcome, CheckOutcome, Damage, Difference, DrillOutcome, InitOutcome,
    InspectOutcome, PackFact, PruneOutcome, RestoreOutcome, RestoreVerdict, SweptObject,
};
use provado_proto::common::v1::{Failure as WireFailure, FailureKind, Scope};
use uuid::Uuid;

const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

fn key() -> SigningKey {
    SigningKey::generate(&SeededEntropy::new(1)).unwrap()
}

fn backup_id(number: u128) -> BackupId {
    BackupId::from_uuid(Uuid::from_u128(number))
}

fn proof_id() -> ProofId {
    ProofId::from_uuid(Uuid::from_u128(9))
}

fn exit(program: &str) -> ToolExit {
    ToolExit {
        program: program.to_owned(),
        version: "15.18".to_owned(),
        exit_code: Some(0),
        signal: None,
        error_line_count: 0,
    }
}

fn outcome(detail: Detail) -> Outcome {
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    Outcome {
        result: AttemptResult::Succeeded.into(),
        start_time: time(100),
        end_time: time(160),
        detail: Some(detail),
        ..Outcome::default()
    }
}

fn backup_expected() -> Expected {
    Expected {
        signer: key().public_key(),
        work: Work::Backup(BackupWork {
            backup: backup_id(1),
            recipients: vec![RECIPIENT.to_owned(), "age1other".to_owned()],
            selection: Selection::default(),
            known_parent: Some(backup_id(7)),
        }),
    }
}

fn good_backup() -> BackupOutcome {
    let digest = [5_u8; 32];
    let signature = key()
        .sign(&statement::description(backup_id(1), &digest))
        .unwrap();
    BackupOutcome {
        backup_id: backup_id(1).to_string(),
        evidence: Some(BackupEvidence {
            tools: vec![exit("pg_dump"), exit("pg_dumpall")],
            produced_bytes: 1_000,
            parsed_bytes: 1_000,
            segmented_bytes: 900,
            manifest_bytes: 900,
            written_bytes: 400,
            read_back_bytes: 400,
            archive_complete: true,
            opaque: false,
            read_back_equal: true,
        }),
        consistent_time: Some(prost_types::Timestamp {
            seconds: 101,
            nanos: 0,
        }),
        server_version_number: 150_018,
        tool_version: "15.18".to_owned(),
        archive_version: "1.14".to_owned(),
        plain_bytes: 900,
        stored_bytes: 380,
        added_bytes: 300,
        segment_count: 4,
        reused_segment_count: 1,
        table_count: 2,
        row_count: 10,
        large_object_count: 0,
        packs: vec![PackFact {
            pack_id: Uuid::from_u128(3).to_string(),
            pack_sha256: vec![1; 32],
            stored_bytes: 380,
            referred_bytes: 380,
        }],
        manifest_sha256: vec![2; 32],
        description_sha256: digest.to_vec(),
        description_signature: signature.to_vec(),
        parent_backup_id: backup_id(7).to_string(),
        // In another order than the repository has them.
        recipients: vec!["age1other".to_owned(), RECIPIENT.to_owned()],
        selection: Some(Selection {
            scope: Scope::Everything.into(),
            table_patterns: Vec::new(),
        }),
    }
}

fn evidence(detail: &mut BackupOutcome) -> &mut BackupEvidence {
    detail.evidence.as_mut().unwrap()
}

fn reason_of(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Good => "GOOD",
        Verdict::Canceled => "CANCELED",
        Verdict::Failed(failure) => &failure.reason,
    }
}

/// One way in which an agent could lie or err about a backup.
type Lie = (&'static str, fn(&mut BackupOutcome));

const BACKUP_LIES: &[Lie] = &[
    ("another id", |d| d.backup_id = backup_id(2).to_string()),
    ("no id", |d| d.backup_id.clear()),
    ("no evidence", |d| d.evidence = None),
    ("no tools", |d| evidence(d).tools.clear()),
    ("no pg_dump", |d| {
        evidence(d).tools[0].program = "cat".to_owned()
    }),
    ("exit 1", |d| evidence(d).tools[0].exit_code = Some(1)),
    ("exit 127 of another tool", |d| {
        evidence(d).tools[1].exit_code = Some(127);
    }),
    ("negative exit", |d| {
        evidence(d).tools[0].exit_code = Some(-9)
    }),
    ("killed", |d| {
        evidence(d).tools[0].exit_code = None;
        evidence(d).tools[0].signal = Some(9);
    }),
    ("killed, exit 0 said as well", |d| {
        evidence(d).tools[0].signal = Some(15);
    }),
    ("nobody saw the end", |d| {
        evidence(d).tools[0].exit_code = None
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
        evidence(d).archive_complete = false
    }),
    ("opaque although the version is known", |d| {
        evidence(d).opaque = true;
    }),
    ("no archive version", |d| d.archive_version.clear()),
    ("no consistent time", |d| d.consistent_time = None),
    ("no server version", |d| d.server_version_number = 0),
    ("no tool version", |d| d.tool_version.clear()),
    ("tool older than server", |d| {
        d.tool_version = "14.22".to_owned()
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
        d.recipients.push("age1x".to_owned())
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
    let changes: [(fn(&mut Outcome), &str); 6] = [
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
        assert_eq!(reason_of(&judge(&backup_expected(), &report)), reason);
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
    check(|d, _| d.read_bytes = 0, "EVIDENCE_INSUFFICIENT");
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

fn drilled() -> DrillOutcome {
    let document = format!(
        r#"{{"proof_id":"{}","backup_id":"{}"}}"#,
        proof_id(),
        backup_id(1)
    );
    DrillOutcome {
        proof_signature: key().sign(document.as_bytes()).unwrap().to_vec(),
        proof_document: document,
        proof_id: proof_id().to_string(),
        table_count: 1,
        row_count: 1,
        plain_bytes: 1,
        recovery_millis: 5,
        server_version: "15.18".to_owned(),
        tools: vec![exit("pg_restore")],
        ..DrillOutcome::default()
    }
}

#[test]
fn a_drill_needs_a_signed_proof_of_this_backup() {
    let expected = Expected {
        signer: key().public_key(),
        work: Work::Drill {
            backup: backup_id(1),
            proof: proof_id(),
        },
    };
    let check = |change: fn(&mut DrillOutcome), reason: &str| {
        let mut detail = drilled();
        change(&mut detail);
        let verdict = judge(&expected, &outcome(Detail::Drill(detail)));
        assert_eq!(reason_of(&verdict), reason);
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
        |d| {
            d.proof_document = d.proof_document.replace("0001", "0002");
            d.proof_signature = key().sign(d.proof_document.as_bytes()).unwrap().to_vec();
        },
        "DRILL_BROKEN",
    );
    check(
        |d| {
            d.proof_document = "equal".to_owned();
            d.proof_signature = key().sign(b"equal").unwrap().to_vec();
        },
        "DRILL_BROKEN",
    );
    check(
        |d| d.differences.push(Difference::default()),
        "DRILL_FOUND_DIFFERENCE",
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
