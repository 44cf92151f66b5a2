//! One stream from hello to its end.

use super::stream::{Outbound, SessionStream};
use super::witness::Shown;
use super::{attempts::Throttle, hello};
use crate::events::{Actor, Context, Event};
use crate::fleet::allow::replaced;
use crate::fleet::sessions::{Command, Cut, Session, Sessions};
use crate::fleet::{AgentPeer, Fleet};
use crate::request::status;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use provado_model::{Error, Reason};
use provado_proto::agent::v1::session_request::Message;
use provado_proto::agent::v1::{Drain, HeartbeatAck, SessionRequest, Welcome};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::Status;

/// What comes from the agent.
type Received = Result<SessionRequest, Status>;

/// The reading end of a session's stream.
pub(super) struct Inbound(BoxStream<'static, Received>);

impl Inbound {
    /// The next message; none at the end.
    pub(super) async fn next(&mut self) -> Option<Received> {
        self.0.next().await
    }
}

/// How long an agent that is sent away should stay away at least, when the controller stops.
const RECONNECT_DELAY_SECONDS: i64 = 1;

impl Fleet {
    /// The agent's stream, whoever carries its messages: the listener, or a test that delivers
    /// them one by one. It works in a task of its own, which ends when the stream is dropped.
    pub fn serve_stream(
        self: &Arc<Self>,
        peer: AgentPeer,
        actor: Actor,
        inbound: impl Stream<Item = Result<SessionRequest, Status>> + Send + 'static,
    ) -> SessionStream {
        let (fleet, inbound) = (Arc::clone(self), Inbound(inbound.boxed()));
        SessionStream::new(|outbound| fleet.drive(peer, actor, inbound, outbound))
    }

    /// Serves one stream until it ends.
    async fn drive(
        self: Arc<Self>,
        peer: AgentPeer,
        actor: Actor,
        mut inbound: Inbound,
        mut outbound: Outbound,
    ) {
        if let Err(error) = self.serve(&peer, &actor, &mut inbound, &mut outbound).await {
            tracing::info!(
                agent.id = %peer.id,
                agent.name = peer.name,
                error.reason = error.reason.as_str(),
                "the stream of the agent {} ended: {}",
                peer.name,
                error.message
            );
            outbound.fail(status(error)).await;
        }
    }

    async fn serve(
        self: &Arc<Self>,
        peer: &AgentPeer,
        actor: &Actor,
        inbound: &mut Inbound,
        outbound: &mut Outbound,
    ) -> Result<(), Error> {
        let hello = hello::receive(inbound, self.times.hello).await?;
        let context = || self.core.context(actor.clone(), None);
        self.admit(&context(), peer, &hello).await?;
        // Before anything is sent to the agent or said about its attempts: what it knows may show
        // that this database is an older copy.
        let mut shown = Shown::default();
        let seen_epoch = u64::try_from(hello.epoch).unwrap_or(0);
        self.look_at_witness(&context(), peer, &mut shown, &hello.checkpoint, seen_epoch)
            .await;
        let (guard, commands) = self.sessions.open(peer.id, &hello.process_id);
        // From here on a revocation finds the stream to cut; one that came before is found here.
        self.allow.check_standing(&peer.sha256)?;
        let stop = self.greet(&context(), peer, &hello).await?;
        let checkpoint = self.checkpoint();
        shown.sent(&checkpoint);
        let connected = self.sessions.connected().len();
        let welcome = Welcome {
            agent_id: peer.id.to_string(),
            epoch: signed(self.core.epoch()),
            heartbeat_interval: Some(duration(self.times.heartbeat_for(connected))),
            superseded_attempts: stop,
            controller_id: self.core.id().to_string(),
            checkpoint: checkpoint.to_string(),
        };
        outbound
            .send(Command::Welcome(welcome).into_message())
            .await;
        tracing::info!(
            agent.id = %peer.id,
            agent.name = peer.name,
            "the agent {} is connected",
            peer.name
        );
        let mut line = Line {
            fleet: self,
            peer,
            actor,
            session: guard.session(),
            shown,
            throttle: Throttle::default(),
        };
        // Its agent may have been missed by a dispatch that ran between hello and now.
        self.core.bus.publish(Event::Agent { id: peer.id });
        let ended = line.talk(inbound, outbound, commands).await;
        drop(guard);
        self.core.bus.publish(Event::Agent { id: peer.id });
        ended
    }

    /// The newest signed checkpoint; empty before the first.
    pub(in crate::fleet) fn checkpoint(&self) -> Arc<str> {
        let checkpoint = self.checkpoint.read();
        Arc::clone(&checkpoint.unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// A stream past its hello.
struct Line<'a> {
    fleet: &'a Arc<Fleet>,
    peer: &'a AgentPeer,
    actor: &'a Actor,
    session: &'a Arc<Session>,
    shown: Shown,
    throttle: Throttle,
}

impl Line<'_> {
    async fn talk(
        &mut self,
        inbound: &mut Inbound,
        outbound: &mut Outbound,
        mut commands: mpsc::Receiver<Command>,
    ) -> Result<(), Error> {
        let mut heard = self.fleet.core.clock.monotonic();
        loop {
            let silent = self.fleet.core.clock.monotonic().since(heard);
            let patience = self.fleet.times.idle.saturating_sub(silent);
            let event = tokio::time::timeout(patience, async {
                tokio::select! {
                    biased;
                    cut = self.session.when_cut() => Step::Cut(cut),
                    received = inbound.next() => Step::Received(received.map(Box::new)),
                    Some(command) = commands.recv() => Step::Command(command),
                }
            })
            .await;
            match event {
                Err(_silence) => return Err(silent_error()),
                Ok(Step::Cut(cut)) => return self.cut(cut, outbound).await,
                Ok(Step::Command(command)) => {
                    if !outbound.send(command.into_message()).await {
                        return Ok(());
                    }
                }
                Ok(Step::Received(None)) => return Ok(()),
                Ok(Step::Received(Some(received))) => {
                    let Ok(request) = *received else {
                        // The connection broke; the agent will dial again.
                        return Ok(());
                    };
                    heard = self.fleet.core.clock.monotonic();
                    self.session.note_spoken();
                    // A certificate that is refused by now ends the stream, whoever refused it.
                    self.fleet.allow.check_standing(&self.peer.sha256)?;
                    if let Some(answer) = self.take(request.message).await?
                        && !outbound.send(answer.into_message()).await
                    {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn take(&mut self, message: Option<Message>) -> Result<Option<Command>, Error> {
        let ctx = self.context();
        match message {
            None => Ok(None),
            Some(Message::Hello(_)) => Err(Error::new(
                Reason::InvalidArgument,
                "a stream has one hello, at its beginning",
            )),
            Some(Message::Heartbeat(heartbeat)) => {
                self.fleet.heard.note(self.peer.id, ctx.now);
                let shown = &mut self.shown;
                self.fleet
                    .look_at_witness(&ctx, self.peer, shown, &heartbeat.checkpoint, 0)
                    .await;
                let stop = self
                    .fleet
                    .heartbeat(&ctx, self.peer, &heartbeat.attempts)
                    .await?;
                let checkpoint = self.fleet.checkpoint();
                let news = self.shown.sent(&checkpoint);
                Ok(Some(Command::HeartbeatAck(HeartbeatAck {
                    checkpoint: if news {
                        checkpoint.to_string()
                    } else {
                        String::new()
                    },
                    superseded_attempts: stop,
                })))
            }
            Some(Message::AttemptAccepted(accepted)) => {
                self.fleet.accepted(&ctx, self.peer, accepted.attempt).await
            }
            Some(Message::AttemptRefused(refused)) => {
                self.fleet.refused(&ctx, self.peer, refused).await
            }
            Some(Message::AttemptProgress(progress)) => {
                let throttle = &mut self.throttle;
                self.fleet
                    .progressed(&ctx, self.peer, throttle, progress)
                    .await
            }
        }
    }

    /// Ends the stream as asked, with words that the agent understands.
    async fn cut(&self, cut: Cut, outbound: &mut Outbound) -> Result<(), Error> {
        let name = &self.peer.name;
        match cut {
            Cut::Drained => {
                let drain = Drain {
                    reconnect_delay: Some(prost_types::Duration {
                        seconds: RECONNECT_DELAY_SECONDS,
                        nanos: 0,
                    }),
                };
                outbound.send(Command::Drain(drain).into_message()).await;
                Ok(())
            }
            Cut::Replaced => Err(Error::new(
                Reason::VersionStale,
                format!("a newer stream of the agent `{name}` has taken the place of this one"),
            )),
            Cut::Revoked => Err(Error::new(
                Reason::CertificateRevoked,
                format!("the agent `{name}` was revoked"),
            )
            .with("agent", name)),
            Cut::CameBack => Err(replaced(name)),
            Cut::Cloned => Err(Error::new(
                Reason::AgentCloned,
                format!("the agent `{name}` showed itself cloned and is locked"),
            )
            .with("agent", name)),
        }
    }

    fn context(&self) -> Context {
        self.fleet.core.context(self.actor.clone(), None)
    }
}

enum Step {
    Cut(Cut),
    Command(Command),
    Received(Option<Box<Received>>),
}

fn silent_error() -> Error {
    Error::new(
        Reason::DeadlineExceeded,
        "the agent said nothing for so long that it is taken for dead; it may dial again",
    )
}

/// An epoch or a sequence as the wire has it.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn duration(span: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or(0),
    }
}
