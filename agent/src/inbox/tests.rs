use super::*;
use provado_model::random::SeededEntropy;
use provado_model::time::ManualClock;
use provado_proto::agent::v1::{BackupJob, BackupTarget, RestoreJob};
use std::path::Path;

fn open(folder: &Path) -> Result<Inbox, JournalError> {
    Inbox::open(
        Journal::open(folder.join("inbox"))?,
        Journal::open(folder.join("state"))?,
    )
}

fn name(seed: u64, run: RunId, fence: i64) -> AttemptName {
    let clock = ManualClock::at_second(1);
    AttemptName {
        attempt: AttemptId::new(&clock, &SeededEntropy::new(seed)),
        run,
        fence,
    }
}

fn run(seed: u64) -> RunId {
    RunId::new(&ManualClock::at_second(1), &SeededEntropy::new(seed))
}

fn accept(inbox: &Inbox, name: AttemptName) -> Decision {
    let job = Job::default();
    inbox.accept(name, 1, &job, Timestamp::UNIX_EPOCH).unwrap()
}

#[test]
fn an_attempt_starts_once_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let attempt = name(1, run(1), 1);
    assert_eq!(
        accept(&open(folder.path()).unwrap(), attempt),
        Decision::Start
    );
    // As after a crash: the journal is read anew each time.
    let inbox = open(folder.path()).unwrap();
    assert_eq!(accept(&inbox, attempt), Decision::Duplicate);
    assert_eq!(inbox.accepted().len(), 1);
    inbox.settle(attempt, Word::Other).unwrap();
    let inbox = open(folder.path()).unwrap();
    assert_eq!(accept(&inbox, attempt), Decision::EndedBefore);
    assert!(inbox.accepted().is_empty() && inbox.is_settled(attempt.attempt));
}

#[test]
fn lower_and_equal_fences_of_a_run_are_refused_also_after_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open(folder.path()).unwrap();
    assert_eq!(accept(&inbox, name(1, run(1), 2)), Decision::Start);
    assert_eq!(accept(&inbox, name(2, run(1), 1)), Decision::Superseded);
    assert_eq!(accept(&inbox, name(3, run(1), 2)), Decision::Superseded);
    assert_eq!(accept(&inbox, name(4, run(2), 1)), Decision::Start);
    inbox.settle(name(1, run(1), 2), Word::Other).unwrap();
    let inbox = open(folder.path()).unwrap();
    assert_eq!(accept(&inbox, name(2, run(1), 1)), Decision::Superseded);
    assert_eq!(accept(&inbox, name(5, run(1), 3)), Decision::Start);
    let with_other_fence = AttemptName {
        fence: 9,
        ..name(5, run(1), 3)
    };
    assert_eq!(accept(&inbox, with_other_fence), Decision::Superseded);
}

#[test]
fn a_run_that_was_held_for_a_success_is_never_carried_out_again() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open(folder.path()).unwrap();
    accept(&inbox, name(1, run(1), 1));
    accept(&inbox, name(2, run(2), 1));
    inbox.settle(name(1, run(1), 1), Word::Good).unwrap();
    inbox.settle(name(2, run(2), 1), Word::Other).unwrap();
    let inbox = open(folder.path()).unwrap();
    // A controller that forgot the end of both wants another attempt of each.
    assert_eq!(accept(&inbox, name(3, run(1), 2)), Decision::CarriedOut);
    assert_eq!(accept(&inbox, name(4, run(2), 2)), Decision::Start);
}

#[test]
fn a_damaged_record_stops_the_start_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let attempt = name(1, run(1), 1);
    accept(&open(folder.path()).unwrap(), attempt);
    let path = folder
        .path()
        .join(format!("inbox/{}.json", attempt.attempt));
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&attempt.attempt.to_string()), "{error}");
    }
}

#[test]
fn a_write_cut_short_leaves_the_promise_ungiven() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open(folder.path()).unwrap();
    let attempt = name(1, run(1), 1);
    // The directory of records is away: nothing can be written.
    std::fs::rename(folder.path().join("inbox"), folder.path().join("away")).unwrap();
    let job = Job::default();
    let tried = inbox.accept(attempt, 1, &job, Timestamp::UNIX_EPOCH);
    assert!(tried.is_err() && inbox.accepted().is_empty());
    std::fs::rename(folder.path().join("away"), folder.path().join("inbox")).unwrap();
    // What a crash before the rename leaves behind is no record.
    let leftover = format!("inbox/.{}.json.new", attempt.attempt);
    std::fs::write(folder.path().join(leftover), b"{").unwrap();
    assert_eq!(
        accept(&open(folder.path()).unwrap(), attempt),
        Decision::Start
    );
}

#[test]
fn the_memory_of_ended_attempts_is_bounded_and_keeps_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open(folder.path()).unwrap();
    {
        let mut state = inbox.state();
        for seed in 0..ENDED_MAX as u64 {
            state.ended.push_back(EndedBefore {
                name: name(seed, run(seed), 1),
                good: false,
            });
        }
    }
    let newest = name(5_000, run(5_000), 1);
    inbox.settle(newest, Word::Other).unwrap();
    let inbox = open(folder.path()).unwrap();
    assert_eq!(inbox.state().ended.len(), ENDED_MAX);
    assert!(inbox.is_settled(newest.attempt));
    assert!(!inbox.is_settled(name(0, run(0), 1).attempt));
}

#[test]
fn no_secret_of_a_job_reaches_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open(folder.path()).unwrap();
    let repository = Some(RepositoryTarget {
        path: "/backups".to_owned(),
        segment_key: "the-segment-key".to_owned(),
        ..RepositoryTarget::default()
    });
    let backup = BackupJob {
        repository: repository.clone(),
        ..BackupJob::default()
    };
    let restore = RestoreJob {
        backup: Some(BackupTarget {
            repository,
            sealed_identity: "the-sealed-identity".to_owned(),
            ..BackupTarget::default()
        }),
        ..RestoreJob::default()
    };
    let kinds = [Kind::Backup(backup), Kind::Restore(restore)];
    for (seed, kind) in (1..).zip(kinds) {
        let job = Job { kind: Some(kind) };
        let now = Timestamp::UNIX_EPOCH;
        let decision = inbox.accept(name(seed, run(seed), 1), 1, &job, now);
        assert_eq!(decision.unwrap(), Decision::Start);
    }
    for record in inbox.accepted() {
        let text = format!("{:?}", record.job());
        assert!(text.contains("/backups"), "{text}");
        assert!(!text.contains("the-"), "{text}");
    }
}
