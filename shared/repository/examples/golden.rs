//! Makes the repository of `tests/golden`: two backups of the directory archive beside it, the
//! second on the first. Run once for each format version, never again: what is checked in is what
//! later programs must read. Usage: `golden TESTS_GOLDEN_DIRECTORY`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use jiff::{SignedDuration, Timestamp};
use provado_model::id::{AgentId, AttemptId, BackupId, InstanceId, RepositoryId, RunId, uuid_v7};
use provado_model::random::{Entropy, SeededEntropy};
use provado_model::time::{Clock, ManualClock};
use provado_proto::repository::v1::{DatabaseFacts, SequenceFacts};
use provado_repository::backend::file::{CreateRoot, FileBackend, FileOptions};
use provado_repository::document::Countersignature;
use provado_repository::inventory::{Inventory, to_sections};
use provado_repository::manifest::{
    BackupKind, EntryHead, EntryKind, EntryTail, ManifestHeader, Source, Tool,
};
use provado_repository::signature::Ed25519Signer;
use provado_repository::writer::{ManifestTail, Origin, WriterOptions, WrittenBackup};
use provado_repository::{
    BackupRef, Cancel, IdentityFile, InitOptions, Repository, SegmentKey, SpoolPlace,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Small, so that a table of the golden archive has several segments.
const SEGMENT_BYTES: usize = 900;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let golden = PathBuf::from(std::env::args().nth(1).expect("the directory tests/golden"));
    let golden = std::path::absolute(golden).unwrap();
    let clock = Arc::new(ManualClock::at_second(1_763_683_200));
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(1));
    let key = IdentityFile::generate(clock.now());
    let second = IdentityFile::generate(clock.now());
    std::fs::write(golden.join("identity.txt"), key.text.as_bytes()).unwrap();
    let options = FileOptions {
        create: CreateRoot::IfMissing,
        free_bytes_min: 0,
        entropy: Arc::clone(&entropy),
    };
    let backend = FileBackend::open(&golden.join("repository"), options).unwrap();
    let init = InitOptions {
        repository_id: RepositoryId::new(&*clock, &*entropy),
        recipients: vec![key.recipient, second.recipient],
        segment_key: SegmentKey::generate(&*entropy),
        now: clock.now(),
        probe_id: uuid_v7(&*clock, &*entropy),
    };
    let repository = Repository::init(Arc::new(backend), init).await.unwrap();
    let instance_id = InstanceId::new(&*clock, &*entropy);
    let mut parent = None;
    for _ in 0..2 {
        clock.advance(SignedDuration::from_hours(24));
        let backup_id = BackupId::new(&*clock, &*entropy);
        let backup = BackupRef {
            instance_id,
            backup_id,
        };
        let options = options_of(backup, parent, &clock, &entropy);
        let writer = repository.backup_writer(options).await.unwrap();
        let archive = golden.join("archive");
        let written = tokio::task::spawn_blocking(move || write(writer, &archive));
        countersign(&repository, &written.await.unwrap(), clock.now()).await;
        parent = Some(backup_id);
    }
}

fn options_of(
    backup: BackupRef,
    parent: Option<BackupId>,
    clock: &Arc<ManualClock>,
    entropy: &Arc<dyn Entropy>,
) -> WriterOptions {
    let header = ManifestHeader {
        kind: BackupKind::Logical.into(),
        source: Some(Source {
            system_identifier: "7300000000000000001".to_owned(),
            server_version: "15.18".to_owned(),
            server_version_number: 150_018,
            instance_name: "golden".to_owned(),
            database_oid: 16_384,
            database_name: "shop".to_owned(),
            ..Source::default()
        }),
        tools: vec![Tool {
            tool_name: "pg_dump".to_owned(),
            version: "15.18".to_owned(),
        }],
        content_format: "pg_dump-directory".to_owned(),
        fingerprint_seed: 42,
        fingerprint_algorithm: "none".to_owned(),
        ..ManifestHeader::default()
    };
    WriterOptions {
        backup,
        parent,
        origin: Origin {
            run_id: RunId::new(&**clock, &**entropy),
            attempt_id: AttemptId::new(&**clock, &**entropy),
            agent_id: AgentId::new(&**clock, &**entropy),
            fence: 1,
            epoch: 1,
        },
        start_time: clock.now(),
        snapshot_time: clock.now(),
        header,
        recipients: None,
        compression_level: 3,
        threads: 1,
        pack_bytes_target: 4096,
        copy_forward_percent: 25,
        own_segments_max: WriterOptions::OWN_SEGMENTS_MAX,
        avoid_packs: Vec::new(),
        signer: Arc::new(Ed25519Signer::from_seed(&[1; 32]).unwrap()),
        spool: SpoolPlace {
            directory: std::env::temp_dir(),
            entropy: Arc::clone(entropy),
        },
        clock: Arc::<ManualClock>::clone(clock),
        entropy: Arc::clone(entropy),
        cancel: Cancel::new(),
    }
}

fn write(mut writer: provado_repository::writer::BackupWriter, archive: &Path) -> WrittenBackup {
    let mut files: Vec<PathBuf> = std::fs::read_dir(archive)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    // The table of contents first, as an agent writes it.
    files.sort_by_key(|path| (!path.ends_with("toc.dat"), path.clone()));
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let content = std::fs::read(&path).unwrap();
        writer.begin_entry(head(&name)).unwrap();
        for segment in content.chunks(SEGMENT_BYTES) {
            writer.segment(segment.to_vec()).unwrap();
        }
        let row_count = content.split(|b| *b == b'\n').skip(1).count() as u64;
        writer
            .end_entry(EntryTail {
                row_count,
                byte_count: content.len() as u64,
                ..EntryTail::default()
            })
            .unwrap();
    }
    let inventory = Inventory {
        database: Some(DatabaseFacts {
            database_name: "shop".to_owned(),
            encoding: "UTF8".to_owned(),
            ..DatabaseFacts::default()
        }),
        sequences: vec![SequenceFacts {
            schema_name: "public".to_owned(),
            sequence_name: "s".to_owned(),
            last_value: 1,
            is_called: true,
            readable: true,
            ..SequenceFacts::default()
        }],
        ..Inventory::default()
    };
    writer
        .finish(ManifestTail {
            sections: to_sections(&inventory),
            ..ManifestTail::default()
        })
        .unwrap()
}

fn head(name: &str) -> EntryHead {
    let (kind, dump_id) = match name.strip_suffix(".dat") {
        Some("toc") => (EntryKind::ArchiveToc, 0),
        Some(number) => match number.parse() {
            Ok(dump_id) => (EntryKind::TableData, dump_id),
            Err(_) => (EntryKind::LargeObject, 0),
        },
        None => (EntryKind::LargeObjectList, 0),
    };
    EntryHead {
        kind: kind.into(),
        entry_name: name.to_owned(),
        dump_id,
        archive_file_name: name.to_owned(),
        ..EntryHead::default()
    }
}

async fn countersign(repository: &Repository, written: &WrittenBackup, now: Timestamp) {
    let controller = Ed25519Signer::from_seed(&[2; 32]).unwrap();
    let word = Countersignature::new(&written.document, now);
    let bytes = word.to_bytes(&controller).unwrap();
    repository
        .put_countersignature(&written.document, bytes)
        .await
        .unwrap();
}
