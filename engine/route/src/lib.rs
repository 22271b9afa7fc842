//! Where an address leads: longest-prefix match, one table a tenant.
//!
//! A table is made whole from the map and never changed; lookups are a binary search over disjoint ranges, so the time
//! of a lookup depends on the count of prefixes alone and not on what a sender chooses.

mod ranges;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cvlan_wire::prefix::to_bits;
use cvlan_wire::{Node, PeerHandle, Prefix};
use ranges::Ranges;

/// Number of a routing table inside the engine.
pub type TableId = u32;

/// Where packets to an address go, and whose they are when they come from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// This node, or a network behind it.
    Local,
    /// A peer.
    Peer(PeerRoute),
}

/// The peer an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerRoute {
    /// Whose address it is, or behind whom it lies: the one the filter judges.
    pub node: PeerHandle,
    /// Whose tunnel carries it: `node` itself unless its record says `via`.
    pub carrier: PeerHandle,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    v4: Ranges<NextHop>,
    v6: Ranges<NextHop>,
}

impl Table {
    /// Makes the table of a map.
    ///
    /// Of two equal prefixes one counts: addresses before routes, the own node before peers, then the smaller handle.
    /// A peer whose `via` is not among `peers` is not routed.
    pub fn compile<'a>(own: Option<&Node>, peers: impl Iterator<Item = (PeerHandle, &'a Node)> + Clone) -> Self {
        let ids: BTreeMap<&str, PeerHandle> = peers
            .clone()
            .map(|(peer, node)| (node.node_id.as_str(), peer))
            .collect();
        let carried = |(peer, node): (PeerHandle, &'a Node)| {
            let carrier = match &node.via {
                None => peer,
                Some(via) => *ids.get(via.as_str())?,
            };
            Some((NextHop::Peer(PeerRoute { node: peer, carrier }), node))
        };
        let everyone = || {
            own.map(|node| (NextHop::Local, node))
                .into_iter()
                .chain(peers.clone().filter_map(carried))
        };
        let addresses = everyone().flat_map(|(hop, node)| node.addresses.iter().map(move |a| (Prefix::host(*a), hop)));
        let routes = everyone().flat_map(|(hop, node)| node.routes.iter().map(move |prefix| (*prefix, hop)));
        Self::new(addresses.chain(routes))
    }

    /// Makes a table; of two equal prefixes the first counts.
    pub fn new(entries: impl Iterator<Item = (Prefix, NextHop)>) -> Self {
        let (v4, v6): (Vec<_>, Vec<_>) = entries.partition(|(prefix, _)| prefix.is_ipv4());
        let numbers =
            |entries: Vec<(Prefix, NextHop)>| Ranges::new(entries.into_iter().map(|(p, hop)| (p.bounds(), hop)));
        Self {
            v4: numbers(v4),
            v6: numbers(v6),
        }
    }

    /// The hop of the longest prefix that holds `address`.
    pub fn lookup(&self, address: IpAddr) -> Option<NextHop> {
        let ranges = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        ranges.lookup(to_bits(address))
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
