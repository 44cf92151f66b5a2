//! An open problem someone must know of: the states it goes through.

pub mod machine;

pub use provado_model::state::IncidentState;
