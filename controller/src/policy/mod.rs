//! What operators configure: in this version, repositories.
//!
//! A repository is declared here, and made at its place by a run of kind *init*; a task notes when
//! that run has succeeded. This module never writes to the place itself and never forgets a
//! repository. It owns the rows of `repository` and the states DECLARED and READY.

mod api;
mod model;
mod plan;
mod recipient;
mod store;
mod task;
mod wire;

pub use api::{Repositories, repository_find};
pub use model::{NewRepository, Repository, RepositoryKind, RepositoryState, SegmentKey};
pub use store::{
    STATEMENTS, repository_by_id, repository_by_name, repository_by_prefix, repository_insert,
    repository_list, repository_list_of_agent, repository_ready,
};
pub use task::ReadyTask;
