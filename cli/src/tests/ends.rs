//! How runs end: the words, and the exit code that goes with them.

use super::fixtures::{HOSTILE, done, failed, id, run};
use crate::watch::{end, exit_of, parts};
use provado_proto::operator::v1::{
    ListRunsResponse, Run, RunDamage, RunDifference, RunKind, RunOutcome, RunState,
};
use std::fmt::Write as _;

fn of_database(run: Run, database: &str, rest: u16) -> Run {
    Run {
        name: format!("runs/{}", id(0x20, rest)),
        backup: format!("backups/{}", id(0x30, rest)),
        parent_run: format!("runs/{}", id(0x20, 0)),
        database_name: database.to_owned(),
        ..run
    }
}

fn check(name: &str, runs: &[Run]) {
    let mut text = String::new();
    for run in runs {
        writeln!(text, "{}exit {}\n", end(run), exit_of(run).number()).unwrap();
    }
    insta::assert_snapshot!(format!("end_{name}"), text);
}

#[test]
fn runs_that_did_what_they_were_for() {
    let warned = RunOutcome {
        warnings: vec!["the role may not see some settings".into()],
        ..RunOutcome::default()
    };
    let swept = RunOutcome {
        objects: vec!["packs/01/0192.pack, 4.1 MiB".into()],
        ..RunOutcome::default()
    };
    let plain = |kind| done(kind, RunOutcome::default());
    check(
        "done",
        &[
            done(RunKind::Backup, warned),
            Run {
                part_count: 3,
                ended_part_count: 3,
                database_name: String::new(),
                ..plain(RunKind::Backup)
            },
            plain(RunKind::Restore),
            plain(RunKind::Check),
            Run {
                proof: format!("proofs/{}", id(0x12, 1)),
                ..plain(RunKind::Drill)
            },
            done(RunKind::Prune, swept),
            // A scan of a repository, and a look at a host.
            plain(RunKind::Inspect),
            Run {
                repository: String::new(),
                ..plain(RunKind::Inspect)
            },
            plain(RunKind::Init),
        ],
    );
}

#[test]
fn runs_that_did_not() {
    let difference = RunDifference {
        object: format!("table public.{HOSTILE}"),
        aspect: "rows".into(),
        expected: "1204".into(),
        found: "1203".into(),
    };
    let damage = RunDamage {
        object_key: "packs/01/0192.pack".into(),
        message: "its bytes are not those that were written".into(),
        entries: vec!["table public.orders".into()],
    };
    check(
        "failed",
        &[
            failed(
                RunKind::Backup,
                "POSTGRES_UNREACHABLE",
                "PostgreSQL at /var/run/postgresql:5432 does not answer: connection refused; \
                 start it, then run the backup again",
                RunOutcome::default(),
            ),
            failed(
                RunKind::Restore,
                "PRECHECK_FAILED",
                "2 checks failed:\n1. ROLES_MISSING: the role shop does not exist\n\
                 2. DISK_FULL: 13 GiB are needed and 2 GiB are free",
                RunOutcome::default(),
            ),
            failed(
                RunKind::Restore,
                "RESTORE_DIFFERS",
                "shop_copy is not all that the backup holds",
                RunOutcome {
                    differences: vec![difference.clone()],
                    ..RunOutcome::default()
                },
            ),
            failed(
                RunKind::Check,
                "CHECK_FOUND_DAMAGE",
                "1 object of the backup is damaged",
                RunOutcome {
                    damages: vec![damage],
                    ..RunOutcome::default()
                },
            ),
            failed(
                RunKind::Drill,
                "DRILL_FOUND_DIFFERENCE",
                "what was restored is not what was dumped",
                RunOutcome {
                    differences: vec![difference],
                    ..RunOutcome::default()
                },
            ),
            run(RunKind::Backup, RunState::Canceled),
            Run {
                message: "the repository local is not made".into(),
                ..run(RunKind::Backup, RunState::Skipped)
            },
        ],
    );
}

#[test]
fn a_run_over_a_whole_instance_tells_of_each_database() {
    let shop = of_database(done(RunKind::Backup, RunOutcome::default()), "shop", 1);
    let hostile = of_database(done(RunKind::Backup, RunOutcome::default()), HOSTILE, 2);
    let bad = failed(
        RunKind::Backup,
        "LOCK_TIMEOUT",
        "the lock on public.orders could not be had in 30 s; see who holds it in pg_locks, then \
         run the backup of this database again",
        RunOutcome::default(),
    );
    let answer = ListRunsResponse {
        runs: vec![shop, hostile, of_database(bad, "crm", 3)],
        next_page_token: String::new(),
    };
    let whole = Run {
        name: format!("runs/{}", id(0x20, 0)),
        part_count: 3,
        ended_part_count: 3,
        database_name: String::new(),
        backup: String::new(),
        ..failed(
            RunKind::Backup,
            "LOCK_TIMEOUT",
            "1 of 3 databases could not be backed up",
            RunOutcome::default(),
        )
    };
    let text = format!("{}{}", parts(&answer), end(&whole));
    insta::assert_snapshot!("end_parts", text);
}
