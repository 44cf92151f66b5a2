//! A layer that makes any backend fail, cut, corrupt or lie at a chosen operation: for tests.

use super::{
    Backend, BackendError, BackendErrorKind, BackendResult, Body, DeleteOutcome, Nature,
    ObjectInfo, Page, PutOutcome, Space, Upload,
};
use crate::key::{Key, Prefix};
use async_trait::async_trait;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails and has no effect.
    Fail,
    /// The operation takes effect and its answer is lost.
    FailAfter,
    /// Half of the bytes are missing, and the answer is good.
    Cut,
    /// One byte is another, and the answer is good.
    Corrupt,
    /// Nothing is done, and the answer is good.
    Lie,
    /// There is no room.
    Full,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 6] = [
        Self::Fail,
        Self::FailAfter,
        Self::Cut,
        Self::Corrupt,
        Self::Lie,
        Self::Full,
    ];
}

/// A backend that misbehaves at one operation and is good otherwise.
#[derive(Debug, Clone)]
pub struct FaultBackend {
    inner: Arc<dyn Backend>,
    plan: Arc<Plan>,
}

#[derive(Debug)]
struct Plan {
    fault: Fault,
    at: u64,
    count: AtomicU64,
}

impl Plan {
    /// Counts an operation and tells whether it is the one that goes wrong.
    fn strikes(&self) -> Option<Fault> {
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        (number == self.at).then_some(self.fault)
    }

    /// As [`Plan::strikes`]; faults that have no meaning for bytes become errors at once.
    fn strikes_plainly(&self) -> BackendResult<Option<Fault>> {
        match self.strikes() {
            Some(fault @ (Fault::Fail | Fault::Full)) => Err(error(fault)),
            other => Ok(other),
        }
    }
}

impl FaultBackend {
    /// Wraps `inner`; the operation numbered `at` (from 1) goes wrong by `fault`. Operations are
    /// the calls of backend, uploads and bodies, in the order they are made.
    pub fn new(inner: Arc<dyn Backend>, fault: Fault, at: u64) -> Self {
        Self {
            inner,
            plan: Arc::new(Plan {
                fault,
                at,
                count: AtomicU64::new(0),
            }),
        }
    }

    /// Operations so far.
    pub fn operation_count(&self) -> u64 {
        self.plan.count.load(Ordering::SeqCst)
    }

    /// Whether the fault has come.
    pub fn has_struck(&self) -> bool {
        self.operation_count() >= self.plan.at
    }
}

fn error(fault: Fault) -> BackendError {
    let kind = match fault {
        Fault::Full => BackendErrorKind::Full,
        Fault::Fail | Fault::FailAfter | Fault::Cut | Fault::Corrupt | Fault::Lie => {
            BackendErrorKind::Transient
        }
    };
    BackendError::new(kind, format!("an injected fault: {fault:?}"))
}

/// The answer of an operation that took effect, which [`Fault::FailAfter`] loses.
fn answer<T>(fault: Option<Fault>, value: T) -> BackendResult<T> {
    match fault {
        Some(Fault::FailAfter) => Err(error(Fault::FailAfter)),
        _ => Ok(value),
    }
}

fn spoil(fault: Option<Fault>, bytes: Bytes) -> Bytes {
    match fault {
        Some(Fault::Cut) => bytes.slice(..bytes.len() / 2),
        Some(Fault::Lie) => Bytes::new(),
        Some(Fault::Corrupt) => {
            let mut bytes = bytes.to_vec();
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 0x10;
            }
            Bytes::from(bytes)
        }
        Some(Fault::Fail | Fault::FailAfter | Fault::Full) | None => bytes,
    }
}

#[async_trait]
impl Backend for FaultBackend {
    fn nature(&self) -> Nature {
        self.inner.nature()
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    async fn begin_put(&self, key: &Key) -> BackendResult<Box<dyn Upload>> {
        let fault = self.plan.strikes_plainly()?;
        let inner = self.inner.begin_put(key).await?;
        answer(
            fault,
            Box::new(FaultUpload {
                inner,
                plan: Arc::clone(&self.plan),
            }),
        )
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> BackendResult<Box<dyn Body>> {
        let fault = self.plan.strikes_plainly()?;
        let inner = self.inner.get(key, range).await?;
        answer(
            fault,
            Box::new(FaultBody {
                inner,
                plan: Arc::clone(&self.plan),
            }),
        )
    }

    async fn head(&self, key: &Key) -> BackendResult<Option<ObjectInfo>> {
        let fault = self.plan.strikes_plainly()?;
        let mut info = self.inner.head(key).await?;
        match (&mut info, fault) {
            (Some(info), Some(Fault::Cut | Fault::Corrupt)) => info.size_bytes /= 2,
            (_, Some(Fault::Lie)) => info = None,
            _ => {}
        }
        answer(fault, info)
    }

    async fn list(&self, prefix: Prefix, after: Option<&Key>) -> BackendResult<Page> {
        let fault = self.plan.strikes_plainly()?;
        let mut page = self.inner.list(prefix, after).await?;
        match fault {
            Some(Fault::Lie) => page = Page::default(),
            Some(Fault::Cut) => page.objects.truncate(page.objects.len() / 2),
            _ => {}
        }
        answer(fault, page)
    }

    async fn delete(&self, key: &Key) -> BackendResult<DeleteOutcome> {
        match self.plan.strikes_plainly()? {
            Some(Fault::Lie) => Ok(DeleteOutcome::Deleted),
            fault => answer(fault, self.inner.delete(key).await?),
        }
    }

    async fn space(&self) -> BackendResult<Option<Space>> {
        self.inner.space().await
    }

    async fn sweep_uploads(&self) -> BackendResult<u64> {
        self.inner.sweep_uploads().await
    }
}

struct FaultUpload {
    inner: Box<dyn Upload>,
    plan: Arc<Plan>,
}

#[async_trait]
impl Upload for FaultUpload {
    async fn part(&mut self, bytes: Bytes) -> BackendResult<()> {
        let fault = self.plan.strikes_plainly()?;
        self.inner.part(spoil(fault, bytes)).await?;
        answer(fault, ())
    }

    async fn finish(self: Box<Self>, sha256: [u8; 32], length: u64) -> BackendResult<PutOutcome> {
        match self.plan.strikes_plainly()? {
            Some(Fault::Lie) => {
                self.inner.abort().await?;
                Ok(PutOutcome::Created)
            }
            fault => answer(fault, self.inner.finish(sha256, length).await?),
        }
    }

    async fn abort(self: Box<Self>) -> BackendResult<()> {
        self.inner.abort().await
    }
}

struct FaultBody {
    inner: Box<dyn Body>,
    plan: Arc<Plan>,
}

#[async_trait]
impl Body for FaultBody {
    async fn chunk(&mut self) -> BackendResult<Option<Bytes>> {
        let fault = self.plan.strikes_plainly()?;
        let Some(bytes) = self.inner.chunk().await? else {
            return Ok(None);
        };
        let bytes = spoil(fault, bytes);
        answer(fault, (!bytes.is_empty()).then_some(bytes))
    }

    fn length(&self) -> u64 {
        self.inner.length()
    }
}
