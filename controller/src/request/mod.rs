//! What every call has in common: who calls, whether they may, whether the request came before,
//! how an error becomes a status, how a list is paged, how a resource is named.
//!
//! It knows no slice. The roles of a method stand in one table; a method that is not in it is
//! denied.

mod access;
mod answer;
mod caller;
mod layer;
mod name;
mod page;
mod rate;
mod status;
mod violations;
pub mod wire;

pub use access::{Access, METHODS, authorise, is_change};
pub use answer::{
    STATEMENTS, answer_expire, answer_get, answer_or, answer_put, context_of, request_digest,
    request_id_of,
};
pub use caller::{Caller, Identity};
pub use layer::{AuthoriseLayer, AuthoriseService, RefusalLog, Refused};
pub use name::{Reference, collection_id, name_of, not_found, only, reference};
pub use page::{Page, PageBytes, PageTokens, fitting, page_size};
pub use rate::{Pace, Rates, Told, ToldRate};
pub use status::{status, to_status};
pub use violations::Violations;
