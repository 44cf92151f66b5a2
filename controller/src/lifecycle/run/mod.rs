//! Runs: one intended execution of a job each, a row before they are anything else.

pub mod machine;
mod model;
mod store;

pub use machine::{RunEffect, RunStep};
pub use model::{NewRun, Run, RunBinding, RunEvent, RunFilter, advance, run_id_for_request};
pub use provado_model::state::{RunKind, RunState};
pub use store::{
    HOT, Inserted, STATEMENTS, run_apply, run_children_count, run_exclusive_holder, run_get,
    run_insert, run_list, run_list_cancel_asked, run_list_children, run_list_overdue,
    run_list_parents_live, run_list_queued, run_list_requested, run_list_without_attempt,
    run_resolve,
};
