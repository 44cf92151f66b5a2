//! What the controller says, and what the agent makes of it.

use super::stream::Outbound;
use super::{End, Session};
use crate::executor::{EndCause, Order};
use crate::inbox::Decision;
use crate::jobs::{AttemptName, failure, kind_word};
use crate::wire;
use provado_model::{Error, Reason};
use provado_proto::agent::v1::session_request::Message as Up;
use provado_proto::agent::v1::session_response::Message as Down;
use provado_proto::agent::v1::{
    AttemptAccepted, AttemptRef, AttemptRefused, CancelAttempt, Drain, Job, StartAttempt,
};
use std::sync::Arc;
use std::time::Duration;

/// How long to stay away when the controller stops and does not say.
const DRAIN: Duration = Duration::from_secs(1);
/// How long to stay away at most.
const DRAIN_MAX: Duration = Duration::from_mins(1);

impl Session {
    /// Takes one message of the controller.
    pub(super) async fn take(&self, message: Down, outbound: &mut Outbound) -> Result<(), End> {
        match message {
            Down::StartAttempt(start) => Box::pin(self.start(start, outbound)).await,
            Down::CancelAttempt(cancel) => self.cancel(&cancel),
            Down::HeartbeatAck(ack) => {
                self.look_at(&ack.checkpoint);
                self.supersede(&ack.superseded_attempts);
                Ok(())
            }
            Down::Drain(Drain { reconnect_delay }) => {
                let delay = wire::span(reconnect_delay).unwrap_or(DRAIN).min(DRAIN_MAX);
                Err(End::Drained(delay))
            }
            // A welcome has its place at the beginning; a renewal was seen to before.
            Down::Welcome(_) | Down::RenewNow(_) => Ok(()),
        }
    }

    async fn start(&self, start: StartAttempt, outbound: &mut Outbound) -> Result<(), End> {
        let Some(named) = start.attempt else {
            return Ok(());
        };
        let Some(name) = wire::attempt_name(&named) else {
            let error = Error::new(Reason::InvalidArgument, "the ids of the attempt are no ids");
            return refuse(outbound, named, &error).await;
        };
        // One in hand stays so, whichever epoch repeats the command: nothing is started by it.
        let is_known = self.is_in_hand(name);
        if !self.obey(start.epoch)? && !is_known {
            // INV-EPOCH
            let error = Error::new(
                Reason::VersionStale,
                format!(
                    "the command is of epoch {}, and this agent has obeyed epoch {}",
                    start.epoch,
                    self.witness.epoch()
                ),
            );
            tracing::error!(attempt.id = %name.attempt, "{error}");
            return refuse(outbound, named, &error).await;
        }
        let job = start.job.unwrap_or_default();
        match self.decide(name, start.epoch, job).await {
            Ok(()) => {
                let attempt = Some(named);
                let accepted = AttemptAccepted { attempt };
                outbound.send(Up::AttemptAccepted(accepted)).await
            }
            Err(error) => {
                tracing::warn!(attempt.id = %name.attempt, "an attempt is refused: {error}");
                refuse(outbound, named, &error).await
            }
        }
    }

    /// Whether the attempt is, or now will be, carried out.
    async fn decide(&self, name: AttemptName, epoch: i64, job: Job) -> Result<(), Error> {
        let is_known = self.is_in_hand(name);
        if !is_known && self.is_stopping() {
            return Err(Error::new(Reason::ServiceUnavailable, "the agent stops"));
        }
        if !is_known && self.executor.is_full() {
            return Err(Error::new(Reason::Busy, "the agent has its hands full"));
        }
        if job.kind.is_none() && !is_known {
            return Err(Error::new(
                Reason::Unimplemented,
                "this agent does not know the job; upgrade it to the controller's version",
            ));
        }
        let (inbox, written, now) = (Arc::clone(&self.inbox), job.clone(), self.clock.now());
        let decision =
            tokio::task::spawn_blocking(move || inbox.accept(name, epoch, &written, now)).await;
        let decision = decision
            .map_err(|error| Error::internal("the journal ended by a bug").caused_by(error))?
            .map_err(|error| {
                let message = format!("the agent's journal cannot be written: {error}");
                Error::new(Reason::ServiceUnavailable, message).caused_by(error)
            })?;
        match decision {
            Decision::Start => {
                tracing::info!(
                    run.id = %name.run,
                    attempt.id = %name.attempt,
                    "{} accepted",
                    kind_word(&job)
                );
                self.executor.start(Order { name, epoch, job });
                Ok(())
            }
            Decision::Duplicate => Ok(()),
            Decision::EndedBefore => Err(Error::new(
                Reason::AttemptSuperseded,
                "this attempt has ended, and its outcome was acknowledged before",
            )),
            Decision::CarriedOut => Err(Error::new(
                Reason::RunEnded,
                "this agent has carried the run out, and the controller held it for a success: \
                 its database is an older copy. A backup is brought back by `provado repository \
                 scan`",
            )),
            Decision::Superseded => Err(Error::new(
                Reason::AttemptSuperseded,
                "this agent knows a newer attempt of the run",
            )),
        }
    }

    fn is_in_hand(&self, name: AttemptName) -> bool {
        self.inbox.accepted().iter().any(|it| it.name == name)
    }

    fn cancel(&self, cancel: &CancelAttempt) -> Result<(), End> {
        let Some(name) = cancel.attempt.as_ref().and_then(wire::attempt_name) else {
            return Ok(());
        };
        if !self.obey(cancel.epoch)? {
            tracing::error!(
                attempt.id = %name.attempt,
                "a cancel command of the older epoch {} is not obeyed",
                cancel.epoch
            );
            return Ok(());
        }
        if self.executor.end(name.attempt, EndCause::Asked) {
            tracing::info!(
                run.id = %name.run,
                attempt.id = %name.attempt,
                "canceled: {}",
                cancel.message
            );
        }
        Ok(())
    }

    /// Stops attempts that are no longer this agent's. One that has ended is settled by its
    /// report, whose answer says so too.
    pub(super) fn supersede(&self, attempts: &[AttemptRef]) {
        for name in attempts.iter().filter_map(wire::attempt_name) {
            if self.executor.end(name.attempt, EndCause::Superseded) {
                tracing::warn!(
                    run.id = %name.run,
                    attempt.id = %name.attempt,
                    "the attempt was superseded and is stopped"
                );
            }
        }
    }
}

async fn refuse(outbound: &mut Outbound, named: AttemptRef, error: &Error) -> Result<(), End> {
    let refused = AttemptRefused {
        attempt: Some(named),
        failure: Some(failure(error)),
    };
    outbound.send(Up::AttemptRefused(refused)).await
}
