//! Between the wire and the agent's own types.

use crate::jobs::AttemptName;
use provado_proto::agent::v1::AttemptRef;
use std::time::Duration;

/// The attempt that a message names; `None` where an id cannot be read.
pub fn attempt_name(named: &AttemptRef) -> Option<AttemptName> {
    Some(AttemptName {
        attempt: named.attempt_id.parse().ok()?,
        run: named.run_id.parse().ok()?,
        fence: named.fence,
    })
}

/// The same for the wire.
pub fn attempt_ref(name: AttemptName, ended: bool) -> AttemptRef {
    AttemptRef {
        attempt_id: name.attempt.to_string(),
        run_id: name.run.to_string(),
        fence: name.fence,
        ended,
    }
}

/// A span of the wire; `None` where it is absent, zero or negative.
pub fn span(told: Option<prost_types::Duration>) -> Option<Duration> {
    let told = told?;
    let seconds = u64::try_from(told.seconds).ok()?;
    let nanos = u32::try_from(told.nanos).ok()?;
    Some(Duration::new(seconds, nanos)).filter(|span| !span.is_zero())
}

/// An instant of the wire; `None` where it is outside of what can be told.
pub fn instant(told: prost_types::Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::new(told.seconds, told.nanos).ok()
}
