//! A simulated agent: the real journal, outbox and witness in a directory that outlives it, the
//! real rules of what is accepted, reported and forgotten; in the place of the executor a list of
//! what is at work, in the place of the work a word about how it ends.

use crate::controller::{Ground, Link};
use crate::evidence;
use crate::sabotage::Sabotage;
use jiff::SignedDuration;
use provado_agent::app::{report_interrupted, settle_acknowledged};
use provado_agent::executor::{ATTEMPTS_IN_HAND_MAX, EndCause};
use provado_agent::inbox::{Decision, Inbox, Word};
use provado_agent::jobs::{self, AttemptName};
use provado_agent::journal::Journal;
use provado_agent::outbox::{BackupPlace, Ended, Outbox, interrupted};
use provado_agent::session::{Shown, Witness};
use provado_agent::wire;
use provado_controller::fleet::AgentPeer;
use provado_identity::SigningKey;
use provado_model::id::{AttemptId, RequestId};
use provado_model::{Error, Reason};
use provado_proto::agent::v1 as agent;
use provado_proto::agent::v1::session_request::Message as Up;
use provado_proto::agent::v1::session_response::Message as Down;
use provado_proto::common::v1::Progress;
use std::collections::BTreeMap;
use tempfile::TempDir;

/// The agent's host, and what is on its disk.
pub(crate) struct SimAgent {
    pub(crate) number: usize,
    pub(crate) peer: AgentPeer,
    pub(crate) key: SigningKey,
    home: TempDir,
    lives: usize,
    /// The agent itself, while it runs.
    pub(crate) process: Option<Process>,
    /// Every attempt that was ever started here, in order.
    pub(crate) starts: Vec<Start>,
    /// The highest epoch that it was ever shown.
    pub(crate) epoch_shown: i64,
}

/// One life of the agent.
pub(crate) struct Process {
    pub(crate) id: String,
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Outbox,
    witness: Witness,
    pub(crate) live: BTreeMap<AttemptId, Live>,
    pub(crate) link: Option<Link>,
}

/// An attempt at work.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) name: AttemptName,
    epoch: i64,
    job: agent::Job,
    pub(crate) cause: Option<EndCause>,
    done_count: i64,
}

/// An attempt that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) name: AttemptName,
    pub(crate) epoch: i64,
    /// The highest epoch that the agent had been shown before.
    pub(crate) shown: i64,
}

/// How a job ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Good,
    Failed,
    Damaged,
    Incomplete,
    Stopped,
}

impl SimAgent {
    pub(crate) fn new(number: usize, peer: AgentPeer, key: SigningKey) -> Self {
        Self {
            number,
            peer,
            key,
            home: tempfile::tempdir().unwrap(),
            lives: 0,
            process: None,
            starts: Vec::new(),
            epoch_shown: 0,
        }
    }

    /// Starts the agent: what was cut short is reported as such, as its real start does.
    pub(crate) fn start(&mut self, ground: &Ground, sabotage: Sabotage) {
        self.lives += 1;
        if sabotage == Sabotage::JournalForgets {
            self.home = tempfile::tempdir().unwrap();
        }
        let journal = |name: &str| Journal::open(self.home.path().join(name)).unwrap();
        let inbox = Inbox::open(journal("inbox"), journal("state")).unwrap();
        let outbox = Outbox::open(journal("outbox")).unwrap();
        for record in settle_acknowledged(&inbox, &outbox).unwrap() {
            report_interrupted(&outbox, &record, &*ground.clock, &*ground.entropy).unwrap();
        }
        self.process = Some(Process {
            id: format!("{}-{}", self.peer.name, self.lives),
            inbox,
            outbox,
            witness: Witness::open(journal("state"), ground.key.public_key()).unwrap(),
            live: BTreeMap::new(),
            link: None,
        });
    }

    /// Takes a message of the controller; what it answers.
    pub(crate) fn take(&mut self, down: Down, ground: &Ground) -> Result<Vec<Up>, String> {
        let Some(process) = &mut self.process else {
            return Ok(Vec::new());
        };
        let shown = self.epoch_shown;
        match down {
            Down::StartAttempt(start) => {
                self.epoch_shown = shown.max(start.epoch);
                let (answer, started) = process.begin(start, ground);
                if let Some((name, epoch)) = started {
                    self.starts.push(Start { name, epoch, shown });
                }
                return Ok(vec![answer]);
            }
            Down::CancelAttempt(cancel) => {
                self.epoch_shown = shown.max(cancel.epoch);
                process.cancel(&cancel);
            }
            Down::HeartbeatAck(ack) => {
                process.look_at(&ack.checkpoint)?;
                process.supersede(&ack.superseded_attempts);
            }
            Down::Welcome(welcome) => {
                self.epoch_shown = shown.max(welcome.epoch);
                process.witness.obey(welcome.epoch).unwrap();
                process.look_at(&welcome.checkpoint)?;
                process.supersede(&welcome.superseded_attempts);
            }
            Down::Drain(_) | Down::RenewNow(_) => {}
        }
        Ok(Vec::new())
    }

    /// Ends an attempt that is at work; its outcome is on disk, unless it was superseded.
    pub(crate) fn finish(&mut self, attempt: AttemptId, end: End, ground: &Ground) -> End {
        let process = self.process.as_mut().unwrap();
        let live = process.live.remove(&attempt).unwrap();
        if live.cause == Some(EndCause::Superseded) {
            process.inbox.settle(live.name, Word::Other).unwrap();
            return End::Stopped;
        }
        let (end, outcome) = live.outcome(end, &self.key);
        let request = RequestId::new(&*ground.clock, &*ground.entropy);
        let place = BackupPlace::of(&live.job);
        let ended = Ended::new(
            (live.name, live.epoch),
            request,
            outcome,
            Vec::new(),
            place.filter(|_| end == End::Good),
        );
        process.outbox.put(ended).unwrap();
        end
    }
}

impl Process {
    pub(crate) fn hello(&self) -> Up {
        Up::Hello(agent::Hello {
            protocol_version: 1,
            capabilities: jobs::capabilities(),
            host: None,
            attempts: self.attempts(),
            epoch: self.witness.epoch(),
            checkpoint: self.witness.checkpoint(),
            process_id: self.id.clone(),
            generation: 1,
        })
    }

    pub(crate) fn heartbeat(&self) -> Up {
        Up::Heartbeat(agent::Heartbeat {
            attempts: self.attempts(),
            agent_time: None,
            checkpoint: self.witness.checkpoint(),
        })
    }

    /// How far an attempt is.
    pub(crate) fn progress(&mut self, attempt: AttemptId) -> Up {
        let live = self.live.get_mut(&attempt).unwrap();
        live.done_count += 1;
        Up::AttemptProgress(agent::AttemptProgress {
            attempt: Some(wire::attempt_ref(live.name, false)),
            progress: Some(Progress {
                done_count: live.done_count,
                ..Progress::default()
            }),
        })
    }

    /// The attempts whose turn it is: older ones of the same run have ended.
    pub(crate) fn at_work(&self) -> Vec<AttemptId> {
        let has_older = |name: AttemptName| {
            let mut of_run = self.live.values().filter(|it| it.name.run == name.run);
            of_run.any(|it| it.name.fence < name.fence)
        };
        let ready = self.live.values().filter(|live| !has_older(live.name));
        ready.map(|live| live.name.attempt).collect()
    }

    fn attempts(&self) -> Vec<agent::AttemptRef> {
        let accepted = self.inbox.accepted();
        let refs = accepted.iter().map(|record| {
            let ended = self.outbox.holds(record.name.attempt);
            wire::attempt_ref(record.name, ended)
        });
        refs.collect()
    }

    /// The real agent's decision about an attempt, with the real journal.
    fn begin(
        &mut self,
        start: agent::StartAttempt,
        ground: &Ground,
    ) -> (Up, Option<(AttemptName, i64)>) {
        let named = start.attempt.unwrap();
        let name = wire::attempt_name(&named).unwrap();
        let job = start.job.unwrap_or_default();
        match self.decide(name, start.epoch, &job, ground) {
            Err(error) => (
                Up::AttemptRefused(agent::AttemptRefused {
                    attempt: Some(named),
                    failure: Some(jobs::failure(&error)),
                }),
                None,
            ),
            Ok(is_new) => (
                Up::AttemptAccepted(agent::AttemptAccepted {
                    attempt: Some(named),
                }),
                is_new.then_some((name, start.epoch)),
            ),
        }
    }

    fn decide(
        &mut self,
        name: AttemptName,
        epoch: i64,
        job: &agent::Job,
        ground: &Ground,
    ) -> Result<bool, Error> {
        let is_known = self.inbox.accepted().iter().any(|it| it.name == name);
        if !self.witness.obey(epoch).unwrap() && !is_known {
            return Err(Error::new(Reason::VersionStale, "an older epoch"));
        }
        if !is_known && self.live.len() >= ATTEMPTS_IN_HAND_MAX {
            return Err(Error::new(Reason::Busy, "the agent has its hands full"));
        }
        let now = ground.clock.now();
        match self.inbox.accept(name, epoch, job, now).unwrap() {
            Decision::Start => {}
            Decision::Duplicate => return Ok(false),
            Decision::EndedBefore | Decision::CarriedOut | Decision::Superseded => {
                return Err(Error::new(Reason::AttemptSuperseded, "it is over"));
            }
        }
        for older in self.live.values_mut() {
            if older.name.run == name.run && older.name.fence < name.fence {
                older.cause = Some(EndCause::Superseded);
            }
        }
        let live = Live {
            name,
            epoch,
            job: job.clone(),
            cause: None,
            done_count: 0,
        };
        self.live.insert(name.attempt, live);
        Ok(true)
    }

    fn cancel(&mut self, cancel: &agent::CancelAttempt) {
        let name = cancel.attempt.as_ref().and_then(wire::attempt_name);
        let is_obeyed = self.witness.obey(cancel.epoch).unwrap();
        if let Some(live) = name.and_then(|name| self.live.get_mut(&name.attempt))
            && is_obeyed
        {
            live.cause.get_or_insert(EndCause::Asked);
        }
    }

    fn supersede(&mut self, attempts: &[agent::AttemptRef]) {
        for name in attempts.iter().filter_map(wire::attempt_name) {
            if let Some(live) = self.live.get_mut(&name.attempt) {
                live.cause = Some(EndCause::Superseded);
            }
        }
    }

    fn look_at(&self, checkpoint: &str) -> Result<(), String> {
        if checkpoint.is_empty() {
            return Ok(());
        }
        match self.witness.show(checkpoint).unwrap() {
            Shown::Kept | Shown::Same => Ok(()),
            // One that was on its way for long is older than the one that is held.
            Shown::Inconsistent(why) if why.starts_with("it ends at event") => Ok(()),
            Shown::Inconsistent(why) | Shown::Foreign(why) | Shown::Replaced(why) => {
                Err(format!("an agent was shown a false checkpoint: {why}"))
            }
        }
    }
}

impl Live {
    /// What is reported in the light of why it was told to end.
    fn outcome(&self, end: End, key: &SigningKey) -> (End, agent::Outcome) {
        if end == End::Good {
            return (end, evidence::good(&self.job, key));
        }
        let told = match (self.cause, end) {
            (Some(EndCause::Asked | EndCause::Superseded), _) => Some(jobs::failed(&Error::new(
                Reason::Canceled,
                "canceled as asked",
            ))),
            (Some(EndCause::Stopping | EndCause::Stalled), _) | (None, End::Stopped) => {
                Some(interrupted("the agent was stopped during the attempt"))
            }
            (None, End::Damaged) => evidence::damaged(&self.job, key),
            (None, End::Incomplete) => evidence::incomplete(&self.job, key),
            (None, End::Failed | End::Good) => None,
        };
        let end = if told.is_none() { End::Failed } else { end };
        (end, told.unwrap_or_else(evidence::failed))
    }
}

/// What is wrong with the attempts that an agent started: each once, with a higher fence than any
/// of its run before, and never of an older epoch than it had been shown.
pub(crate) fn check_starts(starts: &[Start]) -> Vec<String> {
    let Some((newest, before)) = starts.split_last() else {
        return Vec::new();
    };
    let mut wrong = Vec::new();
    let name = newest.name;
    if before.iter().any(|it| it.name.attempt == name.attempt) {
        wrong.push(format!("attempt {} was started before", name.attempt));
    }
    let of_run = before.iter().filter(|it| it.name.run == name.run);
    if let Some(highest) = of_run.map(|it| it.name.fence).max()
        && highest >= name.fence
    {
        wrong.push(format!(
            "run {} was started with fence {} after fence {highest}",
            name.run, name.fence
        ));
    }
    if newest.epoch < newest.shown {
        wrong.push(format!(
            "attempt {} of epoch {} was started after epoch {}",
            name.attempt, newest.epoch, newest.shown
        ));
    }
    wrong
}

/// How often an agent that has nothing else to say is heard.
pub(crate) const HEARTBEAT: SignedDuration = SignedDuration::from_secs(10);
