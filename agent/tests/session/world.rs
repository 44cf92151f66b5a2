//! An agent on disk, its scripted jobs, and the controller it belongs to.

use crate::controller::{Controller, Part};
use async_trait::async_trait;
use provado_agent::app::{Agent, Running, StartError};
use provado_agent::config::Config;
use provado_agent::executor::Jobs;
use provado_agent::jobs::{self, JobContext};
use provado_agent::join::{self, JoinError, Joined};
use provado_agent::membership::HomeError;
use provado_model::id::{AttemptId, RunId};
use provado_model::random::OsEntropy;
use provado_model::time::SystemClock;
use provado_model::{Error, Reason};
use provado_proto::agent::v1::session_request::Message as Up;
use provado_proto::agent::v1::session_response::Message as Down;
use provado_proto::agent::v1::{
    AttemptRef, AttemptResult, InitJob, Job, Outcome, StartAttempt, job::Kind,
};
use provado_proto::common::v1::Progress;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// What a test waits for at most.
pub const BOUND: Duration = Duration::from_mins(1);

/// Jobs that end when the test lets them, or when they are canceled.
#[derive(Debug)]
pub struct Scripted {
    pub started: AtomicUsize,
    go: Semaphore,
}

impl Scripted {
    /// Lets one job end well.
    pub fn let_go(&self) {
        self.go.add_permits(1);
    }
}

#[async_trait]
impl Jobs for Scripted {
    async fn run(&self, _job: Job, context: &JobContext) -> Outcome {
        self.started.fetch_add(1, Ordering::SeqCst);
        context.info("at work");
        context.observer.progress(Progress {
            done_bytes: 7,
            ..Progress::default()
        });
        tokio::select! {
            permit = self.go.acquire() => permit.unwrap().forget(),
            () = context.cancel.canceled() => {
                return jobs::failed(&Error::new(Reason::Canceled, "canceled"));
            }
        }
        Outcome {
            result: AttemptResult::Succeeded.into(),
            ..Outcome::default()
        }
    }
}

pub struct World {
    pub folder: tempfile::TempDir,
    pub controller: Controller,
    pub jobs: Arc<Scripted>,
    pub running: Option<Running>,
}

impl World {
    /// A host that has not joined.
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            controller: Controller::new(),
            jobs: Arc::new(Scripted {
                started: AtomicUsize::new(0),
                go: Semaphore::new(0),
            }),
            running: None,
        }
    }

    /// An agent that has joined and is connected.
    pub async fn connected() -> Self {
        let mut world = Self::new();
        world.join().await.unwrap();
        world.start().await;
        world
    }

    pub fn config(&self) -> Config {
        Config {
            data_dir: self.folder.path().join("agent"),
            drill_directory: self.folder.path().to_owned(),
            discover: false,
            ..Config::default()
        }
    }

    pub async fn join(&self) -> Result<Joined, JoinError> {
        self.join_with(&self.controller.join_string()).await
    }

    pub async fn join_with(&self, join_string: &str) -> Result<Joined, JoinError> {
        let (clock, entropy) = (SystemClock::shared(), OsEntropy::shared());
        join::join(&self.config(), join_string, Some("db1"), clock, entropy).await
    }

    pub async fn try_start(&self) -> Result<Running, StartError> {
        let (clock, entropy) = (SystemClock::shared(), OsEntropy::shared());
        Agent::start_with(self.config(), clock, entropy, self.jobs.clone()).await
    }

    pub async fn start(&mut self) {
        let streams = self.controller.part().streams;
        // One that was killed gives its lock back a moment later.
        let started = async {
            loop {
                match self.try_start().await {
                    Err(StartError::Home(HomeError::InUse { .. })) => {
                        tokio::task::yield_now().await;
                    }
                    other => return other.unwrap(),
                }
            }
        };
        self.running = Some(tokio::time::timeout(BOUND, started).await.unwrap());
        self.controller
            .until("the agent connects", |part| part.streams > streams)
            .await;
    }

    /// The agent is gone without a word, as a killed process is.
    pub fn kill(&mut self) {
        self.running = None;
    }

    pub async fn start_attempt(&self, named: &AttemptRef, epoch: i64) {
        let start = StartAttempt {
            attempt: Some(named.clone()),
            epoch,
            job: Some(Job {
                kind: Some(Kind::Init(InitJob::default())),
            }),
        };
        self.controller.say(Down::StartAttempt(start)).await;
    }

    pub async fn accepted(&self, named: &AttemptRef, times: usize) {
        self.controller
            .until("the attempt is accepted", |part| {
                accepted_count(part, named) >= times
            })
            .await;
    }

    pub fn started(&self) -> usize {
        self.jobs.started.load(Ordering::SeqCst)
    }
}

pub fn attempt(fence: i64) -> AttemptRef {
    let (clock, entropy) = (SystemClock::shared(), OsEntropy::shared());
    AttemptRef {
        attempt_id: AttemptId::new(&*clock, &*entropy).to_string(),
        run_id: RunId::new(&*clock, &*entropy).to_string(),
        fence,
        ended: false,
    }
}

pub fn accepted_count(part: &Part, named: &AttemptRef) -> usize {
    part.ups
        .iter()
        .filter(|up| matches!(up, Up::AttemptAccepted(it) if it.attempt.as_ref() == Some(named)))
        .count()
}

/// The reason with which an attempt was refused.
pub fn refused(part: &Part, named: &AttemptRef) -> Option<String> {
    part.ups.iter().find_map(|up| match up {
        Up::AttemptRefused(it) if it.attempt.as_ref() == Some(named) => {
            it.failure.as_ref().map(|failure| failure.reason.clone())
        }
        _ => None,
    })
}
