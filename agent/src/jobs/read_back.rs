//! A layer over a backend that reads every new object back and compares its SHA-256 before the
//! object counts as stored (INV-EVIDENCE).
//!
//! It sits on the backend that a backup is written to, so packs are read back while the next
//! ones are filled, and the manifest, which comes last, is written only when all of them were
//! found equal.

use async_trait::async_trait;
use bytes::Bytes;
use provado_repository::Backend;
use provado_repository::backend::{
    BackendError, BackendErrorKind, BackendResult, Body, DeleteOutcome, Nature, ObjectInfo, Page,
    PutOutcome, Space, Upload,
};
use provado_repository::key::{Key, Prefix};
use sha2::{Digest as _, Sha256};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What was written and read back.
#[derive(Debug, Default)]
pub(super) struct ReadBackCounts {
    written_bytes: AtomicU64,
    read_bytes: AtomicU64,
    differed: AtomicBool,
}

impl ReadBackCounts {
    /// Bytes of objects that were written.
    pub(super) fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::SeqCst)
    }

    /// Bytes of those that were read back and found equal.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::SeqCst)
    }

    /// Whether everything that was written was read back and found equal.
    pub(super) fn all_equal(&self) -> bool {
        !self.differed.load(Ordering::SeqCst) && self.written_bytes() == self.read_bytes()
    }
}

/// The layer.
#[derive(Debug)]
pub(super) struct ReadBack {
    inner: Arc<dyn Backend>,
    counts: Arc<ReadBackCounts>,
}

impl ReadBack {
    /// Puts the layer over a backend.
    pub(super) fn over(inner: Arc<dyn Backend>) -> (Arc<dyn Backend>, Arc<ReadBackCounts>) {
        let counts = Arc::new(ReadBackCounts::default());
        let layer = Self {
            inner,
            counts: Arc::clone(&counts),
        };
        (Arc::new(layer), counts)
    }
}

struct CheckedUpload {
    key: Key,
    upload: Box<dyn Upload>,
    inner: Arc<dyn Backend>,
    counts: Arc<ReadBackCounts>,
}

fn differs(key: &Key, counts: &ReadBackCounts) -> BackendError {
    counts.differed.store(true, Ordering::SeqCst);
    BackendError::new(
        BackendErrorKind::Differs,
        format!("{key} was read back and is not what was written"),
    )
}

#[async_trait]
impl Upload for CheckedUpload {
    async fn part(&mut self, bytes: Bytes) -> BackendResult<()> {
        self.upload.part(bytes).await
    }

    async fn finish(self: Box<Self>, sha256: [u8; 32], length: u64) -> BackendResult<PutOutcome> {
        let Self {
            key,
            upload,
            inner,
            counts,
        } = *self;
        let outcome = upload.finish(sha256, length).await;
        match &outcome {
            Ok(PutOutcome::Created) => {}
            // The answer may have been lost after the object came to be; then it counts as well.
            Err(error) if error.kind == BackendErrorKind::Transient => {
                if inner.head(&key).await?.is_none() {
                    return outcome;
                }
            }
            Ok(PutOutcome::AlreadyThere) | Err(_) => return outcome,
        }
        counts.written_bytes.fetch_add(length, Ordering::SeqCst);
        let mut body = inner.get(&key, None).await?;
        let mut digest = Sha256::new();
        let mut read = 0_u64;
        loop {
            match body.chunk().await {
                Ok(Some(chunk)) => {
                    read += chunk.len() as u64;
                    digest.update(&chunk);
                }
                Ok(None) => break,
                // Shorter than it said: bytes are missing, the reading itself did not fail.
                Err(error) if error.kind == BackendErrorKind::Corrupt => {
                    return Err(differs(&key, &counts));
                }
                Err(error) => return Err(error),
            }
        }
        let found: [u8; 32] = digest.finalize().into();
        if found != sha256 || read != length {
            return Err(differs(&key, &counts));
        }
        counts.read_bytes.fetch_add(read, Ordering::SeqCst);
        outcome
    }

    async fn abort(self: Box<Self>) -> BackendResult<()> {
        self.upload.abort().await
    }
}

#[async_trait]
impl Backend for ReadBack {
    fn nature(&self) -> Nature {
        self.inner.nature()
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    async fn begin_put(&self, key: &Key) -> BackendResult<Box<dyn Upload>> {
        let upload = self.inner.begin_put(key).await?;
        Ok(Box::new(CheckedUpload {
            key: key.clone(),
            upload,
            inner: Arc::clone(&self.inner),
            counts: Arc::clone(&self.counts),
        }))
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> BackendResult<Box<dyn Body>> {
        self.inner.get(key, range).await
    }

    async fn head(&self, key: &Key) -> BackendResult<Option<ObjectInfo>> {
        self.inner.head(key).await
    }

    async fn list(&self, prefix: Prefix, after: Option<&Key>) -> BackendResult<Page> {
        self.inner.list(prefix, after).await
    }

    async fn delete(&self, key: &Key) -> BackendResult<DeleteOutcome> {
        self.inner.delete(key).await
    }

    async fn space(&self) -> BackendResult<Option<Space>> {
        self.inner.space().await
    }

    async fn sweep_uploads(&self) -> BackendResult<u64> {
        self.inner.sweep_uploads().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_model::Reason;
    use provado_model::time::SystemClock;
    use provado_repository::backend::fault::{Fault, FaultBackend};
    use provado_repository::backend::memory::MemoryBackend;

    #[tokio::test]
    async fn what_is_not_what_was_written_is_found_before_it_counts() {
        let good: Arc<dyn Backend> = Arc::new(MemoryBackend::new(SystemClock::shared()));
        let (layer, counts) = ReadBack::over(good);
        let bytes = Bytes::from_static(b"some bytes of a document");
        layer.put(&Key::descriptor(), bytes.clone()).await.unwrap();
        assert!(counts.all_equal());
        assert_eq!(counts.written_bytes(), 24);

        // Operations of a put with read-back: begin, part, finish, get, chunk.
        for (fault, reason) in [
            (Fault::Corrupt, Reason::ReadBackDiffers),
            (Fault::Cut, Reason::ReadBackDiffers),
            // Where the reading itself fails, nothing is known of the bytes.
            (Fault::Fail, Reason::RepositoryIo),
        ] {
            let inner: Arc<dyn Backend> = Arc::new(MemoryBackend::new(SystemClock::shared()));
            let faulty = Arc::new(FaultBackend::new(inner, fault, 5));
            let (layer, counts) = ReadBack::over(faulty);
            let put = layer.put(&Key::descriptor(), bytes.clone()).await;
            let told = provado_repository::Error::backend("storing")(put.unwrap_err());
            assert_eq!(told.reason(), reason, "{fault:?}");
            assert!(!counts.all_equal(), "{fault:?}");
        }
    }

    #[tokio::test]
    async fn an_object_whose_answer_was_lost_is_read_back_and_counted() {
        let inner: Arc<dyn Backend> = Arc::new(MemoryBackend::new(SystemClock::shared()));
        let (layer, counts) =
            ReadBack::over(Arc::new(FaultBackend::new(inner, Fault::FailAfter, 3)));
        let bytes = Bytes::from_static(b"some bytes of a document");
        let error = layer.put(&Key::descriptor(), bytes).await.unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Transient);
        assert_eq!((counts.written_bytes(), counts.read_bytes()), (24, 24));
    }
}
