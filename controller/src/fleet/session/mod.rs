//! The open stream of one agent: hello and who may have it, heartbeats, what the agent says of its
//! attempts, and the commands that go down.
//!
//! Nothing here must not be lost: offers are repeated by `dispatch`, leases by the next heartbeat,
//! outcomes travel by their own call. Each stream has a task of its own, which ends with the
//! connection and leaves nothing behind.

mod attempts;
mod drive;
mod hello;
mod stream;
mod witness;

pub use stream::SessionStream;

use std::time::Duration;

/// How long the sides of a stream wait for each other.
#[derive(Debug, Clone, Copy)]
pub struct SessionTimes {
    /// How long a new stream may take to say hello.
    pub hello: Duration,
    /// How often an agent is asked for a heartbeat while the fleet is small.
    pub heartbeat: Duration,
    /// How long a stream may be silent before it is taken for dead.
    pub idle: Duration,
    /// How long an older stream of another process is given to show that it is alive.
    pub contest: Duration,
    /// How long an attempt lives after its agent's last word.
    pub lease: Duration,
    /// How long the end of a stream may lag behind the last message of a process that died.
    pub settle: Duration,
}

impl Default for SessionTimes {
    fn default() -> Self {
        let heartbeat = Duration::from_secs(provado_model::limits::HEARTBEAT_SECONDS);
        Self {
            hello: Duration::from_secs(10),
            heartbeat,
            idle: Duration::from_secs(provado_model::limits::LEASE_SECONDS_MAX),
            // A living agent says something within one heartbeat; half of one more for a slow way.
            contest: heartbeat.saturating_add(heartbeat / 2),
            lease: Duration::from_secs(provado_model::limits::LEASE_SECONDS_MAX),
            settle: Duration::from_secs(2),
        }
    }
}

/// Heartbeats that one controller takes each second; larger fleets beat more slowly.
const HEARTBEATS_PER_SECOND_MAX: u32 = 300;

impl SessionTimes {
    /// How often to send heartbeats with so many agents connected; never slower than a third of
    /// the time after which a lease ends.
    pub(super) fn heartbeat_for(&self, connected: usize) -> Duration {
        let agents = u32::try_from(connected).unwrap_or(u32::MAX);
        let fair = Duration::from_secs(u64::from(agents / HEARTBEATS_PER_SECOND_MAX));
        let slowest = self.lease / 3;
        self.heartbeat.max(fair.min(slowest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_fleet_beats_more_slowly_but_keeps_its_leases() {
        let times = SessionTimes::default();
        assert_eq!(times.heartbeat_for(1), Duration::from_secs(10));
        assert_eq!(times.heartbeat_for(4_500), Duration::from_secs(15));
        assert_eq!(times.heartbeat_for(100_000), Duration::from_secs(20));
    }
}
