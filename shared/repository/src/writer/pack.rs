//! Packs on their way to the backend: one being filled, a few being made durable.

use super::assemble::Pack;
use crate::backend::{Backend, BackendErrorKind, PutOutcome, Upload};
use crate::cancel::{Cancel, Canceled};
use crate::error::{Error, Result};
use crate::hash::Sha256;
use crate::key::Key;
use crate::limits::{CHUNK_BYTES, PACKS_ENDING_MAX};
use crate::repository::{Repository, read_descriptor};
use crate::spool::Spool;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use provado_model::id::InstanceId;
use std::future::Future;
use std::io::Read as _;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// Packs looked at side by side.
pub(super) const HEADS_AT_ONCE: usize = 8;

/// Stores objects from a thread that is not of the runtime.
#[derive(Debug)]
pub(super) struct Storer {
    backend: Arc<dyn Backend>,
    runtime: Handle,
    cancel: Cancel,
    stop: Cancel,
    ending: JoinSet<Result<()>>,
}

/// An object that is being written.
pub(super) struct Growing {
    key: Key,
    upload: Box<dyn Upload>,
    digest: Sha256,
    length: u64,
    gathered: Vec<u8>,
}

impl Growing {
    /// Bytes so far.
    pub(super) fn length(&self) -> u64 {
        self.length
    }
}

impl Storer {
    pub(super) fn new(
        backend: Arc<dyn Backend>,
        runtime: Handle,
        cancel: Cancel,
        stop: Cancel,
    ) -> Self {
        Self {
            backend,
            runtime,
            cancel,
            stop,
            ending: JoinSet::new(),
        }
    }

    /// Starts an object.
    pub(super) fn begin(&self, key: Key) -> Result<Growing> {
        let begun = self.wait(self.backend.begin_put(&key))?;
        let upload = begun.map_err(Error::backend(format!("starting {key}")))?;
        Ok(Growing {
            key,
            upload,
            digest: Sha256::default(),
            length: 0,
            gathered: Vec::with_capacity(CHUNK_BYTES),
        })
    }

    /// Adds bytes to an object.
    pub(super) fn add(&self, object: &mut Growing, bytes: &[u8]) -> Result<()> {
        object.digest.update(bytes);
        object.length += bytes.len() as u64;
        object.gathered.extend_from_slice(bytes);
        if object.gathered.len() >= CHUNK_BYTES {
            self.flush(object)?;
        }
        Ok(())
    }

    /// Ends an object in the background and returns its length and SHA-256. At most
    /// [`PACKS_ENDING_MAX`] are ending at a time.
    pub(super) fn end(&mut self, mut object: Growing) -> Result<(u64, [u8; 32])> {
        self.flush(&mut object)?;
        let sha256 = object.digest.finish();
        let length = object.length;
        let finishing = finish(
            Arc::clone(&self.backend),
            object.key,
            object.upload,
            sha256,
            length,
        );
        self.ending.spawn_on(finishing, &self.runtime);
        while self.ending.len() > PACKS_ENDING_MAX {
            self.join_one()?;
        }
        Ok((length, sha256))
    }

    /// Waits until everything that is ending is durable.
    pub(super) fn settle(&mut self) -> Result<()> {
        while !self.ending.is_empty() {
            self.join_one()?;
        }
        Ok(())
    }

    /// Stores a whole spool as one object and waits until it is durable.
    pub(super) fn put_spool(&mut self, key: Key, spool: &Spool) -> Result<()> {
        let mut object = self.begin(key)?;
        let mut reader = spool.reader();
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let count = reader.read(&mut buffer).map_err(|source| Error::Spool {
                doing: "reading",
                source,
            })?;
            if count == 0 {
                break;
            }
            self.add(&mut object, buffer.get(..count).unwrap_or_default())?;
        }
        self.end(object)?;
        self.settle()
    }

    /// Stores a small object and waits until it is durable.
    pub(super) fn put_bytes(&mut self, key: Key, bytes: &[u8]) -> Result<()> {
        let mut object = self.begin(key)?;
        self.add(&mut object, bytes)?;
        self.end(object)?;
        self.settle()
    }

    /// Makes sure that the repository still is the one that was opened and that it has every pack,
    /// those of the parent too, which were looked at long ago. A place may change under a path.
    pub(super) fn are_there(
        &self,
        repository: &Repository,
        instance: InstanceId,
        packs: &[Pack],
    ) -> Result<()> {
        self.wait(async {
            is_the_same(repository).await?;
            let looks = packs.iter().map(|pack| {
                let key = Key::pack(instance, pack.id);
                async move {
                    match head(&*self.backend, &key).await? {
                        Some((size, _)) if size == pack.bytes => Ok(()),
                        Some(_) => Err(Error::damaged(key, "its size is not what was stored")),
                        None => Err(Error::Missing {
                            object: key.to_string(),
                        }),
                    }
                }
            });
            stream::iter(looks)
                .buffer_unordered(HEADS_AT_ONCE)
                .try_collect()
                .await
        })?
    }

    fn flush(&self, object: &mut Growing) -> Result<()> {
        if object.gathered.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::replace(&mut object.gathered, Vec::with_capacity(CHUNK_BYTES));
        self.wait(object.upload.part(Bytes::from(bytes)))?
            .map_err(Error::backend(format!("writing {}", object.key)))
    }

    fn join_one(&mut self) -> Result<()> {
        let (cancel, stop) = (self.cancel.clone(), self.stop.clone());
        let joined = self.runtime.block_on(async {
            tokio::select! {
                joined = self.ending.join_next() => Ok(joined),
                () = cancel.canceled() => Err(Canceled),
                () = stop.canceled() => Err(Canceled),
            }
        })?;
        match joined {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(Error::Misuse("a task that ended a pack panicked")),
            None => Ok(()),
        }
    }

    /// Waits for a call of the backend, unless the work is canceled before.
    fn wait<T>(&self, call: impl Future<Output = T>) -> Result<T> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.cancel.canceled() => Err(Canceled.into()),
                () = self.stop.canceled() => Err(Canceled.into()),
                value = call => Ok(value),
            }
        })
    }
}

/// Finishes an upload and looks at what the backend then has: sizes must be equal at producer and
/// stored object (INV-EVIDENCE), and so must the SHA-256 where the backend keeps one.
async fn finish(
    backend: Arc<dyn Backend>,
    key: Key,
    upload: Box<dyn Upload>,
    sha256: [u8; 32],
    length: u64,
) -> Result<()> {
    let outcome = upload.finish(sha256, length).await;
    let seen = match outcome {
        Ok(PutOutcome::Created) => head(&*backend, &key).await?,
        Ok(PutOutcome::AlreadyThere) => {
            let what = "an object of this new name is there already; it was left as it is";
            return Err(Error::damaged(key, what));
        }
        // The answer may have been lost after the upload took effect (F19): what is there decides.
        Err(error) if error.kind == BackendErrorKind::Transient => {
            let seen = head(&*backend, &key).await?;
            if seen.is_none() {
                return Err(Error::backend(format!("finishing {key}"))(error));
            }
            read_back(&*backend, &key, sha256).await?;
            seen
        }
        Err(error) => return Err(Error::backend(format!("finishing {key}"))(error)),
    };
    let Some((size, digest)) = seen else {
        return Err(Error::Missing {
            object: key.to_string(),
        });
    };
    if size != length || digest.is_some_and(|digest| digest != sha256) {
        return Err(Error::damaged(key, "what is stored is not what was sent"));
    }
    Ok(())
}

/// Reads an object whole and holds it against its SHA-256.
async fn read_back(backend: &dyn Backend, key: &Key, sha256: [u8; 32]) -> Result<()> {
    let doing = || Error::backend(format!("reading {key} back"));
    let mut body = backend.get(key, None).await.map_err(doing())?;
    let mut digest = Sha256::default();
    while let Some(chunk) = body.chunk().await.map_err(doing())? {
        digest.update(&chunk);
    }
    if digest.finish() != sha256 {
        return Err(Error::damaged(
            key.clone(),
            "what is stored is not what was sent",
        ));
    }
    Ok(())
}

/// Fails if the place no longer holds the repository that was opened.
async fn is_the_same(repository: &Repository) -> Result<()> {
    let place = repository.backend.place();
    match read_descriptor(&*repository.backend).await? {
        Some(found) if found.repository_id == repository.id() => Ok(()),
        Some(found) => Err(Error::OtherRepository {
            place,
            expected: repository.id(),
            found: found.repository_id,
        }),
        None => Err(Error::NoRepository { place }),
    }
}

async fn head(backend: &dyn Backend, key: &Key) -> Result<Option<(u64, Option<[u8; 32]>)>> {
    let info = backend
        .head(key)
        .await
        .map_err(Error::backend(format!("looking at {key}")))?;
    Ok(info.map(|info| (info.size_bytes, info.sha256)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::BackendError;
    use crate::backend::memory::MemoryBackend;
    use crate::hash::sha256;
    use provado_model::time::ManualClock;

    #[tokio::test]
    async fn an_object_whose_answer_was_lost_is_read_back_before_it_counts() {
        let memory = MemoryBackend::new(Arc::new(ManualClock::at_second(1)));
        let key = Key::descriptor();
        assert!(read_back(&memory, &key, sha256(b"abc")).await.is_err());
        memory.tamper(&key, Some(Bytes::from_static(b"abc")));
        assert!(read_back(&memory, &key, sha256(b"abc")).await.is_ok());
        assert!(read_back(&memory, &key, sha256(b"xyz")).await.is_err());
    }

    #[test]
    fn a_sync_that_failed_is_never_worth_another_look() {
        use std::io;
        for kind in [
            io::ErrorKind::TimedOut,
            io::ErrorKind::Interrupted,
            io::ErrorKind::ResourceBusy,
        ] {
            let error = BackendError::not_durable("x", io::Error::from(kind));
            assert_eq!(error.kind, BackendErrorKind::Other, "{kind}");
        }
    }
}
