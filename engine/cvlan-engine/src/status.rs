//! The state of an engine as the contract tells it.

use crate::engine::Core;
use crate::forward::{Found, PathState, Shared};
use crate::interface::Interface;
use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use cvlan_filter::Compiled;
use cvlan_map::{Map, Peer};
use cvlan_wg::PeerId;
use cvlan_wire::prefix::address_to_bytes;
use cvlan_wire::{Node, PeerHandle, Prefix};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Rules of one status.
const MAX_RULES_TOLD: usize = 1000;

/// What a status is made of; taken in a moment, read without holding anybody up.
pub struct View {
    /// What neither map nor data path says.
    status: pb::EngineStatus,
    shared: Option<Arc<Shared>>,
    map: Option<Arc<Map>>,
}

impl View {
    /// What there is; what is not there yet stays empty.
    pub fn of(instance_id: &str, core: &Core, now: SystemTime) -> Self {
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
        let identity = core.identity.as_ref();
        if let Some(identity) = identity {
            status.membership = identity.store.membership().map(Into::into);
            status.map = Some(identity.store.position(now));
        }
        Self {
            status,
            shared: identity.map(|identity| identity.shared.clone()),
            map: identity.and_then(|identity| identity.store.map()),
        }
    }

    /// Everything but peers and rules.
    pub fn brief(&self) -> pb::EngineStatus {
        let mut status = self.status.clone();
        if let Some(shared) = &self.shared {
            status.counters = shared.counters.named(&shared.wg);
        }
        let servers = self.map.as_ref().and_then(|map| map.relay_map.as_ref());
        status.relay_map_servers = servers.map_or(0, |map| u32::try_from(map.servers.len()).unwrap_or(u32::MAX));
        if let Some((map, own)) = self.map.as_ref().and_then(|map| Some((map, map.own.as_ref()?))) {
            status.name = own.name.clone();
            status.addresses = addresses(own);
            status.own_routes = own.routes.iter().copied().map(prefix).collect();
            let routes = cvlan_route::interface_routes(Some(own), map.peer_nodes().map(|(_, node)| node));
            status.routes = routes.into_iter().map(prefix).collect();
        }
        status
    }

    /// Everything. Two clocks are read for it: the moment is told by both.
    pub fn whole(&self, clock: Instant, now: SystemTime) -> pb::EngineStatus {
        let mut status = self.brief();
        if let Some(shared) = &self.shared {
            status.rules = rules(&shared.snapshot().policy);
            let peers = self.map.iter().flat_map(|map| map.peers.iter());
            status.peers = peers
                .map(|(handle, peer)| peer_status(shared, *handle, peer, clock, now))
                .collect();
        }
        status
    }

    /// A digest of what is told of peers and rules.
    pub fn fingerprint(&self, clock: Instant) -> u64 {
        let mut hasher = DefaultHasher::new();
        let Some(shared) = &self.shared else {
            return hasher.finish();
        };
        for (handle, peer) in self.map.iter().flat_map(|map| map.peers.iter()) {
            let stats = shared.wg.stats(PeerId(handle.0), clock);
            let told = stats.map(|stats| {
                let traffic = (stats.bytes_received, stats.bytes_sent);
                let path = shared
                    .path(PeerId(handle.0))
                    .map(|path| (path.limit, path_state(path) as i32));
                (stats.endpoint, stats.latest_handshake, traffic, path)
            });
            // A record that changed is another one.
            (handle.0, Arc::as_ptr(&peer.node).addr(), told).hash(&mut hasher);
        }
        for (rule, count) in shared.snapshot().policy.counts() {
            (rule.id, count.packets, count.bytes).hash(&mut hasher);
        }
        hasher.finish()
    }
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

fn peer_status(shared: &Shared, handle: PeerHandle, peer: &Peer, clock: Instant, now: SystemTime) -> pb::PeerStatus {
    let stats = shared.wg.stats(PeerId(handle.0), clock);
    let path = shared.path(PeerId(handle.0));
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
        path_mtu: path.map_or(0, |path| path.limit.into()),
        path_mtu_state: path.map_or(pb::PathMtuState::Unspecified, path_state).into(),
    }
}

fn path_state(path: Found) -> pb::PathMtuState {
    match path.state {
        PathState::Disabled => pb::PathMtuState::Unprobed,
        _ if !path.confirmed => pb::PathMtuState::Assumed,
        PathState::Base | PathState::Searching => pb::PathMtuState::Searching,
        PathState::Complete => pb::PathMtuState::Confirmed,
        PathState::Error => pb::PathMtuState::TooNarrow,
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
