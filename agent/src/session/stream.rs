//! One stream from hello to its end.

use super::{End, Session, Shown};
use crate::jobs::{self, wire_time};
use crate::link::CallError;
use crate::wait::{Backoff, pause};
use crate::{host, wire};
use provado_model::time::Monotonic;
use provado_model::{limits, random};
use provado_proto::agent::v1::session_request::Message as Up;
use provado_proto::agent::v1::session_response::Message as Down;
use provado_proto::agent::v1::session_service_client::SessionServiceClient;
use provado_proto::agent::v1::{
    AttemptProgress, Heartbeat, Hello, SessionRequest, SessionResponse, Welcome,
};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

/// The version of the agent protocol that is spoken here.
const PROTOCOL_VERSION: i32 = 1;
/// Messages on their way up at most.
const OUTBOUND_MAX: usize = 64;
/// How long the controller may take to let the agent in: it may have to find out first whether
/// an older process of this agent still lives.
const WELCOME: Duration = Duration::from_mins(1);
/// How long a message may wait for its place in the stream.
const SEND: Duration = Duration::from_secs(20);
/// The shortest time between two messages of progress.
const PROGRESS_PERIOD: Duration = Duration::from_millis(250);
/// Heartbeats that may stay without an answer.
const SILENT_HEARTBEATS_MAX: u32 = 3;

/// The way up.
#[derive(Debug)]
pub(super) struct Outbound {
    sender: mpsc::Sender<SessionRequest>,
    sequence: i64,
}

impl Outbound {
    /// Sends one message; fails when the stream takes none.
    pub(super) async fn send(&mut self, message: Up) -> Result<(), End> {
        self.sequence = self.sequence.saturating_add(1);
        let request = SessionRequest {
            sequence: self.sequence,
            message: Some(message),
        };
        let sent = self.sender.send_timeout(request, SEND).await;
        sent.map_err(|_| End::Lost("it takes no more messages"))
    }
}

/// When this stream's regular things are due, by the monotonic clock.
struct Periods {
    heartbeat: Duration,
    next_heartbeat: Monotonic,
    heard: Monotonic,
    next_progress: Monotonic,
}

enum Step {
    Message(Option<Box<SessionResponse>>),
    Broken(CallError),
    Due,
    Progress,
}

impl Session {
    /// Dials, says hello and serves the stream until it ends.
    pub(super) async fn connect(&self, backoff: &mut Backoff) -> End {
        let channel = match self.link.dial().await {
            Ok(channel) => channel,
            Err(error) => return End::Link(error),
        };
        match Box::pin(self.serve(channel, backoff)).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn serve(
        &self,
        channel: Channel,
        backoff: &mut Backoff,
    ) -> Result<std::convert::Infallible, End> {
        let (mut outbound, mut inbound, welcome) = self.enter(channel.clone()).await?;
        backoff.reset();
        let mut periods = self.periods(&welcome);
        self.welcomed(&welcome)?;
        self.link.publish(channel.clone());
        loop {
            match self.step(&mut inbound, &periods).await {
                Step::Message(None) => return Err(End::Lost("the controller closed it")),
                Step::Broken(error) => return Err(End::Refused(error)),
                Step::Message(Some(message)) => {
                    periods.heard = self.clock.monotonic();
                    if let Some(Down::RenewNow(_)) = message.message {
                        self.renew(channel.clone()).await?;
                    } else if let Some(message) = message.message {
                        self.take(message, &mut outbound).await?;
                    }
                }
                Step::Progress => {
                    let now = self.clock.monotonic();
                    periods.next_progress = now.plus(PROGRESS_PERIOD);
                    self.send_progress(&mut outbound).await?;
                }
                Step::Due => self.due(&mut outbound, &mut periods, &channel).await?,
            }
        }
    }

    /// Opens the stream and waits until the controller has let the agent in.
    async fn enter(
        &self,
        channel: Channel,
    ) -> Result<(Outbound, Streaming<SessionResponse>, Welcome), End> {
        let (sender, receiver) = mpsc::channel(OUTBOUND_MAX);
        let mut outbound = Outbound {
            sender,
            sequence: 0,
        };
        outbound.send(Up::Hello(self.hello())).await?;
        let mut client = SessionServiceClient::new(channel)
            .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(limits::MESSAGE_BYTES_MAX);
        let entered = tokio::time::timeout(WELCOME, async {
            let opened = client.session(ReceiverStream::new(receiver)).await;
            let mut inbound = opened.map_err(refused)?.into_inner();
            let first = inbound.message().await.map_err(refused)?;
            match first.and_then(|first| first.message) {
                Some(Down::Welcome(welcome)) => Ok((inbound, welcome)),
                Some(_) => Err(End::Lost("the controller's first word was no welcome")),
                None => Err(End::Lost("the controller closed it without a welcome")),
            }
        });
        let entered = entered.await;
        let (inbound, welcome) =
            entered.map_err(|_| End::Lost("the controller did not let the agent in in time"))??;
        Ok((outbound, inbound, welcome))
    }

    fn hello(&self) -> Hello {
        Hello {
            protocol_version: PROTOCOL_VERSION,
            capabilities: jobs::capabilities(),
            host: Some(host::facts()),
            attempts: self.attempts(),
            epoch: self.witness.epoch(),
            checkpoint: self.witness.checkpoint(),
            process_id: self.process_id.clone(),
            generation: self.renewal.generation(),
        }
    }

    fn periods(&self, welcome: &Welcome) -> Periods {
        let default = Duration::from_secs(limits::HEARTBEAT_SECONDS);
        let heartbeat = wire::span(welcome.heartbeat_interval).unwrap_or(default);
        let now = self.clock.monotonic();
        let mut periods = Periods {
            heartbeat: heartbeat.clamp(Duration::from_millis(50), Duration::from_mins(1)),
            next_heartbeat: now,
            heard: now,
            next_progress: now,
        };
        self.plan_heartbeat(&mut periods);
        periods
    }

    /// Up to a fifth early, so that a fleet that connected in one instant spreads out.
    fn plan_heartbeat(&self, periods: &mut Periods) {
        let period = periods.heartbeat;
        let fifth = u64::try_from(period.as_millis() / 5).unwrap_or(0);
        let early = Duration::from_millis(random::below(&*self.entropy, fifth.saturating_add(1)));
        let now = self.clock.monotonic();
        periods.next_heartbeat = now.plus(period.saturating_sub(early));
    }

    fn welcomed(&self, welcome: &Welcome) -> Result<(), End> {
        tracing::info!(
            agent.id = welcome.agent_id,
            controller.id = welcome.controller_id,
            controller.epoch = welcome.epoch,
            "connected to the controller"
        );
        if !self.obey(welcome.epoch)? {
            tracing::error!(
                controller.epoch = welcome.epoch,
                agent.epoch = self.witness.epoch(),
                "the controller is of an older epoch than this agent has obeyed: its database is \
                 an older copy, or two controllers are at work; its commands are refused"
            );
        }
        self.look_at(&welcome.checkpoint);
        self.supersede(&welcome.superseded_attempts);
        Ok(())
    }

    /// Notes an epoch; tells whether it may be obeyed.
    pub(super) fn obey(&self, epoch: i64) -> Result<bool, End> {
        self.witness.obey(epoch).map_err(|error| {
            tracing::error!(
                "the epoch cannot be written down, so nothing is obeyed: {}",
                provado_telemetry::chain(&error)
            );
            End::Lost("the agent's state cannot be written")
        })
    }

    /// Looks at a checkpoint the controller shows.
    pub(super) fn look_at(&self, checkpoint: &str) {
        if checkpoint.is_empty() {
            return;
        }
        match self.witness.show(checkpoint) {
            Ok(Shown::Kept | Shown::Same) => {}
            Ok(Shown::Replaced(why)) => tracing::warn!(
                "the controller's audit chain is another one than this agent was shown, {why}; an \
                 operator agreed to go on without the old one, whose last checkpoint is kept"
            ),
            Ok(Shown::Inconsistent(why)) => tracing::error!(
                "the controller's audit chain was cut or rewritten since this agent last looked: \
                 the checkpoint it shows does not fit, {why}; the agent keeps the one it holds"
            ),
            Ok(Shown::Foreign(why)) => {
                tracing::error!("the controller shows a checkpoint that is not its own: {why}");
            }
            Err(error) => tracing::error!(
                "the audit checkpoint cannot be kept: {}",
                provado_telemetry::chain(&error)
            ),
        }
    }

    async fn step(&self, inbound: &mut Streaming<SessionResponse>, periods: &Periods) -> Step {
        let now = self.clock.monotonic();
        let renewal_due = self.renewal.due().duration_since(self.clock.now());
        let renewal_due = Duration::try_from(renewal_due).unwrap_or(Duration::ZERO);
        let due = periods.next_heartbeat.since(now).min(renewal_due);
        let progress = async {
            self.progress.waiting().await;
            pause(periods.next_progress.since(self.clock.monotonic())).await;
        };
        tokio::select! {
            biased;
            message = inbound.message() => match message {
                Ok(message) => Step::Message(message.map(Box::new)),
                Err(status) => Step::Broken(status.into()),
            },
            () = pause(due) => Step::Due,
            () = progress => Step::Progress,
        }
    }

    async fn due(
        &self,
        outbound: &mut Outbound,
        periods: &mut Periods,
        channel: &Channel,
    ) -> Result<(), End> {
        if self.renewal.due() <= self.clock.now() {
            self.renew(channel.clone()).await?;
        }
        let now = self.clock.monotonic();
        if now >= periods.next_heartbeat {
            let patience = periods.heartbeat.saturating_mul(SILENT_HEARTBEATS_MAX);
            if now.since(periods.heard) > patience {
                return Err(End::Lost("the controller does not answer heartbeats"));
            }
            self.plan_heartbeat(periods);
            let heartbeat = Heartbeat {
                attempts: self.attempts(),
                agent_time: Some(wire_time(self.clock.now())),
                checkpoint: self.witness.checkpoint(),
            };
            outbound.send(Up::Heartbeat(heartbeat)).await?;
        }
        Ok(())
    }

    async fn send_progress(&self, outbound: &mut Outbound) -> Result<(), End> {
        for (name, progress) in self.progress.take() {
            let message = AttemptProgress {
                attempt: Some(wire::attempt_ref(name, false)),
                progress: Some(progress),
            };
            outbound.send(Up::AttemptProgress(message)).await?;
        }
        Ok(())
    }

    /// Renews the certificate. On success the stream ends, to be opened with the new one.
    async fn renew(&self, channel: Channel) -> Result<(), End> {
        match self.renewal.renew(channel).await {
            Ok(generation) => {
                tracing::info!(
                    certificate.generation = generation,
                    "the certificate was renewed"
                );
                Err(End::Renewed)
            }
            Err(error) => {
                tracing::warn!(
                    "the certificate was not renewed, trying again: {}",
                    provado_telemetry::chain(&error)
                );
                self.renewal.put_off();
                Ok(())
            }
        }
    }
}

fn refused(status: tonic::Status) -> End {
    let error = CallError::from(status);
    match error.reason {
        Some(_) => End::Refused(error),
        None => End::Unwelcome(error),
    }
}
