//! A small repository in memory (or wherever a test wants it) and content for it.
#![allow(dead_code, unreachable_pub)]

use provado_model::id::{AgentId, AttemptId, BackupId, InstanceId, PackId, RepositoryId, RunId};
use provado_model::random::{Entropy, OsEntropy, SeededEntropy};
use provado_model::time::{Clock, ManualClock};
use provado_repository::backend::Backend;
use provado_repository::backend::memory::MemoryBackend;
use provado_repository::inventory::{Inventory, to_sections};
use provado_repository::keys::Recipient;
use provado_repository::manifest::{
    BackupKind, EntryHead, EntryKind, EntryTail, ManifestHeader, Section, Source,
};
use provado_repository::reader::{BackupReader, ReadOptions};
use provado_repository::repository::{KeySource, Listed};
use provado_repository::signature::{Ed25519Signer, Trust};
use provado_repository::writer::{
    BackupWriter, ManifestTail, Origin, WriterOptions, WrittenBackup,
};
use provado_repository::{
    BackupRef, Cancel, Error, Identity, IdentityFile, InitOptions, Key, Opening, Repository,
    SegmentKey, SpoolPlace,
};
use std::sync::Arc;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// One entry with its content, cut into segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub name: String,
    pub segments: Vec<Vec<u8>>,
}

/// Entries of the given names, lengths and seeds; equal seeds give equal content.
pub fn content(spec: &[(&str, usize, u64)]) -> Vec<Content> {
    spec.iter()
        .map(|(name, length, seed)| {
            let mut bytes = vec![0; *length];
            SeededEntropy::new(*seed).fill(&mut bytes);
            // Half of it compresses.
            for pair in bytes.chunks_mut(2) {
                pair[0] = b'a';
            }
            Content {
                name: (*name).to_owned(),
                segments: bytes
                    .chunks(20_000.max(length / 8))
                    .map(<[u8]>::to_vec)
                    .collect(),
            }
        })
        .collect()
}

pub fn head(name: &str) -> EntryHead {
    EntryHead {
        kind: EntryKind::TableData.into(),
        entry_name: name.to_owned(),
        dump_id: 7,
        archive_file_name: "7.dat".to_owned(),
        ..EntryHead::default()
    }
}

pub fn inventory() -> Inventory {
    Inventory {
        database: Some(provado_proto::repository::v1::DatabaseFacts {
            database_name: "shop".to_owned(),
            ..Default::default()
        }),
        ..Inventory::default()
    }
}

/// A runtime, a backend and a repository in it.
pub struct Place {
    pub runtime: Runtime,
    pub memory: MemoryBackend,
    pub backend: Arc<dyn Backend>,
    pub clock: Arc<ManualClock>,
    pub identity: Identity,
    pub recipient: Recipient,
    pub signer: Arc<Ed25519Signer>,
    repository: Repository,
    threads: usize,
    cancel: Cancel,
}

pub const REPOSITORY: u128 = 0x0190_0000_0000_7000_8000_0000_0000_00aa;
pub const INSTANCE: u128 = 0x0190_0000_0000_7000_8000_0000_0000_00bb;

pub fn repository_id() -> RepositoryId {
    RepositoryId::from_uuid(Uuid::from_u128(REPOSITORY))
}

pub fn instance() -> InstanceId {
    InstanceId::from_uuid(Uuid::from_u128(INSTANCE))
}

pub fn backup_ref(number: u128) -> BackupRef {
    BackupRef {
        instance_id: instance(),
        backup_id: BackupId::from_uuid(Uuid::from_u128(
            0x0190_0000_0000_7000_8000_0001_0000_0000 + number,
        )),
    }
}

pub fn spool() -> SpoolPlace {
    SpoolPlace {
        directory: std::env::temp_dir(),
        entropy: OsEntropy::shared(),
    }
}

pub fn init_options(recipient: Recipient) -> InitOptions {
    InitOptions {
        repository_id: repository_id(),
        recipients: vec![recipient],
        segment_key: SegmentKey::from_bytes([5; 32]),
        now: jiff::Timestamp::from_second(1_700_000_000).unwrap(),
        probe_id: Uuid::from_u128(1),
    }
}

impl Place {
    pub fn new() -> Self {
        let clock = Arc::new(ManualClock::at_second(1_700_000_000));
        let memory = MemoryBackend::new(clock.clone());
        Self::over(memory.clone(), Arc::new(memory), clock)
    }

    /// A repository in `backend`, which may be a layer over `memory` or something else.
    pub fn over(memory: MemoryBackend, backend: Arc<dyn Backend>, clock: Arc<ManualClock>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let file = IdentityFile::generate(clock.now());
        let identity = Identity::from_file_text(&file.text).unwrap();
        let init = init_options(file.recipient.clone());
        let repository = runtime
            .block_on(Repository::init(backend.clone(), init))
            .unwrap();
        Self {
            runtime,
            memory,
            backend,
            clock,
            identity,
            recipient: file.recipient,
            signer: Arc::new(Ed25519Signer::from_seed(&[9; 32]).unwrap()),
            repository,
            threads: 2,
            cancel: Cancel::new(),
        }
    }

    /// The same repository seen through another backend, such as a fault layer.
    pub fn through(other: &Self, backend: Arc<dyn Backend>) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let opening = Opening {
            expected_id: Some(repository_id()),
            key: KeySource::None,
        };
        let repository = runtime.block_on(Repository::open(backend.clone(), opening))?;
        Ok(Self {
            runtime,
            memory: other.memory.clone(),
            backend,
            clock: other.clock.clone(),
            identity: other.identity.clone(),
            recipient: other.recipient.clone(),
            signer: other.signer.clone(),
            repository,
            threads: other.threads,
            cancel: Cancel::new(),
        })
    }

    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The repository opened over another backend, such as a fault layer.
    pub fn open_over(&self, backend: Arc<dyn Backend>) -> Result<Repository, Error> {
        let opening = Opening {
            expected_id: Some(repository_id()),
            key: KeySource::SegmentKey(SegmentKey::from_bytes([5; 32])),
        };
        self.block_on(Repository::open(backend, opening))
    }

    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    pub fn options(&self, number: u128, parent: Option<u128>) -> WriterOptions {
        let id = |n: u128| Uuid::from_u128(0x0190_0000_0000_7000_8000_0002_0000_0000 + n);
        WriterOptions {
            backup: backup_ref(number),
            parent: parent.map(|number| backup_ref(number).backup_id),
            origin: Origin {
                run_id: RunId::from_uuid(id(1)),
                attempt_id: AttemptId::from_uuid(id(2)),
                agent_id: AgentId::from_uuid(id(3)),
                fence: 4,
                epoch: 5,
            },
            start_time: self.clock.now(),
            snapshot_time: self.clock.now(),
            header: ManifestHeader {
                kind: BackupKind::Logical.into(),
                source: Some(Source {
                    database_name: "shop".to_owned(),
                    server_version_number: 150_018,
                    ..Source::default()
                }),
                ..ManifestHeader::default()
            },
            recipients: None,
            compression_level: 3,
            threads: self.threads,
            pack_bytes_target: 1 << 20,
            copy_forward_percent: 25,
            own_segments_max: WriterOptions::OWN_SEGMENTS_MAX,
            avoid_packs: Vec::new(),
            signer: self.signer.clone(),
            spool: spool(),
            clock: self.clock.clone(),
            entropy: Arc::new(SeededEntropy::new(u64::try_from(number).unwrap())),
            cancel: self.cancel.clone(),
        }
    }

    pub fn writer(&self, number: u128, parent: Option<u128>) -> BackupWriter {
        let options = self.options(number, parent);
        self.block_on(self.repository.backup_writer(options))
            .unwrap()
    }

    pub fn write(&self, number: u128, parent: Option<u128>, content: &[Content]) -> WrittenBackup {
        let options = self.options(number, parent);
        self.try_write(&self.repository, options, content).unwrap()
    }

    pub fn try_write(
        &self,
        repository: &Repository,
        options: WriterOptions,
        content: &[Content],
    ) -> Result<WrittenBackup, Error> {
        let mut writer = self.block_on(repository.backup_writer(options))?;
        for entry in content {
            writer.begin_entry(head(&entry.name))?;
            for segment in &entry.segments {
                writer.segment(segment.clone())?;
            }
            writer.end_entry(EntryTail {
                row_count: 3,
                byte_count: entry.segments.iter().map(|s| s.len() as u64).sum(),
                fingerprint: vec![1, 2, 3],
                ..EntryTail::default()
            })?;
        }
        writer.finish(tail())
    }

    pub fn reader(&self, number: u128) -> BackupReader {
        self.try_reader(number).unwrap()
    }

    pub fn try_reader(&self, number: u128) -> Result<BackupReader, Error> {
        let options = ReadOptions {
            trust: Trust::Keys(&[self.signer_key()]),
            threads: self.threads,
            spool: spool(),
            cancel: Cancel::new(),
        };
        let read = self
            .repository
            .read_backup(backup_ref(number), &self.identity, options);
        self.block_on(read)
    }

    pub fn signer_key(&self) -> provado_repository::signature::PublicKey {
        use provado_repository::signature::Signer as _;
        self.signer.public_key()
    }

    /// Every entry of a backup, read back.
    pub fn read(&self, number: u128) -> Vec<Content> {
        self.try_read(number).unwrap()
    }

    pub fn try_read(&self, number: u128) -> Result<Vec<Content>, Error> {
        let reader = self.try_reader(number)?;
        let mut out = Vec::new();
        for entry in reader.entries() {
            let segments = reader
                .entry_reader(entry.head.entry_index)?
                .collect::<Result<Vec<_>, _>>()?;
            out.push(Content {
                name: entry.head.entry_name.clone(),
                segments,
            });
        }
        Ok(out)
    }

    pub fn listed(&self) -> Vec<Listed> {
        self.block_on(self.repository.backups(instance())).unwrap()
    }

    pub fn pack_key(written: &WrittenBackup, index: usize) -> Key {
        let pack: PackId = written.document.document.packs[index].pack_id;
        Key::pack(instance(), pack)
    }

    /// Changes the stored bytes of an object; `None` removes it.
    pub fn tamper(&self, key: &Key, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
        let bytes = self.memory.bytes(key).unwrap().to_vec();
        self.memory.tamper(key, change(bytes).map(Into::into));
    }
}

pub fn tail() -> ManifestTail {
    let mut sections = to_sections(&inventory());
    sections.push(Section {
        section_name: "globals".to_owned(),
        message_type: String::new(),
        content: b"CREATE ROLE x;".to_vec(),
    });
    ManifestTail {
        sections,
        warnings: vec!["a warning".to_owned()],
        end_lsn: String::new(),
    }
}
