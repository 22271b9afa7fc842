//! Whom WireGuard speaks with and where it looks for them, declared by what changed.

use cvlan_map::{Map, MapDiff, Peer};
use cvlan_route::Table;
use cvlan_wg::{PeerConfig, PeerId, Refused, Wg};
use cvlan_wire::{Node, PeerHandle};
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// What was declared.
///
/// An endpoint inside the overlay would send the tunnel through itself, so that it is left out. Whoever gets or loses an
/// overlay address therefore changes where others are looked for: those are found by the addresses of their endpoints.
#[derive(Default)]
pub struct Tunnels {
    by_endpoint: HashMap<IpAddr, Vec<PeerHandle>>,
}

impl Tunnels {
    /// Declares everybody in the map, or nobody.
    pub fn declare(&mut self, wg: &Wg, whole: Option<(&Map, &Table)>) {
        self.by_endpoint.clear();
        let mut configs = Vec::new();
        if let Some((map, table)) = whole {
            for (handle, peer) in map.peers.iter() {
                self.note(*handle, peer);
                configs.extend(config(*handle, peer, table));
            }
        }
        for (peer, reason) in wg.set_peers(Instant::now(), configs) {
            refused(peer, reason);
        }
    }

    /// Declares what is other than in `former`. Whose key goes, goes first: a key may move from one peer to another.
    pub fn follow(&mut self, wg: &Wg, former: &Map, (map, table): (&Map, &Table), diff: &MapDiff) {
        let again = self.again(former, map, table, diff);
        for handle in diff.removed.iter().chain(&diff.endpoints_changed) {
            if let Some(peer) = former.peers.get(handle) {
                self.forget(*handle, peer);
            }
        }
        for handle in diff.added.iter().chain(&diff.endpoints_changed) {
            if let Some(peer) = map.peers.get(handle) {
                self.note(*handle, peer);
            }
        }
        let other = diff.changed.iter().filter(|handle| is_other(former, map, handle));
        for handle in diff.removed.iter().chain(other) {
            wg.remove_peer(PeerId(handle.0));
        }
        let now = Instant::now();
        for handle in again {
            let declared = map.peers.get(&handle).and_then(|peer| config(handle, peer, table));
            if let Some(Err(reason)) = declared.map(|config| wg.put_peer(now, config)) {
                refused(PeerId(handle.0), reason);
            }
        }
    }

    /// Those whose declaration may be another one now.
    fn again(&self, former: &Map, map: &Map, table: &Table, diff: &MapDiff) -> BTreeSet<PeerHandle> {
        let moved = || moved(former, map, diff);
        let widely = |(before, after): (Option<&Arc<Node>>, Option<&Arc<Node>>)| match (before, after) {
            (Some(before), Some(after)) => before.routes != after.routes || before.via != after.via,
            (Some(node), None) | (None, Some(node)) => {
                !node.routes.is_empty() || node.via.is_some() || table.carries(&node.node_id)
            }
            (None, None) => false,
        };
        if moved().any(widely) {
            return map.peers.keys().copied().collect();
        }
        let addresses =
            moved().flat_map(|(before, after)| before.into_iter().chain(after).flat_map(|node| &node.addresses));
        let found = addresses.filter_map(|address| self.by_endpoint.get(address)).flatten();
        let named = [&diff.added, &diff.changed, &diff.endpoints_changed];
        found.chain(named.into_iter().flatten()).copied().collect()
    }

    fn note(&mut self, handle: PeerHandle, peer: &Peer) {
        for address in addresses(peer) {
            self.by_endpoint.entry(address).or_default().push(handle);
        }
    }

    fn forget(&mut self, handle: PeerHandle, peer: &Peer) {
        for address in addresses(peer) {
            let Some(all) = self.by_endpoint.get_mut(&address) else {
                continue;
            };
            all.retain(|held| *held != handle);
            if all.is_empty() {
                self.by_endpoint.remove(&address);
            }
        }
    }
}

/// Records before and after, of all nodes that a step moved.
fn moved<'a>(
    former: &'a Map,
    map: &'a Map,
    diff: &'a MapDiff,
) -> impl Iterator<Item = (Option<&'a Arc<Node>>, Option<&'a Arc<Node>>)> {
    let handles = diff.removed.iter().chain(&diff.added).chain(&diff.changed);
    let node = |map: &'a Map, handle: &PeerHandle| map.peers.get(handle).map(|peer| &peer.node);
    let peers = handles.map(move |handle| (node(former, handle), node(map, handle)));
    let own = diff.own_changed.then_some((former.own.as_ref(), map.own.as_ref()));
    peers.chain(own)
}

/// True when the tunnel of before is no longer the peer's.
fn is_other(former: &Map, map: &Map, handle: &PeerHandle) -> bool {
    let key = |map: &Map| map.peers.get(handle).map(|peer| peer.node.wireguard_public_key);
    let carried = map.peers.get(handle).is_some_and(|peer| peer.node.via.is_some());
    carried || key(former) != key(map)
}

fn addresses(peer: &Peer) -> BTreeSet<IpAddr> {
    peer.endpoints
        .iter()
        .map(|endpoint| endpoint.ip().to_canonical())
        .collect()
}

/// None for a peer that another one carries.
fn config(handle: PeerHandle, peer: &Peer, table: &Table) -> Option<PeerConfig> {
    let outside = |endpoint: &&SocketAddr| table.lookup(endpoint.ip().to_canonical()).is_none();
    peer.node.via.is_none().then(|| PeerConfig {
        candidates: peer.endpoints.iter().filter(outside).copied().collect(),
        ..PeerConfig::new(PeerId(handle.0), peer.node.wireguard_public_key)
    })
}

fn refused(peer: PeerId, reason: Refused) {
    tracing::error!(peer = peer.0, %reason, "peer refused");
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudvlan_gen::cloudvlan::entity::v1 as entity;
    use cvlan_map::{FileStorage, MapStore, Membership};
    use cvlan_testkit::{Tenant, node};
    use cvlan_wg::{Epoch, StaticKey};
    use std::time::{Duration, SystemTime};
    use zeroize::Zeroizing;

    fn wg() -> Wg {
        let epoch = Epoch {
            instant: Instant::now(),
            wall: SystemTime::now(),
        };
        Wg::new(&StaticKey::new(Zeroizing::new([3; 32])), epoch)
    }

    fn record(number: u8, revision: u64, key: u8, via: &str, routes: &[[u8; 4]]) -> entity::NodeRecord {
        entity::NodeRecord {
            record_revision: revision,
            via: via.into(),
            routes: routes
                .iter()
                .map(|net| entity::Prefix {
                    address: net.to_vec(),
                    length: 24,
                })
                .collect(),
            ..node(number, [key; 32])
        }
    }

    fn hint(number: u8, addresses: &[&str]) -> entity::EndpointHint {
        let endpoint = |address: &&str| entity::NodeEndpoint {
            address: (*address).to_owned(),
            port: 7,
        };
        entity::EndpointHint {
            node_id: format!("node_{number}"),
            endpoints: addresses.iter().map(endpoint).collect(),
        }
    }

    /// Keys that move, addresses of the overlay that come and go under the endpoints of others, carriers and routes.
    #[test]
    fn declared_step_by_step_it_is_what_is_declared_whole() {
        let tenant = Tenant::new(1, SystemTime::now() - Duration::from_secs(60));
        let folder = tempfile::TempDir::new().unwrap();
        let storage = FileStorage::open(folder.path()).unwrap();
        let mut store = MapStore::open(Box::new(storage), [9; 32]).unwrap();
        store
            .set_membership(Membership::try_from(&tenant.membership("node_1")).unwrap())
            .unwrap();
        let step = |nodes: &[entity::NodeRecord], hints: &[entity::EndpointHint], removed: &[&str]| entity::MapUpdate {
            hints: hints.to_vec(),
            removed_nodes: removed.iter().map(|id| (*id).to_owned()).collect(),
            ..tenant.delta(0, 0, nodes, &[])
        };
        let own = node(1, [9; 32]);
        // Which endpoints each step leaves to the peers 2, 3 and 4; None: no tunnel.
        let steps = [
            (
                step(
                    &[own, record(2, 1, 2, "", &[]), record(3, 1, 3, "", &[])],
                    &[hint(2, &["192.0.2.2", "100.64.0.4"]), hint(3, &["10.1.1.9"])],
                    &[],
                ),
                [Some(2), Some(1), None],
            ),
            (step(&[record(4, 1, 4, "", &[])], &[], &[]), [Some(1), Some(1), Some(0)]),
            (
                step(&[record(4, 2, 4, "", &[[10, 1, 1, 0]])], &[], &[]),
                [Some(1), Some(0), Some(0)],
            ),
            // The keys of 2 and 3 change places.
            (
                step(&[record(2, 2, 3, "", &[]), record(3, 2, 2, "", &[])], &[], &[]),
                [Some(1), Some(0), Some(0)],
            ),
            (
                step(&[record(3, 3, 2, "node_2", &[])], &[], &[]),
                [Some(1), None, Some(0)],
            ),
            (
                step(&[], &[hint(4, &["192.0.2.4"])], &["node_2"]),
                [None, None, Some(1)],
            ),
            (
                step(&[record(3, 4, 2, "", &[])], &[hint(3, &["10.1.1.9", "192.0.2.3"])], &[]),
                [None, Some(1), Some(1)],
            ),
            (step(&[], &[], &["node_4"]), [None, Some(2), None]),
        ];
        let (followed, mut tunnels) = (wg(), Tunnels::default());
        let mut former: Option<Arc<Map>> = None;
        for (revision, (update, expected)) in (1..).zip(steps) {
            let update = entity::MapUpdate {
                previous: if revision == 1 { 0 } else { revision - 1 },
                revision,
                full: revision == 1,
                keyset: tenant.sign_keyset(&tenant.keyset(1)),
                head: tenant.sign_head(&tenant.head(1, revision, revision)),
                ..update
            };
            let diff = store.apply(&[update], SystemTime::now()).unwrap();
            let map = store.map().unwrap();
            let table = Table::compile(map.own.clone(), map.shared_nodes());
            match &former {
                Some(former) => tunnels.follow(&followed, former, (&map, &table), &diff),
                None => tunnels.declare(&followed, Some((&map, &table))),
            }
            let whole = wg();
            Tunnels::default().declare(&whole, Some((&map, &table)));
            for (number, expected) in (2..).zip(expected) {
                let id = format!("node_{number}");
                let handle = map
                    .peers
                    .iter()
                    .find(|(_, peer)| peer.node.node_id == id)
                    .map(|(handle, _)| *handle);
                let candidates = |wg: &Wg| Some(wg.stats(PeerId(handle?.0), Instant::now())?.candidates);
                assert_eq!(candidates(&followed), expected, "node {number} at revision {revision}");
                assert_eq!(
                    candidates(&whole),
                    expected,
                    "node {number} at revision {revision}, whole"
                );
            }
            former = Some(map);
        }
        tunnels.declare(&followed, None);
        assert!(tunnels.by_endpoint.is_empty());
    }
}
