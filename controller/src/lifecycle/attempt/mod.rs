//! Attempts: one dispatch of a run to one agent each, ordered by their number, the fence.

mod lease;
pub mod machine;
mod model;
mod store;

pub use lease::{
    HOT as LEASE_HOT, STATEMENTS as LEASE_STATEMENTS, attempt_lease_grace, attempt_lease_renew,
};
pub use machine::{AttemptEffect, AttemptStep};
pub use model::{Attempt, AttemptEvent, Report, advance};
pub use provado_model::state::AttemptState;
pub use store::{
    HOT, STATEMENTS, attempt_apply, attempt_count_live, attempt_get, attempt_get_of_agent,
    attempt_list, attempt_list_lease_expired, attempt_list_live_of_agent, attempt_list_offered,
    attempt_live, attempt_offer, attempt_progress,
};
