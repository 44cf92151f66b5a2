//! What the agent remembers of its controller over restarts: the highest epoch it has obeyed, and
//! the newest signed checkpoint of the audit chain, of which it is a witness.

use crate::journal::{Journal, JournalError};
use provado_identity::PublicKey;
use provado_identity::signed_note::{Note, NoteKey};
use provado_model::audit_chain::Checkpoint;
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, MutexGuard, PoisonError};

const RECORD: &str = "witness";
/// Longest checkpoint that is kept, in bytes; they have about 400.
const CHECKPOINT_BYTES_MAX: usize = 4 * 1024;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    format_version: u32,
    epoch: i64,
    checkpoint: String,
}

/// What a checkpoint means for the one that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// It is held now.
    Kept,
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
        if let Some(held) = self.signed(&known.checkpoint)
            && let Some(why) = contradiction(&held, &shown)
        {
            return Ok(Shown::Inconsistent(why));
        }
        let next = Known {
            format_version: 1,
            checkpoint: note.to_owned(),
            ..known.clone()
        };
        self.journal.write(RECORD, &next)?;
        *known = next;
        Ok(Shown::Kept)
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
        let checkpoint = Checkpoint {
            controller: "c".to_owned(),
            head: ChainHead {
                sequence,
                hash: hash.to_owned(),
            },
            epoch: 1,
            time_micros: 1,
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
}
