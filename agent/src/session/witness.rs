//! What the agent remembers of its controller over restarts: the highest epoch it has obeyed, and
//! the newest signed checkpoint of the audit chain, of which it is a witness.

use crate::journal::{Journal, JournalError};
use provado_identity::PublicKey;
use provado_identity::signed_note::{Note, NoteKey};
use provado_model::audit_chain::Checkpoint;
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, MutexGuard, PoisonError};

const RECORD: &str = "witness";
/// Checkpoints of lost chains that are kept.
const GIVEN_UP_MAX: usize = 8;
/// Longest checkpoint that is kept, in bytes; they have about 400.
const CHECKPOINT_BYTES_MAX: usize = 4 * 1024;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    format_version: u32,
    epoch: i64,
    checkpoint: String,
    /// Checkpoints of lost chains that an operator agreed to go on without, the newest last.
    #[serde(default)]
    given_up: Vec<String>,
}

/// What a checkpoint means for the one that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// It is held now.
    Kept,
    /// It is held now, though it does not fit what was held before: the controller says, signed,
    /// that an operator agreed to go on without that chain. What was held is kept beside.
    Replaced(String),
    /// It says what is held already.
    Same,
    /// It does not fit what is held, which stays: the chain was cut or rewritten.
    Inconsistent(String),
    /// It is not the controller's.
    Foreign(String),
}

/// The memory.
#[derive(Debug)]
pub struct Witness {
    journal: Journal,
    controller: PublicKey,
    known: Mutex<Known>,
}

impl Witness {
    /// Reads it. `controller` is the key that signs checkpoints.
    pub fn open(journal: Journal, controller: PublicKey) -> Result<Self, JournalError> {
        let known = journal.read(RECORD)?.unwrap_or_default();
        Ok(Self {
            journal,
            controller,
            known: Mutex::new(known),
        })
    }

    /// The highest epoch seen.
    pub fn epoch(&self) -> i64 {
        self.known().epoch
    }

    /// The newest checkpoint held; empty for none.
    pub fn checkpoint(&self) -> String {
        self.known().checkpoint.clone()
    }

    /// Notes an epoch and tells whether it may be obeyed: whether none higher was seen. A higher
    /// one is on disk when this returns.
    pub fn obey(&self, epoch: i64) -> Result<bool, JournalError> {
        let mut known = self.known();
        if epoch > known.epoch {
            let next = Known {
                format_version: 1,
                epoch,
                ..known.clone()
            };
            self.journal.write(RECORD, &next)?;
            *known = next;
        }
        Ok(epoch >= known.epoch)
    }

    /// Looks at a checkpoint the controller shows, and holds it if it goes on from what is held.
    pub fn show(&self, note: &str) -> Result<Shown, JournalError> {
        let mut known = self.known();
        if note == known.checkpoint {
            return Ok(Shown::Same);
        }
        let Some(shown) = self.signed(note) else {
            return Ok(Shown::Foreign(
                "it does not carry the signature of this agent's controller".to_owned(),
            ));
        };
        let held = self.signed(&known.checkpoint);
        let contradicted = held
            .as_ref()
            .and_then(|held| contradiction(held, &shown).map(|why| (held.epoch, why)));
        let mut next = Known {
            format_version: 1,
            checkpoint: note.to_owned(),
            ..known.clone()
        };
        let outcome = match contradicted {
            None => Shown::Kept,
            Some((epoch, why)) if epoch < shown.accepted_epoch => {
                next.given_up.push(known.checkpoint.clone());
                let surplus = next.given_up.len().saturating_sub(GIVEN_UP_MAX);
                next.given_up.drain(..surplus);
                Shown::Replaced(why)
            }
            Some((_, why)) => return Ok(Shown::Inconsistent(why)),
        };
        self.journal.write(RECORD, &next)?;
        *known = next;
        Ok(outcome)
    }

    fn signed(&self, note: &str) -> Option<Checkpoint> {
        if note.is_empty() || note.len() > CHECKPOINT_BYTES_MAX {
            return None;
        }
        let parsed = Note::parse(note).ok()?;
        let origin = parsed.unverified_text().lines().next()?.to_owned();
        let key = NoteKey::new(&origin, self.controller).ok()?;
        parsed.verify(&key).ok()?.parse().ok()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn contradiction(held: &Checkpoint, shown: &Checkpoint) -> Option<String> {
    let (old, new) = (held.head.sequence, shown.head.sequence);
    if held.controller != shown.controller {
        return Some(format!(
            "it is of the controller {}, and the one held of {}",
            shown.controller, held.controller
        ));
    }
    if new < old {
        return Some(format!("it ends at event {new}, and the one held at {old}"));
    }
    (new == old && shown.head.hash != held.head.hash)
        .then(|| format!("event {new} has another hash than in the one held"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_identity::{SigningKey, signed_note};
    use provado_model::audit_chain::ChainHead;
    use provado_model::random::SeededEntropy;

    fn note(key: &SigningKey, sequence: u64, hash: &str) -> String {
        note_of(key, (sequence, hash), (1, 0))
    }

    fn note_of(
        key: &SigningKey,
        (sequence, hash): (u64, &str),
        (epoch, accepted_epoch): (u64, u64),
    ) -> String {
        let checkpoint = Checkpoint {
            controller: "c".to_owned(),
            head: ChainHead {
                sequence,
                hash: hash.to_owned(),
            },
            epoch,
            time_micros: 1,
            accepted_epoch,
        };
        signed_note::sign(&checkpoint.body(), "provado-audit/c", key).unwrap()
    }

    #[test]
    fn an_epoch_and_a_checkpoint_only_go_forward_over_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path().join("state")).unwrap();
        let key = SigningKey::generate(&SeededEntropy::new(1)).unwrap();
        let open = || Witness::open(journal.clone(), key.public_key()).unwrap();
        let witness = open();
        assert!(witness.obey(3).unwrap() && witness.obey(3).unwrap());
        assert!(!witness.obey(2).unwrap());
        let (old, new) = (note(&key, 5, "a"), note(&key, 9, "b"));
        assert_eq!(witness.show(&old).unwrap(), Shown::Kept);
        assert_eq!(witness.show(&new).unwrap(), Shown::Kept);
        assert_eq!(witness.show(&new).unwrap(), Shown::Same);
        let witness = open();
        assert_eq!(witness.epoch(), 3);
        for bad in [old, note(&key, 9, "c")] {
            assert!(matches!(
                witness.show(&bad).unwrap(),
                Shown::Inconsistent(_)
            ));
        }
        let forger = SigningKey::generate(&SeededEntropy::new(2)).unwrap();
        let false_one = note(&forger, 99, "z");
        for bad in [false_one.as_str(), "x", ""] {
            assert!(matches!(witness.show(bad).unwrap(), Shown::Foreign(_)));
        }
        assert_eq!(witness.checkpoint(), new);
    }

    #[test]
    fn a_lost_chain_is_given_up_when_an_operator_has_agreed_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path().join("state")).unwrap();
        let key = SigningKey::generate(&SeededEntropy::new(1)).unwrap();
        let witness = Witness::open(journal.clone(), key.public_key()).unwrap();
        let lost = note_of(&key, (9, "a"), (3, 0));
        assert_eq!(witness.show(&lost).unwrap(), Shown::Kept);
        // Neither a higher epoch nor an agreement about earlier ones is enough.
        for accepted_epoch in [0, 3] {
            let shown = note_of(&key, (5, "b"), (4, accepted_epoch));
            let shown = witness.show(&shown).unwrap();
            assert!(matches!(shown, Shown::Inconsistent(_)), "{shown:?}");
        }
        let next = note_of(&key, (5, "b"), (4, 4));
        let shown = witness.show(&next).unwrap();
        assert!(matches!(shown, Shown::Replaced(_)), "{shown:?}");
        assert_eq!(witness.checkpoint(), next);
        let reread = Witness::open(journal, key.public_key()).unwrap();
        assert_eq!(reread.known().given_up, [lost]);
        assert_eq!(reread.checkpoint(), next);
    }
}
