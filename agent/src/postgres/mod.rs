//! PostgreSQL as the agent meets it: connections, client tools, catalogue, throw-away instances.
//!
//! This is the only module that starts children and the only one that speaks SQL to a server
//! that is backed up. It decides nothing about runs: jobs ask, this module answers with facts.
//! It never hands a name from a catalogue, a person or the network to a shell, to an option
//! parser or to SQL without quoting, and it leaves no child and no backend behind.

pub mod activity;
pub mod connection;
pub mod copy_out;
pub mod database;
pub mod extensions;
pub mod globals;
pub mod inspect;
pub mod inventory;
pub mod lookout;
pub mod rights;
pub mod sql;
pub mod throwaway;
pub mod tools;
pub mod trouble;

pub use connection::{PgError, ServerAddress};
pub use tools::{InstalledTools, Tools};

/// How our backends are named, so that they can be found and ended: `provado:<run id>`.
///
/// PostgreSQL cuts `application_name` at 63 bytes (`NAMEDATALEN`); this one has 44.
pub fn application_name(run: provado_model::id::RunId) -> String {
    format!("provado:{run}")
}
