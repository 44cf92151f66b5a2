use super::*;
use crate::jobs::Level;
use crate::journal::Journal;
use crate::membership::KeySigner;
use jiff::Timestamp;
use provado_identity::AgentKeys;
use provado_model::random::SeededEntropy;
use provado_model::time::SystemClock;
use provado_model::{Error, Reason};
use provado_proto::agent::v1::{
    AttemptResult, BackupJob, InitJob, InspectJob, InstanceTarget, PruneJob, job::Kind,
};
use provado_proto::common::v1::Progress;
use provado_repository::IdentityFile;
use secrecy::SecretString;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a test waits for at most.
const BOUND: Duration = Duration::from_secs(20);

/// What the scripted job does.
#[derive(Debug, Clone, Copy)]
enum Script {
    Succeed,
    Panic,
    WaitForCancel,
    Hang,
}

#[derive(Debug)]
struct Scripted {
    script: Script,
    running: AtomicUsize,
    most: AtomicUsize,
    told: Mutex<Vec<Job>>,
}

#[async_trait]
impl Jobs for Scripted {
    async fn run(&self, job: Job, context: &JobContext) -> Outcome {
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        context.info("at work");
        self.told.lock().unwrap().push(job);
        context.observer.progress(Progress::default());
        match self.script {
            Script::Succeed => tokio::task::yield_now().await,
            Script::Panic => panic!("a bug"),
            Script::WaitForCancel => context.cancel.canceled().await,
            Script::Hang => std::future::pending().await,
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
        if context.cancel.is_canceled() {
            return jobs::failed(&Error::new(Reason::ToolFailed, "ended by a signal"));
        }
        Outcome {
            result: AttemptResult::Succeeded.into(),
            ..Outcome::default()
        }
    }
}

#[derive(Debug, Default)]
struct Ends(AtomicUsize);

#[async_trait]
impl AfterAttempt for Ends {
    async fn ended(&self, kind: &'static str) {
        if kind == "inspect" {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

struct Desk {
    _folder: tempfile::TempDir,
    means: Means,
    jobs: Arc<Scripted>,
    ends: Arc<Ends>,
    executor: Arc<Executor>,
}

fn desk(script: Script, attempts_max: usize, stall: Duration) -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let patience = Patience {
        stall,
        clean_up: Duration::from_millis(50),
    };
    let entropy = Arc::new(SeededEntropy::new(1));
    let clock = SystemClock::shared();
    let identity = IdentityFile::generate(Timestamp::UNIX_EPOCH).text;
    let identity = SecretString::from(identity.as_str());
    let keys = Arc::new(AgentKeys::generate(&*entropy, identity).unwrap());
    let journal = |name: &str| Journal::open(folder.path().join(name)).unwrap();
    let jobs = Arc::new(Scripted {
        script,
        running: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
        told: Mutex::default(),
    });
    let ends = Arc::new(Ends::default());
    let means = Means {
        config: Arc::new(Config {
            attempts_max,
            ..Config::default()
        }),
        agent: AgentId::new(&*clock, &*entropy),
        clock,
        entropy,
        signer: Arc::new(KeySigner::new(Arc::clone(&keys))),
        unsealer: crate::membership::unsealer(&keys).unwrap(),
        jobs: jobs.clone(),
        after: ends.clone(),
        inbox: Arc::new(Inbox::open(journal("inbox"), journal("state")).unwrap()),
        outbox: Arc::new(Outbox::open(journal("outbox")).unwrap()),
        progress: Arc::default(),
        logs: Arc::default(),
    };
    Desk {
        _folder: folder,
        executor: Executor::with_patience(means.clone(), patience),
        means,
        jobs,
        ends,
    }
}

impl Desk {
    fn name(&self, run: RunId, fence: i64) -> AttemptName {
        AttemptName {
            attempt: AttemptId::new(&*self.means.clock, &*self.means.entropy),
            run,
            fence,
        }
    }

    fn run(&self) -> RunId {
        RunId::new(&*self.means.clock, &*self.means.entropy)
    }

    fn start(&self, name: AttemptName, kind: Kind) {
        let job = Job { kind: Some(kind) };
        let now = self.means.clock.now();
        self.means.inbox.accept(name, 1, &job, now).unwrap();
        self.executor.start(Order {
            name,
            epoch: 1,
            job,
        });
    }

    async fn until(&self, what: impl Fn(&Self) -> bool) {
        let wait = async {
            while !what(self) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(BOUND, wait).await.unwrap();
    }

    async fn outcome(&self, name: AttemptName) -> Outcome {
        self.until(|desk| desk.means.outbox.holds(name.attempt))
            .await;
        let pending = self.means.outbox.pending();
        let found = pending.iter().find(|ended| ended.name == name).unwrap();
        assert_eq!(found.epoch, 1);
        found.outcome().unwrap()
    }
}

fn init() -> Kind {
    Kind::Init(InitJob::default())
}

#[tokio::test]
async fn an_outcome_is_on_disk_with_its_unsent_lines_before_the_attempt_leaves_the_hand() {
    let desk = desk(Script::Succeed, 4, BOUND);
    let name = desk.name(desk.run(), 1);
    desk.start(name, Kind::Inspect(InspectJob {}));
    let outcome = desk.outcome(name).await;
    assert_eq!(outcome.result(), AttemptResult::Succeeded);
    let lines = desk.means.outbox.pending().remove(0).lines();
    assert_eq!(lines[0].message, "at work");
    assert_eq!(lines[0].level, Level::Info.as_str());
    desk.until(|desk| desk.executor.in_hand().is_empty()).await;
    assert_eq!(desk.ends.0.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_panic_is_contained_and_reported_as_internal() {
    let desk = desk(Script::Panic, 4, BOUND);
    let name = desk.name(desk.run(), 1);
    desk.start(name, init());
    let failure = desk.outcome(name).await.failure.unwrap();
    assert_eq!(failure.reason, Reason::Internal.as_str());
}

#[tokio::test]
async fn no_more_than_attempts_max_run_at_a_time() {
    let desk = desk(Script::WaitForCancel, 2, BOUND);
    let names: Vec<_> = (0..5).map(|_| desk.name(desk.run(), 1)).collect();
    for name in &names {
        desk.start(*name, init());
    }
    desk.until(|desk| desk.jobs.running.load(Ordering::SeqCst) == 2)
        .await;
    for name in &names {
        assert!(desk.executor.end(name.attempt, EndCause::Asked));
        let outcome = desk.outcome(*name).await;
        assert_eq!(outcome.result(), AttemptResult::Canceled);
    }
    assert_eq!(desk.jobs.most.load(Ordering::SeqCst), 2);
    assert!(!desk.executor.end(names[0].attempt, EndCause::Asked));
}

#[tokio::test]
async fn an_attempt_in_which_nothing_moves_is_ended_even_when_it_does_not_listen() {
    for script in [Script::WaitForCancel, Script::Hang] {
        let desk = desk(script, 4, Duration::from_millis(50));
        let name = desk.name(desk.run(), 1);
        desk.start(name, init());
        let outcome = desk.outcome(name).await;
        assert_eq!(outcome.result(), AttemptResult::Failed);
        assert_eq!(
            outcome.failure.unwrap().reason,
            Reason::DeadlineExceeded.as_str()
        );
    }
}

#[tokio::test]
async fn a_newer_attempt_of_a_run_waits_for_the_older_one_which_reports_nothing() {
    let desk = desk(Script::WaitForCancel, 4, BOUND);
    let run = desk.run();
    let (older, newer) = (desk.name(run, 1), desk.name(run, 2));
    desk.start(older, init());
    desk.until(|desk| desk.jobs.running.load(Ordering::SeqCst) == 1)
        .await;
    desk.start(newer, init());
    desk.until(|desk| desk.executor.in_hand() == [newer]).await;
    assert!(desk.means.inbox.is_settled(older.attempt));
    desk.executor.end(newer.attempt, EndCause::Asked);
    desk.outcome(newer).await;
    assert!(!desk.means.outbox.holds(older.attempt));
    assert_eq!(desk.jobs.most.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_drain_ends_everything_and_says_why() {
    let desk = desk(Script::WaitForCancel, 1, BOUND);
    let names: Vec<_> = (0..3).map(|_| desk.name(desk.run(), 1)).collect();
    for name in &names {
        desk.start(*name, init());
    }
    desk.executor.drain(BOUND).await;
    for name in names {
        let failure = desk.outcome(name).await.failure.unwrap();
        assert_eq!(failure.reason, Reason::ServiceUnavailable.as_str());
    }
}

#[tokio::test]
async fn a_sweep_spares_what_a_backup_in_hand_writes_whoever_knows_of_it() {
    let desk = desk(Script::WaitForCancel, 4, BOUND);
    let instance = |id: &str| {
        Some(InstanceTarget {
            instance_id: id.to_owned(),
            ..InstanceTarget::default()
        })
    };
    let backup = desk.name(desk.run(), 1);
    let job = BackupJob {
        instance: instance("in hand"),
        ..BackupJob::default()
    };
    desk.start(backup, Kind::Backup(job));
    desk.until(|desk| desk.jobs.told.lock().unwrap().len() == 1)
        .await;
    let sweep = PruneJob {
        live_instance_ids: vec!["known".to_owned()],
        ..PruneJob::default()
    };
    desk.start(desk.name(desk.run(), 1), Kind::Prune(sweep));
    desk.until(|desk| desk.jobs.told.lock().unwrap().len() == 2)
        .await;
    let told = desk.jobs.told.lock().unwrap()[1].kind.clone();
    let Some(Kind::Prune(told)) = told else {
        panic!("not a sweep");
    };
    assert_eq!(told.live_instance_ids, ["known", "in hand"]);
    desk.executor.drain(BOUND).await;
}
