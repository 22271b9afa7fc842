//! The order of judgement, the same for every packet whatever way it came.

use super::{Shared, Snapshot};
use crate::counters::Drop;
use cvlan_filter::{Basis, Direction};
use cvlan_route::NextHop;
use cvlan_wg::PeerId;
use cvlan_wire::packet::{parse, tcp_flags};
use cvlan_wire::{Meta, PeerHandle, RuleId, Transport};
use std::time::Instant;

/// What judges packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// The map: own addresses, routes, rules.
    Map,
    /// The allowed IPs of each peer, as with every WireGuard (whitepaper, section 2).
    AllowedIps,
}

/// What the age of the map lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// There is no map, or a stale one that stops everything.
    Nothing,
    /// The map is stale: what flows goes on.
    EstablishedFlows,
    /// Whatever the policy allows.
    Everything,
}

impl From<Admission> for u8 {
    fn from(admission: Admission) -> Self {
        match admission {
            Admission::Nothing => 0,
            Admission::EstablishedFlows => 1,
            Admission::Everything => 2,
        }
    }
}

impl From<u8> for Admission {
    fn from(byte: u8) -> Self {
        match byte {
            2 => Self::Everything,
            1 => Self::EstablishedFlows,
            _ => Self::Nothing,
        }
    }
}

/// Judges packets that go out, one turn of reading.
pub struct Outbound<'a> {
    /// The one that sealed packets leave from.
    port: u16,
    bench: Bench<'a>,
}

impl<'a> Outbound<'a> {
    /// By what is in force now.
    pub fn new(shared: &'a Shared, snapshot: &'a Snapshot, port: u16, now: Instant) -> Self {
        Self {
            port,
            bench: Bench::new(shared, snapshot, Direction::Outbound, now),
        }
    }

    /// Form, own source, route, policy. Says whose tunnel takes the packet.
    pub fn judge(&mut self, packet: &[u8]) -> Result<PeerId, Drop> {
        let meta = parse(packet).map_err(|_| Drop::Malformed)?;
        if let Some(peer) = self.bench.as_before(&meta, None) {
            return Ok(peer);
        }
        let snapshot = self.bench.snapshot;
        let table = snapshot.table().ok_or(Drop::NoRoute)?;
        if snapshot.law == Law::AllowedIps {
            let Some(NextHop::Peer(route)) = table.lookup(meta.destination) else {
                return Err(Drop::NoRoute);
            };
            let peer = PeerId(route.carrier.0);
            self.bench.remember(&meta, peer, None);
            return Ok(peer);
        }
        if !table.is_local(meta.source) {
            return Err(Drop::Source);
        }
        if is_own_datagram(snapshot, self.port, &meta) {
            return Err(Drop::Loop);
        }
        let Some(NextHop::Peer(route)) = table.lookup(meta.destination) else {
            return Err(Drop::NoRoute);
        };
        let (node, peer) = (route.node, PeerId(route.carrier.0));
        self.bench.policy(node, &meta, peer)?;
        Ok(peer)
    }
}

/// Judges packets out of tunnels, one reception.
pub struct Inbound<'a>(Bench<'a>);

impl<'a> Inbound<'a> {
    /// By what is in force now.
    pub fn new(shared: &'a Shared, snapshot: &'a Snapshot, now: Instant) -> Self {
        Self(Bench::new(shared, snapshot, Direction::Inbound, now))
    }

    /// Form, the peer's source, own destination, policy, for a packet out of the tunnel of `carrier`.
    pub fn judge(&mut self, carrier: PeerId, packet: &[u8]) -> Result<Meta, Drop> {
        let meta = parse(packet).map_err(|_| Drop::Malformed)?;
        if self.0.as_before(&meta, Some(carrier)).is_some() {
            return Ok(meta);
        }
        let table = self.0.snapshot.table().ok_or(Drop::Source)?;
        let node = table.origin(meta.source, PeerHandle(carrier.0)).ok_or(Drop::Source)?;
        if self.0.snapshot.law == Law::AllowedIps {
            self.0.remember(&meta, carrier, None);
            return Ok(meta);
        }
        if !table.is_local(meta.destination) {
            return Err(Drop::Destination);
        }
        self.0.policy(node, &meta, carrier)?;
        Ok(meta)
    }
}

/// What both directions judge by. The verdict on a packet holds for those of its flow that follow it at once.
struct Bench<'a> {
    shared: &'a Shared,
    snapshot: &'a Snapshot,
    direction: Direction,
    now: Instant,
    latest: Option<Verdict>,
}

/// The last packet that passed, and those that passed like it.
struct Verdict {
    meta: Meta,
    peer: PeerId,
    rule: Option<RuleId>,
    packets: u64,
    bytes: u64,
}

impl<'a> Bench<'a> {
    fn new(shared: &'a Shared, snapshot: &'a Snapshot, direction: Direction, now: Instant) -> Self {
        Self {
            shared,
            snapshot,
            direction,
            now,
            latest: None,
        }
    }

    /// The peer of the packet before when this one gets the same verdict; of a packet from a tunnel only when it came
    /// from the same.
    fn as_before(&mut self, meta: &Meta, from: Option<PeerId>) -> Option<PeerId> {
        let like = |latest: &&mut Verdict| from.is_none_or(|from| from == latest.peer) && is_like(&latest.meta, meta);
        if let Some(latest) = self.latest.as_mut().filter(like) {
            latest.packets += 1;
            latest.bytes += meta.length as u64;
            return Some(latest.peer);
        }
        self.settle();
        None
    }

    /// The rule hears of the packets that passed without a judgement of their own.
    fn settle(&mut self) {
        if let Some(Verdict {
            rule: Some(rule),
            packets: packets @ 1..,
            bytes,
            ..
        }) = self.latest.take()
        {
            self.snapshot.policy.count_more(&rule, self.direction, packets, bytes);
        }
    }

    fn remember(&mut self, meta: &Meta, peer: PeerId, rule: Option<RuleId>) {
        self.latest = Some(Verdict {
            meta: *meta,
            peer,
            rule,
            packets: 0,
            bytes: 0,
        });
    }

    fn policy(&mut self, node: PeerHandle, meta: &Meta, peer: PeerId) -> Result<(), Drop> {
        let admission = match self.shared.admission() {
            Admission::Nothing => return Err(Drop::Stale),
            Admission::EstablishedFlows => cvlan_filter::Admission::EstablishedOnly,
            Admission::Everything => cvlan_filter::Admission::New,
        };
        let policy = &self.snapshot.policy;
        let flows = &self.shared.flows;
        let judgement = flows.judge(policy, self.direction, node, meta, self.now, admission);
        match (judgement.allowed, judgement.basis) {
            (true, basis) => {
                let rule = match basis {
                    Basis::Rule(rule) => rule,
                    Basis::Flow(rule) => Some(rule),
                    Basis::NoFlow | Basis::Stale => None,
                };
                self.remember(meta, peer, rule);
                Ok(())
            }
            (false, Basis::Stale) => Err(Drop::Stale),
            (false, _) => Err(Drop::Filter),
        }
    }
}

impl std::ops::Drop for Bench<'_> {
    fn drop(&mut self) {
        self.settle();
    }
}

/// True when the verdict on the one is the verdict on the other, judged at the same moment by the same map: everything
/// that a verdict looks at is equal, and neither begins, ends or resets a connection, which would change the flow. A second
/// judgement would find the flow that the first one left, and leave it as it is.
fn is_like(one: &Meta, other: &Meta) -> bool {
    let steady = match one.transport {
        Transport::Tcp { flags, .. } => flags & (tcp_flags::SYN | tcp_flags::FIN | tcp_flags::RST) == 0,
        Transport::Udp { .. } => true,
        Transport::Icmp(_) | Transport::Other | Transport::Absent => false,
    };
    steady && one.fragment.is_none() && Meta { length: 0, ..*one } == Meta { length: 0, ..*other }
}

/// Whether it opens a TCP connection or answers to that.
pub fn is_syn(meta: &Meta) -> bool {
    matches!(meta.transport, Transport::Tcp { flags, .. } if flags & tcp_flags::SYN != 0)
}

/// A sealed packet that the host routes back into the tunnel: an endpoint lies inside the overlay, because a peer sends
/// through the tunnel or a route covers its address. Sealed again it would come back again, longer each time.
fn is_own_datagram(snapshot: &Snapshot, port: u16, meta: &Meta) -> bool {
    let own = snapshot.map.as_ref().and_then(|map| map.own.as_ref());
    matches!(meta.transport, Transport::Udp { source, .. } if source == port)
        && own.is_some_and(|own| own.addresses.contains(&meta.source))
}

#[cfg(test)]
mod tests;
