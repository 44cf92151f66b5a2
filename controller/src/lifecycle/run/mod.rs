//! Runs: one intended execution of a job each, a row before they are anything else.

mod list;
pub mod machine;
mod model;
mod row;
mod store;

pub use list::{
    HOT as LIST_HOT, STATEMENTS as LIST_STATEMENTS, run_children_count, run_exclusive_first,
    run_exclusive_holder, run_list, run_list_cancel_asked, run_list_children, run_list_overdue,
    run_list_parents_done, run_list_queued, run_list_queued_after, run_list_requested,
    run_list_without_attempt,
};
pub use machine::{RunEffect, RunStep};
pub use model::{
    NewRun, Run, RunBinding, RunEvent, RunFilter, RunNames, advance, run_id_for_request,
};
pub use provado_model::state::{RunKind, RunState};
pub use store::{HOT, Inserted, STATEMENTS, run_apply, run_get, run_insert, run_resolve};
