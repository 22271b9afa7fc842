//! What the tests of the filter share.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use cvlan_filter::Compiled;
use cvlan_wire::packet::tcp_flags;
use cvlan_wire::{
    Action, IcmpKind, Meta, Node, NodeKind, PeerHandle, PortRange, Prefix, Protocol, Rule, RuleProtocol, Selector,
    Transport, Tunnel,
};

pub const PEER: PeerHandle = PeerHandle(0);

pub fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
}

pub fn node(number: u8, addresses: &[&str], selectors: &[u8], routes: &[&str]) -> Arc<Node> {
    Arc::new(Node {
        node_id: format!("node_{number}"),
        record_revision: 1,
        name: format!("host{number}"),
        kind: NodeKind::Agent,
        wireguard_public_key: [number; 32],
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        selectors: selectors.iter().map(|id| [*id; 16]).collect::<BTreeSet<_>>(),
        routes: routes.iter().map(|text| prefix(text)).collect(),
        via: None,
        capability_version: 1,
    })
}

pub fn rule(number: u8, action: Action, protocol: RuleProtocol, ports: &[(u16, u16)]) -> Rule {
    Rule {
        id: [number; 16],
        policy_version: 1,
        name: format!("rule{number}"),
        action,
        sources: vec![Selector::Any],
        destinations: vec![Selector::Any],
        protocol,
        ports: ports
            .iter()
            .map(|(first, last)| PortRange {
                first: *first,
                last: *last,
            })
            .collect(),
        tunnel: Tunnel::Any,
    }
}

pub fn compile(generation: u64, own: &Arc<Node>, peer: &Arc<Node>, rules: &[Rule]) -> Compiled {
    let rules: Vec<_> = rules.iter().cloned().map(Arc::new).collect();
    Compiled::new(generation, Some(own.clone()), [(PEER, peer.clone())].into_iter(), rules)
}

pub fn packet(source: &str, destination: &str, protocol: Protocol, transport: Transport) -> Meta {
    let (source, destination): (IpAddr, IpAddr) = (source.parse().unwrap(), destination.parse().unwrap());
    Meta {
        source,
        destination,
        protocol,
        transport,
        fragment: None,
        length: 100,
    }
}

pub fn tcp(source: (&str, u16), destination: (&str, u16), flags: u8) -> Meta {
    let transport = Transport::Tcp {
        source: source.1,
        destination: destination.1,
        flags,
    };
    packet(source.0, destination.0, Protocol::TCP, transport)
}

pub fn syn(source: (&str, u16), destination: (&str, u16)) -> Meta {
    tcp(source, destination, tcp_flags::SYN)
}

pub fn udp(source: (&str, u16), destination: (&str, u16)) -> Meta {
    let transport = Transport::Udp {
        source: source.1,
        destination: destination.1,
    };
    packet(source.0, destination.0, Protocol::UDP, transport)
}

pub fn icmp(source: &str, destination: &str, kind: IcmpKind) -> Meta {
    let protocol = if source.contains(':') {
        Protocol::ICMPV6
    } else {
        Protocol::ICMP
    };
    packet(source, destination, protocol, Transport::Icmp(kind))
}
