//! What every backend must do, held against each of them: one body, many implementations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use bytes::Bytes;
use provado_model::id::{BackupId, InstanceId, PackId};
use provado_model::random::{Entropy as _, OsEntropy, SeededEntropy};
use provado_model::time::SystemClock;
use provado_repository::backend::fault::{Fault, FaultBackend};
use provado_repository::backend::file::{CreateRoot, FileBackend, FileOptions};
use provado_repository::backend::memory::MemoryBackend;
use provado_repository::backend::{
    Backend, BackendErrorKind, DeleteOutcome, PutOutcome, probe, read_all,
};
use provado_repository::hash::sha256;
use provado_repository::key::{BackupObject, Prefix};
use provado_repository::limits::LIST_PAGE_MAX;
use provado_repository::{BackupRef, Key};
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

struct Subject {
    backend: Arc<dyn Backend>,
    _directory: Option<tempfile::TempDir>,
}

fn file_options() -> FileOptions {
    FileOptions {
        create: CreateRoot::IfMissing,
        free_bytes_min: 0,
        entropy: OsEntropy::shared(),
    }
}

fn file_backend(root: &Path) -> FileBackend {
    FileBackend::open(root, file_options()).unwrap()
}

/// Every implementation, each empty.
fn subjects() -> Vec<Subject> {
    let directory = tempfile::tempdir().unwrap();
    let file = file_backend(&directory.path().join("root"));
    let memory = MemoryBackend::new(SystemClock::shared());
    let quiet = Arc::new(MemoryBackend::new(SystemClock::shared()));
    vec![
        Subject {
            backend: Arc::new(file),
            _directory: Some(directory),
        },
        Subject {
            backend: Arc::new(memory),
            _directory: None,
        },
        // The fault layer without a fault must be no different.
        Subject {
            backend: Arc::new(FaultBackend::new(quiet, Fault::Fail, u64::MAX)),
            _directory: None,
        },
    ]
}

fn instance() -> InstanceId {
    InstanceId::from_uuid(Uuid::from_u128(1))
}

fn pack(number: u128) -> Key {
    Key::pack(instance(), PackId::from_uuid(Uuid::from_u128(number)))
}

async fn whole(backend: &dyn Backend, key: &Key) -> Vec<u8> {
    let body = backend.get(key, None).await.unwrap();
    read_all(body, 1 << 30).await.unwrap()
}

#[tokio::test]
async fn an_object_is_there_as_it_was_put_and_is_never_overwritten() {
    for subject in subjects() {
        let backend = &*subject.backend;
        let bytes = Bytes::from_static(b"content");
        assert!(backend.head(&pack(1)).await.unwrap().is_none());
        let first = backend.put(&pack(1), bytes.clone()).await.unwrap();
        assert_eq!(first, PutOutcome::Created);
        let again = backend
            .put(&pack(1), Bytes::from_static(b"other"))
            .await
            .unwrap();
        assert_eq!(again, PutOutcome::AlreadyThere);
        assert_eq!(whole(backend, &pack(1)).await, bytes);
        let info = backend.head(&pack(1)).await.unwrap().unwrap();
        assert_eq!(info.size_bytes, 7);
        assert!(info.stored_time.is_some());
        if backend.nature().checksums {
            assert_eq!(info.sha256, Some(sha256(&bytes)));
        }
        backend.put(&pack(2), Bytes::new()).await.unwrap();
        assert_eq!(whole(backend, &pack(2)).await, b"");
    }
}

#[tokio::test]
async fn parts_become_one_object_that_shows_only_when_finished() {
    let mut content = vec![0; 5 << 20];
    SeededEntropy::new(1).fill(&mut content);
    for subject in subjects() {
        let backend = &*subject.backend;
        let mut upload = backend.begin_put(&pack(1)).await.unwrap();
        for part in content.chunks(777_777) {
            upload.part(Bytes::copy_from_slice(part)).await.unwrap();
            assert!(backend.head(&pack(1)).await.unwrap().is_none());
            assert!(
                backend
                    .list(Prefix::All, None)
                    .await
                    .unwrap()
                    .objects
                    .is_empty()
            );
        }
        let length = content.len() as u64;
        let outcome = upload.finish(sha256(&content), length).await.unwrap();
        assert_eq!(outcome, PutOutcome::Created);
        assert!(whole(backend, &pack(1)).await == content);
    }
}

#[tokio::test]
async fn an_upload_that_is_dropped_aborted_or_short_leaves_nothing() {
    for subject in subjects() {
        let backend = &*subject.backend;
        let begin = async || {
            let mut upload = backend.begin_put(&pack(1)).await.unwrap();
            upload.part(Bytes::from_static(b"half")).await.unwrap();
            upload
        };
        drop(begin().await);
        begin().await.abort().await.unwrap();
        let error = begin()
            .await
            .finish(sha256(b"halfway"), 7)
            .await
            .unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Corrupt);
        assert!(backend.head(&pack(1)).await.unwrap().is_none());
        assert_eq!(
            backend.put(&pack(1), Bytes::new()).await.unwrap(),
            PutOutcome::Created
        );
        assert_eq!(backend.sweep_uploads().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn of_two_uploads_of_one_key_the_first_to_finish_stays() {
    for subject in subjects() {
        let backend = &*subject.backend;
        let mut slow = backend.begin_put(&pack(1)).await.unwrap();
        slow.part(Bytes::from_static(b"slow")).await.unwrap();
        backend
            .put(&pack(1), Bytes::from_static(b"fast"))
            .await
            .unwrap();
        let outcome = slow.finish(sha256(b"slow"), 4).await.unwrap();
        assert_eq!(outcome, PutOutcome::AlreadyThere);
        assert_eq!(whole(backend, &pack(1)).await, b"fast");
    }
}

#[tokio::test]
async fn a_range_is_exactly_the_range_or_an_error() {
    let mut content = vec![0; 3 << 20];
    SeededEntropy::new(2).fill(&mut content);
    let size = content.len() as u64;
    for subject in subjects() {
        let backend = &*subject.backend;
        backend
            .put(&pack(1), Bytes::from(content.clone()))
            .await
            .unwrap();
        for (start, end) in [(0, 0), (0, 1), (5, 2_000_000), (size - 1, size), (0, size)] {
            let body = backend.get(&pack(1), Some(start..end)).await.unwrap();
            assert_eq!(body.length(), end - start);
            let read = read_all(body, size).await.unwrap();
            let at = |offset| usize::try_from(offset).unwrap();
            assert!(read == content[at(start)..at(end)]);
        }
        for (start, end) in [(0, size + 1), (size, size + 1), (u64::MAX - 1, u64::MAX)] {
            let error = backend.get(&pack(1), Some(start..end)).await.err().unwrap();
            assert_eq!(error.kind, BackendErrorKind::Corrupt);
        }
        for range in [None, Some(0..0)] {
            let error = backend.get(&pack(2), range).await.err().unwrap();
            assert_eq!(error.kind, BackendErrorKind::NotFound);
        }
        let body = backend.get(&pack(1), None).await.unwrap();
        assert!(
            read_all(body, size - 1).await.is_err(),
            "a limit that is too small"
        );
    }
}

#[tokio::test]
async fn a_deleted_object_is_gone_and_its_name_is_free() {
    for subject in subjects() {
        let backend = &*subject.backend;
        let gone = backend.delete(&pack(1)).await.unwrap();
        assert_eq!(gone, DeleteOutcome::WasNotThere);
        backend
            .put(&pack(1), Bytes::from_static(b"x"))
            .await
            .unwrap();
        assert_eq!(
            backend.delete(&pack(1)).await.unwrap(),
            DeleteOutcome::Deleted
        );
        assert!(backend.head(&pack(1)).await.unwrap().is_none());
        assert_eq!(
            backend.put(&pack(1), Bytes::new()).await.unwrap(),
            PutOutcome::Created
        );
    }
}

#[tokio::test]
async fn a_list_gives_every_object_of_the_prefix_once_and_in_order() {
    let other = InstanceId::from_uuid(Uuid::from_u128(2));
    let count = LIST_PAGE_MAX as u128 + 30;
    for subject in subjects() {
        let backend = &*subject.backend;
        for number in (0..count).rev() {
            backend
                .put(&pack(number), Bytes::from_static(b"x"))
                .await
                .unwrap();
        }
        let elsewhere = Key::pack(other, PackId::from_uuid(Uuid::from_u128(1)));
        let backup = BackupRef {
            instance_id: instance(),
            backup_id: BackupId::from_uuid(Uuid::from_u128(1)),
        };
        let manifest = Key::backup(backup, BackupObject::Manifest);
        for key in [&elsewhere, &manifest, &Key::descriptor()] {
            backend.put(key, Bytes::new()).await.unwrap();
        }
        let mut found: Vec<Key> = Vec::new();
        loop {
            let page = backend
                .list(Prefix::Packs(instance()), found.last())
                .await
                .unwrap();
            assert!(page.objects.len() <= LIST_PAGE_MAX);
            assert!(page.strangers.is_empty());
            found.extend(page.objects.into_iter().map(|(key, _)| key));
            if !page.more {
                break;
            }
        }
        assert!(
            found
                .iter()
                .eq((0..count).map(pack).collect::<Vec<_>>().iter())
        );
        for (prefix, expected) in [
            (Prefix::Backups(instance()), vec![manifest]),
            (Prefix::Instance(other), vec![elsewhere]),
            (Prefix::Probes, vec![]),
        ] {
            let page = backend.list(prefix, None).await.unwrap();
            let keys: Vec<Key> = page.objects.into_iter().map(|(key, _)| key).collect();
            assert_eq!(keys, expected, "{prefix:?}");
        }
    }
}

#[tokio::test]
async fn a_probe_finds_no_weakness_and_leaves_nothing() {
    for subject in subjects() {
        let found = probe(&*subject.backend, Uuid::from_u128(9)).await.unwrap();
        assert_eq!(found.weaknesses(), Vec::<&str>::new(), "{found:?}");
        let page = subject.backend.list(Prefix::All, None).await.unwrap();
        assert!(page.objects.is_empty());
    }
}

#[tokio::test]
async fn a_probe_tells_of_a_backend_that_lies() {
    // Operations of a probe: put 1-3, get 4-5, range 6-7, second put 8-10, get, list, head, delete.
    for (at, fault) in [(3, Fault::Lie), (2, Fault::Corrupt), (2, Fault::Cut)] {
        let memory = Arc::new(MemoryBackend::new(SystemClock::shared()));
        let backend = FaultBackend::new(memory, fault, at);
        assert!(
            probe(&backend, Uuid::from_u128(9)).await.is_err(),
            "{at} {fault:?}"
        );
    }
    let mut weak = 0;
    for at in 6..20 {
        let memory = Arc::new(MemoryBackend::new(SystemClock::shared()));
        let backend = FaultBackend::new(memory, Fault::Lie, at);
        if let Ok(found) = probe(&backend, Uuid::from_u128(9)).await {
            weak += found.weaknesses().len();
        }
    }
    assert!(weak >= 4, "range, put, list and delete: {weak}");
}
