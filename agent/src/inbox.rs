//! Accepted attempts on disk: what the agent has promised to do, before it starts.
//!
//! One record an attempt, synced before the promise is given. A run's lower fence is refused, a
//! duplicate is answered from here, and what has ended is remembered for a while, so that a late
//! copy of a command starts nothing. Secrets of a job (an operator's sealed identity, a
//! repository's segment key) never get here.

use crate::jobs::{self, AttemptName};
use crate::journal::{Journal, JournalError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use prost::Message as _;
use provado_model::id::{AttemptId, RunId};
use provado_proto::agent::v1::job::Kind;
use provado_proto::agent::v1::{Job, RepositoryTarget};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Ended attempts that are remembered.
pub const ENDED_MAX: usize = 1_000;
const ENDED: &str = "ended";

/// One accepted attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// Version of this record; 1.
    pub format_version: u32,
    /// Which attempt.
    pub name: AttemptName,
    /// The epoch it was started under.
    pub epoch: i64,
    /// The job's kind, for people.
    pub kind: String,
    /// The job without its secrets, as protobuf in base64.
    job: String,
    /// When it was accepted.
    pub accept_time: Timestamp,
}

impl Accepted {
    fn new(name: AttemptName, epoch: i64, job: &Job, accept_time: Timestamp) -> Self {
        Self {
            format_version: 1,
            name,
            epoch,
            kind: jobs::kind_word(job).to_owned(),
            job: STANDARD.encode(without_secrets(job.clone()).encode_to_vec()),
            accept_time,
        }
    }

    /// The job without its secrets; an empty one where the record holds none that can be read.
    pub fn job(&self) -> Job {
        let bytes = STANDARD.decode(&self.job).unwrap_or_default();
        Job::decode(bytes.as_slice()).unwrap_or_default()
    }
}

/// What to do with an attempt that the controller wants started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is in the journal now: start it.
    Start,
    /// It was there already: say so, start nothing.
    Duplicate,
    /// It has ended and its outcome was acknowledged: refuse.
    EndedBefore,
    /// A newer attempt of the run is known: refuse.
    Superseded,
    /// The run was carried out here, and the controller once held it for a success: refuse. Its
    /// database is an older copy.
    CarriedOut,
}

/// The journal of accepted attempts.
#[derive(Debug)]
pub struct Inbox {
    records: Journal,
    memory: Journal,
    state: Mutex<State>,
}

/// An attempt that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct EndedBefore {
    #[serde(flatten)]
    name: AttemptName,
    /// Whether the controller acknowledged it as a success: then its run is over for good.
    #[serde(default)]
    good: bool,
}

/// What the controller said of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It holds the run for a success.
    Good,
    /// Anything else, or nothing.
    Other,
}

#[derive(Debug, Default)]
struct State {
    accepted: HashMap<AttemptId, Accepted>,
    ended: VecDeque<EndedBefore>,
}

impl State {
    fn highest_fence(&self, run: RunId) -> Option<i64> {
        let accepted = self.accepted.values().map(|record| record.name);
        accepted
            .chain(self.ended.iter().map(|ended| ended.name))
            .filter(|name| name.run == run)
            .map(|name| name.fence)
            .max()
    }
}

impl Inbox {
    /// Reads the journal. `memory` is where ended attempts are remembered. A damaged record is an
    /// error: the agent must not start as if it had promised nothing.
    pub fn open(records: Journal, memory: Journal) -> Result<Self, JournalError> {
        let accepted = records
            .read_all::<Accepted>()?
            .into_iter()
            .map(|(_, record)| (record.name.attempt, record))
            .collect();
        let ended = memory.read(ENDED)?.unwrap_or_default();
        let state = Mutex::new(State { accepted, ended });
        Ok(Self {
            records,
            memory,
            state,
        })
    }

    /// Decides about an attempt; when the answer is [`Decision::Start`] it is on disk, synced.
    pub fn accept(
        &self,
        name: AttemptName,
        epoch: i64,
        job: &Job,
        now: Timestamp,
    ) -> Result<Decision, JournalError> {
        let mut state = self.state();
        if let Some(known) = state.accepted.get(&name.attempt) {
            return Ok(if known.name == name {
                Decision::Duplicate
            } else {
                Decision::Superseded
            });
        }
        if state
            .ended
            .iter()
            .any(|ended| ended.name.attempt == name.attempt)
        {
            return Ok(Decision::EndedBefore);
        }
        let carried_out = |ended: &EndedBefore| ended.good && ended.name.run == name.run;
        if state.ended.iter().any(carried_out) {
            return Ok(Decision::CarriedOut);
        }
        // Equal fences name two attempts by one number: one of them is not meant for us.
        if state
            .highest_fence(name.run)
            .is_some_and(|highest| highest >= name.fence)
        {
            return Ok(Decision::Superseded);
        }
        let record = Accepted::new(name, epoch, job, now);
        self.records.write(&name.attempt.to_string(), &record)?;
        state.accepted.insert(name.attempt, record);
        Ok(Decision::Start)
    }

    /// Forgets an attempt that needs nothing more, but remembers that it has ended.
    pub fn settle(&self, name: AttemptName, word: Word) -> Result<(), JournalError> {
        let mut state = self.state();
        if !state.ended.iter().any(|ended| ended.name == name) {
            let mut ended = state.ended.clone();
            ended.push_back(EndedBefore {
                name,
                good: word == Word::Good,
            });
            while ended.len() > ENDED_MAX {
                ended.pop_front();
            }
            self.memory.write(ENDED, &ended)?;
            state.ended = ended;
        }
        self.records.remove(&name.attempt.to_string())?;
        state.accepted.remove(&name.attempt);
        Ok(())
    }

    /// Everything accepted and not settled, in the order of acceptance.
    pub fn accepted(&self) -> Vec<Accepted> {
        let mut out: Vec<_> = self.state().accepted.values().cloned().collect();
        out.sort_by_key(|record| (record.accept_time, record.name.attempt));
        out
    }

    /// Instances that backups in hand are of: a sweep leaves their objects alone, also where the
    /// controller does not know of the backup.
    pub fn instances_in_hand(&self) -> BTreeSet<String> {
        let state = self.state();
        let jobs = state.accepted.values().map(|record| record.job().kind);
        jobs.filter_map(|kind| match kind {
            Some(Kind::Backup(backup)) => backup.instance.map(|instance| instance.instance_id),
            Some(_) | None => None,
        })
        .collect()
    }

    /// Whether this attempt is settled.
    pub fn is_settled(&self, attempt: AttemptId) -> bool {
        self.state()
            .ended
            .iter()
            .any(|ended| ended.name.attempt == attempt)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The job with every secret taken out.
fn without_secrets(mut job: Job) -> Job {
    let clear = |repository: &mut Option<RepositoryTarget>| {
        if let Some(repository) = repository {
            repository.segment_key.clear();
        }
    };
    match &mut job.kind {
        Some(Kind::Backup(backup)) => clear(&mut backup.repository),
        Some(Kind::Prune(prune)) => clear(&mut prune.repository),
        Some(Kind::Init(init)) => clear(&mut init.repository),
        Some(Kind::Scan(scan)) => {
            scan.sealed_identity.clear();
            clear(&mut scan.repository);
        }
        Some(Kind::Restore(it)) => without_identity(&mut it.backup, clear),
        Some(Kind::Check(it)) => without_identity(&mut it.backup, clear),
        Some(Kind::Drill(it)) => without_identity(&mut it.backup, clear),
        Some(Kind::Inspect(_)) | None => {}
    }
    job
}

fn without_identity(
    backup: &mut Option<provado_proto::agent::v1::BackupTarget>,
    clear: impl Fn(&mut Option<RepositoryTarget>),
) {
    if let Some(backup) = backup {
        backup.sealed_identity.clear();
        clear(&mut backup.repository);
    }
}

#[cfg(test)]
mod tests;
