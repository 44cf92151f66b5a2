//! Who may call, and how hosts may join: callers with roles, their certificates, join tokens.
//!
//! It owns the live list of operators' certificates. What a role may do is not its matter: that is
//! the one table in `request`. Secrets are told once and never stored.

mod allow;
mod api;
mod callers;
mod model;
mod profile;
mod store;
mod task;
pub mod token;
mod wire;

pub use allow::CallerAllowList;
pub use api::AccessApi;
pub use model::{AllowedCaller, Caller, CallerCertificate, CallerState, JoinTokenRecord};
pub use profile::{ADMIN_NAME, Endpoint};
pub use store::STATEMENTS;
pub use task::AccessTask;

use crate::db::Tx;
use crate::lifecycle::controller::Core;
use crate::request::PageTokens;
use async_trait::async_trait;
use provado_identity::{Address, Authorities};
use provado_model::Error;
use provado_model::id::AgentId;
use std::fmt;
use std::sync::Arc;

/// What must be known here of agents; who they are is another slice's matter.
#[async_trait]
pub trait Agents: Send + Sync + fmt::Debug {
    /// Id and name of the agent that `agents/{agent}` means, if a token may let it come back.
    ///
    /// Errors: `AGENT_NOT_FOUND`, `NAME_AMBIGUOUS`, `INVALID_ARGUMENT`, and `AGENT_LOCKED` for one
    /// that is revoked.
    async fn returning(&self, tx: &mut Tx, name: &str) -> Result<(AgentId, String), Error>;
}

/// The slice: what its service and its task share.
#[derive(Debug)]
pub struct Access {
    core: Core,
    authorities: Arc<Authorities>,
    allow: Arc<CallerAllowList>,
    pages: PageTokens,
    join_address: Address,
}

impl Access {
    /// The slice over a database, with an empty allow-list. Join strings tell agents to dial
    /// `join_address`.
    pub fn new(core: Core, authorities: Arc<Authorities>, join_address: Address) -> Arc<Self> {
        let pages = PageTokens::new(core.page_key());
        Arc::new(Self {
            allow: CallerAllowList::new(Arc::clone(&core.clock)),
            core,
            authorities,
            pages,
            join_address,
        })
    }

    /// Which certificates are wanted; asked by the listener of operators.
    pub fn allow(&self) -> Arc<CallerAllowList> {
        Arc::clone(&self.allow)
    }

    /// Loads what must be known before the first operator dials.
    pub async fn prepare(&self) -> Result<(), Error> {
        self.allow.reload(&self.core.db).await
    }

    fn join_address(&self) -> Address {
        self.join_address.clone()
    }
}
