//! One stored segment: a stretch of an entry's content as one zstd frame in one age file.
//!
//! Stock `dd`, `age -d` and `zstd -d` undo it, one after the other; nothing here is of our own
//! making. Encoders and decoders keep their contexts and buffers from segment to segment.

use crate::error::{Error, Result};
use crate::keys::{Identity, InstanceKey, Recipient, SegmentId, codec, decrypt_error, encryptor};
use crate::limits::SEGMENT_BYTES_MAX;
use age::Decryptor;
use std::io::{Read as _, Write as _};
use zeroize::Zeroize as _;

/// Makes stored segments of plain bytes.
pub(crate) struct Encoder {
    compressor: zstd::bulk::Compressor<'static>,
    recipients: Vec<Recipient>,
    frame: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new(recipients: Vec<Recipient>, level: i32) -> Result<Self> {
        let compressor =
            zstd::bulk::Compressor::new(level).map_err(|e| codec("preparing compression", e))?;
        Ok(Self {
            compressor,
            recipients,
            frame: Vec::new(),
        })
    }

    /// Compresses a segment; [`Encoder::encrypt`] then gives its stored bytes.
    pub(crate) fn compress(&mut self, plain: &[u8]) -> Result<()> {
        self.frame.clear();
        self.frame
            .reserve(zstd::zstd_safe::compress_bound(plain.len()));
        self.compressor
            .compress_to_buffer(plain, &mut self.frame)
            .map_err(|e| codec("compressing a segment", e))?;
        Ok(())
    }

    /// Encrypts what was compressed last.
    pub(crate) fn encrypt(&mut self) -> Result<Vec<u8>> {
        let failed = |e| codec("encrypting a segment", e);
        // An age file is longer than its content by its header and 16 bytes every 64 KiB.
        let room = self.frame.len() + 1024 + self.frame.len() / 4096;
        let mut writer = encryptor(&self.recipients)?
            .wrap_output(Vec::with_capacity(room))
            .map_err(failed)?;
        writer.write_all(&self.frame).map_err(failed)?;
        writer.finish().map_err(failed)
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        self.frame.zeroize();
    }
}

/// Makes plain bytes of stored segments, and checks that they are the right ones.
pub(crate) struct Decoder {
    decompressor: zstd::bulk::Decompressor<'static>,
    identity: Identity,
    key: Option<InstanceKey>,
    frame: Vec<u8>,
}

impl Decoder {
    /// A decoder; with a `key` it also checks the segments' ids.
    pub(crate) fn new(identity: Identity, key: Option<InstanceKey>) -> Result<Self> {
        let decompressor =
            zstd::bulk::Decompressor::new().map_err(|e| codec("preparing decompression", e))?;
        Ok(Self {
            decompressor,
            identity,
            key,
            frame: Vec::new(),
        })
    }

    /// The plain bytes of a stored segment. `what` names it in errors, for which alone it is
    /// called. Fails unless exactly `plain_bytes` come out and their id is `id`.
    pub(crate) fn decode(
        &mut self,
        stored: &[u8],
        plain_bytes: u32,
        id: SegmentId,
        what: impl Fn() -> String,
    ) -> Result<Vec<u8>> {
        let expected = usize::try_from(plain_bytes).unwrap_or(usize::MAX);
        if expected > SEGMENT_BYTES_MAX {
            return Err(Error::damaged(
                what(),
                "it claims to be larger than a segment may be",
            ));
        }
        let mut reader = Decryptor::new_buffered(stored)
            .and_then(|d| d.decrypt(std::iter::once(self.identity.as_age())))
            .map_err(|e| decrypt_error(e, &what()))?;
        self.frame.clear();
        reader
            .read_to_end(&mut self.frame)
            .map_err(|_| Error::damaged(what(), "it does not decrypt to its end"))?;
        let mut plain = Vec::with_capacity(expected);
        self.decompressor
            .decompress_to_buffer(&self.frame, &mut plain)
            .map_err(|_| Error::damaged(what(), "it does not decompress"))?;
        if plain.len() != expected {
            let found = plain.len();
            let text = format!("it holds {found} bytes where {expected} were stored");
            return Err(Error::damaged(what(), text));
        }
        match &self.key {
            Some(key) if key.segment_id(&plain) != id => Err(Error::damaged(
                what(),
                "its content is not what its id names",
            )),
            Some(_) | None => Ok(plain),
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.frame.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{IdentityFile, SegmentKey};
    use provado_model::id::InstanceId;

    #[test]
    fn only_the_very_segment_that_was_stored_comes_back() {
        let file = IdentityFile::generate(jiff::Timestamp::UNIX_EPOCH);
        let identity = Identity::from_file_text(&file.text).unwrap();
        let instance = InstanceId::from_uuid(uuid::Uuid::from_u128(1));
        let key = SegmentKey::from_bytes([1; 32]).instance_key(instance);
        let mut encoder = Encoder::new(vec![file.recipient], 3).unwrap();
        let mut store = |plain: &[u8]| {
            encoder.compress(plain).unwrap();
            encoder.encrypt().unwrap()
        };
        let (one, two) = (store(b"one row\n"), store(b"two row\n"));
        let (id, other) = (key.segment_id(b"one row\n"), key.segment_id(b"two row\n"));
        let mut decoder = Decoder::new(identity, Some(key)).unwrap();
        let mut decode =
            |stored: &[u8], length, id| decoder.decode(stored, length, id, || "it".to_owned());
        assert_eq!(decode(&one, 8, id).unwrap(), b"one row\n");
        assert_eq!(decode(&two, 8, other).unwrap(), b"two row\n");
        // Whole, well encrypted, of the right length, and in the wrong place.
        let error = decode(&two, 8, id).unwrap_err();
        assert_eq!(
            error.to_string(),
            "it is damaged: its content is not what its id names"
        );
        assert!(decode(&one, 7, id).is_err());
        assert!(decode(&one, 9, id).is_err());
        assert!(decode(&one, u32::MAX, id).is_err());
        for at in 0..one.len() {
            let mut bad = one.clone();
            bad[at] ^= 0x01;
            assert!(decode(&bad, 8, id).is_err(), "{at}");
            assert!(decode(&one[..at], 8, id).is_err(), "{at}");
        }
    }
}
