//! The checked-in repository of format version 1 is read by this program, and by hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod common;

use common::spool;
use provado_model::id::InstanceId;
use provado_model::random::OsEntropy;
use provado_repository::backend::file::{CreateRoot, FileBackend, FileOptions};
use provado_repository::check::{CheckOptions, Level};
use provado_repository::key::BackupObject;
use provado_repository::reader::ReadOptions;
use provado_repository::repository::{KeySource, Listed};
use provado_repository::signature::{Ed25519Signer, PublicKey, Signer as _, Trust};
use provado_repository::{Cancel, Error, Identity, Key, Opening, Repository};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::Runtime;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn identity() -> Identity {
    let text = std::fs::read_to_string(golden().join("identity.txt")).unwrap();
    Identity::from_file_text(&text).unwrap()
}

fn signer(seed: u8) -> PublicKey {
    Ed25519Signer::from_seed(&[seed; 32]).unwrap().public_key()
}

fn archive() -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(golden().join("archive"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect()
}

/// A copy with the modes a repository must have; version control keeps none of them.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

struct Golden {
    runtime: Runtime,
    repository: Repository,
    root: PathBuf,
    directory: TempDir,
}

impl Golden {
    fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("repository");
        copy(&golden().join("repository"), &root);
        let options = FileOptions {
            create: CreateRoot::Never,
            free_bytes_min: 0,
            entropy: OsEntropy::shared(),
        };
        let backend = Arc::new(FileBackend::open(&root, options).unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        let identity = identity();
        let opening = Opening {
            expected_id: None,
            key: KeySource::Identity(&identity),
        };
        let repository = runtime
            .block_on(Repository::open(backend, opening))
            .unwrap();
        Self {
            runtime,
            repository,
            root,
            directory,
        }
    }

    fn instance(&self) -> InstanceId {
        let found = self.runtime.block_on(self.repository.instances()).unwrap();
        assert_eq!(found.len(), 1);
        found[0]
    }

    fn backups(&self) -> Vec<Listed> {
        let list = self.repository.backups(self.instance());
        self.runtime.block_on(list).unwrap()
    }
}

#[test]
fn both_backups_hold_every_file_of_the_archive() {
    let golden = Golden::open();
    let backups = golden.backups();
    assert_eq!(backups.len(), 2);
    let keys = [signer(1)];
    let identity = identity();
    for listed in &backups {
        let read = golden.repository.read_backup(
            listed.backup,
            &identity,
            ReadOptions {
                trust: Trust::Keys(&keys),
                threads: 2,
                spool: spool(),
                cancel: Cancel::new(),
            },
        );
        let reader = golden.runtime.block_on(read).unwrap();
        let mut found = BTreeMap::new();
        for entry in reader.entries() {
            let segments = reader.entry_reader(entry.head.entry_index).unwrap();
            let content: Vec<u8> = segments.flat_map(Result::unwrap).collect();
            found.insert(entry.head.archive_file_name.clone(), content);
        }
        assert_eq!(found, archive());
        let inventory = reader.inventory().unwrap();
        assert_eq!(inventory.database.unwrap().encoding, "UTF8");
        assert_eq!(inventory.sequences[0].last_value, 1);
        let document = listed.document.as_ref().unwrap();
        let word = golden.repository.countersignature(document, Trust::AnyKey);
        let (_, signed_by) = golden.runtime.block_on(word).unwrap().unwrap();
        assert_eq!(signed_by, signer(2));
    }
    let document = |n: usize| &backups[n].document.as_ref().unwrap().document;
    assert_eq!(document(1).parent_backup_id, Some(document(0).backup_id));
    assert_eq!(document(1).reused_bytes, document(0).stored_bytes);
}

#[test]
fn both_backups_are_good_at_every_level() {
    let golden = Golden::open();
    let identity = identity();
    for listed in golden.backups() {
        for level in [Level::Present, Level::Intact, Level::Readable] {
            let options = CheckOptions {
                level,
                identity: Some(&identity),
                trust: Trust::Keys(&[signer(1)]),
                threads: 2,
                spool: spool(),
                cancel: Cancel::new(),
                progress: &|_| {},
            };
            let report = golden.repository.check(listed.backup, &options).unwrap();
            assert!(report.is_good(), "{:?}", report.damage);
        }
    }
}

#[test]
fn another_id_a_newer_format_and_no_repository_are_refused_each_by_name() {
    use provado_model::id::RepositoryId;
    use provado_repository::descriptor::Descriptor;
    let golden = Golden::open();
    let other = RepositoryId::from_uuid(uuid::Uuid::from_u128(1));
    let opening = Opening {
        expected_id: Some(other),
        key: KeySource::None,
    };
    let open = Repository::open(Arc::clone(golden.repository.backend()), opening);
    let error = golden.runtime.block_on(open).unwrap_err();
    assert!(matches!(error, Error::OtherRepository { .. }), "{error}");
    let path = golden.root.join("provado-repository.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let newer = text.replace("\"format_version\":1", "\"format_version\":2");
    let error = Descriptor::from_bytes(newer.as_bytes(), "x").unwrap_err();
    assert!(matches!(error, Error::TooNew { found: 2, .. }), "{error}");
    std::fs::remove_file(&path).unwrap();
    let open = Repository::open(Arc::clone(golden.repository.backend()), Opening::default());
    let error = golden.runtime.block_on(open).unwrap_err();
    assert!(matches!(error, Error::NoRepository { .. }), "{error}");
}

/// The shell script of the format's page, as it stands there, by its number on the page.
fn script(number: usize) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/repository-format.md");
    let text = std::fs::read_to_string(page).unwrap();
    let mut blocks = text.split("```sh\n").skip(1);
    let block = blocks.nth(number).expect("a script on the page");
    block.split("```").next().unwrap().to_owned()
}

fn run(golden: &Golden, script: &str, variables: &[(&str, &str)]) -> String {
    let output = Command::new("sh")
        .arg("-c")
        .arg(script)
        .current_dir(golden.directory.path())
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_table_is_recovered_by_stock_tools_as_the_page_says() {
    let golden = Golden::open();
    let listed = golden.backups().pop().unwrap().backup;
    let (instance, backup) = (listed.instance_id.to_string(), listed.backup_id.to_string());
    let identity = self::golden().join("identity.txt");
    let variables = [
        ("REPOSITORY", golden.root.to_str().unwrap()),
        ("INSTANCE", &instance),
        ("BACKUP", &backup),
        ("IDENTITY", identity.to_str().unwrap()),
        ("TABLE", "item"),
    ];
    run(&golden, &script(0), &variables);
    let recovered = golden.directory.path();
    for (name, content) in archive() {
        if let Ok(found) = std::fs::read(recovered.join("archive").join(&name)) {
            assert!(found == content, "{name}");
        }
    }
    let sql = std::fs::read_to_string(recovered.join("item.sql")).unwrap();
    assert!(sql.contains("CREATE TABLE public.item"), "{sql}");
    let row = "40\titem 40 tab\\tnl\\nquote'\t50.00\t{a,b40}\t{\"n\": 40}\n";
    assert!(sql.contains(row), "{sql}");
}

#[test]
fn a_signature_is_verified_by_stock_tools_as_the_page_says() {
    use base64::Engine as _;
    let golden = Golden::open();
    let listed = golden.backups().pop().unwrap().backup;
    let backup = listed.backup_id.to_string();
    let document = Key::backup(listed, BackupObject::Document);
    let here = golden.directory.path().join(format!("{backup}.json"));
    std::fs::copy(golden.root.join(document.as_str()), here).unwrap();
    // RFC 8410: the fixed head of an Ed25519 key, then the key.
    let mut der = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".to_vec();
    der.extend(signer(1).0);
    let base64 = base64::engine::general_purpose::STANDARD.encode(der);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n");
    let key = golden.directory.path().join("key.pem");
    std::fs::write(&key, pem).unwrap();
    let variables = [
        ("BACKUP", backup.as_str()),
        ("PUBLIC_KEY", key.to_str().unwrap()),
    ];
    let said = run(&golden, &script(2), &variables);
    assert!(said.contains("Signature Verified Successfully"), "{said}");
}
