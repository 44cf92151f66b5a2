//! How often one address may try to join, and all together.
//!
//! A join needs no certificate, so this is what anyone who reaches the port can make the
//! controller do.

use provado_model::time::Monotonic;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Joins of one address in a row.
const BURST_PER_ADDRESS: u32 = 10;
/// How long until one more is allowed to an address.
const REFILL_PER_ADDRESS: Duration = Duration::from_secs(6);
/// Joins of all addresses in a row: a fleet of a few hundred hosts set up at once.
const BURST: u32 = 500;
/// How long until one more is allowed.
const REFILL: Duration = Duration::from_millis(50);
/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 4_096;

/// Counts joins.
#[derive(Debug)]
pub(super) struct JoinRate {
    all: Bucket,
    addresses: HashMap<IpAddr, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: u32,
    since: Monotonic,
}

impl Bucket {
    /// Takes one; false when there is none.
    fn take(&mut self, now: Monotonic, burst: u32, refill: Duration) -> bool {
        let elapsed = now.since(self.since).as_millis();
        let gained = elapsed / refill.as_millis().max(1);
        if gained > 0 {
            let gained = u32::try_from(gained).unwrap_or(u32::MAX);
            self.tokens = self.tokens.saturating_add(gained).min(burst);
            self.since = if self.tokens == burst {
                now
            } else {
                self.since.plus(refill.saturating_mul(gained))
            };
        }
        let Some(left) = self.tokens.checked_sub(1) else {
            return false;
        };
        self.tokens = left;
        true
    }
}

impl JoinRate {
    /// Nobody has tried yet.
    pub(super) fn new(now: Monotonic) -> Self {
        Self {
            all: Bucket {
                tokens: BURST,
                since: now,
            },
            addresses: HashMap::new(),
        }
    }

    /// Whether this address may try now.
    pub(super) fn allows(&mut self, address: Option<IpAddr>, now: Monotonic) -> bool {
        if let Some(address) = address {
            if self.addresses.len() >= ADDRESSES_MAX && !self.addresses.contains_key(&address) {
                let full_again = REFILL_PER_ADDRESS.saturating_mul(BURST_PER_ADDRESS);
                self.addresses
                    .retain(|_, bucket| now.since(bucket.since) < full_again);
                if self.addresses.len() >= ADDRESSES_MAX {
                    return false;
                }
            }
            let bucket = self.addresses.entry(address).or_insert(Bucket {
                tokens: BURST_PER_ADDRESS,
                since: now,
            });
            if !bucket.take(now, BURST_PER_ADDRESS, REFILL_PER_ADDRESS) {
                return false;
            }
        }
        self.all.take(now, BURST, REFILL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_model::time::{Clock, ManualClock};

    #[test]
    fn an_address_that_tries_too_often_waits_and_others_do_not() {
        let clock = ManualClock::at_second(1);
        let mut rate = JoinRate::new(clock.monotonic());
        let address = |last| Some(IpAddr::from([10, 0, 0, last]));
        for _ in 0..BURST_PER_ADDRESS {
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
        let mut rate = JoinRate::new(clock.monotonic());
        let served = (0..2_000_u32)
            .filter(|number| {
                let address = IpAddr::from(number.to_be_bytes());
                rate.allows(Some(address), clock.monotonic())
            })
            .count();
        assert_eq!(served, 500);
    }
}
