//! The compiled policy beside a slow evaluator written from the words of the contract.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::net::IpAddr;
use std::sync::Arc;

use common::*;
use cvlan_filter::{Compiled, Direction};
use cvlan_wire::{
    Action, IcmpKind, Meta, Node, PeerHandle, PortRange, Protocol, Rule, RuleProtocol, Selector, Transport, Tunnel,
};
use proptest::prelude::*;

/// Deny by default, deny first, all rules looked at in turn.
fn slow(rules: &[Rule], source: &Node, destination: &Node, meta: &Meta) -> bool {
    let belongs = |node: &Node, address: IpAddr| {
        node.addresses.contains(&address) || node.routes.iter().any(|route| route.contains(address))
    };
    if !belongs(source, meta.source) || !belongs(destination, meta.destination) {
        return false;
    }
    let mut allowed = false;
    for rule in rules {
        if rule.tunnel == Tunnel::Ipsec || !slow_protocol(rule, meta) {
            continue;
        }
        let from = slow_side(rule, &rule.sources, source, meta.source);
        let to = slow_side(rule, &rule.destinations, destination, meta.destination);
        if from && to {
            match rule.action {
                Action::Deny => return false,
                Action::Allow => allowed = true,
            }
        }
    }
    allowed
}

fn slow_protocol(rule: &Rule, meta: &Meta) -> bool {
    let port_fits = |port: u16| {
        rule.ports.is_empty()
            || rule
                .ports
                .iter()
                .any(|PortRange { first, last }| port >= *first && port <= *last)
    };
    match rule.protocol {
        RuleProtocol::Any => true,
        RuleProtocol::Icmp => matches!(meta.transport, Transport::Icmp(_)),
        RuleProtocol::Tcp => matches!(meta.transport, Transport::Tcp { destination, .. } if port_fits(destination)),
        RuleProtocol::Udp => matches!(meta.transport, Transport::Udp { destination, .. } if port_fits(destination)),
    }
}

fn slow_side(rule: &Rule, selectors: &[Selector], node: &Node, address: IpAddr) -> bool {
    let mut named = false;
    for selector in selectors {
        named |= match selector {
            Selector::Any => true,
            Selector::Id(id) => node.selectors.contains(id),
            Selector::Node(id) => *id == node.node_id,
            Selector::Prefix(prefix) if prefix.contains(address) => return true,
            Selector::Prefix(_) => false,
        };
    }
    // What is behind a node is denied with the node, and allowed by prefix alone.
    named && (rule.action == Action::Deny || node.addresses.contains(&address))
}

fn selector() -> impl Strategy<Value = Selector> {
    prop_oneof![
        2 => Just(Selector::Any),
        4 => (0u8..4).prop_map(|id| Selector::Id([id; 16])),
        2 => (0u8..5).prop_map(|number| Selector::Node(format!("node_{number}"))),
        3 => prop::sample::select(vec![
            "0.0.0.0/0", "::/0", "100.64.0.0/30", "100.64.0.2/32", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "fd00::/126",
        ])
        .prop_map(|text| Selector::Prefix(prefix(text))),
    ]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let protocol = prop::sample::select(vec![
        RuleProtocol::Any,
        RuleProtocol::Tcp,
        RuleProtocol::Tcp,
        RuleProtocol::Udp,
        RuleProtocol::Icmp,
    ]);
    let ports = proptest::collection::vec(
        (prop::sample::select(vec![1u16, 2, 3, 80, 81, 65_534, 65_535]), 0u16..3).prop_map(|(first, more)| PortRange {
            first,
            last: first.saturating_add(more),
        }),
        0..4,
    );
    let side = || proptest::collection::vec(selector(), 1..4);
    let tunnel = prop::sample::select(vec![Tunnel::Any, Tunnel::Any, Tunnel::WireGuard, Tunnel::Ipsec]);
    (any::<bool>(), side(), side(), protocol, ports, tunnel).prop_map(
        |(deny, sources, destinations, protocol, ports, tunnel)| {
            let ported = matches!(protocol, RuleProtocol::Tcp | RuleProtocol::Udp);
            Rule {
                id: [0; 16],
                policy_version: 1,
                name: String::new(),
                action: if deny { Action::Deny } else { Action::Allow },
                sources,
                destinations,
                protocol,
                ports: if ported { ports } else { Vec::new() },
                tunnel,
            }
        },
    )
}

fn nodes() -> impl Strategy<Value = Vec<Arc<Node>>> {
    let one = |number: u8| {
        let v4 = format!("100.64.0.{number}");
        let second = format!("100.64.1.{number}");
        let v6 = format!("fd00::{number}");
        let route = format!("10.{number}.0.0/16");
        (proptest::collection::vec(0u8..4, 0..3), 0u8..16).prop_map(move |(selectors, shape)| {
            let mut addresses = Vec::new();
            for (bit, address) in [(1, &v4), (2, &v6), (4, &second)] {
                if shape & bit != 0 {
                    addresses.push(address.as_str());
                }
            }
            let routes = if shape & 8 != 0 {
                vec![route.as_str()]
            } else {
                Vec::new()
            };
            node(number, &addresses, &selectors, &routes)
        })
    };
    (one(1), one(2), one(3)).prop_map(|(a, b, c)| vec![a, b, c])
}

fn transports() -> Vec<(Protocol, Transport)> {
    let mut all = Vec::new();
    for destination in [0, 1, 2, 3, 4, 5, 79, 80, 82, 83, 84, 65_533, 65_534, 65_535] {
        all.push((
            Protocol::TCP,
            Transport::Tcp {
                source: 9,
                destination,
                flags: 0,
            },
        ));
        all.push((Protocol::UDP, Transport::Udp { source: 9, destination }));
    }
    all.push((Protocol::ICMP, Transport::Icmp(IcmpKind::Request { identifier: 0 })));
    all.push((Protocol(47), Transport::Other));
    all
}

/// Addresses worth trying for a node: its own, some behind it, one that is not its.
fn addresses(node: &Node) -> Vec<IpAddr> {
    let behind = ["10.1.2.3", "10.2.9.9", "10.3.0.1", "192.0.2.1", "2001:db8::1"].map(|text| text.parse().unwrap());
    node.addresses.iter().copied().chain(behind).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn compiled_policy_is_the_policy(nodes in nodes(), mut rules in proptest::collection::vec(any_rule(), 0..14)) {
        for (index, rule) in (0u8..).zip(&mut rules) {
            rule.id = [index; 16];
        }
        let shared: Vec<_> = rules.iter().cloned().map(Arc::new).collect();
        let compiled = |own: usize| {
            let peers = (0..nodes.len()).filter(|index| *index != own);
            let peers = peers.map(|index| (PeerHandle(index as u32), nodes[index].clone()));
            Compiled::new(1, Some(nodes[own].clone()), peers, shared.clone())
        };
        let engines: Vec<_> = (0..nodes.len()).map(compiled).collect();
        for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 1)] {
            for source in addresses(&nodes[from]) {
                for destination in addresses(&nodes[to]) {
                    if source.is_ipv4() != destination.is_ipv4() {
                        continue;
                    }
                    for (protocol, transport) in transports() {
                        let meta = Meta { source, destination, protocol, transport, fragment: None, length: 0 };
                        let expected = slow(&rules, &nodes[from], &nodes[to], &meta);
                        let sent = engines[from].judge(Direction::Outbound, PeerHandle(to as u32), &meta);
                        let received = engines[to].judge(Direction::Inbound, PeerHandle(from as u32), &meta);
                        prop_assert_eq!(sent.allowed, expected, "{:?}", meta);
                        // Sender and receiver agree, down to the rule they name.
                        prop_assert_eq!(sent, received);
                        if let Some(rule) = sent.rule {
                            prop_assert_eq!(rule.action == Action::Allow, expected);
                        }
                    }
                }
            }
        }
    }
}

/// One change of a policy.
#[derive(Clone, Debug)]
enum Change {
    Rule(u8, Box<Rule>),
    NoRule(u8),
    Peer(u8, Arc<Node>),
    NoPeer(u8),
    Own(Option<Arc<Node>>),
}

fn change() -> impl Strategy<Value = Change> {
    let one = || nodes().prop_map(|nodes| nodes[1].clone());
    prop_oneof![
        4 => (0u8..6, any_rule()).prop_map(|(id, rule)| Change::Rule(id, Box::new(Rule { id: [id; 16], ..rule }))),
        2 => (0u8..6).prop_map(Change::NoRule),
        2 => (0u8..3, one()).prop_map(|(peer, node)| Change::Peer(peer, node)),
        1 => (0u8..3).prop_map(Change::NoPeer),
        1 => proptest::option::weighted(0.9, nodes().prop_map(|nodes| nodes[0].clone())).prop_map(Change::Own),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Changed rule by rule and peer by peer, a policy says what one says that is made of the same at once.
    #[test]
    fn a_policy_that_changes_is_the_one_made_whole(changes in proptest::collection::vec(change(), 1..25)) {
        let mut policy = Compiled::new(1, None, std::iter::empty(), []);
        let (mut own, mut peers, mut rules) = (None, std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
        for change in changes {
            match change {
                Change::Rule(id, rule) => {
                    policy.change_rules([], [Arc::new((*rule).clone())]);
                    rules.insert(id, Arc::new(*rule));
                }
                Change::NoRule(id) => {
                    policy.change_rules([[id; 16]], []);
                    rules.remove(&id);
                }
                Change::Peer(peer, node) => {
                    policy.put_peer(PeerHandle(peer.into()), node.clone());
                    peers.insert(PeerHandle(peer.into()), node);
                }
                Change::NoPeer(peer) => {
                    policy.remove_peer(PeerHandle(peer.into()));
                    peers.remove(&PeerHandle(peer.into()));
                }
                Change::Own(node) => {
                    policy.set_own(node.clone());
                    own = node;
                }
            }
        }
        let all = peers.iter().map(|(peer, node)| (*peer, node.clone()));
        let whole = Compiled::new(1, own.clone(), all, rules.values().cloned());
        prop_assert_eq!(policy.counts().count(), whole.counts().count());
        let Some(own) = own else { return Ok(()) };
        for (peer, node) in &peers {
            for source in addresses(&own) {
                for destination in addresses(node).into_iter().filter(|address| address.is_ipv4() == source.is_ipv4()) {
                    for (protocol, transport) in transports() {
                        let meta = Meta { source, destination, protocol, transport, fragment: None, length: 0 };
                        let (now, then) = (policy.judge(Direction::Outbound, *peer, &meta), whole.judge(Direction::Outbound, *peer, &meta));
                        prop_assert_eq!(now, then, "{:?}", meta);
                        let back = Meta { source: destination, destination: source, ..meta };
                        let (now, then) = (policy.judge(Direction::Inbound, *peer, &back), whole.judge(Direction::Inbound, *peer, &back));
                        prop_assert_eq!(now, then, "{:?}", back);
                    }
                }
            }
        }
    }
}

/// More pairs of ends than lists are made for: looked at by themselves, such rules say the same.
#[test]
fn a_rule_that_names_very_many_pairs_counts_like_any_other() {
    let own = node(1, &["100.64.0.1"], &[], &["10.0.0.0/8"]);
    let peer = node(2, &["100.64.0.2"], &[], &["172.16.0.0/12"]);
    let blocks = |first: &str| {
        (0..100)
            .map(|third| Selector::Prefix(prefix(&format!("{first}.{third}.0/24"))))
            .collect()
    };
    let wide = Rule {
        sources: blocks("10.1"),
        destinations: blocks("172.16"),
        ..rule(2, Action::Allow, RuleProtocol::Tcp, &[(80, 80)])
    };
    let deny = Rule {
        sources: vec![Selector::Prefix(prefix("10.1.7.0/24"))],
        ..rule(3, Action::Deny, RuleProtocol::Any, &[])
    };
    let mut policy = compile(1, &own, &peer, &[wide.clone(), deny]);
    let allowed = |policy: &Compiled, from: &str, to: &str, port| {
        policy
            .judge(Direction::Outbound, PEER, &syn((from, 9), (to, port)))
            .allowed
    };
    assert!(allowed(&policy, "10.1.3.9", "172.16.99.9", 80));
    assert!(!allowed(&policy, "10.1.3.9", "172.16.99.9", 81));
    assert!(!allowed(&policy, "10.1.3.9", "172.16.100.9", 80));
    assert!(!allowed(&policy, "10.1.7.9", "172.16.99.9", 80), "denied");
    policy.change_rules([wide.id], []);
    assert!(!allowed(&policy, "10.1.3.9", "172.16.99.9", 80));
}

#[test]
fn without_a_rule_nothing_passes() {
    let (own, peer) = (node(1, &["100.64.0.1"], &[], &[]), node(2, &["100.64.0.2"], &[], &[]));
    let policy = compile(1, &own, &peer, &[]);
    let verdict = policy.judge(Direction::Outbound, PEER, &syn(("100.64.0.1", 9), ("100.64.0.2", 80)));
    assert_eq!((verdict.allowed, verdict.rule), (false, None));
}

#[test]
fn a_stranger_is_denied_whatever_the_rules_say() {
    let (own, peer) = (node(1, &["100.64.0.1"], &[], &[]), node(2, &["100.64.0.2"], &[], &[]));
    let policy = compile(1, &own, &peer, &[rule(1, Action::Allow, RuleProtocol::Any, &[])]);
    let meta = syn(("100.64.0.1", 9), ("100.64.0.2", 80));
    assert!(policy.judge(Direction::Outbound, PEER, &meta).allowed);
    assert!(!policy.judge(Direction::Outbound, PeerHandle(7), &meta).allowed);
    assert!(!policy.judge(Direction::Inbound, PEER, &meta).allowed);
    let spoofed = syn(("100.64.0.9", 9), ("100.64.0.2", 80));
    assert!(!policy.judge(Direction::Outbound, PEER, &spoofed).allowed);
    let nobody = Compiled::new(1, None, [(PEER, peer)].into_iter(), []);
    assert!(!nobody.judge(Direction::Outbound, PEER, &meta).allowed);
}

#[test]
fn a_deny_of_a_node_denies_what_is_behind_it_and_an_allow_does_not_reach_so_far() {
    let own = node(1, &["100.64.0.1"], &[], &[]);
    let router = node(2, &["100.64.0.2"], &[5], &["10.0.0.0/8"]);
    let behind = syn(("100.64.0.1", 9), ("10.0.0.9", 80));
    let any = rule(1, Action::Allow, RuleProtocol::Any, &[]);
    let by_prefix = Rule {
        id: [2; 16],
        destinations: vec![Selector::Prefix(prefix("10.0.0.0/8"))],
        ..any.clone()
    };
    let deny = Rule {
        id: [3; 16],
        action: Action::Deny,
        destinations: vec![Selector::Id([5; 16])],
        ..any.clone()
    };
    let allowed = |rules: &[Rule]| {
        compile(1, &own, &router, rules)
            .judge(Direction::Outbound, PEER, &behind)
            .allowed
    };
    assert!(!allowed(std::slice::from_ref(&any)));
    assert!(allowed(&[any.clone(), by_prefix.clone()]));
    assert!(!allowed(&[any, by_prefix, deny]));
}
