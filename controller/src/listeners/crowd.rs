//! How many connections one peer has, so that no single one takes all there are.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who counts as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Peer {
    /// The holder of a certificate, by its SHA-256.
    Certificate([u8; 32]),
    /// Someone without one, by address or network.
    Address(IpAddr),
}

impl Peer {
    /// Someone of whom only the address is known. Whoever has one address of IPv6 has its whole
    /// network of 64 bits, so that counts as one.
    pub(super) fn of(address: SocketAddr) -> Self {
        Self::Address(match address.ip().to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) & !u128::from(u64::MAX)).into()),
            ip @ IpAddr::V4(_) => ip,
        })
    }
}

/// The connections of each peer.
#[derive(Debug)]
pub(super) struct Crowd {
    each_max: u32,
    places: Mutex<HashMap<Peer, u32>>,
}

/// One connection's place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    peer: Peer,
}

impl Crowd {
    /// Nobody is here; each peer may have so many places.
    pub(super) fn new(each_max: u32) -> Arc<Self> {
        Arc::new(Self {
            each_max,
            places: Mutex::default(),
        })
    }

    /// A place for one more connection of this peer, if it may have one.
    pub(super) fn enter(self: &Arc<Self>, peer: Peer) -> Option<Place> {
        let mut places = self.locked();
        let taken = places.entry(peer).or_insert(0);
        if *taken >= self.each_max {
            return None;
        }
        *taken = taken.saturating_add(1);
        Some(Place {
            crowd: Arc::clone(self),
            peer,
        })
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Peer, u32>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.crowd.locked();
        if let Some(taken) = places.get_mut(&self.peer) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                places.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_has_its_own_places_and_gives_them_back() {
        let crowd = Crowd::new(2);
        let peer = Peer::Address(IpAddr::from([10, 0, 0, 1]));
        let first = crowd.enter(peer).unwrap();
        let second = crowd.enter(peer).unwrap();
        assert!(crowd.enter(peer).is_none());
        assert!(crowd.enter(Peer::Certificate([1; 32])).is_some());
        drop(first);
        assert!(crowd.enter(peer).is_some());
        drop(second);
        assert!(crowd.locked().is_empty());
    }
    #[test]
    fn addresses_of_one_network_are_one_peer() {
        let of = |address: &str| Peer::of(address.parse().unwrap());
        assert_eq!(of("[2001:db8::1]:1"), of("[2001:db8::ffff:2]:9"));
        assert_ne!(of("[2001:db8::1]:1"), of("[2001:db8:0:1::1]:1"));
        assert_eq!(of("10.0.0.1:1"), of("[::ffff:10.0.0.1]:2"));
        assert_ne!(of("10.0.0.1:1"), of("10.0.0.2:1"));
    }
}
