//! The order of judgement, the same for every packet whatever way it came.

use super::{Shared, Snapshot};
use crate::counters::Drop;
use cvlan_filter::{Basis, Direction, Judgement};
use cvlan_route::NextHop;
use cvlan_wg::PeerId;
use cvlan_wire::packet::parse;
use cvlan_wire::{Meta, PeerHandle, Transport};
use std::time::Instant;

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

/// Form, own source, route, policy. Says whose tunnel takes the packet. `port` is the one that sealed packets leave from.
pub fn outbound(shared: &Shared, snapshot: &Snapshot, port: u16, packet: &[u8], now: Instant) -> Result<PeerId, Drop> {
    let meta = parse(packet).map_err(|_| Drop::Malformed)?;
    let table = snapshot.table().ok_or(Drop::NoRoute)?;
    if !table.is_local(meta.source) {
        return Err(Drop::Source);
    }
    if is_own_datagram(snapshot, port, &meta) {
        return Err(Drop::Loop);
    }
    let Some(NextHop::Peer(route)) = table.lookup(meta.destination) else {
        return Err(Drop::NoRoute);
    };
    policy(shared, snapshot, Direction::Outbound, route.node, &meta, now)?;
    Ok(PeerId(route.carrier.0))
}

/// A sealed packet that the host routes back into the tunnel: an endpoint lies inside the overlay, because a peer sends
/// through the tunnel or a route covers its address. Sealed again it would come back again, longer each time.
fn is_own_datagram(snapshot: &Snapshot, port: u16, meta: &Meta) -> bool {
    let own = snapshot.map.as_ref().and_then(|map| map.own.as_ref());
    matches!(meta.transport, Transport::Udp { source, .. } if source == port)
        && own.is_some_and(|own| own.addresses.contains(&meta.source))
}

/// Form, the peer's source, own destination, policy, for a packet out of the tunnel of `carrier`.
pub fn inbound(
    shared: &Shared,
    snapshot: &Snapshot,
    carrier: PeerId,
    packet: &[u8],
    now: Instant,
) -> Result<Meta, Drop> {
    let meta = parse(packet).map_err(|_| Drop::Malformed)?;
    let table = snapshot.table().ok_or(Drop::Source)?;
    let node = table.origin(meta.source, PeerHandle(carrier.0)).ok_or(Drop::Source)?;
    if !table.is_local(meta.destination) {
        return Err(Drop::Destination);
    }
    policy(shared, snapshot, Direction::Inbound, node, &meta, now)?;
    Ok(meta)
}

fn policy(
    shared: &Shared,
    snapshot: &Snapshot,
    direction: Direction,
    node: PeerHandle,
    meta: &Meta,
    now: Instant,
) -> Result<(), Drop> {
    let admission = match shared.admission() {
        Admission::Nothing => return Err(Drop::Stale),
        Admission::EstablishedFlows => cvlan_filter::Admission::EstablishedOnly,
        Admission::Everything => cvlan_filter::Admission::New,
    };
    match shared
        .flows
        .judge(&snapshot.policy, direction, node, meta, now, admission)
    {
        Judgement { allowed: true, .. } => Ok(()),
        Judgement {
            basis: Basis::Stale, ..
        } => Err(Drop::Stale),
        Judgement { .. } => Err(Drop::Filter),
    }
}
