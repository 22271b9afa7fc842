//! Fragments past the first carry no header to judge by: they pass when the first one did.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use cvlan_wire::{Fragment, Meta, PeerHandle, Protocol};

use crate::Direction;
use crate::cache::{Cache, Standing};
use crate::flow::{Flow, Key};
use crate::policy::Compiled;

/// RFC 791 section 3.2 advises 15 s for reassembly, RFC 8200 section 4.5 demands 60 s; a tunnel reorders for less.
const LIFETIME: Duration = Duration::from_secs(15);

/// Datagrams that are remembered.
const CAPACITY: usize = 1024;

/// Identifies a fragmented datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FragmentKey {
    direction: Direction,
    peer: PeerHandle,
    source: IpAddr,
    destination: IpAddr,
    protocol: Protocol,
    identification: u32,
}

impl FragmentKey {
    pub(crate) fn of(direction: Direction, peer: PeerHandle, meta: &Meta, fragment: &Fragment) -> Self {
        Self {
            direction,
            peer,
            source: meta.source,
            destination: meta.destination,
            protocol: meta.protocol,
            identification: fragment.identification,
        }
    }
}

/// A datagram whose first fragment passed.
#[derive(Clone, Debug)]
struct Datagram {
    /// The flow that the first fragment belonged to or began.
    key: Key,
    flow: Flow,
    seen: Instant,
}

impl Datagram {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen) >= LIFETIME
    }
}

/// The datagrams whose first fragment passed, a bounded number of them.
#[derive(Debug)]
pub(crate) struct Fragments(Cache<FragmentKey, Datagram>);

impl Fragments {
    pub(crate) fn new() -> Self {
        Self(Cache::new(CAPACITY))
    }

    /// Notes that the first fragment passed, as a packet of `flow`.
    pub(crate) fn insert(&mut self, hash: u64, key: FragmentKey, (flow_key, flow): (Key, Flow), now: Instant) {
        let datagram = Datagram {
            key: flow_key,
            flow,
            seen: now,
        };
        let standing = |_: &FragmentKey, held: &Datagram| match held.is_over(now) {
            true => Standing::Ended,
            false => Standing::Worth(held.seen),
        };
        // Where there is no room the rest of the datagram does not pass.
        self.0.insert(hash, key, datagram, |key| key.peer, standing);
    }

    /// Forgets a datagram: its first fragment came again and was dropped.
    pub(crate) fn remove(&mut self, hash: u64, key: &FragmentKey) {
        self.0.remove(hash, key);
    }

    /// The flow of the first fragment, while the policy allows it.
    pub(crate) fn flow(&mut self, policy: &Compiled, hash: u64, key: &FragmentKey, now: Instant) -> Option<&Flow> {
        let datagram = self.0.get_mut(hash, key)?;
        let passes = !datagram.is_over(now) && datagram.flow.is_allowed(policy, &datagram.key, now);
        passes.then_some(&datagram.flow)
    }
}
