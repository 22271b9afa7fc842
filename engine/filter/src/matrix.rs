//! Rules by how they name the two ends, so that a packet meets only those that name its ends.
//!
//! A rule stands in one list for each pair of a way to name this node's end and a way to name the peer's. A packet
//! belongs to a few lists: as many as its ends have selectors and prefixes that hold them, however many rules there are.
//! Each list is compiled by protocol and port.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use cvlan_wire::{Action, Node, Prefix, PrefixMap, Rule, RuleId, Selector, SelectorId};
use rpds::HashTrieMapSync;

use crate::Direction;
use crate::entry::Entry;
use crate::ports::{Decisions, Kind};

/// How a rule names this node's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OwnAtom {
    /// As the node that it is: any, a tag or group of it, its id.
    Node,
    /// By address.
    Prefix(Prefix),
}

/// How a rule names the peer's end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PeerAtom {
    Any,
    Id(SelectorId),
    Node(String),
    Prefix(Prefix),
}

/// The pairs that a rule stands for; no list is made for prefixes that this node has nothing of.
pub(crate) fn atoms(rule: &Rule, direction: Direction, own: &Node) -> (BTreeSet<OwnAtom>, BTreeSet<PeerAtom>) {
    let (own_side, peer_side) = sides(rule, direction);
    let has = |prefix: Prefix| {
        own.addresses.iter().any(|address| prefix.contains(*address))
            || own.routes.iter().any(|route| route.overlaps(prefix))
    };
    let own_atom = |selector: &Selector| match selector {
        Selector::Any => Some(OwnAtom::Node),
        Selector::Id(id) => own.selectors.contains(id).then_some(OwnAtom::Node),
        Selector::Node(id) => (own.node_id == *id).then_some(OwnAtom::Node),
        Selector::Prefix(prefix) => has(*prefix).then_some(OwnAtom::Prefix(*prefix)),
    };
    let peer_atom = |selector: &Selector| match selector {
        Selector::Any => PeerAtom::Any,
        Selector::Id(id) => PeerAtom::Id(*id),
        Selector::Node(id) => PeerAtom::Node(id.clone()),
        Selector::Prefix(prefix) => PeerAtom::Prefix(*prefix),
    };
    (
        own_side.iter().filter_map(own_atom).collect(),
        peer_side.iter().map(peer_atom).collect(),
    )
}

/// The selectors of this node's side and of the peer's side.
pub(crate) fn sides(rule: &Rule, direction: Direction) -> (&[Selector], &[Selector]) {
    match direction {
        Direction::Outbound => (&rule.sources, &rule.destinations),
        Direction::Inbound => (&rule.destinations, &rule.sources),
    }
}

/// True when `selectors`, one side of a rule with `action`, mean `address` of `node`.
pub(crate) fn side_means(action: Action, selectors: &[Selector], node: &Node, address: IpAddr) -> bool {
    let nodes_count = action == Action::Deny || node.addresses.contains(&address);
    selectors.iter().any(|selector| match selector {
        Selector::Any => nodes_count,
        Selector::Id(id) => nodes_count && node.selectors.contains(id),
        Selector::Node(id) => nodes_count && node.node_id == *id,
        Selector::Prefix(prefix) => prefix.contains(address),
    })
}

/// Rules that have one pair in common, compiled.
#[derive(Debug)]
struct List {
    /// By id.
    entries: Vec<Arc<Entry>>,
    decisions: Decisions,
}

impl List {
    fn of(entries: Vec<Arc<Entry>>) -> Option<Arc<Self>> {
        let rules: Vec<_> = (0..).zip(entries.iter().map(|entry| &*entry.rule)).collect();
        let decisions = Decisions::compile(&rules);
        (!entries.is_empty()).then(|| Arc::new(Self { entries, decisions }))
    }

    fn entry(&self, index: Option<u32>) -> Option<&Arc<Entry>> {
        self.entries.get(usize::try_from(index?).ok()?)
    }
}

/// The first deny and the first allow, by id, so that the same policy always names the same rule.
#[derive(Clone, Copy, Default)]
pub(crate) struct Best<'a> {
    deny: Option<&'a Arc<Entry>>,
    allow: Option<&'a Arc<Entry>>,
}

impl<'a> Best<'a> {
    /// Deny beats every allow.
    pub(crate) fn decision(self) -> (bool, Option<&'a Arc<Entry>>) {
        (self.deny.is_none() && self.allow.is_some(), self.deny.or(self.allow))
    }

    /// Takes a rule that means the packet.
    pub(crate) fn consider(&mut self, entry: &'a Arc<Entry>) {
        let first = match entry.rule.action {
            Action::Deny => &mut self.deny,
            Action::Allow => &mut self.allow,
        };
        if first.is_none_or(|first| entry.rule.id < first.rule.id) {
            *first = Some(entry);
        }
    }

    fn consider_list(&mut self, list: &'a List, kind: Kind, allows_count: bool) {
        let found = list.decisions.decide(kind);
        let allow = list.entry(found.allow).filter(|_| allows_count);
        for entry in list.entry(found.deny).into_iter().chain(allow) {
            self.consider(entry);
        }
    }
}

/// One end of a packet.
#[derive(Clone, Copy)]
pub(crate) struct End<'a> {
    pub node: &'a Node,
    pub address: IpAddr,
}

impl End<'_> {
    /// What lies behind a node is not allowed by naming the node.
    fn is_of_node(&self) -> bool {
        self.node.addresses.contains(&self.address)
    }
}

/// All lists of one direction. A clone shares what both have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matrix {
    of_node: PeerSide,
    by_prefix: PrefixMap<PeerSide>,
}

#[derive(Clone, Debug, Default)]
struct PeerSide {
    any: Option<Arc<List>>,
    by_id: HashTrieMapSync<SelectorId, Arc<List>>,
    by_node: HashTrieMapSync<String, Arc<List>>,
    by_prefix: PrefixMap<Arc<List>>,
}

/// What is to happen to lists.
pub(crate) type Changes = BTreeMap<(OwnAtom, PeerAtom), Change>;

/// What is to happen to one list.
#[derive(Default)]
pub(crate) struct Change {
    pub removed: BTreeSet<RuleId>,
    pub added: Vec<Arc<Entry>>,
}

impl Matrix {
    /// Looks at the lists that a packet between these ends belongs to.
    pub(crate) fn judge<'a>(&'a self, own: End<'_>, peer: End<'_>, kind: Kind, best: &mut Best<'a>) {
        let of_peer = peer.is_of_node();
        self.of_node.judge(peer, kind, (own.is_of_node(), of_peer), best);
        for side in self.by_prefix.matches(own.address) {
            side.judge(peer, kind, (true, of_peer), best);
        }
    }

    /// Makes the lists what `changes` say, each once.
    pub(crate) fn change(&mut self, changes: Changes) {
        for ((own, peer), change) in changes {
            match own {
                OwnAtom::Node => self.of_node.change(&peer, change),
                OwnAtom::Prefix(prefix) => {
                    let mut side = self.by_prefix.get(prefix).cloned().unwrap_or_default();
                    side.change(&peer, change);
                    if side.is_empty() {
                        self.by_prefix.remove(prefix);
                    } else {
                        self.by_prefix.insert(prefix, side);
                    }
                }
            }
        }
    }
}

impl PeerSide {
    fn judge<'a>(&'a self, peer: End<'_>, kind: Kind, (own_counts, of_peer): (bool, bool), best: &mut Best<'a>) {
        let by_ids = peer.node.selectors.iter().filter_map(|id| self.by_id.get(id));
        let by_node = self.by_node.get(peer.node.node_id.as_str());
        for list in self.any.iter().chain(by_ids).chain(by_node) {
            best.consider_list(list, kind, own_counts && of_peer);
        }
        for list in self.by_prefix.matches(peer.address) {
            best.consider_list(list, kind, own_counts);
        }
    }

    fn change(&mut self, atom: &PeerAtom, change: Change) {
        let former = match atom {
            PeerAtom::Any => self.any.as_ref(),
            PeerAtom::Id(id) => self.by_id.get(id),
            PeerAtom::Node(id) => self.by_node.get(id),
            PeerAtom::Prefix(prefix) => self.by_prefix.get(*prefix),
        };
        let kept = former.into_iter().flat_map(|list| &list.entries);
        let kept = kept.filter(|entry| !change.removed.contains(&entry.rule.id)).cloned();
        let mut entries: Vec<_> = kept.chain(change.added).collect();
        entries.sort_by_key(|entry| entry.rule.id);
        match (atom, List::of(entries)) {
            (PeerAtom::Any, list) => self.any = list,
            (PeerAtom::Id(id), Some(list)) => self.by_id.insert_mut(*id, list),
            (PeerAtom::Node(id), Some(list)) => self.by_node.insert_mut(id.clone(), list),
            (PeerAtom::Prefix(prefix), Some(list)) => self.by_prefix.insert(*prefix, list),
            (PeerAtom::Id(id), None) => drop(self.by_id.remove_mut(id)),
            (PeerAtom::Node(id), None) => drop(self.by_node.remove_mut(id)),
            (PeerAtom::Prefix(prefix), None) => self.by_prefix.remove(*prefix),
        }
    }

    fn is_empty(&self) -> bool {
        self.any.is_none() && self.by_id.is_empty() && self.by_node.is_empty() && self.by_prefix.is_empty()
    }
}
