//! The map as the rest of the engine reads it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use cvlan_wire::{Dns, Node, PeerHandle, Rule};

use crate::handles::Handles;
use crate::head::Head;
use crate::state::State;

/// A verified map; cheap to clone and to share.
#[derive(Clone, Debug)]
pub struct Map {
    /// Where it stands.
    pub head: Head,
    /// Version of the keyset in force.
    pub keyset_version: u64,
    /// This node; None when the map does not have it, and then nothing may be forwarded.
    pub own: Option<Arc<Node>>,
    /// Everybody else.
    pub peers: Arc<BTreeMap<PeerHandle, Peer>>,
    /// Sorted by id.
    pub rules: Arc<[Arc<Rule>]>,
    /// How names are resolved; None when the controller says nothing of it.
    pub dns: Option<Arc<Dns>>,
}

/// A node that this one may talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its record.
    pub node: Arc<Node>,
    /// Where it may be reached; unsigned.
    pub endpoints: Arc<[SocketAddr]>,
}

/// What a step changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapDiff {
    /// Peers that were not there.
    pub added: Vec<PeerHandle>,
    /// Peers whose record is another; the WireGuard key may be too.
    pub changed: Vec<PeerHandle>,
    /// Peers that are gone.
    pub removed: Vec<PeerHandle>,
    /// Peers with other endpoints, new peers not among them.
    pub endpoints_changed: Vec<PeerHandle>,
    /// A rule came, went or changed.
    pub rules_changed: bool,
    /// The own record came, went or changed.
    pub own_changed: bool,
    /// The DNS record came, went or changed.
    pub dns_changed: bool,
}

impl MapDiff {
    /// True when at most the head moved.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Map {
    pub(crate) fn of(state: &State, own_id: &str, handles: &Handles) -> Self {
        let peer = |(id, held): (&String, &crate::state::Held<Node>)| {
            let endpoints = state.endpoints.get(id).cloned().unwrap_or_else(|| Arc::from([]));
            Some((
                handles.get(id)?,
                Peer {
                    node: held.value.clone(),
                    endpoints,
                },
            ))
        };
        Self {
            head: state.head.clone(),
            keyset_version: state.keyset.version,
            own: state.nodes.get(own_id).map(|held| held.value.clone()),
            peers: Arc::new(state.nodes.iter().filter_map(peer).collect()),
            rules: state.rules.values().map(|held| held.value.clone()).collect(),
            dns: state.dns.as_ref().map(|held| held.value.clone()),
        }
    }

    /// Peers with their records, by handle.
    pub fn peer_nodes(&self) -> impl Iterator<Item = (PeerHandle, &Node)> + Clone {
        self.peers.iter().map(|(handle, peer)| (*handle, &*peer.node))
    }

    /// Peers with their records, shared, by handle.
    pub fn shared_nodes(&self) -> impl Iterator<Item = (PeerHandle, Arc<Node>)> {
        self.peers.iter().map(|(handle, peer)| (*handle, peer.node.clone()))
    }

    /// What changed from `former` to `self`.
    pub(crate) fn diff(&self, former: Option<&Map>) -> MapDiff {
        let Some(former) = former else {
            return MapDiff {
                added: self.peers.keys().copied().collect(),
                rules_changed: !self.rules.is_empty(),
                own_changed: self.own.is_some(),
                dns_changed: self.dns.is_some(),
                ..MapDiff::default()
            };
        };
        let mut diff = MapDiff {
            removed: former
                .peers
                .keys()
                .filter(|handle| !self.peers.contains_key(handle))
                .copied()
                .collect(),
            rules_changed: self.rules != former.rules,
            own_changed: self.own != former.own,
            dns_changed: self.dns != former.dns,
            ..MapDiff::default()
        };
        for (handle, peer) in self.peers.iter() {
            match former.peers.get(handle) {
                None => diff.added.push(*handle),
                Some(before) => {
                    if before.node != peer.node {
                        diff.changed.push(*handle);
                    }
                    if before.endpoints != peer.endpoints {
                        diff.endpoints_changed.push(*handle);
                    }
                }
            }
        }
        diff
    }
}
