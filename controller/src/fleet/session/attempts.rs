//! What an agent says of its attempts, handed to `lifecycle`. The agent's id stands in every
//! statement: of another agent's attempt it is told nothing but to stop.

use super::drive::signed;
use crate::db::Tx;
use crate::events::{Context, Event};
use crate::fleet::progress::{self, LiveProgress};
use crate::fleet::sessions::Command;
use crate::fleet::{AgentPeer, Fleet};
use crate::lifecycle::Failure;
use crate::lifecycle::attempt::{
    Attempt, AttemptEvent, AttemptState, attempt_apply, attempt_get, attempt_get_of_agent,
    attempt_lease_renew, attempt_list_live_of_agent, attempt_progress,
};
use crate::lifecycle::controller::controller_get;
use crate::lifecycle::run::{RunEvent, RunState, run_apply, run_get};
use jiff::{SignedDuration, Timestamp};
use provado_model::id::AttemptId;
use provado_model::time::Monotonic;
use provado_model::{Error, Reason, time};
use provado_proto::agent::v1::{AttemptProgress, AttemptRef, AttemptRefused, HeartbeatAck};
use provado_proto::common::v1::FailureKind;
use std::collections::{BTreeMap, HashMap};

/// Attempts that one message may list; an agent has a handful.
const ATTEMPTS_LISTED_MAX: usize = 256;
/// How often a change that lost a race is tried again before the agent must repeat it.
const RETRIES_MAX: u32 = 3;

/// When each attempt's progress was last written into its row, by this stream.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    written: HashMap<AttemptId, Monotonic>,
}

impl Fleet {
    /// Renews the leases of all attempts in hand; those that the agent should stop.
    pub(super) async fn heartbeat(
        &self,
        ctx: &Context,
        peer: &AgentPeer,
        attempts: &[AttemptRef],
    ) -> Result<Vec<AttemptRef>, Error> {
        if attempts.is_empty() {
            // An idle fleet writes nothing.
            return Ok(Vec::new());
        }
        let mut tx = self.core.db.begin().await?;
        let stop = self.renew_leases(&mut tx, ctx, peer, attempts).await?;
        tx.commit().await?;
        Ok(stop)
    }

    /// The same within a transaction.
    pub(super) async fn renew_leases(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        peer: &AgentPeer,
        attempts: &[AttemptRef],
    ) -> Result<Vec<AttemptRef>, Error> {
        if attempts.is_empty() {
            return Ok(Vec::new());
        }
        let bound = u32::try_from(ATTEMPTS_LISTED_MAX).unwrap_or(u32::MAX);
        let live: HashMap<String, Attempt> = attempt_list_live_of_agent(tx, peer.id, bound)
            .await?
            .into_iter()
            .map(|attempt| (attempt.id.to_string(), attempt))
            .collect();
        let mut stop = Vec::new();
        for listed in attempts.iter().take(ATTEMPTS_LISTED_MAX) {
            let known = live.get(&listed.attempt_id);
            match known.filter(|known| i64::from(known.number) == listed.fence) {
                Some(known) => {
                    attempt_lease_renew(tx, known, peer.id, self.lease_until(ctx.now)).await?;
                }
                // One that has ended is settled by its report, which is answered by itself.
                None if listed.ended => {}
                None if is_lost(tx, peer, listed).await? => {}
                None => stop.push(listed.clone()),
            }
        }
        Ok(stop)
    }

    /// The agent has an attempt in its journal.
    pub(super) async fn accepted(
        &self,
        ctx: &Context,
        peer: &AgentPeer,
        attempt: Option<AttemptRef>,
    ) -> Result<Option<Command>, Error> {
        let Some(named) = attempt else {
            return Ok(None);
        };
        for _ in 0..RETRIES_MAX {
            let mut tx = self.core.db.begin().await?;
            let Some(found) = named_attempt(&mut tx, peer, &named).await? else {
                return unless_lost(tx, peer, named).await;
            };
            if found.state != AttemptState::Offered {
                // Said twice, or overtaken by its own progress.
                tx.rollback().await?;
                return Ok(found.state.is_final().then(|| stop_it(named)));
            }
            let event = AttemptEvent::Accept {
                lease_until: self.lease_until(ctx.now),
            };
            if !is_stale(attempt_apply(&mut tx, ctx, &found, event).await.map(drop))? {
                tx.commit().await?;
                return Ok(None);
            }
            tx.rollback().await?;
        }
        Ok(None)
    }

    /// The agent will not take an attempt.
    pub(super) async fn refused(
        &self,
        ctx: &Context,
        peer: &AgentPeer,
        refused: AttemptRefused,
    ) -> Result<Option<Command>, Error> {
        let Some(named) = refused.attempt else {
            return Ok(None);
        };
        let failure = failure_of(refused.failure.unwrap_or_default());
        for _ in 0..RETRIES_MAX {
            let mut tx = self.core.db.begin().await?;
            let found = named_attempt(&mut tx, peer, &named).await?;
            let Some(found) = found.filter(|found| found.state == AttemptState::Offered) else {
                // Whatever became of it, the agent has no part in it.
                tx.rollback().await?;
                return Ok(None);
            };
            let event = AttemptEvent::Refuse(failure.clone());
            if !is_stale(attempt_apply(&mut tx, ctx, &found, event).await.map(drop))? {
                tx.commit().await?;
                return Ok(None);
            }
            tx.rollback().await?;
        }
        Ok(None)
    }

    /// The agent tells how far an attempt is: at once in memory, every few seconds in the row.
    pub(super) async fn progressed(
        &self,
        ctx: &Context,
        peer: &AgentPeer,
        throttle: &mut Throttle,
        told: AttemptProgress,
    ) -> Result<Option<Command>, Error> {
        let (Some(named), Some(latest)) = (told.attempt, told.progress) else {
            return Ok(None);
        };
        let Ok(id) = named.attempt_id.parse::<AttemptId>() else {
            return Ok(Some(stop_it(named)));
        };
        let latest = progress::bounded(latest, ctx.now);
        let now = self.core.clock.monotonic();
        let due = throttle
            .written
            .get(&id)
            .is_none_or(|last| now.since(*last) >= progress::WRITE_PERIOD);
        if due {
            let Some(found) = self.progress_write(ctx, peer, &named, &latest).await? else {
                throttle.written.remove(&id);
                let tx = self.core.db.read().await?;
                return unless_lost(tx, peer, named).await;
            };
            if throttle.written.len() >= ATTEMPTS_LISTED_MAX {
                throttle.written.clear();
            }
            throttle.written.insert(id, now);
            self.show(ctx, &found, latest);
        } else if let Ok(run) = named.run_id.parse() {
            // The row was seen to be this agent's a moment ago; the run's id is held against it.
            let seen = self.progress.get(run);
            if seen.is_some_and(|seen| seen.attempt == id) {
                let number = u32::try_from(named.fence).unwrap_or(0);
                let live = LiveProgress {
                    attempt: id,
                    number,
                    progress: latest,
                    time: ctx.now,
                };
                self.progress.put(run, live);
                ctx.bus.publish(Event::Progress { run });
            }
        }
        Ok(None)
    }

    fn lease_until(&self, now: Timestamp) -> Timestamp {
        let lease = SignedDuration::try_from(self.times.lease).unwrap_or(SignedDuration::MAX);
        now.saturating_add(lease).unwrap_or(Timestamp::MAX)
    }

    fn show(&self, ctx: &Context, attempt: &Attempt, latest: provado_proto::common::v1::Progress) {
        let live = LiveProgress {
            attempt: attempt.id,
            number: attempt.number,
            progress: latest,
            time: ctx.now,
        };
        self.progress.put(attempt.run_id, live);
        ctx.bus.publish(Event::Progress {
            run: attempt.run_id,
        });
    }

    /// Writes progress into the row, and starts attempt and run at the first of it; none when the
    /// agent should stop.
    async fn progress_write(
        &self,
        ctx: &Context,
        peer: &AgentPeer,
        named: &AttemptRef,
        latest: &provado_proto::common::v1::Progress,
    ) -> Result<Option<Attempt>, Error> {
        for _ in 0..RETRIES_MAX {
            let mut tx = self.core.db.begin().await?;
            let Some(found) = named_attempt(&mut tx, peer, named).await? else {
                tx.rollback().await?;
                return Ok(None);
            };
            let lease_until = self.lease_until(ctx.now);
            if found.state.is_final() {
                tx.rollback().await?;
                return Ok(None);
            }
            if is_stale(start(&mut tx, ctx, found.clone(), lease_until).await)? {
                tx.rollback().await?;
                continue;
            }
            // Streams count their messages anew each time; the clock orders them across streams.
            let order = u64::try_from(time::to_micros(ctx.now)).unwrap_or(0);
            let json = progress::progress_to_json(latest);
            attempt_progress(&mut tx, ctx, &found, peer.id, order, &json).await?;
            tx.commit().await?;
            return Ok(Some(found));
        }
        Err(Error::new(
            Reason::VersionStale,
            format!("the attempt {} keeps changing", named.attempt_id),
        ))
    }
}

/// Moves an attempt and its run to RUNNING, if they are not there yet.
async fn start(
    tx: &mut Tx,
    ctx: &Context,
    mut attempt: Attempt,
    lease_until: Timestamp,
) -> Result<(), Error> {
    if attempt.state == AttemptState::Offered {
        // The word of its acceptance was lost; progress says as much.
        attempt = attempt_apply(tx, ctx, &attempt, AttemptEvent::Accept { lease_until }).await?;
    }
    if attempt.state == AttemptState::Accepted {
        let event = AttemptEvent::Start { lease_until };
        let attempt = attempt_apply(tx, ctx, &attempt, event).await?;
        let run = run_get(tx, attempt.run_id).await?;
        if let Some(run) = run.filter(|run| run.state == RunState::Dispatched) {
            run_apply(tx, ctx, &run, RunEvent::Start).await?;
        }
    }
    Ok(())
}

/// The attempt that a message names, if it is this agent's and of this fence.
async fn named_attempt(
    tx: &mut Tx,
    peer: &AgentPeer,
    named: &AttemptRef,
) -> Result<Option<Attempt>, Error> {
    let Ok(id) = named.attempt_id.parse::<AttemptId>() else {
        return Ok(None);
    };
    let found = attempt_get_of_agent(tx, id, peer.id).await?;
    Ok(found.filter(|found| signed(u64::from(found.number)) == named.fence))
}

/// Whether an attempt is one that this database has lost: it came to an older copy, and nothing of
/// the attempt is in it. Its agent goes on, and what it makes stays in the repository.
async fn is_lost(tx: &mut Tx, peer: &AgentPeer, named: &AttemptRef) -> Result<bool, Error> {
    let Ok(id) = named.attempt_id.parse::<AttemptId>() else {
        return Ok(false);
    };
    let (Ok(run), Ok(number)) = (named.run_id.parse(), u32::try_from(named.fence)) else {
        return Ok(false);
    };
    // Another agent's attempt is not lost, nor is one whose number was given anew.
    let is_known = attempt_get_of_agent(tx, id, peer.id).await?.is_some()
        || attempt_get(tx, run, number).await?.is_some();
    Ok(!is_known && controller_get(tx).await?.has_lost_rows())
}

/// Tells the agent to stop an attempt, unless this database has lost it.
async fn unless_lost(
    mut tx: Tx,
    peer: &AgentPeer,
    named: AttemptRef,
) -> Result<Option<Command>, Error> {
    let lost = is_lost(&mut tx, peer, &named).await?;
    tx.rollback().await?;
    Ok((!lost).then(|| stop_it(named)))
}

/// Tells the agent to stop an attempt that is no longer its own.
fn stop_it(named: AttemptRef) -> Command {
    Command::HeartbeatAck(HeartbeatAck {
        checkpoint: String::new(),
        superseded_attempts: vec![named],
    })
}

/// Whether a change lost a race; other errors are passed on.
fn is_stale(outcome: Result<(), Error>) -> Result<bool, Error> {
    match outcome {
        Ok(()) => Ok(false),
        Err(error) if error.reason == Reason::VersionStale => Ok(true),
        Err(error) => Err(error),
    }
}

/// A failure as an agent told it. An unknown reason is kept: the agent may be newer.
fn failure_of(told: provado_proto::common::v1::Failure) -> Failure {
    let reason = if told.reason.is_empty() {
        Reason::AttemptRefused.as_str().to_owned()
    } else {
        told.reason.chars().take(64).collect()
    };
    let kind = told
        .kind()
        .as_str_name()
        .trim_start_matches("FAILURE_KIND_")
        .to_ascii_lowercase();
    let kind = if told.kind() == FailureKind::Unspecified {
        Reason::AttemptRefused.kind().as_str().to_owned()
    } else {
        kind
    };
    let context: BTreeMap<String, String> = told.metadata.into_iter().take(64).collect();
    Failure {
        kind,
        reason,
        message: told.message.chars().take(4_096).collect(),
        context,
    }
}
