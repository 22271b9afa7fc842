//! The compiled policy of one node.

use std::net::IpAddr;
use std::sync::Arc;

use cvlan_wire::{Meta, Node, PeerHandle, Rule, RuleId, Tunnel};
use rpds::HashTrieMapSync;

use crate::Direction;
use crate::entry::{Entry, RuleCount};
use crate::matrix::{Best, Changes, End, Matrix, atoms, side_means, sides};
use crate::ports::Kind;

/// Lists that rules take part in, summed over the rules of one policy: a few hundred bytes each.
const MAX_LISTS: usize = 1 << 17;
/// The same of one rule. A rule that names more pairs of ends, and what is past [`MAX_LISTS`], is looked at by itself with
/// each packet that begins a flow.
const MAX_LISTS_OF_RULE: usize = 1 << 12;

const DIRECTIONS: [Direction; 2] = [Direction::Outbound, Direction::Inbound];

/// What the policy says of a packet, with no regard to flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// False also when no rule spoke.
    pub allowed: bool,
    /// The rule that decided; None when none did.
    pub rule: Option<&'a Rule>,
}

/// The policy of one node against its peers, for packets that WireGuard carries. A clone shares what both have; a change of
/// one peer or rule costs the same however many there are beside it.
#[derive(Clone, Debug)]
pub struct Compiled {
    generation: u64,
    own: Option<Arc<Node>>,
    peers: HashTrieMapSync<PeerHandle, Arc<Node>>,
    rules: HashTrieMapSync<RuleId, Arc<Entry>>,
    outbound: Matrix,
    inbound: Matrix,
    lists: usize,
    /// Rules that are in no list.
    apart: HashTrieMapSync<RuleId, Arc<Entry>>,
}

/// What the policy decides, and by which rule.
pub(crate) type Decision<'a> = (bool, Option<&'a Arc<Entry>>);

impl Compiled {
    /// Compiles the rules of a map for its own node and peers. `generation` grows with every policy of this engine;
    /// flows that an earlier one allowed are judged again. Rules for IPsec alone are left out.
    pub fn new(
        generation: u64,
        own: Option<Arc<Node>>,
        peers: impl Iterator<Item = (PeerHandle, Arc<Node>)>,
        rules: impl IntoIterator<Item = Arc<Rule>>,
    ) -> Self {
        let mut compiled = Self {
            generation,
            own,
            peers: peers.collect(),
            rules: HashTrieMapSync::new_sync(),
            outbound: Matrix::default(),
            inbound: Matrix::default(),
            lists: 0,
            apart: HashTrieMapSync::new_sync(),
        };
        compiled.change_rules([], rules);
        compiled
    }

    /// Denies everything.
    pub fn nothing(generation: u64) -> Self {
        Self::new(generation, None, std::iter::empty(), [])
    }

    /// A policy that begins as this one; flows are judged again.
    #[must_use]
    pub fn followed_by(&self, generation: u64) -> Self {
        Self {
            generation,
            ..self.clone()
        }
    }

    /// The number given to [`Compiled::new`].
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Sets the record of this node. How rules name it may be another way now, so that all of them are compiled again.
    pub fn set_own(&mut self, own: Option<Arc<Node>>) {
        if self.own == own {
            return;
        }
        let rules: Vec<_> = self.rules.values().map(|entry| entry.rule.clone()).collect();
        let ids: Vec<_> = rules.iter().map(|rule| rule.id).collect();
        let counted = self.rules.clone();
        self.change_rules(ids, []);
        self.own = own;
        self.put_rules(rules, &counted);
    }

    /// Sets the record of a peer that is new or changed.
    pub fn put_peer(&mut self, peer: PeerHandle, node: Arc<Node>) {
        self.peers.insert_mut(peer, node);
    }

    /// Forgets a peer that is gone.
    pub fn remove_peer(&mut self, peer: PeerHandle) {
        self.peers.remove_mut(&peer);
    }

    /// Takes rules out and sets others. What a rule counted stays with its id.
    pub fn change_rules(
        &mut self,
        removed: impl IntoIterator<Item = RuleId>,
        put: impl IntoIterator<Item = Arc<Rule>>,
    ) {
        let mut put: Vec<_> = put.into_iter().collect();
        let counted = self.rules.clone();
        let gone: Vec<_> = removed.into_iter().chain(put.iter().map(|rule| rule.id)).collect();
        let gone: Vec<_> = gone.iter().filter_map(|id| self.rules.get(id).cloned()).collect();
        self.rewrite(&gone, |changes, atoms, entry| {
            changes.entry(atoms).or_default().removed.insert(entry.rule.id);
        });
        for entry in gone {
            self.rules.remove_mut(&entry.rule.id);
            self.apart.remove_mut(&entry.rule.id);
            self.lists -= entry.lists;
        }
        // A rule that is for IPsec alone now is none of this policy any more.
        put.retain(|rule| rule.tunnel != Tunnel::Ipsec);
        self.put_rules(put, &counted);
    }

    fn put_rules(&mut self, rules: Vec<Arc<Rule>>, counted: &HashTrieMapSync<RuleId, Arc<Entry>>) {
        let mut entries = Vec::with_capacity(rules.len());
        for rule in rules {
            let wanted = self.lists_of(&rule);
            let fits = wanted <= MAX_LISTS_OF_RULE && self.lists + wanted <= MAX_LISTS;
            let lists = if fits { wanted } else { 0 };
            let former = counted.get(&rule.id);
            let entry = Arc::new(Entry::new(rule, lists, former.map(|former| &**former)));
            self.lists += lists;
            self.rules.insert_mut(entry.rule.id, entry.clone());
            if !fits {
                self.apart.insert_mut(entry.rule.id, entry.clone());
            }
            entries.push(entry);
        }
        self.rewrite(&entries, |changes, atoms, entry| {
            changes.entry(atoms).or_default().added.push(entry.clone());
        });
    }

    /// Changes all lists that these entries are in, each list once.
    fn rewrite(
        &mut self,
        entries: &[Arc<Entry>],
        note: impl Fn(&mut Changes, (crate::matrix::OwnAtom, crate::matrix::PeerAtom), &Arc<Entry>),
    ) {
        let Some(own) = self.own.clone() else { return };
        for direction in DIRECTIONS {
            let mut changes = Changes::new();
            for entry in entries.iter().filter(|entry| entry.lists > 0) {
                let (ours, theirs) = atoms(&entry.rule, direction, &own);
                for own in ours {
                    for peer in &theirs {
                        note(&mut changes, (own, peer.clone()), entry);
                    }
                }
            }
            self.matrix_mut(direction).change(changes);
        }
    }

    fn lists_of(&self, rule: &Rule) -> usize {
        let Some(own) = &self.own else { return 0 };
        let of = |direction| {
            let (ours, theirs) = atoms(rule, direction, own);
            ours.len() * theirs.len()
        };
        DIRECTIONS.into_iter().map(of).sum()
    }

    /// What the policy says of a packet between this node and a peer: `node` is whose the far address is. Denied when
    /// an address belongs to neither, or the packet has no upper-layer header.
    pub fn judge(&self, direction: Direction, node: PeerHandle, meta: &Meta) -> Verdict<'_> {
        let (allowed, entry) = self.decide(direction, node, meta);
        Verdict {
            allowed,
            rule: entry.map(|entry| &*entry.rule),
        }
    }

    /// A rule that is in force for WireGuard.
    pub fn rule_by_id(&self, id: &RuleId) -> Option<&Rule> {
        self.rules.get(id).map(|entry| &*entry.rule)
    }

    pub(crate) fn entry(&self, id: &RuleId) -> Option<&Arc<Entry>> {
        self.rules.get(id)
    }

    /// Counts packets that passed by a verdict of this rule on one of their flow, without a judgement of their own.
    pub fn count_more(&self, rule: &RuleId, direction: Direction, packets: u64, bytes: u64) {
        if let Some(entry) = self.rules.get(rule) {
            entry.count_many(direction, packets, bytes);
        }
    }

    /// What each rule decided since it came; in no order.
    pub fn counts(&self) -> impl Iterator<Item = (&Rule, RuleCount)> {
        self.rules.values().map(|entry| (&*entry.rule, entry.counted()))
    }

    pub(crate) fn decide(&self, direction: Direction, node: PeerHandle, meta: &Meta) -> Decision<'_> {
        let (own, peer) = match direction {
            Direction::Outbound => (meta.source, meta.destination),
            Direction::Inbound => (meta.destination, meta.source),
        };
        match Kind::of(&meta.transport) {
            Some(kind) => self.decide_kind(direction, node, own, peer, kind),
            None => (false, None),
        }
    }

    pub(crate) fn decide_kind(
        &self,
        direction: Direction,
        peer: PeerHandle,
        own_address: IpAddr,
        peer_address: IpAddr,
        kind: Kind,
    ) -> Decision<'_> {
        let (Some(own), Some(peer)) = (&self.own, self.peers.get(&peer)) else {
            return (false, None);
        };
        if !belongs(own, own_address) || !belongs(peer, peer_address) {
            return (false, None);
        }
        let own = End {
            node: own,
            address: own_address,
        };
        let peer = End {
            node: peer,
            address: peer_address,
        };
        let mut best = Best::default();
        self.matrix(direction).judge(own, peer, kind, &mut best);
        for entry in self.apart.values() {
            let (ours, theirs) = sides(&entry.rule, direction);
            let means = |side, end: End<'_>| side_means(entry.rule.action, side, end.node, end.address);
            if kind.is_meant_by(&entry.rule) && means(ours, own) && means(theirs, peer) {
                best.consider(entry);
            }
        }
        best.decision()
    }

    fn matrix(&self, direction: Direction) -> &Matrix {
        match direction {
            Direction::Outbound => &self.outbound,
            Direction::Inbound => &self.inbound,
        }
    }

    fn matrix_mut(&mut self, direction: Direction) -> &mut Matrix {
        match direction {
            Direction::Outbound => &mut self.outbound,
            Direction::Inbound => &mut self.inbound,
        }
    }
}

fn belongs(node: &Node, address: IpAddr) -> bool {
    node.addresses.contains(&address) || node.routes.iter().any(|route| route.contains(address))
}
