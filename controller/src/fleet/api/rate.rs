//! How often one address may try to join, and all together.
//!
//! A join needs no certificate, so this is what anyone who reaches the port can make the
//! controller do.

use crate::request::{Pace, Rates};
use provado_model::time::Monotonic;
use std::net::IpAddr;
use std::time::Duration;

/// Joins of one address.
const PER_ADDRESS: Pace = Pace {
    burst: 10,
    refill: Duration::from_secs(6),
};
/// Joins of all addresses: a fleet of a few hundred hosts set up at once.
const ALL: Pace = Pace {
    burst: 500,
    refill: Duration::from_millis(50),
};
/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 4_096;

/// Counts joins.
#[derive(Debug)]
pub(super) struct JoinRate {
    all: Rates<()>,
    addresses: Rates<IpAddr>,
}

impl JoinRate {
    /// Nobody has tried yet.
    pub(super) fn new() -> Self {
        Self {
            all: Rates::new(ALL, 1),
            addresses: Rates::new(PER_ADDRESS, ADDRESSES_MAX),
        }
    }

    /// Whether this address may try now.
    pub(super) fn allows(&mut self, address: Option<IpAddr>, now: Monotonic) -> bool {
        address.is_none_or(|address| self.addresses.allows(address, now))
            && self.all.allows((), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_model::time::{Clock, ManualClock};

    #[test]
    fn an_address_that_tries_too_often_waits_and_others_do_not() {
        let clock = ManualClock::at_second(1);
        let mut rate = JoinRate::new();
        let address = |last| Some(IpAddr::from([10, 0, 0, last]));
        for _ in 0..PER_ADDRESS.burst {
            assert!(rate.allows(address(1), clock.monotonic()));
        }
        assert!(!rate.allows(address(1), clock.monotonic()));
        assert!(rate.allows(address(2), clock.monotonic()));
        clock.advance(jiff::SignedDuration::from_secs(6));
        assert!(rate.allows(address(1), clock.monotonic()));
        assert!(!rate.allows(address(1), clock.monotonic()));
    }

    #[test]
    fn all_addresses_together_are_bounded() {
        let clock = ManualClock::at_second(1);
        let mut rate = JoinRate::new();
        let served = (0..2_000_u32)
            .filter(|number| {
                let address = IpAddr::from(number.to_be_bytes());
                rate.allows(Some(address), clock.monotonic())
            })
            .count();
        assert_eq!(served, 500);
    }
}
