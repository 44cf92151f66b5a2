//! Who did something, as the audit chain tells it.

use std::fmt;

/// What sort of caller acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActorKind {
    /// A person or a program with an operator's certificate.
    Operator,
    /// An agent with its certificate.
    Agent,
    /// The controller by itself: a task.
    Controller,
    /// Someone at the controller's own host: its command line.
    Local,
    /// Someone without a certificate, such as an agent that joins.
    Anonymous,
}

impl ActorKind {
    /// The kind as stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Agent => "agent",
            Self::Controller => "controller",
            Self::Local => "local",
            Self::Anonymous => "anonymous",
        }
    }
}

impl fmt::Display for ActorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who did something, and where the call came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// What sort of caller.
    pub kind: ActorKind,
    /// Its id; empty for an anonymous one, the task's name for the controller.
    pub id: String,
    /// Its name at this time, for people.
    pub name: String,
    /// The address of the peer, if the call came over the network.
    pub peer: Option<String>,
}

impl Actor {
    /// The controller by itself, through one of its tasks.
    pub fn task(name: &str) -> Self {
        Self {
            kind: ActorKind::Controller,
            id: name.to_owned(),
            name: name.to_owned(),
            peer: None,
        }
    }
}
