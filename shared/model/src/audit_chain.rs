//! The audit chain's form, and its verification without the controller.
//!
//! An event's hash is the SHA-256 of [`AuditRecord::canonical`], which holds the hash of the event
//! before it. An export of the events is therefore enough to find any event that was changed, left
//! out, added or moved; a signed [`Checkpoint`] says what the newest one was at a time.

mod checkpoint;

pub use checkpoint::{Checkpoint, CheckpointError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The `previous_hash` of the event with sequence 1.
pub const GENESIS_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// First bytes of the canonical form; the digit is its version.
const CANONICAL_MAGIC: &[u8] = b"provado-audit-1\n";
/// The length that stands for an absent field.
const ABSENT: u32 = u32::MAX;

/// One event as it is stored and exported (one JSON object a line).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRecord {
    /// Position in the chain, from 1, without gaps.
    pub sequence: u64,
    /// When it was written, in microseconds since 1970-01-01 UTC.
    pub time_micros: i64,
    /// `operator`, `agent`, `controller`, `local` or `anonymous`.
    pub caller_kind: String,
    /// The caller's id; empty for an anonymous one.
    pub caller_id: String,
    /// The caller's name at that time.
    pub caller_name: String,
    /// The agent it concerns, if any.
    pub agent_id: Option<String>,
    /// Where the call came from, if it came over the network.
    pub peer_address: Option<String>,
    /// What was done: `<noun>.<verb>`, such as `run.admit`.
    pub action: String,
    /// The kind of thing it was done to, such as `run`.
    pub resource_kind: String,
    /// Which one: its id or name.
    pub resource_name: String,
    /// `done`, `refused`, `failed` or `intended`.
    pub outcome: String,
    /// The request it belongs to, if a client named one.
    pub request_id: Option<String>,
    /// Further facts, as a JSON object; hashed as the text it is.
    pub detail_json: String,
    /// The hash of the event before, in lower-case hex.
    pub previous_hash: String,
    /// The hash of this event, in lower-case hex.
    pub hash: String,
}

impl AuditRecord {
    /// The bytes that are hashed: `provado-audit-1\n`, then every field but `hash` in the order
    /// of the struct, each as its length in bytes (32 bits, big-endian) and its UTF-8 text.
    /// Numbers are decimal text; an absent field has the length `0xffffffff` and no text.
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = CANONICAL_MAGIC.to_vec();
        put(&mut out, Some(&self.sequence.to_string()));
        put(&mut out, Some(&self.time_micros.to_string()));
        put(&mut out, Some(&self.caller_kind));
        put(&mut out, Some(&self.caller_id));
        put(&mut out, Some(&self.caller_name));
        put(&mut out, self.agent_id.as_deref());
        put(&mut out, self.peer_address.as_deref());
        put(&mut out, Some(&self.action));
        put(&mut out, Some(&self.resource_kind));
        put(&mut out, Some(&self.resource_name));
        put(&mut out, Some(&self.outcome));
        put(&mut out, self.request_id.as_deref());
        put(&mut out, Some(&self.detail_json));
        put(&mut out, Some(&self.previous_hash));
        out
    }

    /// The hash this event should have, in lower-case hex.
    pub fn computed_hash(&self) -> String {
        hex(&Sha256::digest(self.canonical()))
    }
}

fn put(out: &mut Vec<u8>, field: Option<&str>) {
    let length = field.map_or(ABSENT, |text| {
        u32::try_from(text.len()).unwrap_or(ABSENT - 1)
    });
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(field.unwrap_or_default().as_bytes());
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The newest event of a chain, as far as someone knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    /// Its sequence; 0 for an empty chain.
    pub sequence: u64,
    /// Its hash in lower-case hex; [`GENESIS_HASH`] for an empty chain.
    pub hash: String,
}

impl ChainHead {
    /// The head of a chain without events.
    pub fn empty() -> Self {
        Self {
            sequence: 0,
            hash: GENESIS_HASH.to_owned(),
        }
    }
}

/// Where a chain stops being one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainBreak {
    /// An event is missing, doubled or out of place.
    #[error("event {expected} should come next, but {found} does: events are missing or moved")]
    Sequence {
        /// The sequence that should have come.
        expected: u64,
        /// The sequence that came.
        found: u64,
    },
    /// The event does not follow the one before it.
    #[error("event {0} does not carry the hash of the event before it: one of the two was changed")]
    Link(u64),
    /// The event is not what was hashed.
    #[error("event {0} is not what was recorded: its hash does not fit its contents")]
    Content(u64),
    /// A checkpoint knows another event at this place, or events that are gone.
    #[error("a checkpoint over event {0} does not fit this chain: it was cut or rewritten")]
    Checkpoint(u64),
}

/// Verifies events one after another; keeps two fields, whatever the length of the chain.
#[derive(Debug, Clone)]
pub struct ChainVerifier {
    head: ChainHead,
}

impl ChainVerifier {
    /// Begins after `head`; [`ChainHead::empty`] for a whole chain.
    pub const fn after(head: ChainHead) -> Self {
        Self { head }
    }

    /// Takes the next event, or says how it breaks the chain.
    pub fn push(&mut self, record: &AuditRecord) -> Result<(), ChainBreak> {
        let expected = self.head.sequence.saturating_add(1);
        if record.sequence != expected {
            return Err(ChainBreak::Sequence {
                expected,
                found: record.sequence,
            });
        }
        if record.previous_hash != self.head.hash {
            return Err(ChainBreak::Link(record.sequence));
        }
        if record.hash != record.computed_hash() {
            return Err(ChainBreak::Content(record.sequence));
        }
        self.head.sequence = record.sequence;
        self.head.hash.clone_from(&record.hash);
        Ok(())
    }

    /// The newest event so far.
    pub const fn head(&self) -> &ChainHead {
        &self.head
    }
}

/// Verifies a whole chain from its first event; its head when nothing is wrong.
pub fn verify_chain<'a>(
    records: impl IntoIterator<Item = &'a AuditRecord>,
) -> Result<ChainHead, ChainBreak> {
    let mut verifier = ChainVerifier::after(ChainHead::empty());
    for record in records {
        verifier.push(record)?;
    }
    Ok(verifier.head)
}

#[cfg(test)]
mod tests;
