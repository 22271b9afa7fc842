//! The map as the rest of the engine reads it.

use std::net::SocketAddr;
use std::sync::Arc;

use cvlan_wire::{Dns, Node, PeerHandle, RelayMap, Rule, RuleId};
use rpds::RedBlackTreeMapSync;

use crate::handles::Handles;
use crate::head::Head;
use crate::names::Names;
use crate::state::{State, Touched};

/// Everybody else in a map, by handle; ordered, and cheap to clone and to change.
pub type Peers = RedBlackTreeMapSync<PeerHandle, Peer>;

/// A verified map; cheap to clone and to share. It shares with the map before whatever the step between did not touch.
#[derive(Clone, Debug)]
pub struct Map {
    /// Where it stands.
    pub head: Head,
    /// Version of the keyset in force.
    pub keyset_version: u64,
    /// This node; None when the map does not have it, and then nothing may be forwarded.
    pub own: Option<Arc<Node>>,
    /// Everybody else.
    pub peers: Peers,
    /// By id.
    pub rules: RedBlackTreeMapSync<RuleId, Arc<Rule>>,
    pub(crate) names: Names,
    /// How names are resolved; None when the controller says nothing of it.
    pub dns: Option<Arc<Dns>>,
    /// Servers that help to find ways to peers; None when the controller says nothing of any.
    pub relay_map: Option<Arc<RelayMap>>,
}

/// A node that this one may talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its record.
    pub node: Arc<Node>,
    /// Where it may be reached; unsigned.
    pub endpoints: Arc<[SocketAddr]>,
}

/// What a step changed. Peers are in the order of their handles.
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
    /// Rules that came, went or changed.
    pub rules_changed: Vec<RuleId>,
    /// The own record came, went or changed.
    pub own_changed: bool,
    /// The DNS record came, went or changed.
    pub dns_changed: bool,
    /// The relay map came, went or changed.
    pub relay_map_changed: bool,
}

impl MapDiff {
    /// True when at most the head moved.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Map {
    /// The map of `state`, and what `touched` makes it differ in from `former`. Ids that are new have their handles
    /// already, those that are gone still have theirs.
    pub(crate) fn follow(
        former: Option<&Map>,
        state: &State,
        touched: &Touched,
        own_id: &str,
        handles: &Handles,
    ) -> (Self, MapDiff) {
        let mut map = Self {
            head: state.head.clone(),
            keyset_version: state.keyset.version,
            own: state.nodes.get(own_id).map(|held| held.value.clone()),
            peers: former.map(|former| former.peers.clone()).unwrap_or_default(),
            rules: former.map(|former| former.rules.clone()).unwrap_or_default(),
            names: former.map(|former| former.names.clone()).unwrap_or_default(),
            dns: state.dns.as_ref().map(|held| held.value.clone()),
            relay_map: state.relay_map.as_ref().map(|held| held.value.clone()),
        };
        let mut diff = MapDiff {
            own_changed: map.own != former.and_then(|former| former.own.clone()),
            dns_changed: map.dns != former.and_then(|former| former.dns.clone()),
            relay_map_changed: map.relay_map != former.and_then(|former| former.relay_map.clone()),
            ..MapDiff::default()
        };
        for id in touched.nodes.union(&touched.hints).filter(|id| *id != own_id) {
            if let Some(handle) = handles.get(id) {
                map.follow_peer(handle, peer_of(state, id), &mut diff);
            }
        }
        for id in &touched.rules {
            map.follow_rule(id, state.rules.get(id).map(|held| &held.value), &mut diff);
        }
        for handles in [
            &mut diff.added,
            &mut diff.changed,
            &mut diff.removed,
            &mut diff.endpoints_changed,
        ] {
            handles.sort_unstable();
        }
        (map, diff)
    }

    fn follow_peer(&mut self, handle: PeerHandle, next: Option<Peer>, diff: &mut MapDiff) {
        let before = self.peers.get(&handle).map(|peer| &*peer.node);
        let after = next.as_ref().map(|peer| &*peer.node);
        self.names.follow(handle, before, after);
        match (self.peers.get(&handle), next) {
            (None, None) => {}
            (Some(_), None) => {
                self.peers.remove_mut(&handle);
                diff.removed.push(handle);
            }
            (None, Some(peer)) => {
                self.peers.insert_mut(handle, peer);
                diff.added.push(handle);
            }
            (Some(before), Some(peer)) => {
                let (node, endpoints) = (before.node != peer.node, before.endpoints != peer.endpoints);
                if node {
                    diff.changed.push(handle);
                }
                if endpoints {
                    diff.endpoints_changed.push(handle);
                }
                if node || endpoints {
                    self.peers.insert_mut(handle, peer);
                }
            }
        }
    }

    fn follow_rule(&mut self, id: &RuleId, next: Option<&Arc<Rule>>, diff: &mut MapDiff) {
        if self.rules.get(id) == next {
            return;
        }
        diff.rules_changed.push(*id);
        match next {
            Some(rule) => self.rules.insert_mut(*id, rule.clone()),
            None => {
                self.rules.remove_mut(id);
            }
        }
    }

    /// Peers with their records, by handle.
    pub fn peer_nodes(&self) -> impl Iterator<Item = (PeerHandle, &Node)> {
        self.peers.iter().map(|(handle, peer)| (*handle, &*peer.node))
    }

    /// Peers with their records, shared, by handle.
    pub fn shared_nodes(&self) -> impl Iterator<Item = (PeerHandle, Arc<Node>)> {
        self.peers.iter().map(|(handle, peer)| (*handle, peer.node.clone()))
    }

    /// Rules, shared, by id.
    pub fn shared_rules(&self) -> impl Iterator<Item = Arc<Rule>> {
        self.rules.values().cloned()
    }
}

fn peer_of(state: &State, id: &str) -> Option<Peer> {
    let endpoints = || state.endpoints.get(id).cloned();
    state.nodes.get(id).map(|held| Peer {
        node: held.value.clone(),
        endpoints: endpoints().unwrap_or_else(|| Arc::from([])),
    })
}
