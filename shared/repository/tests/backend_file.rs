//! What a repository in a file system must do beyond the contract of all backends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use bytes::Bytes;
use provado_model::id::{InstanceId, PackId};
use provado_model::random::OsEntropy;
use provado_repository::Key;
use provado_repository::backend::file::{CreateRoot, FileBackend, FileOptions};
use provado_repository::backend::{Backend as _, BackendErrorKind, PutOutcome};
use provado_repository::hash::sha256;
use provado_repository::key::Prefix;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use uuid::Uuid;

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

fn pack(number: u128) -> Key {
    let instance = InstanceId::from_uuid(Uuid::from_u128(1));
    Key::pack(instance, PackId::from_uuid(Uuid::from_u128(number)))
}

#[tokio::test]
async fn files_are_for_us_alone() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    let backend = file_backend(&root);
    backend
        .put(&pack(1), Bytes::from_static(b"x"))
        .await
        .unwrap();
    let mut stack = vec![root.clone()];
    let mut files = 0;
    while let Some(path) = stack.pop() {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            stack.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
            files += 1;
        }
    }
    assert_eq!(files, 1);
}

#[test]
fn a_root_that_others_may_enter_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    fs::create_dir(&root).unwrap();
    for mode in [0o750, 0o705, 0o720, 0o777, 0o710, 0o701] {
        fs::set_permissions(&root, fs::Permissions::from_mode(mode)).unwrap();
        let error = FileBackend::open(&root, file_options()).unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Permissions);
        assert!(error.to_string().contains("chmod 0700"), "{error}");
    }
    fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(FileBackend::open(&root, file_options()).is_ok());
    assert!(FileBackend::open(Path::new("relative"), file_options()).is_err());
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    assert!(FileBackend::open(&file, file_options()).is_err());
    let never = FileOptions {
        create: CreateRoot::Never,
        ..file_options()
    };
    let error = FileBackend::open(&directory.path().join("absent"), never).unwrap_err();
    assert_eq!(error.kind, BackendErrorKind::NotFound);
}

#[tokio::test]
async fn uploads_of_dead_writers_are_swept_and_those_of_living_ones_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    let backend = file_backend(&root);
    let mut living = backend.begin_put(&pack(1)).await.unwrap();
    living.part(Bytes::from_static(b"living")).await.unwrap();
    // What a killed writer leaves: a file whose lock went with the process.
    fs::write(root.join("tmp/00ff.part"), b"dead").unwrap();
    fs::write(root.join("tmp/README"), b"not ours").unwrap();
    assert_eq!(backend.sweep_uploads().await.unwrap(), 1);
    assert!(!root.join("tmp/00ff.part").exists());
    assert!(root.join("tmp/README").exists());
    let outcome = living.finish(sha256(b"living"), 6).await.unwrap();
    assert_eq!(outcome, PutOutcome::Created);
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 1);
}

#[tokio::test]
async fn strange_files_are_told_and_links_are_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    let backend = file_backend(&root);
    backend
        .put(&pack(1), Bytes::from_static(b"x"))
        .await
        .unwrap();
    fs::write(root.join("notes.txt"), b"").unwrap();
    let secret = directory.path().join("secret");
    fs::write(&secret, b"secret").unwrap();
    std::os::unix::fs::symlink(&secret, root.join(pack(2).as_str())).unwrap();
    let page = backend.list(Prefix::All, None).await.unwrap();
    assert_eq!(page.objects.len(), 1);
    let mut strangers = page.strangers;
    strangers.sort();
    assert_eq!(strangers, [pack(2).as_str(), "notes.txt"]);
    assert!(backend.get(&pack(2), None).await.is_err());
    assert!(backend.head(&pack(2)).await.is_err());
}

#[tokio::test]
async fn a_full_file_system_is_told_as_such_before_anything_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let options = FileOptions {
        free_bytes_min: u64::MAX,
        ..file_options()
    };
    let backend = FileBackend::open(&directory.path().join("root"), options).unwrap();
    let error = backend.put(&pack(1), Bytes::new()).await.unwrap_err();
    assert_eq!(error.kind, BackendErrorKind::Full);
    let space = backend.space().await.unwrap().unwrap();
    assert!(space.free_bytes <= space.total_bytes && space.total_bytes > 0);
}

/// The path of the root comes to lead to another directory, as when its file system is unmounted.
fn swap(root: &Path) {
    fs::rename(root, root.with_extension("away")).unwrap();
    fs::create_dir(root).unwrap();
    fs::set_permissions(root, fs::Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn nothing_is_stored_looked_at_or_missed_where_the_root_is_another_directory() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    let backend = file_backend(&root);
    let stored = Bytes::from_static(b"x");
    backend.put(&pack(1), stored.clone()).await.unwrap();
    let mut upload = backend.begin_put(&pack(2)).await.unwrap();
    upload.part(stored.clone()).await.unwrap();
    swap(&root);
    let error = upload.finish(sha256(b"x"), 1).await.unwrap_err();
    assert!(error.to_string().contains("still mounted"), "{error}");
    let errors = [
        backend.put(&pack(3), stored).await.unwrap_err(),
        backend.head(&pack(1)).await.unwrap_err(),
        backend.get(&pack(1), None).await.err().unwrap(),
        backend.list(Prefix::All, None).await.unwrap_err(),
        backend.delete(&pack(1)).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind, BackendErrorKind::Other, "{error}");
    }
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
}
