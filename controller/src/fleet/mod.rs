//! Agents, their streams, and what they tell of their hosts: instances and databases.
//!
//! It owns the rows of the fleet and knows who is connected. It never decides what an agent is to
//! do: it carries commands down and what the agent says up to `lifecycle`. Three services with
//! three levels of trust: joining, being connected, and being administered.

mod allow;
pub mod api;
mod enroll;
mod heard;
mod inventory;
pub mod model;
pub mod plan;
mod progress;
mod renew;
mod returning;
mod session;
pub mod sessions;
mod standing;
pub mod store;
mod task;
mod wire;

pub use allow::AgentAllowList;
pub use enroll::Enroll;
pub use progress::{LiveProgress, ProgressBoard, progress_from_json, progress_to_json};
pub use renew::AgentPeer;
pub use session::{SessionStream, SessionTimes};
pub use sessions::{Command, Cut, SendError, SessionRegistry, Sessions};
pub use task::FleetTask;

use crate::db::Statement;
use crate::lifecycle::controller::Core;
use crate::request::{PageTokens, ToldRate};
use heard::Heard;
use provado_identity::Authorities;
use std::sync::{Arc, RwLock};

/// The slice: everything its services and its task share.
#[derive(Debug)]
pub struct Fleet {
    pub(in crate::fleet) core: Core,
    pub(in crate::fleet) authorities: Arc<Authorities>,
    pub(in crate::fleet) allow: Arc<AgentAllowList>,
    pub(in crate::fleet) sessions: Arc<SessionRegistry>,
    pub(in crate::fleet) progress: Arc<ProgressBoard>,
    pub(in crate::fleet) times: SessionTimes,
    pub(in crate::fleet) pages: PageTokens,
    /// The newest signed checkpoint; empty before the first.
    pub(in crate::fleet) checkpoint: RwLock<Arc<str>>,
    pub(in crate::fleet) heard: Heard,
    pub(in crate::fleet) told: ToldRate,
}

impl Fleet {
    /// The slice over a database, with nobody connected and an empty allow-list.
    pub fn new(core: Core, authorities: Arc<Authorities>, times: SessionTimes) -> Arc<Self> {
        let pages = PageTokens::new(core.page_key());
        Arc::new(Self {
            allow: AgentAllowList::new(Arc::clone(&core.clock)),
            sessions: SessionRegistry::new(),
            progress: Arc::new(ProgressBoard::default()),
            checkpoint: RwLock::new(Arc::from("")),
            heard: Heard::default(),
            told: ToldRate::default(),
            core,
            authorities,
            times,
            pages,
        })
    }

    /// Which certificates are known; asked by the listener of agents.
    pub fn allow(&self) -> Arc<AgentAllowList> {
        Arc::clone(&self.allow)
    }

    /// Who is connected, and the way to send them commands.
    pub fn sessions(&self) -> Arc<SessionRegistry> {
        Arc::clone(&self.sessions)
    }

    /// How far live attempts are.
    pub fn progress(&self) -> Arc<ProgressBoard> {
        Arc::clone(&self.progress)
    }
}

/// Every statement of the slice, for the test that prepares them all.
pub fn statements() -> impl Iterator<Item = &'static Statement> {
    store::agent::STATEMENTS
        .iter()
        .chain(store::certificate::STATEMENTS)
        .chain(store::instance::STATEMENTS)
        .chain(store::database::STATEMENTS)
}
