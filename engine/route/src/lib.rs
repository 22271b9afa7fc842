//! Where an address leads: longest-prefix match, one table a tenant.
//!
//! A table is made of node records and changed record by record; a clone shares what did not change. A lookup takes as
//! many steps as there are different lengths of prefixes, however many prefixes there are and whatever a sender chooses.

mod claims;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use claims::{Blocks, Claim};
use cvlan_wire::{Node, PeerHandle, Prefix};
use rpds::HashTrieMapSync;

/// Number of a routing table inside the engine.
pub type TableId = u32;

/// Where packets to an address go, and whose they are when they come from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NextHop {
    /// This node, or a network behind it.
    Local,
    /// A peer.
    Peer(PeerRoute),
}

/// The peer an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerRoute {
    /// Whose address it is, or behind whom it lies: the one the filter judges.
    pub node: PeerHandle,
    /// Whose tunnel carries it: `node` itself unless its record says `via`.
    pub carrier: PeerHandle,
}

impl PeerRoute {
    fn to(peer: PeerHandle) -> Self {
        Self {
            node: peer,
            carrier: peer,
        }
    }
}

/// One table.
///
/// Of two equal prefixes one counts: addresses before routes, the own node before peers, then the smaller handle.
/// A peer whose `via` is not among the peers is not routed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    blocks: Blocks,
    own: Option<Arc<Node>>,
    peers: HashTrieMapSync<PeerHandle, Arc<Node>>,
    by_id: HashTrieMapSync<String, PeerHandle>,
    /// Who names a node as the one that carries its traffic.
    carried: HashTrieMapSync<String, Vec<PeerHandle>>,
}

impl Table {
    /// Makes the table of a map.
    pub fn compile(own: Option<Arc<Node>>, peers: impl Iterator<Item = (PeerHandle, Arc<Node>)>) -> Self {
        let mut table = Self::default();
        table.set_own(own);
        for (peer, node) in peers {
            table.put(peer, node);
        }
        table
    }

    /// Sets the record of this node.
    pub fn set_own(&mut self, own: Option<Arc<Node>>) {
        if let Some(former) = std::mem::replace(&mut self.own, own.clone()) {
            self.release(NextHop::Local, &former);
        }
        if let Some(own) = own {
            self.claim(NextHop::Local, &own);
        }
    }

    /// Sets the record of a peer that is new or changed.
    pub fn put(&mut self, peer: PeerHandle, node: Arc<Node>) {
        self.remove(peer);
        if let Some(via) = &node.via {
            let mut all = self.carried.get(via).cloned().unwrap_or_default();
            all.push(peer);
            self.carried.insert_mut(via.clone(), all);
        }
        self.by_id.insert_mut(node.node_id.clone(), peer);
        self.peers.insert_mut(peer, node.clone());
        if let Some(hop) = self.hop(peer, &node) {
            self.claim(hop, &node);
        }
        for (hop, behind) in self.carried_by(&node.node_id) {
            self.claim(hop, &behind);
        }
    }

    /// Forgets a peer that is gone.
    pub fn remove(&mut self, peer: PeerHandle) {
        let Some(node) = self.peers.get(&peer).cloned() else {
            return;
        };
        for (hop, behind) in self.carried_by(&node.node_id) {
            self.release(hop, &behind);
        }
        if let Some(hop) = self.hop(peer, &node) {
            self.release(hop, &node);
        }
        self.peers.remove_mut(&peer);
        self.by_id.remove_mut(&node.node_id);
        if let Some(via) = &node.via {
            let mut all = self.carried.get(via).cloned().unwrap_or_default();
            all.retain(|other| *other != peer);
            if all.is_empty() {
                self.carried.remove_mut(via);
            } else {
                self.carried.insert_mut(via.clone(), all);
            }
        }
    }

    /// True when a peer says that this node carries its traffic.
    pub fn carries(&self, node_id: &str) -> bool {
        self.carried.contains_key(node_id)
    }

    /// Where packets to a peer go; None while nobody carries them.
    fn hop(&self, peer: PeerHandle, node: &Node) -> Option<NextHop> {
        let carrier = match &node.via {
            None => peer,
            Some(via) => *self.by_id.get(via)?,
        };
        Some(NextHop::Peer(PeerRoute { node: peer, carrier }))
    }

    /// Those behind a peer; it must be among the peers.
    fn carried_by(&self, id: &str) -> Vec<(NextHop, Arc<Node>)> {
        let all = self.carried.get(id).into_iter().flatten();
        all.filter_map(|peer| {
            let node = self.peers.get(peer).filter(|node| node.node_id != id)?;
            Some((self.hop(*peer, node)?, node.clone()))
        })
        .collect()
    }

    fn claim(&mut self, hop: NextHop, node: &Node) {
        for (prefix, claim) in claims_of(hop, node) {
            self.blocks.add(prefix, claim);
        }
    }

    fn release(&mut self, hop: NextHop, node: &Node) {
        for (prefix, claim) in claims_of(hop, node) {
            self.blocks.remove(prefix, claim);
        }
    }

    /// Gives a block of addresses to a peer without a record, which carries its own packets.
    pub fn give(&mut self, prefix: Prefix, peer: PeerHandle) {
        self.blocks
            .add(prefix, Claim::Route(NextHop::Peer(PeerRoute::to(peer))));
    }

    /// Takes back what was given.
    pub fn take_back(&mut self, prefix: Prefix, peer: PeerHandle) {
        self.blocks
            .remove(prefix, Claim::Route(NextHop::Peer(PeerRoute::to(peer))));
    }

    /// The hop of the longest prefix that holds `address`.
    pub fn lookup(&self, address: IpAddr) -> Option<NextHop> {
        self.blocks.lookup(address)
    }

    /// True when `address` is this node's or behind it.
    pub fn is_local(&self, address: IpAddr) -> bool {
        self.lookup(address) == Some(NextHop::Local)
    }

    /// Whose a packet is that came out of the tunnel of `carrier` with this source address; None when the longest
    /// prefix belongs to somebody else, also when a shorter one is the carrier's.
    pub fn origin(&self, source: IpAddr, carrier: PeerHandle) -> Option<PeerHandle> {
        match self.lookup(source)? {
            NextHop::Peer(route) if route.carrier == carrier => Some(route.node),
            NextHop::Peer(_) | NextHop::Local => None,
        }
    }
}

fn claims_of(hop: NextHop, node: &Node) -> impl Iterator<Item = (Prefix, Claim)> {
    let addresses = node
        .addresses
        .iter()
        .map(move |address| (Prefix::host(*address), Claim::Address(hop)));
    addresses.chain(node.routes.iter().map(move |prefix| (*prefix, Claim::Route(hop))))
}

/// All tables of an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables(BTreeMap<TableId, Table>);

impl Tables {
    /// Sets one table.
    pub fn insert(&mut self, id: TableId, table: Table) {
        self.0.insert(id, table);
    }

    /// One table.
    pub fn get(&self, id: TableId) -> Option<&Table> {
        self.0.get(&id)
    }
}

/// Prefixes to route into the interface: the addresses of all peers and what is behind them, sorted, each once.
/// A prefix that is this node's own is left out. Addresses beside each other are one prefix where it holds no other address,
/// so that a host with thousands of peers has few routes; a network behind a peer has a route of its own.
pub fn interface_routes<'a>(own: Option<&Node>, peers: impl Iterator<Item = &'a Node>) -> Vec<Prefix> {
    let prefixes = |node: &'a Node| {
        let addresses = node.addresses.iter().map(|address| Prefix::host(*address));
        addresses.chain(node.routes.iter().copied()).collect::<Vec<_>>()
    };
    let mut all: BTreeSet<Prefix> = peers.flat_map(prefixes).collect();
    if let Some(own) = own {
        for address in &own.addresses {
            all.remove(&Prefix::host(*address));
        }
        for route in &own.routes {
            all.remove(route);
        }
    }
    let (hosts, networks): (Vec<_>, Vec<_>) = all.into_iter().partition(|prefix| prefix.is_host());
    let routes: BTreeSet<Prefix> = joined(hosts).into_iter().chain(networks).collect();
    routes.into_iter().collect()
}

/// The fewest prefixes that hold exactly these addresses, which are sorted.
fn joined(hosts: Vec<Prefix>) -> Vec<Prefix> {
    let mut done: Vec<Prefix> = Vec::new();
    for host in hosts {
        let mut last = host;
        while let Some(both) = done.last().and_then(|lower| lower.joined(last)) {
            done.pop();
            last = both;
        }
        done.push(last);
    }
    done
}

#[cfg(test)]
mod tests;
