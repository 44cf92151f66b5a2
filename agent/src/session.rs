//! The open stream to the controller: hello, heartbeats, progress one way, commands the other.
//!
//! It holds nothing that must not be lost. Commands of a lower epoch than the highest seen are
//! refused, accepted attempts are in the inbox before the controller hears of it, and a stream
//! that ends is dialed again after a span drawn at random.

mod commands;
mod renewal;
mod stream;
mod witness;

pub use renewal::{Renewal, RenewalError};
pub use witness::{Shown, Witness};

use crate::executor::{Executor, ProgressBoard};
use crate::inbox::Inbox;
use crate::link::{CallError, Link, LinkError};
use crate::outbox::Outbox;
use crate::wait::{Backoff, pause};
use provado_model::random::Entropy;
use provado_model::time::Clock;
use provado_proto::agent::v1::AttemptRef;
use provado_repository::Cancel;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The first and the longest ceiling of the wait before the agent dials again.
const AGAIN_FIRST: Duration = Duration::from_millis(500);
const AGAIN_MOST: Duration = Duration::from_secs(15);

/// What a session works with.
#[derive(Debug)]
pub struct Session {
    /// The way to the controller.
    pub link: Arc<Link>,
    /// What was promised.
    pub inbox: Arc<Inbox>,
    /// Outcomes not acknowledged.
    pub outbox: Arc<Outbox>,
    /// Carries out attempts.
    pub executor: Arc<Executor>,
    /// Where progress comes from.
    pub progress: Arc<ProgressBoard>,
    /// What is remembered of the controller.
    pub witness: Arc<Witness>,
    /// Renews the certificate.
    pub renewal: Arc<Renewal>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Names this process; two at once show a clone.
    pub process_id: String,
    /// Set when the agent takes nothing new because it stops.
    pub stopping: Arc<AtomicBool>,
}

/// Why a stream ended.
#[derive(Debug)]
enum End {
    /// No connection came about.
    Link(LinkError),
    /// The controller ended or refused the stream.
    Refused(CallError),
    /// The connection broke before the controller let the agent in. In TLS 1.3 that is how a
    /// refused certificate looks from this side.
    Unwelcome(CallError),
    /// Silence, or a broken connection.
    Lost(&'static str),
    /// The controller asked the agent to come back later.
    Drained(Duration),
    /// A new certificate is in use; the next stream is opened with it at once.
    Renewed,
}

impl Session {
    /// Keeps a stream open until told to stop.
    pub async fn run(self, stop: Cancel) {
        let mut backoff = Backoff::new(AGAIN_FIRST, AGAIN_MOST);
        loop {
            let end = tokio::select! {
                () = stop.canceled() => break,
                end = Box::pin(self.connect(&mut backoff)) => end,
            };
            self.link.withdraw();
            let wait = self.judge(end, &mut backoff);
            tokio::select! {
                () = stop.canceled() => break,
                () = pause(wait) => {}
            }
        }
        self.link.withdraw();
    }

    /// How long to wait before the next try; tells people what happened.
    fn judge(&self, end: End, backoff: &mut Backoff) -> Duration {
        // Whatever it looks like from here, an ended certificate is the reason.
        if let Some((time, way_back)) = self.renewal.ended() {
            tracing::error!(
                "the agent's certificate ended at {time}, so no controller lets it in; {way_back}"
            );
            backoff.slow();
            return backoff.next(&*self.entropy);
        }
        match end {
            End::Renewed => {
                backoff.reset();
                return Duration::ZERO;
            }
            End::Drained(delay) => {
                tracing::info!("the controller stops; dialing again later");
                return delay.saturating_add(backoff.next(&*self.entropy));
            }
            End::Lost(why) => tracing::warn!("the stream to the controller ended: {why}"),
            End::Refused(error) if error.needs_operator() => {
                tracing::error!(
                    error.reason = error.reason.map_or("", provado_model::Reason::as_str),
                    "the controller does not let this agent in; an operator must look with \
                     `provado agent list` whether it is locked or revoked: {error}"
                );
                backoff.slow();
            }
            End::Unwelcome(error) => tracing::warn!(
                "the connection broke before the controller let the agent in; if this goes on, \
                 look with `provado agent list` whether the agent is locked or revoked: {error}"
            ),
            End::Refused(error) if error.reason.is_none() => {
                tracing::warn!("the connection to the controller broke: {error}");
            }
            End::Refused(error) => tracing::warn!("the controller ended the stream: {error}"),
            End::Link(error) => {
                tracing::warn!("{}", provado_telemetry::chain(&error));
            }
        }
        backoff.next(&*self.entropy)
    }

    /// Every attempt that has not been settled, for hello and heartbeats.
    fn attempts(&self) -> Vec<AttemptRef> {
        let accepted = self.inbox.accepted();
        accepted
            .iter()
            .map(|record| {
                let ended = self.outbox.holds(record.name.attempt);
                crate::wire::attempt_ref(record.name, ended)
            })
            .collect()
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
