//! The state of an engine as the contract tells it.

use crate::engine::Core;
use crate::identity::Identity;
use crate::interface::Interface;
use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use cvlan_filter::Compiled;
use cvlan_map::{Map, Peer};
use cvlan_wg::PeerId;
use cvlan_wire::prefix::address_to_bytes;
use cvlan_wire::{Node, PeerHandle, Prefix};
use std::time::{Instant, SystemTime};

/// Rules of one status.
const MAX_RULES_TOLD: usize = 1000;

/// Reads everything; what is not there yet stays empty.
pub fn status(instance_id: &str, core: &Core, now: SystemTime) -> pb::EngineStatus {
    let mut status = pb::EngineStatus {
        instance_id: instance_id.to_owned(),
        generation: core.generation,
        ..pb::EngineStatus::default()
    };
    if let Some(settings) = &core.settings {
        status.interface_name = settings.interface_name.clone();
        status.listen_port = settings.listen_port.into();
        status.mtu = settings.mtu.into();
    }
    match core.forwarder.as_ref().map(|forwarder| &**forwarder.interface()) {
        Some(Interface::Tun(_)) => status.set_interface_kind(pb::InterfaceKind::Tun),
        Some(Interface::Stack(_)) => {
            status.interface_name.clear();
            status.set_interface_kind(pb::InterfaceKind::Userspace);
        }
        None => {}
    }
    let Some(identity) = &core.identity else { return status };
    status.membership = identity.store.membership().map(Into::into);
    status.map = Some(identity.store.position(now));
    status.counters = identity.shared.counters.named(&identity.shared.wg);
    status.rules = rules(&identity.shared.snapshot().policy);
    if let Some(map) = identity.store.map() {
        describe(&mut status, identity, &map, now);
    }
    status
}

fn describe(status: &mut pb::EngineStatus, identity: &Identity, map: &Map, now: SystemTime) {
    if let Some(own) = &map.own {
        status.name = own.name.clone();
        status.addresses = addresses(own);
        status.own_routes = own.routes.iter().copied().map(prefix).collect();
        let routes = cvlan_route::interface_routes(Some(own), map.peer_nodes().map(|(_, node)| node));
        status.routes = routes.into_iter().map(prefix).collect();
    }
    let clock = Instant::now();
    status.peers = map
        .peers
        .iter()
        .map(|(handle, peer)| peer_status(identity, *handle, peer, clock, now))
        .collect();
}

/// Those that decided anything, the busiest first.
fn rules(policy: &Compiled) -> Vec<pb::RuleStatus> {
    let counted = policy.counts().filter(|(_, count)| count.packets > 0);
    let mut rules: Vec<_> = counted
        .map(|(rule, count)| pb::RuleStatus {
            rule_id: rule.id.to_vec(),
            name: rule.name.clone(),
            packets: count.packets,
            bytes: count.bytes,
        })
        .collect();
    rules.sort_by(|a, b| b.packets.cmp(&a.packets).then_with(|| a.rule_id.cmp(&b.rule_id)));
    rules.truncate(MAX_RULES_TOLD);
    rules
}

fn peer_status(
    identity: &Identity,
    handle: PeerHandle,
    peer: &Peer,
    clock: Instant,
    now: SystemTime,
) -> pb::PeerStatus {
    let stats = identity.shared.wg.stats(PeerId(handle.0), clock);
    pb::PeerStatus {
        node_id: peer.node.node_id.clone(),
        name: peer.node.name.clone(),
        wireguard_public_key: peer.node.wireguard_public_key.to_vec(),
        addresses: addresses(&peer.node),
        endpoint: stats
            .and_then(|stats| stats.endpoint)
            .map(|endpoint| entity::NodeEndpoint {
                address: endpoint.ip().to_string(),
                port: endpoint.port().into(),
            }),
        latest_handshake_at: stats
            .and_then(|stats| stats.since_handshake)
            .and_then(|since| now.checked_sub(since))
            .map(whole_second),
        bytes_received: stats.map_or(0, |stats| stats.bytes_received),
        bytes_sent: stats.map_or(0, |stats| stats.bytes_sent),
    }
}

/// Two clocks are read for it, so that its fraction is another each time it is told.
fn whole_second(time: SystemTime) -> prost_types::Timestamp {
    prost_types::Timestamp {
        nanos: 0,
        ..time.into()
    }
}

fn addresses(node: &Node) -> Vec<entity::Prefix> {
    node.addresses
        .iter()
        .map(|address| prefix(Prefix::host(*address)))
        .collect()
}

fn prefix(prefix: Prefix) -> entity::Prefix {
    entity::Prefix {
        address: address_to_bytes(prefix.address()),
        length: prefix.length().into(),
    }
}
