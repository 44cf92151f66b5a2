//! The key that names segments. Without it an id tells nothing about the content it names; with
//! it ids of one instance can be compared with each other, never with those of another.

use crate::error::{Error, Result};
use crate::hash::{from_hex, to_hex};
use provado_model::id::InstanceId;
use provado_model::random::{Entropy, bytes};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Context of the derivation of an instance's key (BLAKE3 `derive_key`).
const INSTANCE_CONTEXT: &str = "provado repository format 1: segment ids of an instance";
/// Context of the check value that recognizes a segment key.
const CHECK_CONTEXT: &str = "provado repository format 1: check of the segment key";

/// The repository's segment key: 32 secret bytes, made when the repository is.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SegmentKey([u8; 32]);

impl fmt::Debug for SegmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SegmentKey")
    }
}

impl SegmentKey {
    /// A new random key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(bytes(entropy))
    }

    /// The key of these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Parses 64 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self> {
        from_hex(text.trim())
            .map(Self)
            .ok_or_else(|| Error::BadKey {
                what: "a segment key is 64 lower-case hexadecimal digits".to_owned(),
            })
    }

    /// The key as 64 hexadecimal digits; keep them as secret as the key.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(to_hex(&self.0))
    }

    /// A value that recognizes this key and tells nothing of it.
    pub fn check_value(&self) -> [u8; 32] {
        blake3::derive_key(CHECK_CONTEXT, &self.0)
    }

    /// The key for the segment ids of one instance: BLAKE3 `derive_key` over this key and the 16
    /// bytes of the instance's id.
    pub fn instance_key(&self, instance: InstanceId) -> InstanceKey {
        let mut material = Zeroizing::new([0_u8; 48]);
        let (key, id) = material.split_at_mut(32);
        key.copy_from_slice(&self.0);
        id.copy_from_slice(instance.uuid().as_bytes());
        InstanceKey(blake3::derive_key(INSTANCE_CONTEXT, &*material))
    }
}

/// The key for the segment ids of one instance.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct InstanceKey([u8; 32]);

impl fmt::Debug for InstanceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstanceKey")
    }
}

impl InstanceKey {
    /// The key of these bytes, as a manifest holds them.
    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The id of a segment: BLAKE3 of its plain bytes under this key.
    pub fn segment_id(&self, plain: &[u8]) -> SegmentId {
        SegmentId(*blake3::keyed_hash(&self.0, plain).as_bytes())
    }
}

/// Names a segment by its content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub [u8; 32]);

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}
