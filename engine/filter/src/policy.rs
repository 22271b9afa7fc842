//! The compiled policy of one node.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use cvlan_wire::{Action, Meta, Node, PeerHandle, Rule, RuleId, Selector, Tunnel};

use crate::Direction;
use crate::index::{SideIndex, side_means};
use crate::ports::{Decision, Decisions, Kind, RuleIndex};

/// What the policy says of a packet, with no regard to flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// False also when no rule spoke.
    pub allowed: bool,
    /// The rule that decided; None when none did.
    pub rule: Option<&'a Rule>,
}

/// The policy of one node against its peers, for packets that WireGuard carries.
#[derive(Clone, Debug)]
pub struct Compiled {
    generation: u64,
    own: Option<Arc<Node>>,
    rules: Vec<Arc<Rule>>,
    /// Rules by their destinations (the peer's side of outbound packets) and by their sources (inbound).
    by_peer_side: PerDirection<SideIndex>,
    peers: HashMap<PeerHandle, PeerPolicy>,
}

#[derive(Clone, Debug)]
struct PeerPolicy {
    node: Arc<Node>,
    /// For the first address of each family on both sides: nearly all packets.
    direct: Vec<Direct>,
}

/// Decisions between one own and one peer's address.
#[derive(Clone, Debug)]
struct Direct {
    own: IpAddr,
    peer: IpAddr,
    decisions: PerDirection<Arc<Decisions>>,
}

#[derive(Clone, Debug)]
struct PerDirection<T> {
    outbound: T,
    inbound: T,
}

impl<T> PerDirection<T> {
    fn new(mut make: impl FnMut(Direction) -> T) -> Self {
        Self {
            outbound: make(Direction::Outbound),
            inbound: make(Direction::Inbound),
        }
    }

    fn get(&self, direction: Direction) -> &T {
        match direction {
            Direction::Outbound => &self.outbound,
            Direction::Inbound => &self.inbound,
        }
    }
}

impl Compiled {
    /// Compiles the rules of a map for its own node and peers. `generation` grows with every policy of this engine;
    /// flows that an earlier one allowed are judged again. Rules for IPsec alone are left out.
    pub fn new(
        generation: u64,
        own: Option<Arc<Node>>,
        peers: impl Iterator<Item = (PeerHandle, Arc<Node>)>,
        rules: &[Arc<Rule>],
    ) -> Self {
        let rules: Vec<_> = rules
            .iter()
            .filter(|rule| rule.tunnel != Tunnel::Ipsec)
            .cloned()
            .collect();
        let by_peer_side = PerDirection::new(|direction| {
            let sides = rules.iter().map(|rule| sides(rule, direction).1);
            SideIndex::new((0..).zip(sides))
        });
        let mut compiled = Self {
            generation,
            own,
            rules,
            by_peer_side,
            peers: HashMap::new(),
        };
        let mut interned = HashMap::new();
        compiled.peers = peers
            .map(|(handle, node)| (handle, compiled.peer_policy(node, &mut interned)))
            .collect();
        compiled
    }

    /// The number given to [`Compiled::new`].
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What the policy says of a packet between this node and a peer: `node` is whose the far address is. Denied when
    /// an address belongs to neither, or the packet has no upper-layer header.
    pub fn judge(&self, direction: Direction, node: PeerHandle, meta: &Meta) -> Verdict<'_> {
        let (own, peer) = match direction {
            Direction::Outbound => (meta.source, meta.destination),
            Direction::Inbound => (meta.destination, meta.source),
        };
        match Kind::of(&meta.transport) {
            Some(kind) => self.judge_kind(direction, node, own, peer, kind),
            None => Verdict {
                allowed: false,
                rule: None,
            },
        }
    }

    /// A rule that is in force for WireGuard.
    pub fn rule_by_id(&self, id: &RuleId) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == *id).map(|rule| &**rule)
    }

    pub(crate) fn judge_kind(
        &self,
        direction: Direction,
        node: PeerHandle,
        own: IpAddr,
        peer: IpAddr,
        kind: Kind,
    ) -> Verdict<'_> {
        let decision = self.peers.get(&node).map_or_else(Decision::default, |policy| {
            match policy
                .direct
                .iter()
                .find(|direct| direct.own == own && direct.peer == peer)
            {
                Some(direct) => direct.decisions.get(direction).decide(kind),
                None => self.decide_slowly(direction, &policy.node, own, peer, kind),
            }
        });
        Verdict {
            allowed: decision.allowed,
            rule: decision.rule.and_then(|index| self.rule(index)),
        }
    }

    fn peer_policy(&self, node: Arc<Node>, interned: &mut HashMap<Vec<RuleIndex>, Arc<Decisions>>) -> PeerPolicy {
        let mut direct = Vec::new();
        for is_ipv4 in [true, false] {
            let first = |node: &Node| {
                node.addresses
                    .iter()
                    .copied()
                    .find(|address| address.is_ipv4() == is_ipv4)
            };
            let Some((own, peer)) = self.own.as_ref().and_then(|own| first(own)).zip(first(&node)) else {
                continue;
            };
            let decisions = PerDirection::new(|direction| {
                let applicable = self.applicable(direction, &node, own, peer);
                interned
                    .entry(applicable)
                    .or_insert_with_key(|key| Arc::new(self.decisions(key)))
                    .clone()
            });
            direct.push(Direct { own, peer, decisions });
        }
        PeerPolicy { node, direct }
    }

    fn decisions(&self, applicable: &[RuleIndex]) -> Decisions {
        let rules: Vec<_> = applicable
            .iter()
            .filter_map(|index| Some((*index, self.rule(*index)?)))
            .collect();
        Decisions::compile(&rules)
    }

    /// Rules whose both sides mean these addresses, ascending, each once.
    fn applicable(&self, direction: Direction, node: &Node, own: IpAddr, peer: IpAddr) -> Vec<RuleIndex> {
        let mut found = Vec::new();
        self.by_peer_side
            .get(direction)
            .visit(&self.rules, node, peer, |index| {
                if self
                    .rule(index)
                    .is_some_and(|rule| self.means_own(rule, direction, own))
                {
                    found.push(index);
                }
            });
        found.sort_unstable();
        found.dedup();
        found
    }

    /// For addresses behind a node and second addresses.
    fn decide_slowly(&self, direction: Direction, node: &Node, own: IpAddr, peer: IpAddr, kind: Kind) -> Decision {
        let ours = self.own.as_ref().is_some_and(|node| belongs(node, own));
        if !ours || !belongs(node, peer) {
            return Decision::default();
        }
        let (mut deny, mut allow) = (None::<RuleIndex>, None::<RuleIndex>);
        self.by_peer_side
            .get(direction)
            .visit(&self.rules, node, peer, |index| {
                let Some(rule) = self.rule(index) else { return };
                let first = match rule.action {
                    Action::Deny => &mut deny,
                    Action::Allow => &mut allow,
                };
                let earlier = first.is_none_or(|first| index < first);
                if earlier && kind.is_meant_by(rule) && self.means_own(rule, direction, own) {
                    *first = Some(index);
                }
            });
        Decision::of(deny, allow)
    }

    fn means_own(&self, rule: &Rule, direction: Direction, own: IpAddr) -> bool {
        let (own_side, _) = sides(rule, direction);
        self.own
            .as_ref()
            .is_some_and(|node| side_means(rule.action, own_side, node, own))
    }

    fn rule(&self, index: RuleIndex) -> Option<&Rule> {
        self.rules.get(usize::try_from(index).ok()?).map(|rule| &**rule)
    }
}

/// The selectors of this node's side and of the peer's side.
fn sides(rule: &Rule, direction: Direction) -> (&[Selector], &[Selector]) {
    match direction {
        Direction::Outbound => (&rule.sources, &rule.destinations),
        Direction::Inbound => (&rule.destinations, &rule.sources),
    }
}

fn belongs(node: &Node, address: IpAddr) -> bool {
    node.addresses.contains(&address) || node.routes.iter().any(|route| route.contains(address))
}
