//! Which destinations a proxy or forward reaches: those of the overlay that the policy allows, and no others.

use crate::forward::{Admission, Shared, Snapshot};
use cvlan_filter::Direction;
use cvlan_route::NextHop;
use cvlan_wire::packet::tcp_flags;
use cvlan_wire::{Meta, PeerHandle, Protocol, Transport};
use std::net::{IpAddr, SocketAddr};

/// What a caller names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address, IPv4 also when it came in IPv6 clothes.
    Address(IpAddr),
    /// A name of the overlay.
    Name(String),
}

impl Host {
    /// An address, in brackets or not, or else a name.
    pub fn parse(text: &str) -> Self {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        match bare.unwrap_or(text).parse::<IpAddr>() {
            Ok(address) => Self::Address(address.to_canonical()),
            Err(_) => Self::Name(text.to_owned()),
        }
    }
}

/// Why somebody is not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The map has no node of this name.
    #[error("no node of the overlay has this name: see `cvlan status` for the peers")]
    Unknown,
    /// Not an address of a peer or behind one.
    #[error("the destination is not in the overlay, and this proxy leads nowhere else")]
    Outside,
    /// The node itself.
    #[error("the destination is this node itself: connect to it on the host")]
    Own,
    /// No own address of the family.
    #[error("this node has no overlay address of that family")]
    Family,
    /// No rule allows it, or one denies it.
    #[error("the policy does not allow it: ask `cvlan why`")]
    Policy,
    /// The map is stale, or there is none.
    #[error("the map is stale: check that the agent reaches the controller")]
    Stale,
    /// Bounds.
    #[error("too many connections: close some")]
    Busy,
    /// The other side sent a reset.
    #[error("the destination refused the connection")]
    Rejected,
    /// No answer came.
    #[error("the destination did not answer")]
    Silent,
}

/// Both ends of what is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Own address.
    pub local: IpAddr,
    /// Where to.
    pub remote: SocketAddr,
}

/// The addresses of a destination and of this node, if the policy in force lets a conversation begin.
pub fn route(shared: &Shared, host: &Host, port: u16, protocol: Protocol) -> Result<Route, Refused> {
    let snapshot = shared.snapshot();
    let map = snapshot.map.as_ref().ok_or(Refused::Stale)?;
    let own = map.own.as_ref().ok_or(Refused::Stale)?;
    let family = |v4: bool| own.addresses.iter().find(|address| address.is_ipv4() == v4).copied();
    let remote = match host {
        Host::Address(address) => *address,
        Host::Name(name) => {
            let node = map.node_named(name).ok_or(Refused::Unknown)?;
            let reachable = |address: &&IpAddr| family(address.is_ipv4()).is_some();
            *node.addresses.iter().find(reachable).ok_or(Refused::Family)?
        }
    };
    let peer = match snapshot.table().and_then(|table| table.lookup(remote)) {
        Some(NextHop::Peer(route)) => route.node,
        Some(NextHop::Local) => return Err(Refused::Own),
        None => return Err(Refused::Outside),
    };
    let local = family(remote.is_ipv4()).ok_or(Refused::Family)?;
    let remote = SocketAddr::new(remote, port);
    if shared.admission() != Admission::Everything {
        return Err(Refused::Stale);
    }
    // The own port is not known yet; rules speak of the destination's.
    let meta = opening(protocol, SocketAddr::new(local, 0), remote);
    if !snapshot.policy.judge(Direction::Outbound, peer, &meta).allowed {
        return Err(Refused::Policy);
    }
    Ok(Route { local, remote })
}

/// Whether the policy still allows a TCP connection to stand.
pub fn still_allowed(snapshot: &Snapshot, local: SocketAddr, remote: SocketAddr, outgoing: bool) -> bool {
    let peer = |table: &cvlan_route::Table| match table.lookup(remote.ip())? {
        NextHop::Peer(route) => Some(route.node),
        NextHop::Local => None,
    };
    let Some(peer): Option<PeerHandle> = snapshot.table().and_then(peer) else {
        return false;
    };
    let (direction, meta) = if outgoing {
        (Direction::Outbound, opening(Protocol::TCP, local, remote))
    } else {
        (Direction::Inbound, opening(Protocol::TCP, remote, local))
    };
    snapshot.policy.judge(direction, peer, &meta).allowed
}

/// The first packet of a conversation, as the filter sees it.
fn opening(protocol: Protocol, from: SocketAddr, to: SocketAddr) -> Meta {
    let transport = match protocol {
        Protocol::TCP => Transport::Tcp {
            source: from.port(),
            destination: to.port(),
            flags: tcp_flags::SYN,
        },
        _ => Transport::Udp {
            source: from.port(),
            destination: to.port(),
        },
    };
    Meta {
        source: from.ip(),
        destination: to.ip(),
        protocol,
        transport,
        fragment: None,
        length: 0,
    }
}
