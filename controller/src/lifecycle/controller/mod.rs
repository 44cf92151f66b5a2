//! The controller itself: its epoch, its clock's high-water mark, and whether it has amnesia.
//!
//! The epoch orders controllers: every write of an attempt's state and every command carries it,
//! and a controller whose epoch is over changes nothing any more.

mod clock;
mod core;
mod store;
mod witness;

pub use self::core::Core;
pub use clock::{ClockTask, deletes_allowed};
pub use store::{
    ControllerState, STATEMENTS, amnesia_clear, amnesia_set, clock_advance, controller_get,
    controller_init, destructive_allowed, epoch_current, epoch_raise,
};
pub use witness::{Verdict, verify as checkpoint_verify, witness_apply, witness_judge};
