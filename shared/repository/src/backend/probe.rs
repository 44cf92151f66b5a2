//! Finds out what a backend really does, by doing it on a canary object that it then deletes.

use super::{
    Backend, BackendError, BackendErrorKind, BackendResult, DeleteOutcome, PutOutcome, read_all,
};
use crate::key::{Key, Prefix};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a backend was found to do, as recorded in the repository's descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a list of answers to yes-or-no questions, as it stands in the descriptor"
)]
pub struct Capabilities {
    /// Kind of the backend, such as `file`.
    pub backend: String,
    /// A put of a key that is there leaves the object as it was and says so.
    pub put_if_absent: bool,
    /// A range read gives exactly the range.
    pub range_reads: bool,
    /// A list right after a put shows the object.
    pub list_after_write: bool,
    /// A deleted object is gone.
    pub delete: bool,
    /// `head` tells a SHA-256.
    pub checksums: bool,
    /// Objects can be locked against deletion.
    pub object_lock: bool,
}

impl Capabilities {
    /// What is weaker than the format wants, each a sentence for people.
    pub fn weaknesses(&self) -> Vec<&'static str> {
        let mut out = Vec::new();
        if !self.put_if_absent {
            out.push("objects can be overwritten: the backend has no put-if-absent");
        }
        if !self.range_reads {
            out.push("range reads do not work: restoring one table reads whole packs");
        }
        if !self.list_after_write {
            out.push("a list does not show what was just written: orphans are found late");
        }
        if !self.delete {
            out.push("objects cannot be deleted: nothing can be pruned or swept");
        }
        out
    }
}

/// Tries a backend out on the canary `probe/<id>.canary`. Fails if it cannot even store and read
/// back; `id` must be new for each probe.
pub async fn probe(backend: &dyn Backend, id: Uuid) -> BackendResult<Capabilities> {
    let key = Key::probe(id);
    let bytes = Bytes::from(format!("provado canary {id}\n"));
    if backend.put(&key, bytes.clone()).await? != PutOutcome::Created {
        return Err(BackendError::new(
            BackendErrorKind::Other,
            format!("{key} is there although it was never written"),
        ));
    }
    let found = examine(backend, &key, &bytes).await;
    let deleted = backend.delete(&key).await;
    let mut found = found?;
    found.delete = matches!(deleted, Ok(DeleteOutcome::Deleted))
        && matches!(backend.head(&key).await, Ok(None));
    Ok(found)
}

async fn examine(backend: &dyn Backend, key: &Key, bytes: &Bytes) -> BackendResult<Capabilities> {
    let limit = bytes.len() as u64;
    let whole = read_all(backend.get(key, None).await?, limit).await?;
    if whole != *bytes {
        return Err(BackendError::new(
            BackendErrorKind::Differs,
            format!("{key} came back with other bytes than were written"),
        ));
    }
    let part = match backend.get(key, Some(3..9)).await {
        Ok(body) => read_all(body, limit).await.ok(),
        Err(_) => None,
    };
    let again = backend.put(key, Bytes::from_static(b"other")).await;
    let kept = read_all(backend.get(key, None).await?, limit).await?;
    let listed = backend.list(Prefix::Probes, None).await?;
    let head = backend.head(key).await?;
    let nature = backend.nature();
    Ok(Capabilities {
        backend: nature.kind.to_owned(),
        put_if_absent: matches!(again, Ok(PutOutcome::AlreadyThere)) && kept == *bytes,
        range_reads: part.as_deref() == bytes.get(3..9),
        list_after_write: listed.objects.iter().any(|(k, _)| k == key),
        delete: false,
        checksums: nature.checksums && head.is_some_and(|h| h.sha256.is_some()),
        object_lock: nature.object_lock,
    })
}
