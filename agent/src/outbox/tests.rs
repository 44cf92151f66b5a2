use super::*;
use provado_model::limits;
use provado_model::random::SeededEntropy;
use provado_model::time::ManualClock;
use provado_proto::agent::v1::{AttemptResult, BackupJob, BackupOutcome, InstanceTarget};
use provado_proto::agent::v1::{RepositoryTarget, outcome::Detail};
use std::path::Path;

fn open(folder: &Path) -> Result<Outbox, JournalError> {
    Outbox::open(Journal::open(folder.join("outbox"))?)
}

fn ended(outcome: Outcome) -> Ended {
    let (clock, entropy) = (ManualClock::at_second(1), SeededEntropy::new(3));
    let name = AttemptName {
        attempt: AttemptId::new(&clock, &entropy),
        run: provado_model::id::RunId::new(&clock, &entropy),
        fence: 1,
    };
    let line = LogLine {
        sequence: 7,
        message: "said".to_owned(),
        ..LogLine::default()
    };
    let request = RequestId::new(&clock, &entropy);
    Ended::new((name, 4), request, outcome, vec![line], None)
}

#[test]
fn an_outcome_stays_until_it_is_removed_whatever_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let record = ended(Outcome {
        result: AttemptResult::Succeeded.into(),
        ..Outcome::default()
    });
    open(folder.path()).unwrap().put(record.clone()).unwrap();
    for _ in 0..3 {
        let outbox = open(folder.path()).unwrap();
        assert_eq!(outbox.pending(), std::slice::from_ref(&record));
        assert!(outbox.holds(record.name.attempt));
    }
    let outbox = open(folder.path()).unwrap();
    outbox.remove(record.name.attempt).unwrap();
    assert!(outbox.is_empty() && open(folder.path()).unwrap().is_empty());
    assert_eq!(record.lines()[0].message, "said");
    assert_eq!(record.outcome().unwrap().result(), AttemptResult::Succeeded);
}

#[test]
fn a_damaged_outcome_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let record = ended(Outcome::default());
    open(folder.path()).unwrap().put(record.clone()).unwrap();
    let file = format!("outbox/{}.json", record.name.attempt);
    std::fs::write(folder.path().join(file), b"{\"name\":").unwrap();
    assert!(matches!(
        open(folder.path()),
        Err(JournalError::Damaged { .. })
    ));
}

#[test]
fn a_large_outcome_is_kept_whole_and_one_too_large_to_send_becomes_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let detail = |bytes: usize| Outcome {
        result: AttemptResult::Succeeded.into(),
        detail: Some(Detail::Backup(BackupOutcome {
            recipients: vec!["x".repeat(bytes)],
            ..BackupOutcome::default()
        })),
        ..Outcome::default()
    };
    // Larger than any secret file may be.
    let large = ended(detail(2 * 1024 * 1024));
    open(folder.path()).unwrap().put(large.clone()).unwrap();
    let read = open(folder.path()).unwrap().pending().remove(0);
    assert_eq!(read.outcome(), large.outcome());
    let outcome = ended(detail(limits::REPORT_BYTES_MAX)).outcome().unwrap();
    assert_eq!(outcome.result(), AttemptResult::Failed);
    assert_eq!(outcome.failure.unwrap().reason, Reason::Internal.as_str());
}

#[test]
fn the_place_of_a_backup_comes_from_its_job() {
    let job = Job {
        kind: Some(Kind::Backup(BackupJob {
            repository: Some(RepositoryTarget {
                path: "/r".to_owned(),
                ..RepositoryTarget::default()
            }),
            instance: Some(InstanceTarget {
                instance_id: "i".to_owned(),
                ..InstanceTarget::default()
            }),
            backup_id: "b".to_owned(),
            ..BackupJob::default()
        })),
    };
    let place = BackupPlace::of(&job).unwrap();
    assert_eq!(
        (
            place.path.as_str(),
            place.instance_id.as_str(),
            place.backup_id.as_str()
        ),
        ("/r", "i", "b")
    );
    assert_eq!(BackupPlace::of(&Job::default()), None);
}

#[tokio::test]
async fn who_waits_for_an_empty_outbox_hears_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path()).unwrap();
    outbox.drained().await;
    let record = ended(Outcome::default());
    outbox.put(record.clone()).unwrap();
    let removal = async { outbox.remove(record.name.attempt).unwrap() };
    tokio::join!(outbox.drained(), removal);
    assert!(outbox.is_empty());
}
