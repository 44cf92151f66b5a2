//! Objects in memory: for tests, and nothing else.

use super::{
    Backend, BackendError, BackendErrorKind, BackendResult, Body, DeleteOutcome, Nature,
    ObjectInfo, Page, PutOutcome, Space, Upload, not_found, range_outside, short_body,
};
use crate::hash::sha256;
use crate::key::{Key, Prefix};
use crate::limits::{CHUNK_BYTES, LIST_PAGE_MAX};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use provado_model::time::Clock;
use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Objects = BTreeMap<Key, (Bytes, Timestamp)>;

/// A repository that is gone with the process.
#[derive(Debug, Clone)]
pub struct MemoryBackend {
    objects: Arc<Mutex<Objects>>,
    clock: Arc<dyn Clock>,
}

impl MemoryBackend {
    /// An empty place; `clock` gives the time objects are stored at.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            objects: Arc::default(),
            clock,
        }
    }

    /// The bytes of an object, for tests that damage them.
    pub fn bytes(&self, key: &Key) -> Option<Bytes> {
        self.lock().get(key).map(|(bytes, _)| bytes.clone())
    }

    /// Puts other bytes in the place of an object's, as damage would. `None` removes the object.
    pub fn tamper(&self, key: &Key, bytes: Option<Bytes>) {
        let now = self.clock.now();
        match bytes {
            Some(bytes) => {
                self.lock().insert(key.clone(), (bytes, now));
            }
            None => {
                self.lock().remove(key);
            }
        }
    }

    /// Every key there is, in order.
    pub fn keys(&self) -> Vec<Key> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    fn nature(&self) -> Nature {
        Nature {
            kind: "memory",
            checksums: true,
            object_lock: false,
        }
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }

    async fn begin_put(&self, key: &Key) -> BackendResult<Box<dyn Upload>> {
        Ok(Box::new(MemoryUpload {
            backend: self.clone(),
            key: key.clone(),
            bytes: Vec::new(),
        }))
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> BackendResult<Box<dyn Body>> {
        let bytes = self.bytes(key).ok_or_else(|| not_found(key))?;
        let size = bytes.len() as u64;
        let Some(range) = range else {
            return Ok(Box::new(MemoryBody {
                bytes,
                length: size,
            }));
        };
        if range.start > range.end || range.end > size {
            return Err(range_outside(key, &range, size));
        }
        let start = usize::try_from(range.start).unwrap_or(usize::MAX);
        let end = usize::try_from(range.end).unwrap_or(usize::MAX);
        Ok(Box::new(MemoryBody {
            bytes: bytes.slice(start..end),
            length: range.end - range.start,
        }))
    }

    async fn head(&self, key: &Key) -> BackendResult<Option<ObjectInfo>> {
        Ok(self.lock().get(key).map(info))
    }

    async fn list(&self, prefix: Prefix, after: Option<&Key>) -> BackendResult<Page> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let text = prefix.text();
        let mut page = Page::default();
        for (key, object) in self.lock().range((start, Bound::Unbounded)) {
            if !key.as_str().starts_with(&text) {
                continue;
            }
            if page.objects.len() == LIST_PAGE_MAX {
                page.more = true;
                break;
            }
            page.objects.push((key.clone(), info(object)));
        }
        Ok(page)
    }

    async fn delete(&self, key: &Key) -> BackendResult<DeleteOutcome> {
        Ok(match self.lock().remove(key) {
            Some(_) => DeleteOutcome::Deleted,
            None => DeleteOutcome::WasNotThere,
        })
    }

    async fn space(&self) -> BackendResult<Option<Space>> {
        Ok(None)
    }

    async fn sweep_uploads(&self) -> BackendResult<u64> {
        Ok(0)
    }
}

fn info((bytes, stored): &(Bytes, Timestamp)) -> ObjectInfo {
    ObjectInfo {
        size_bytes: bytes.len() as u64,
        sha256: Some(sha256(bytes)),
        stored_time: Some(*stored),
    }
}

struct MemoryBody {
    bytes: Bytes,
    length: u64,
}

#[async_trait]
impl Body for MemoryBody {
    async fn chunk(&mut self) -> BackendResult<Option<Bytes>> {
        let next = self.bytes.len().min(CHUNK_BYTES);
        Ok((next > 0).then(|| self.bytes.split_to(next)))
    }

    fn length(&self) -> u64 {
        self.length
    }
}

struct MemoryUpload {
    backend: MemoryBackend,
    key: Key,
    bytes: Vec<u8>,
}

#[async_trait]
impl Upload for MemoryUpload {
    async fn part(&mut self, bytes: Bytes) -> BackendResult<()> {
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>, digest: [u8; 32], length: u64) -> BackendResult<PutOutcome> {
        if self.bytes.len() as u64 != length {
            return Err(short_body(length, self.bytes.len() as u64));
        }
        if sha256(&self.bytes) != digest {
            return Err(BackendError::new(
                BackendErrorKind::Corrupt,
                format!("{} arrived with another SHA-256", self.key),
            ));
        }
        let now = self.backend.clock.now();
        let mut objects = self.backend.lock();
        if objects.contains_key(&self.key) {
            return Ok(PutOutcome::AlreadyThere);
        }
        objects.insert(self.key.clone(), (Bytes::from(self.bytes), now));
        Ok(PutOutcome::Created)
    }

    async fn abort(self: Box<Self>) -> BackendResult<()> {
        Ok(())
    }
}
