//! Attempts: one dispatch of a run to one agent each, ordered by their number, the fence.

pub mod machine;
mod model;
mod store;

pub use machine::{AttemptEffect, AttemptStep};
pub use model::{Attempt, AttemptEvent, Report, advance};
pub use provado_model::state::AttemptState;
pub use store::{
    HOT, STATEMENTS, attempt_apply, attempt_count_live, attempt_get, attempt_get_of_agent,
    attempt_lease_renew, attempt_list, attempt_list_lease_expired, attempt_list_live_of_agent,
    attempt_list_offered, attempt_live, attempt_offer, attempt_progress,
};
