//! Typed ids. An id of one thing cannot be passed where another is meant.
//!
//! Ids of things that happen are UUIDv7 (RFC 9562 section 5.7): they sort by creation time, which
//! is what keyset paging and human eyes want. Ids that must come out the same twice are UUIDv5.

use crate::random::Entropy;
use crate::time::Clock;
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The text was not a UUID in its usual hyphenated form.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a valid {what} id")]
pub struct IdError {
    /// What kind of id was expected, such as `run`.
    pub what: &'static str,
    /// The offending text, cut to 64 characters.
    pub text: String,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// What this id names, in one word of the glossary.
            pub const WHAT: &'static str = $what;

            /// A new time-ordered id (UUIDv7).
            pub fn new(clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
                Self(uuid_v7(clock, entropy))
            }

            /// Wraps a UUID that is known to be an id of this kind.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} {}", $what, self.0.hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(text).map(Self).ok_or_else(|| IdError {
                    what: $what,
                    text: text.chars().take(64).collect(),
                })
            }
        }
    )*};
}

ids! {
    /// One agent: the daemon on one database host.
    AgentId = "agent";
    /// One PostgreSQL server as Provado knows it.
    InstanceId = "instance";
    /// One database in an instance.
    DatabaseId = "database";
    /// One repository, the same in the controller and in the repository's own descriptor.
    RepositoryId = "repository";
    /// One intended execution of a job.
    RunId = "run";
    /// One dispatch of a run to one agent.
    AttemptId = "attempt";
    /// One restorable set in the catalogue.
    BackupId = "backup";
    /// One immutable object that holds segments.
    PackId = "pack";
    /// The signed result of a drill.
    ProofId = "proof";
    /// A client-made id that makes a request safe to repeat.
    RequestId = "request";
    /// A one-time join token.
    JoinTokenId = "joinToken";
    /// One who may call the operator API.
    CallerId = "caller";
    /// One life of a controller's database; it changes when a controller is rebuilt.
    ControllerId = "controller";
    /// An open problem someone must know of.
    IncidentId = "incident";
}

fn parse(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok()?;
    (text.len() == 36).then_some(uuid)
}

/// A UUIDv7 from the given clock and entropy: 48 bits of Unix milliseconds, then random bits.
pub fn uuid_v7(clock: &dyn Clock, entropy: &dyn Entropy) -> Uuid {
    let millis = u64::try_from(clock.now().as_millisecond()).unwrap_or(0);
    let mut random = [0_u8; 10];
    entropy.fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// The UUIDv5 (RFC 9562 section 5.5) of a name in a namespace: the same twice.
pub fn uuid_v5(namespace: Uuid, name: &[u8]) -> Uuid {
    Uuid::new_v5(&namespace, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededEntropy;
    use crate::time::ManualClock;

    #[test]
    fn ids_sort_by_creation_time() {
        let clock = ManualClock::at_second(1_700_000_000);
        let entropy = SeededEntropy::new(7);
        let first = RunId::new(&clock, &entropy);
        clock.advance(jiff::SignedDuration::from_millis(1));
        let second = RunId::new(&clock, &entropy);
        assert!(first < second);
        assert!(first.to_string() < second.to_string());
        assert_eq!(first.uuid().get_version_num(), 7);
    }

    #[test]
    fn only_the_hyphenated_form_parses() {
        let id = RunId::new(&ManualClock::at_second(1), &SeededEntropy::new(1));
        assert_eq!(id.to_string().parse::<RunId>(), Ok(id));
        for bad in [
            "",
            "latest",
            "{00000000-0000-0000-0000-000000000000}",
            "0000",
        ] {
            let error = bad.parse::<RunId>().unwrap_err();
            assert_eq!(error.what, "run");
        }
        assert!(id.uuid().simple().to_string().parse::<RunId>().is_err());
    }
}
