//! Fragments past the first carry no header to judge by: they pass when the first one did.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use cvlan_wire::{Fragment, Meta, PeerHandle, Protocol, RuleId};

use crate::Direction;
use crate::cache::Cache;

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
#[derive(Clone, Copy, Debug)]
struct Datagram {
    rule: RuleId,
    generation: u64,
    seen: Instant,
}

/// The datagrams whose first fragment passed, a bounded number of them.
#[derive(Debug)]
pub(crate) struct Fragments(Cache<FragmentKey, Datagram>);

impl Fragments {
    pub(crate) fn new() -> Self {
        Self(Cache::new(CAPACITY))
    }

    /// Notes that the first fragment passed.
    pub(crate) fn insert(&mut self, hash: u64, key: FragmentKey, rule: RuleId, generation: u64, seen: Instant) {
        self.0
            .insert(hash, key, Datagram { rule, generation, seen }, |datagram| datagram.seen);
    }

    /// Forgets a datagram: its first fragment came again and was dropped.
    pub(crate) fn remove(&mut self, hash: u64, key: &FragmentKey) {
        self.0.remove(hash, key);
    }

    /// The rule that let the first fragment pass, unless the policy changed since.
    pub(crate) fn rule(&self, hash: u64, key: &FragmentKey, generation: u64, now: Instant) -> Option<RuleId> {
        let datagram = self.0.get(hash, key)?;
        let lives = now.saturating_duration_since(datagram.seen) < LIFETIME;
        (lives && datagram.generation >= generation).then_some(datagram.rule)
    }
}
