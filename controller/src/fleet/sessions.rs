//! Which agents are connected to this controller, and the way to send one of them a command.
//!
//! In memory only: what is here is a hint, rows are truth. A command that cannot be sent is not
//! kept; whoever sends commands looks at the rows again when the agent connects.

use provado_model::id::AgentId;
use provado_proto::agent::v1::{
    CancelAttempt, Drain, HeartbeatAck, RenewNow, StartAttempt, Welcome, session_response,
};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Commands that may wait for one agent; a reader that slow is better reconnected.
pub const COMMANDS_WAITING_MAX: usize = 64;

/// What can be sent to an agent.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// The answer to its hello.
    Welcome(Welcome),
    /// Carry out this attempt.
    Start(Box<StartAttempt>),
    /// Stop this attempt and report it as canceled.
    Cancel(CancelAttempt),
    /// The answer to a heartbeat.
    HeartbeatAck(HeartbeatAck),
    /// Take no new attempts.
    Drain(Drain),
    /// Renew the certificate now.
    RenewNow,
}

impl Command {
    /// The command as it stands in a message of the stream.
    pub fn into_message(self) -> session_response::Message {
        use session_response::Message;
        match self {
            Self::Welcome(welcome) => Message::Welcome(welcome),
            Self::Start(start) => Message::StartAttempt(*start),
            Self::Cancel(cancel) => Message::CancelAttempt(cancel),
            Self::HeartbeatAck(ack) => Message::HeartbeatAck(ack),
            Self::Drain(drain) => Message::Drain(drain),
            Self::RenewNow => Message::RenewNow(RenewNow {}),
        }
    }
}

/// Why a command was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The agent has no open stream with this controller.
    #[error("the agent is not connected")]
    Offline,
    /// Too many commands wait for it already.
    #[error("{COMMANDS_WAITING_MAX} commands wait for the agent already")]
    Full,
}

/// Delivery of commands to agents: what `dispatch` sees of the streams.
pub trait Sessions: Send + Sync + fmt::Debug {
    /// Whether the agent has an open stream, past its welcome, with this controller.
    fn is_connected(&self, agent: AgentId) -> bool;

    /// The agents that are connected, in no order.
    fn connected(&self) -> Vec<AgentId>;

    /// Puts a command into the agent's queue. Sent does not mean received.
    fn send(&self, agent: AgentId, command: Command) -> Result<(), SendError>;
}

/// Why a stream is ended by the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The agent was revoked.
    Revoked,
    /// The agent is locked: it showed itself cloned.
    Cloned,
    /// The agent came back with a join token, so that whoever is here is not it.
    CameBack,
    /// The same process, or the one after it, opened a newer stream.
    Replaced,
    /// The controller is about to stop.
    Drained,
}

/// The streams of this controller.
#[derive(Debug, Default)]
pub struct SessionRegistry {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    sessions: HashMap<AgentId, Arc<Session>>,
    next_number: u64,
}

/// One open stream, past its hello.
#[derive(Debug)]
pub struct Session {
    number: u64,
    agent: AgentId,
    process_id: String,
    commands: mpsc::Sender<Command>,
    cut: CancellationToken,
    cut_reason: Mutex<Option<Cut>>,
    spoken: tokio::sync::watch::Sender<u64>,
    ended: CancellationToken,
}

impl Session {
    /// The agent at its other end.
    pub const fn agent(&self) -> AgentId {
        self.agent
    }

    /// The agent's process, by the random number it made when it started.
    pub fn process_id(&self) -> &str {
        &self.process_id
    }

    /// Asks the stream to end; the first reason stays.
    pub fn cut(&self, reason: Cut) {
        let mut slot = self
            .cut_reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(reason);
        drop(slot);
        self.cut.cancel();
    }

    /// Completes once the stream was asked to end, with the reason.
    pub async fn when_cut(&self) -> Cut {
        self.cut.cancelled().await;
        let slot = self
            .cut_reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        slot.unwrap_or(Cut::Replaced)
    }

    /// Notes that a message came over the stream: whoever is at its other end is alive.
    pub fn note_spoken(&self) {
        self.spoken
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Completes when the next message comes over the stream.
    pub async fn when_spoken(&self) {
        let mut watcher = self.spoken.subscribe();
        // The sender lives as long as `self`, so this ends only by a message.
        let _ = watcher.changed().await;
    }

    /// Whether the stream has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Completes when the stream has ended.
    pub async fn when_ended(&self) {
        self.ended.cancelled().await;
    }
}

/// Takes the session out of the registry when the stream ends, however it ends.
#[derive(Debug)]
pub struct SessionGuard {
    registry: Arc<SessionRegistry>,
    session: Arc<Session>,
}

impl SessionGuard {
    /// The session it guards.
    pub const fn session(&self) -> &Arc<Session> {
        &self.session
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.registry.remove(&self.session);
        self.session.ended.cancel();
    }
}

impl SessionRegistry {
    /// A registry without streams.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// The agent's open stream, if any.
    pub fn get(&self, agent: AgentId) -> Option<Arc<Session>> {
        self.locked().sessions.get(&agent).cloned()
    }

    /// Makes this the agent's stream, and ends the one it takes the place of. The receiver yields
    /// the commands to be written to the stream.
    pub fn open(
        self: &Arc<Self>,
        agent: AgentId,
        process_id: &str,
    ) -> (SessionGuard, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(COMMANDS_WAITING_MAX);
        let mut open = self.locked();
        open.next_number = open.next_number.wrapping_add(1);
        let session = Arc::new(Session {
            number: open.next_number,
            agent,
            process_id: process_id.to_owned(),
            commands,
            cut: CancellationToken::new(),
            cut_reason: Mutex::new(None),
            spoken: tokio::sync::watch::Sender::new(0),
            ended: CancellationToken::new(),
        });
        let before = open.sessions.insert(agent, Arc::clone(&session));
        drop(open);
        if let Some(before) = before {
            before.cut(Cut::Replaced);
        }
        let guard = SessionGuard {
            registry: Arc::clone(self),
            session,
        };
        (guard, receiver)
    }

    /// Asks the agent's stream to end, if there is one.
    pub fn cut(&self, agent: AgentId, reason: Cut) {
        if let Some(session) = self.get(agent) {
            session.cut(reason);
        }
    }

    /// Asks every stream to end.
    pub fn cut_all(&self, reason: Cut) {
        let sessions: Vec<_> = self.locked().sessions.values().cloned().collect();
        for session in sessions {
            session.cut(reason);
        }
    }

    fn remove(&self, session: &Session) {
        let mut open = self.locked();
        let current = open.sessions.get(&session.agent);
        if current.is_some_and(|current| current.number == session.number) {
            open.sessions.remove(&session.agent);
        }
    }

    fn locked(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions for SessionRegistry {
    fn is_connected(&self, agent: AgentId) -> bool {
        self.locked().sessions.contains_key(&agent)
    }

    fn connected(&self) -> Vec<AgentId> {
        self.locked().sessions.keys().copied().collect()
    }

    fn send(&self, agent: AgentId, command: Command) -> Result<(), SendError> {
        let session = self.get(agent).ok_or(SendError::Offline)?;
        session
            .commands
            .try_send(command)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => SendError::Full,
                mpsc::error::TrySendError::Closed(_) => SendError::Offline,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_model::random::SeededEntropy;
    use provado_model::time::ManualClock;

    fn agent(seed: u64) -> AgentId {
        AgentId::new(&ManualClock::at_second(1), &SeededEntropy::new(seed))
    }

    #[tokio::test]
    async fn a_newer_stream_takes_the_place_and_outlives_the_older_guard() {
        let registry = SessionRegistry::new();
        let (first, mut first_commands) = registry.open(agent(1), "p1");
        registry.send(agent(1), Command::RenewNow).unwrap();
        assert_eq!(first_commands.recv().await, Some(Command::RenewNow));
        let (second, _second_commands) = registry.open(agent(1), "p1");
        assert_eq!(first.session().when_cut().await, Cut::Replaced);
        drop(first);
        assert!(registry.is_connected(agent(1)));
        assert_eq!(registry.connected(), [agent(1)]);
        drop(second);
        assert!(!registry.is_connected(agent(1)));
        assert_eq!(
            registry.send(agent(1), Command::RenewNow),
            Err(SendError::Offline)
        );
    }

    #[tokio::test]
    async fn the_queue_is_bounded() {
        let registry = SessionRegistry::new();
        let (_guard, _commands) = registry.open(agent(1), "p1");
        for _ in 0..COMMANDS_WAITING_MAX {
            registry.send(agent(1), Command::RenewNow).unwrap();
        }
        assert_eq!(
            registry.send(agent(1), Command::RenewNow),
            Err(SendError::Full)
        );
        assert_eq!(
            registry.send(agent(2), Command::RenewNow),
            Err(SendError::Offline)
        );
    }

    #[tokio::test]
    async fn the_first_reason_of_a_cut_stays() {
        let registry = SessionRegistry::new();
        let (guard, _commands) = registry.open(agent(1), "p1");
        registry.cut(agent(1), Cut::Revoked);
        registry.cut_all(Cut::Drained);
        assert_eq!(guard.session().when_cut().await, Cut::Revoked);
    }
}
