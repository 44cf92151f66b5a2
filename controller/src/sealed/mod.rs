//! Identities that ride on runs: sealed by the operator's command to the agent, relayed by the
//! controller that cannot open them, held in memory only.
//!
//! Never written to a table, a log or the audit chain. They go when their run has ended, when there
//! are too many, and with the process: a run that lost its identity fails with `IDENTITY_MISSING`
//! and is repeated by whoever has the key.

use provado_model::id::RunId;
use provado_model::limits::SEALED_IDENTITY_BYTES_MAX;
use provado_model::{Error, Reason};
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Identities held at a time.
const HELD_MAX: usize = 1_000;
/// How an armored age file begins (<https://age-encryption.org/v1>, "ASCII armor").
const ARMOR: &str = "-----BEGIN AGE ENCRYPTED FILE-----";

/// Sealed identities by run. Cheap to clone; clones share.
#[derive(Debug, Clone, Default)]
pub struct SealedIdentities {
    held: Arc<Mutex<BTreeMap<RunId, SecretString>>>,
}

/// What is wrong with a sealed identity, if something is; the text continues the field's name.
pub fn problem_of(text: &str) -> Option<String> {
    if text.len() > SEALED_IDENTITY_BYTES_MAX {
        return Some(format!(
            "must be at most {SEALED_IDENTITY_BYTES_MAX} bytes long"
        ));
    }
    // A bare identity here would be a secret in the hands of the controller.
    if !text.trim_start().starts_with(ARMOR) {
        return Some("must be an armored age file, sealed to the agent's recipient".to_owned());
    }
    None
}

/// An identity whose run is not committed yet. Dropped, it is let go of: also when the call that
/// brought it ends in the middle.
#[derive(Debug)]
#[must_use = "the identity is let go of with it"]
pub struct Held {
    identities: SealedIdentities,
    run: Option<RunId>,
}

impl Held {
    /// The run is there: from now on its end decides.
    pub fn keep(mut self) {
        self.run = None;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(run) = self.run {
            self.identities.drop_of(run);
        }
    }
}

impl SealedIdentities {
    /// Holds the identity of a run that is about to be committed. Error: `BUSY` when too many are
    /// held.
    pub fn hold(&self, run: RunId, identity: &str) -> Result<Held, Error> {
        self.put(run, identity)?;
        Ok(Held {
            identities: self.clone(),
            run: Some(run),
        })
    }

    fn put(&self, run: RunId, identity: &str) -> Result<(), Error> {
        let mut held = self.locked();
        if held.len() >= HELD_MAX && !held.contains_key(&run) {
            return Err(Error::new(
                Reason::Busy,
                "too many runs with an identity wait already; try again when some have ended",
            ));
        }
        held.insert(run, SecretString::from(identity));
        Ok(())
    }

    /// The identity of a run, if it is held.
    pub fn get(&self, run: RunId) -> Option<String> {
        let held = self.locked();
        held.get(&run)
            .map(|identity| identity.expose_secret().to_owned())
    }

    /// Lets go of the identity of a run that has ended.
    pub fn drop_of(&self, run: RunId) {
        self.locked().remove(&run);
    }

    /// The runs whose identities are held.
    pub fn runs(&self) -> Vec<RunId> {
        self.locked().keys().copied().collect()
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<RunId, SecretString>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn it_is_held_until_dropped_and_never_shown() {
        let identities = SealedIdentities::default();
        let run = RunId::from_uuid(Uuid::from_u128(1));
        let text = format!("{ARMOR}\nsecret\n");
        identities.put(run, &text).unwrap();
        assert_eq!(identities.get(run), Some(text));
        assert!(!format!("{identities:?}").contains("secret"));
        identities.drop_of(run);
        assert_eq!(identities.get(run), None);
        assert!(identities.runs().is_empty());
    }

    #[test]
    fn it_is_let_go_of_with_a_call_that_ends_in_the_middle() {
        let identities = SealedIdentities::default();
        let run = RunId::from_uuid(Uuid::from_u128(1));
        drop(identities.hold(run, "x").unwrap());
        assert_eq!(identities.get(run), None);
        identities.hold(run, "x").unwrap().keep();
        assert!(identities.get(run).is_some());
    }

    #[test]
    fn there_is_a_bound_and_an_open_identity_is_refused() {
        let identities = SealedIdentities::default();
        for number in 0..u128::try_from(HELD_MAX).unwrap() {
            let run = RunId::from_uuid(Uuid::from_u128(number));
            identities.put(run, "x").unwrap();
        }
        let next = RunId::from_uuid(Uuid::from_u128(u128::MAX));
        assert_eq!(identities.put(next, "x").unwrap_err().reason, Reason::Busy);
        assert!(problem_of("AGE-SECRET-KEY-1ABC").is_some());
        assert!(problem_of(&format!("{ARMOR}{}", "x".repeat(SEALED_IDENTITY_BYTES_MAX))).is_some());
        assert_eq!(problem_of(&format!("{ARMOR}\nx\n")), None);
    }
}
