//! Who may call, and how hosts may join: callers with roles, their certificates, join tokens.
//!
//! It owns the live list of operators' certificates. What a role may do is not its matter: that is
//! the one table in `request`. Secrets are told once and never stored.

mod allow;
mod model;
mod store;
pub mod token;

pub use allow::CallerAllowList;
pub use model::{AllowedCaller, Caller, CallerCertificate, CallerState, JoinTokenRecord};
pub use store::STATEMENTS;
