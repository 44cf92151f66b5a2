//! A repository as the rest of the controller sees it.

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use provado_model::id::{AgentId, CallerId, RepositoryId};
use provado_model::random::{self, Entropy};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroize;

provado_model::names! {
    /// What sort of place it is.
    RepositoryKind, "repository kind" {
        /// A directory on the host of one agent.
        File = "file",
    }
    /// Where it stands.
    RepositoryState, "repository state" {
        /// Declared; its descriptor has not been made.
        Declared = "declared",
        /// Its descriptor is there: ready for backups.
        Ready = "initialized",
    }
}

/// The key from which a repository's segment ids are derived. A secret: whoever has it can tell
/// whether a guessed content is stored. Zeroed after use, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SegmentKey([u8; 32]);

impl SegmentKey {
    /// A new one.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(random::bytes(entropy))
    }

    /// A stored one.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the store alone.
    pub(super) const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hex digits, for the agent that carries out a job.
    pub fn expose_hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

impl Drop for SegmentKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SegmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SegmentKey(secret)")
    }
}

/// A repository that is about to be declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRepository {
    /// The id; the descriptor will hold the same.
    pub id: RepositoryId,
    /// The name; unique.
    pub name: String,
    /// What sort of place it is.
    pub kind: RepositoryKind,
    /// The agent whose host has it.
    pub agent: AgentId,
    /// The directory.
    pub path: String,
    /// The age recipients of new backups; never empty.
    pub recipients: Vec<String>,
    /// From which segment ids are derived.
    pub segment_key: SegmentKey,
}

/// A repository as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// What was declared; it does not change.
    pub facts: NewRepository,
    /// Where it stands.
    pub state: RepositoryState,
    /// Rises by one with every change.
    pub version: u64,
    /// What the backend was seen to do.
    pub capabilities: BTreeMap<String, String>,
    /// When it was declared.
    pub create_time: Timestamp,
    /// Who declared it.
    pub create_caller: Option<CallerId>,
    /// When its descriptor was made.
    pub init_time: Option<Timestamp>,
}

impl Repository {
    /// Sentences an operator should read.
    pub fn warnings(&self) -> Vec<String> {
        let mut out = Vec::new();
        if self.facts.recipients.len() == 1 {
            out.push(
                "only one recipient can open these backups: if its identity is lost, so are they. \
                 Declare a second one whose identity is kept offline"
                    .to_owned(),
            );
        }
        if self.state == RepositoryState::Declared {
            out.push(
                "its descriptor has not been made; run `provado repository init` before the first \
                 backup"
                    .to_owned(),
            );
        }
        out
    }
}
