//! The SQL of the fleet's tables, a file for each thing.

pub mod agent;
pub mod certificate;
pub mod database;
pub mod instance;
