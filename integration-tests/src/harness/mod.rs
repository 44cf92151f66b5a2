//! Real servers and real programs for tests.

pub mod compare;
pub mod fleet;
pub mod place;
pub mod postgres;
pub mod process;

pub use fleet::{Fleet, FleetOptions};
pub use place::Place;
pub use postgres::{Major, Postgres};
