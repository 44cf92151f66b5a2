//! The records that the agent reads when it starts, of any bytes: taken, or an error that names
//! the file; never a panic, and never one that is left out in silence.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use provado_agent::inbox::{Decision, Inbox};
use provado_agent::jobs::AttemptName;
use provado_agent::journal::{Journal, JournalError};
use provado_agent::outbox::{BackupPlace, Ended, Outbox};
use provado_agent::session::{Shown, Witness};
use provado_identity::SigningKey;
use provado_model::id::{AttemptId, RequestId, RunId};
use provado_model::random::SeededEntropy;
use provado_proto::agent::v1::job::Kind;
use provado_proto::agent::v1::{InspectJob, Job, LogLine, Outcome};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use tempfile::TempDir;
use uuid::Uuid;

fn name() -> AttemptName {
    AttemptName {
        attempt: AttemptId::from_uuid(Uuid::from_u128(1)),
        run: RunId::from_uuid(Uuid::from_u128(2)),
        fence: 3,
    }
}

fn journal(home: &Path, folder: &str) -> Journal {
    Journal::open(home.join(folder)).unwrap()
}

fn inbox(home: &Path) -> Result<Inbox, JournalError> {
    Inbox::open(journal(home, "inbox"), journal(home, "state"))
}

fn outbox(home: &Path) -> Result<Outbox, JournalError> {
    Outbox::open(journal(home, "outbox"))
}

/// A home with a record of each kind, and the files they are in.
fn home() -> (TempDir, PathBuf, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let job = Job {
        kind: Some(Kind::Inspect(InspectJob {})),
    };
    let accepted = inbox(home.path()).unwrap();
    let decision = accepted.accept(name(), 4, &job, Timestamp::UNIX_EPOCH);
    assert_eq!(decision.unwrap(), Decision::Start);
    let place = BackupPlace {
        path: "/srv/a".to_owned(),
        repository_id: "r".to_owned(),
        instance_id: "i".to_owned(),
        backup_id: "b".to_owned(),
    };
    let request = RequestId::from_uuid(Uuid::from_u128(5));
    let lines = vec![LogLine::default()];
    let ended = Ended::new((name(), 4), request, Outcome::default(), lines, Some(place));
    outbox(home.path()).unwrap().put(ended).unwrap();
    let file = format!("{}.json", name().attempt);
    let (in_inbox, in_outbox) = (
        home.path().join("inbox").join(&file),
        home.path().join("outbox").join(&file),
    );
    (home, in_inbox, in_outbox)
}

/// What the two files hold before they are damaged.
static WHOLE: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let (_home, in_inbox, in_outbox) = home();
    (
        std::fs::read(in_inbox).unwrap(),
        std::fs::read(in_outbox).unwrap(),
    )
});

/// Reads both journals over these two files; everything that can be asked of a record is asked.
fn read(accepted: &[u8], ended: &[u8]) {
    let home = tempfile::tempdir().unwrap();
    for (folder, bytes) in [("inbox", accepted), ("outbox", ended)] {
        // Made by the journal itself, which wants it closed to others.
        journal(home.path(), folder);
        std::fs::write(home.path().join(folder).join("x.json"), bytes).unwrap();
    }
    match inbox(home.path()) {
        Ok(inbox) => {
            let records = inbox.accepted();
            assert_eq!(records.len(), 1, "no record is left out");
            for record in records {
                let _ = record.job();
            }
        }
        Err(error) => assert!(error.to_string().contains("x.json"), "{error}"),
    }
    match outbox(home.path()) {
        Ok(outbox) => {
            assert_eq!(outbox.pending().len(), 1, "no outcome is left out");
            for record in outbox.pending() {
                let _ = (record.outcome(), record.lines());
            }
        }
        Err(error) => assert!(error.to_string().contains("x.json"), "{error}"),
    }
}

type Damage = Vec<(prop::sample::Index, u8)>;

fn damage() -> impl Strategy<Value = Damage> {
    vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)
}

fn damaged(whole: &[u8], damage: &Damage) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for (at, value) in damage {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn records_of_any_bytes_are_read_or_named(
        bytes in vec(any::<u8>(), 0..300),
        one in damage(),
        other in damage(),
        cut in any::<prop::sample::Index>(),
    ) {
        read(&bytes, &bytes);
        let (accepted, ended) = (damaged(&WHOLE.0, &one), damaged(&WHOLE.1, &other));
        read(&accepted, &ended);
        read(&accepted[..cut.index(accepted.len())], &ended[..cut.index(ended.len())]);
    }

    #[test]
    fn a_checkpoint_of_any_text_is_not_kept(
        text in any::<String>(),
        lines in vec("[ -~]{0,60}", 0..8),
    ) {
        let home = tempfile::tempdir().unwrap();
        let key = SigningKey::generate(&SeededEntropy::new(1)).unwrap();
        let witness = Witness::open(journal(home.path(), "state"), key.public_key()).unwrap();
        for text in [text, format!("provado-audit/c\n{}\n", lines.join("\n"))] {
            let shown = witness.show(&text).unwrap();
            let is_nothing = text.is_empty() && shown == Shown::Same;
            prop_assert!(is_nothing || matches!(shown, Shown::Foreign(_)), "{:?}", shown);
        }
        prop_assert_eq!(witness.checkpoint(), "");
    }
}

#[test]
fn whole_records_are_read() {
    let (home, ..) = home();
    let accepted = inbox(home.path()).unwrap().accepted();
    assert_eq!((accepted[0].name, accepted[0].epoch), (name(), 4));
    let pending = outbox(home.path()).unwrap().pending();
    assert_eq!(pending[0].lines().len(), 1);
    assert_eq!(pending[0].outcome(), Some(Outcome::default()));
}
