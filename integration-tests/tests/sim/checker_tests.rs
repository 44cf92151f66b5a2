//! The checker against rows that were put together wrongly, one fault each.

use crate::agent::{Start, check_starts};
use crate::checker::{Move, Moves, check};
use crate::picture::{AttemptRow, BackupRow, Picture, RunRow};
use provado_agent::jobs::AttemptName;
use provado_model::id::{AttemptId, RunId};
use uuid::Uuid;

/// A run that made a backup with its second attempt; the first one was lost.
fn sound() -> Picture {
    let mut out = Picture {
        epoch: 3,
        ..Picture::default()
    };
    let run = RunRow {
        kind: "backup".to_owned(),
        state: "succeeded".to_owned(),
        version: 6,
        attempt_number: 2,
        parent: None,
        backup: Some("a2".to_owned()),
    };
    out.runs.insert("r".to_owned(), run);
    for (id, number, state, outcome) in [("a1", 1, "lost", None), ("a2", 2, "succeeded", Some("x"))]
    {
        let attempt = AttemptRow {
            run: "r".to_owned(),
            number,
            epoch: 3,
            agent: "g".to_owned(),
            state: state.to_owned(),
            version: 2,
            outcome: outcome.map(str::to_owned),
        };
        out.attempts.insert(id.to_owned(), attempt);
    }
    let backup = BackupRow {
        run: "r".to_owned(),
        attempt: Some("a2".to_owned()),
        check_state: "unchecked".to_owned(),
        keep_state: "active".to_owned(),
        version: 1,
    };
    out.backups.insert("a2".to_owned(), backup);
    out
}

fn moves(kind: &str, id: &str, steps: &[(&str, &str)]) -> Moves {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let steps = steps.iter().map(|(from, to)| Move {
        from: text(from),
        to: text(to),
    });
    [((kind.to_owned(), id.to_owned()), steps.collect())].into()
}

fn wrong_now(spoil: impl FnOnce(&mut Picture)) -> String {
    let mut picture = sound();
    spoil(&mut picture);
    check(&picture, &picture, &Moves::new(), None).join("; ")
}

#[test]
fn sound_rows_pass() {
    let picture = sound();
    let nothing: Vec<String> = Vec::new();
    assert_eq!(check(&picture, &picture, &Moves::new(), Some(3)), nothing);
}

#[test]
fn rows_that_contradict_each_other_are_found() {
    type Spoil = fn(&mut Picture);
    let cases: &[(Spoil, &str)] = &[
        (
            |it| it.attempts.get_mut("a1").unwrap().state = "running".to_owned(),
            "attempt a1 is running with fence 1, and its run r is succeeded at 2",
        ),
        (
            |it| {
                it.runs.get_mut("r").unwrap().state = "running".to_owned();
                it.attempts.get_mut("a1").unwrap().state = "running".to_owned();
                it.attempts.get_mut("a2").unwrap().state = "offered".to_owned();
            },
            "run r has two live attempts",
        ),
        (
            |it| it.attempts.get_mut("a2").unwrap().number = 1,
            "two attempts of fence 1",
        ),
        (
            |it| it.attempts.get_mut("a2").unwrap().number = 3,
            "has fence 3, and its run r has come to 2",
        ),
        (
            |it| it.attempts.get_mut("a1").unwrap().state = "succeeded".to_owned(),
            "attempt a1 succeeded with fence 1, and run r is succeeded at 2",
        ),
        (
            |it| it.attempts.get_mut("a2").unwrap().state = "failed".to_owned(),
            "run r succeeded, and its newest attempt did not",
        ),
        (
            |it| it.attempts.get_mut("a2").unwrap().outcome = None,
            "backup a2 has no settled successful attempt",
        ),
        (
            |it| it.backups.get_mut("a2").unwrap().attempt = None,
            "backup a2 has no settled successful attempt",
        ),
        (
            |it| {
                let backup = it.backups["a2"].clone();
                it.backups.insert("a1".to_owned(), backup);
            },
            "run r made two backups",
        ),
        (
            |it| it.backups.clear(),
            "run r succeeded and left no backup",
        ),
        (
            |it| it.attempts.get_mut("a1").unwrap().epoch = 9,
            "attempt a2 is of an older epoch",
        ),
        (
            |it| drop(it.proofs.insert("p".to_owned(), "r".to_owned())),
            "proof p comes from no drill",
        ),
        (
            |it| it.amnesia = Some("why".to_owned()),
            "holds its database for a copy",
        ),
    ];
    for (spoil, expected) in cases {
        let wrong = wrong_now(spoil);
        assert!(wrong.contains(expected), "{expected}: {wrong}");
    }
}

/// The run of [`sound`] one move earlier, and that move.
fn one_move() -> (Picture, Picture, Moves) {
    let (mut before, after) = (sound(), sound());
    let run = before.runs.get_mut("r").unwrap();
    "running".clone_into(&mut run.state);
    run.version = 5;
    run.backup = None;
    before.backups.clear();
    let attempt = before.attempts.get_mut("a2").unwrap();
    "running".clone_into(&mut attempt.state);
    attempt.version = 1;
    attempt.outcome = None;
    let mut told = moves("run", "r", &[("running", "succeeded")]);
    told.extend(moves("attempt", "a2", &[("running", "succeeded")]));
    told.extend(moves("backup", "a2", &[("", "")]));
    (before, after, told)
}

#[test]
fn a_move_has_one_event_and_raises_the_version_by_one() {
    let (before, after, told) = one_move();
    assert_eq!(check(&before, &after, &told, Some(3)), Vec::<String>::new());
    let key = ("run".to_owned(), "r".to_owned());
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "run r has version 6 and should have 5"),
        (
            &[("running", "queued"), ("queued", "succeeded")],
            "run r has version 6 and should have 7",
        ),
        (
            &[("queued", "succeeded")],
            "run r moved from queued, and was [\"running\", \"running\"]",
        ),
        (
            &[("running", "failed")],
            "its events lead to [\"failed\", \"failed\"]",
        ),
    ];
    for (steps, expected) in cases {
        let mut told = told.clone();
        told.remove(&key);
        told.extend(moves("run", "r", steps));
        let wrong = check(&before, &after, &told, None).join("; ");
        assert!(wrong.contains(expected), "{expected}: {wrong}");
    }
    let mut told = told.clone();
    told.extend(moves("run", "other", &[("", "")]));
    let wrong = check(&before, &after, &told, None).join("; ");
    assert!(wrong.contains("which is no row"), "{wrong}");
}

#[test]
fn what_is_final_stays_and_an_old_epoch_moves_no_attempt() {
    let (before, after, told) = one_move();
    let wrong = check(&before, &after, &told, Some(2)).join("; ");
    assert!(
        wrong.contains("a controller of epoch 2 changed attempts in epoch 3"),
        "{wrong}"
    );
    // Backwards, as if someone had taken the end back.
    let wrong = check(&after, &before, &Moves::new(), None).join("; ");
    for expected in [
        "run r was final and changed",
        "attempt a2 was final and changed",
        "backup a2 vanished",
    ] {
        assert!(wrong.contains(expected), "{expected}: {wrong}");
    }
    let mut less = sound();
    less.epoch = 2;
    less.runs.clear();
    less.attempts.clear();
    let wrong = check(&sound(), &less, &Moves::new(), None).join("; ");
    for expected in ["run r vanished", "attempt a1 vanished", "the epoch fell"] {
        assert!(wrong.contains(expected), "{expected}: {wrong}");
    }
}

#[test]
fn attempts_that_an_agent_should_not_have_started_are_found() {
    let start = |attempt, fence, epoch, shown| Start {
        name: AttemptName {
            attempt: AttemptId::from_uuid(Uuid::from_u128(attempt)),
            run: RunId::from_uuid(Uuid::from_u128(1)),
            fence,
        },
        epoch,
        shown,
    };
    let first = start(1, 2, 5, 5);
    assert_eq!(check_starts(&[first]), Vec::<String>::new());
    for (second, expected) in [
        (start(1, 3, 5, 5), "was started before"),
        (start(2, 2, 5, 5), "with fence 2 after fence 2"),
        (start(2, 1, 5, 5), "with fence 1 after fence 2"),
        (start(2, 3, 4, 5), "of epoch 4 was started after epoch 5"),
    ] {
        let wrong = check_starts(&[first, second]).join("; ");
        assert!(wrong.contains(expected), "{expected}: {wrong}");
    }
}
