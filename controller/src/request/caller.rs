//! Who calls: made by the listeners from the peer's certificate and the slices that know it.

use crate::events::{Actor, ActorKind};
use provado_model::id::{AgentId, CallerId};
use provado_model::state::Role;
use provado_model::{Error, Reason};

/// Who the peer is, as its certificate says and the database confirms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Someone with an operator's certificate that is on the live list.
    Operator {
        /// Its id, from the certificate.
        id: CallerId,
        /// Its name.
        name: String,
        /// What it may do.
        role: Role,
    },
    /// An agent with a certificate that is on the live list.
    Agent {
        /// Its id, from the certificate.
        id: AgentId,
        /// Its name.
        name: String,
    },
    /// Someone on the controller's own host, through its command line.
    Local {
        /// The name of the operating system's account.
        name: String,
    },
    /// Someone without a certificate.
    Anonymous,
}

/// The caller of one request. The listeners put it into the request's extensions; without it a
/// call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub identity: Identity,
    /// From which address, if over the network.
    pub peer: Option<String>,
}

impl Caller {
    /// The caller of a request that passed the layer.
    pub fn of(extensions: &http::Extensions) -> Result<&Self, Error> {
        extensions.get().ok_or_else(|| {
            Error::new(
                Reason::CertificateInvalid,
                "the call came without a certificate that the controller knows",
            )
        })
    }

    /// The caller of a tonic request that passed the layer.
    pub fn of_request<T>(request: &tonic::Request<T>) -> Result<&Self, Error> {
        request.extensions().get().ok_or_else(|| {
            Error::new(
                Reason::CertificateInvalid,
                "the call came without a certificate that the controller knows",
            )
        })
    }

    /// The agent that calls. Errors: `NOT_YOURS` for anyone else.
    pub fn agent(&self) -> Result<AgentId, Error> {
        match &self.identity {
            Identity::Agent { id, .. } => Ok(*id),
            Identity::Operator { .. } | Identity::Local { .. } | Identity::Anonymous => Err(
                Error::new(Reason::NotYours, "only an agent may make this call"),
            ),
        }
    }

    /// The id that answers and runs are kept under; empty for an anonymous one.
    pub fn id(&self) -> String {
        match &self.identity {
            Identity::Operator { id, .. } => id.to_string(),
            Identity::Agent { id, .. } => id.to_string(),
            Identity::Local { name } => format!("local:{name}"),
            Identity::Anonymous => String::new(),
        }
    }

    /// The caller as the audit chain tells it.
    pub fn actor(&self) -> Actor {
        let (kind, name) = match &self.identity {
            Identity::Operator { name, .. } => (ActorKind::Operator, name.clone()),
            Identity::Agent { name, .. } => (ActorKind::Agent, name.clone()),
            Identity::Local { name } => (ActorKind::Local, name.clone()),
            Identity::Anonymous => (ActorKind::Anonymous, String::new()),
        };
        Actor {
            kind,
            id: self.id(),
            name,
            peer: self.peer.clone(),
        }
    }
}
