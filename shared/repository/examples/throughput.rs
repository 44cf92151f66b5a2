//! How fast content becomes a stored backup: MB/s over all and per core, and the bytes against
//! plain `zstd -3` of the whole. Usage: `throughput FILE DIRECTORY [THREADS] [LEVEL]`; the
//! repository is made in DIRECTORY, which must be empty or absent.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use provado_model::id::{AgentId, AttemptId, BackupId, InstanceId, RepositoryId, RunId, uuid_v7};
use provado_model::random::{Entropy, OsEntropy};
use provado_model::time::{Clock, Monotonic, SystemClock};
use provado_repository::backend::file::{CreateRoot, FileBackend, FileOptions};
use provado_repository::check::{CheckOptions, Level};
use provado_repository::manifest::{EntryHead, EntryTail, ManifestHeader};
use provado_repository::reader::ReadOptions;
use provado_repository::signature::{Ed25519Signer, Trust};
use provado_repository::writer::{
    BackupWriter, ManifestTail, Origin, WriterOptions, WrittenBackup,
};
use provado_repository::{
    BackupRef, Cancel, Identity, IdentityFile, InitOptions, Repository, SegmentKey, SpoolPlace,
};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const SEGMENT_BYTES: u64 = 1 << 20;

/// What every step needs.
struct Bench {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    repository: Repository,
    identity: Identity,
    spool: SpoolPlace,
    threads: usize,
    level: i32,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |at: usize, default: u8| {
        arguments
            .get(at)
            .map_or(default, |text| text.parse().expect("a number"))
    };
    let file = PathBuf::from(arguments.get(1).expect("a file"));
    let root = arguments.get(2).expect("a directory");
    let bench = Bench::new(Path::new(root), number(3, 2).into(), number(4, 3).into()).await;
    let instance_id = InstanceId::new(&*bench.clock, &*bench.entropy);
    let mut parent = None;
    for name in ["first", "second"] {
        let backup = BackupRef {
            instance_id,
            backup_id: BackupId::new(&*bench.clock, &*bench.entropy),
        };
        bench.write(name, backup, parent, file.clone()).await;
        parent = Some(backup.backup_id);
    }
    let backup = BackupRef {
        instance_id,
        backup_id: parent.expect("two backups"),
    };
    bench.check(backup, Level::Intact);
    bench.check(backup, Level::Readable);
    bench.read(backup).await;
}

impl Bench {
    async fn new(root: &Path, threads: usize, level: i32) -> Self {
        let (clock, entropy) = (SystemClock::shared(), OsEntropy::shared());
        let options = FileOptions {
            create: CreateRoot::IfMissing,
            free_bytes_min: 0,
            entropy: Arc::clone(&entropy),
        };
        let root = std::path::absolute(root).unwrap();
        let backend = Arc::new(FileBackend::open(&root, options).unwrap());
        let key = IdentityFile::generate(clock.now());
        let identity = Identity::from_file_text(&key.text).unwrap();
        let init = InitOptions {
            repository_id: RepositoryId::new(&*clock, &*entropy),
            recipients: vec![key.recipient],
            segment_key: SegmentKey::generate(&*entropy),
            now: clock.now(),
            probe_id: uuid_v7(&*clock, &*entropy),
        };
        let spool = SpoolPlace {
            directory: std::env::temp_dir(),
            entropy: Arc::clone(&entropy),
        };
        Self {
            repository: Repository::init(backend, init).await.unwrap(),
            clock,
            entropy,
            identity,
            spool,
            threads,
            level,
        }
    }

    async fn write(&self, name: &str, backup: BackupRef, parent: Option<BackupId>, file: PathBuf) {
        let (clock, entropy) = (&*self.clock, &*self.entropy);
        let options = WriterOptions {
            backup,
            parent,
            origin: Origin {
                run_id: RunId::new(clock, entropy),
                attempt_id: AttemptId::new(clock, entropy),
                agent_id: AgentId::new(clock, entropy),
                fence: 1,
                epoch: 1,
            },
            start_time: clock.now(),
            snapshot_time: clock.now(),
            header: ManifestHeader::default(),
            recipients: None,
            compression_level: self.level,
            threads: self.threads,
            pack_bytes_target: WriterOptions::PACK_BYTES_TARGET,
            copy_forward_percent: WriterOptions::COPY_FORWARD_PERCENT,
            own_segments_max: WriterOptions::OWN_SEGMENTS_MAX,
            avoid_packs: Vec::new(),
            signer: Arc::new(Ed25519Signer::from_seed(&[1; 32]).unwrap()),
            spool: self.spool.clone(),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            cancel: Cancel::new(),
        };
        let writer = self.repository.backup_writer(options).await.unwrap();
        let span = Span::start(clock);
        let written = tokio::task::spawn_blocking(move || write(writer, &file))
            .await
            .unwrap();
        let document = &written.document.document;
        let (took, used) = span.end(clock);
        println!(
            "{name}: {:.2} s, {:.0} MB/s, processor {:.2} s, {:.0} MB/s a core, stored {} new {}",
            took.as_secs_f64(),
            rate(document.plain_bytes, took),
            used.as_secs_f64(),
            rate(document.plain_bytes, used),
            document.stored_bytes,
            document.new_bytes,
        );
        println!("  {:?}", written.busy);
    }

    fn check(&self, backup: BackupRef, level: Level) {
        let span = Span::start(&*self.clock);
        let options = CheckOptions {
            level,
            identity: (level == Level::Readable).then_some(&self.identity),
            trust: Trust::AnyKey,
            threads: self.threads,
            spool: self.spool.clone(),
            cancel: Cancel::new(),
            progress: &|_| {},
        };
        let report = tokio::task::block_in_place(|| self.repository.check(backup, &options));
        let report = report.unwrap();
        let (took, used) = span.end(&*self.clock);
        println!(
            "check {level:?}: {:.2} s, {:.0} MB/s stored, processor {:.2} s, damage {}",
            took.as_secs_f64(),
            rate(report.bytes_read, took),
            used.as_secs_f64(),
            report.damage_count,
        );
    }

    async fn read(&self, backup: BackupRef) {
        let span = Span::start(&*self.clock);
        let options = ReadOptions {
            trust: Trust::AnyKey,
            threads: self.threads,
            spool: self.spool.clone(),
            cancel: Cancel::new(),
        };
        let read = self.repository.read_backup(backup, &self.identity, options);
        let reader = read.await.unwrap();
        let plain = tokio::task::block_in_place(|| {
            let segments = reader.entry_reader(0).unwrap();
            segments
                .map(|segment| segment.unwrap().len() as u64)
                .sum::<u64>()
        });
        let (took, used) = span.end(&*self.clock);
        println!(
            "read back: {:.2} s, {:.0} MB/s plain, processor {:.2} s",
            took.as_secs_f64(),
            rate(plain, took),
            used.as_secs_f64()
        );
    }
}

/// Wall and processor time of a step.
struct Span {
    start: Monotonic,
    processor: Duration,
}

impl Span {
    fn start(clock: &dyn Clock) -> Self {
        Self {
            start: clock.monotonic(),
            processor: processor(),
        }
    }

    fn end(self, clock: &dyn Clock) -> (Duration, Duration) {
        let took = clock.monotonic().since(self.start);
        (took, processor().saturating_sub(self.processor))
    }
}

fn write(mut writer: BackupWriter, path: &Path) -> WrittenBackup {
    let mut input = std::fs::File::open(path).unwrap();
    writer.begin_entry(EntryHead::default()).unwrap();
    let mut byte_count = 0;
    loop {
        let mut segment = writer.recycle().unwrap_or_default();
        segment.clear();
        let count = (&mut input)
            .take(SEGMENT_BYTES)
            .read_to_end(&mut segment)
            .unwrap();
        if count == 0 {
            break;
        }
        byte_count += count as u64;
        writer.segment(segment).unwrap();
    }
    writer
        .end_entry(EntryTail {
            byte_count,
            ..EntryTail::default()
        })
        .unwrap();
    writer.finish(ManifestTail::default()).unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / 1e6 / took.as_secs_f64().max(1e-9)
}

/// Processor time of this process so far.
fn processor() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // The kernel counts in hundredths of a second on every architecture in use.
    Duration::from_millis(ticks * 10)
}
