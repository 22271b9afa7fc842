//! A verdict that is used again is the one that a judgement of its own would have given, and leaves the same behind.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::echo::Echo;
use crate::events::Events;
use cvlan_filter::{Compiled, RuleCount};
use cvlan_route::{Table, Tables};
use cvlan_wg::{Epoch, StaticKey, Wg};
use cvlan_wire::{Action, Node, NodeKind, PortRange, Rule, RuleProtocol, Selector, Tunnel};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

const PORT: u16 = 51_820;

fn address(last: u8) -> IpAddr {
    IpAddr::from([100, 64, 0, last])
}

fn node(number: u8) -> Arc<Node> {
    Arc::new(Node {
        node_id: format!("node_{number}"),
        record_revision: 1,
        name: format!("host{number}"),
        kind: NodeKind::Agent,
        wireguard_public_key: [number; 32],
        addresses: vec![address(number)],
        selectors: BTreeSet::new(),
        routes: Vec::new(),
        via: None,
        capability_version: 1,
    })
}

fn rule(number: u8, action: Action, protocol: RuleProtocol, ports: Vec<PortRange>) -> Arc<Rule> {
    Arc::new(Rule {
        id: [number; 16],
        policy_version: 1,
        name: format!("rule{number}"),
        action,
        sources: vec![Selector::Node("node_1".into()), Selector::Node("node_2".into())],
        destinations: vec![Selector::Any],
        protocol,
        ports,
        tunnel: Tunnel::Any,
    })
}

/// Node 1 with the peers 2 and 3.
fn engine(now: Instant) -> (Shared, Snapshot) {
    let one = |port| {
        vec![PortRange {
            first: port,
            last: port,
        }]
    };
    let rules = [
        rule(1, Action::Allow, RuleProtocol::Tcp, one(80)),
        rule(2, Action::Allow, RuleProtocol::Udp, Vec::new()),
        rule(3, Action::Deny, RuleProtocol::Udp, one(81)),
        rule(4, Action::Allow, RuleProtocol::Icmp, Vec::new()),
    ];
    let peers = || (2..=3).map(|number| (PeerHandle(number.into()), node(number)));
    let mut tables = Tables::default();
    tables.insert(0, Table::compile(Some(node(1)), peers()));
    let snapshot = Snapshot {
        tables,
        table_id: 0,
        policy: Compiled::new(1, Some(node(1)), peers(), rules),
        map: None,
        law: Law::Map,
    };
    let epoch = Epoch {
        instant: now,
        wall: SystemTime::now(),
    };
    let wg = Wg::new(&StaticKey::new([7; 32].into()), epoch);
    let shared = Shared::new(wg, Echo::new(1), Events::default());
    shared.admit(Admission::Everything);
    (shared, snapshot)
}

#[derive(Clone, Debug)]
struct Sent {
    carrier: PeerId,
    bytes: Vec<u8>,
}

fn packet() -> impl Strategy<Value = Sent> {
    let last = || prop_oneof![4 => Just(1u8), 4 => Just(2), 1 => 1u8..5];
    let protocol = prop_oneof![Just(6u8), Just(17), Just(1)];
    let port = || prop_oneof![4 => Just(80u16), 1 => Just(81), 1 => Just(PORT)];
    let flags = prop_oneof![6 => Just(0x10u8), 1 => Just(0x18), 1 => Just(0x02), 1 => Just(0x12), 1 => Just(0x11), 1 => Just(0x14)];
    let fragment = prop_oneof![8 => Just(0x4000u16), 1 => Just(0x2000), 1 => Just(0x0004)];
    (
        last(),
        last(),
        protocol,
        port(),
        port(),
        flags,
        fragment,
        0usize..30,
        2u32..4,
    )
        .prop_map(
            |(from, to, protocol, source, destination, flags, fragment, length, carrier)| {
                let mut bytes = vec![
                    0x45, 0, 0, 0, 0, 9, 0, 0, 64, protocol, 0, 0, 100, 64, 0, from, 100, 64, 0, to,
                ];
                bytes[6..8].copy_from_slice(&fragment.to_be_bytes());
                match protocol {
                    6 => {
                        bytes.extend(source.to_be_bytes());
                        bytes.extend(destination.to_be_bytes());
                        bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0, 9, 0, 0, 0, 0]);
                    }
                    17 => {
                        bytes.extend(source.to_be_bytes());
                        bytes.extend(destination.to_be_bytes());
                        bytes.extend(u16::try_from(8 + length).unwrap().to_be_bytes());
                        bytes.extend([0, 0]);
                    }
                    _ => bytes.extend([if flags == 0x10 { 8 } else { 0 }, 0, 0, 0, 0, 7, 0, 1]),
                }
                bytes.resize(bytes.len() + length, 0);
                let total = u16::try_from(bytes.len()).unwrap();
                bytes[2..4].copy_from_slice(&total.to_be_bytes());
                Sent {
                    carrier: PeerId(carrier),
                    bytes,
                }
            },
        )
}

/// Packets, each so many times in a row: what there is to use again.
fn batch() -> impl Strategy<Value = (bool, Vec<Sent>)> {
    let some = proptest::collection::vec((packet(), 1usize..5), 1..12);
    (any::<bool>(), some).prop_map(|(outbound, some)| {
        let repeated = some
            .into_iter()
            .flat_map(|(sent, times)| std::iter::repeat_n(sent, times));
        (outbound, repeated.collect())
    })
}

type Counts = BTreeMap<RuleId, RuleCount>;

/// Judges all batches, `together` by one judge each, else by one judge a packet.
fn run(batches: &[(bool, Vec<Sent>)], now: Instant, together: bool) -> (Vec<Result<(), Drop>>, Counts, usize) {
    let (shared, snapshot) = engine(now);
    let mut verdicts = Vec::new();
    for (outbound, batch) in batches {
        let size = if together { batch.len() } else { 1 };
        for part in batch.chunks(size) {
            let mut out = Outbound::new(&shared, &snapshot, PORT, now);
            let mut into = Inbound::new(&shared, &snapshot, now);
            verdicts.extend(part.iter().map(|sent| match outbound {
                true => out.judge(&sent.bytes).map(drop),
                false => into.judge(sent.carrier, &sent.bytes).map(drop),
            }));
        }
    }
    let counts = snapshot.policy.counts().map(|(rule, count)| (rule.id, count)).collect();
    (verdicts, counts, shared.flows.len())
}

proptest! {
    #[test]
    fn a_verdict_used_again_is_the_verdict(batches in proptest::collection::vec(batch(), 1..8)) {
        let now = Instant::now();
        prop_assert_eq!(run(&batches, now, true), run(&batches, now, false));
    }
}

#[test]
fn a_packet_after_one_like_it_is_not_judged_anew_and_is_counted() {
    let now = Instant::now();
    let (shared, snapshot) = engine(now);
    let mut bytes = vec![0x45, 0, 0, 28, 0, 9, 0, 0, 64, 17, 0, 0, 100, 64, 0, 1, 100, 64, 0, 2];
    bytes.extend([0, 80, 0, 80, 0, 8, 0, 0]);
    let mut judge = Outbound::new(&shared, &snapshot, PORT, now);
    assert_eq!(judge.judge(&bytes), Ok(PeerId(2)));
    // What is said now would be heard by a judgement.
    shared.admit(Admission::Nothing);
    assert_eq!(judge.judge(&bytes), Ok(PeerId(2)));
    drop(judge);
    assert_eq!(
        Outbound::new(&shared, &snapshot, PORT, now).judge(&bytes),
        Err(Drop::Stale)
    );
    let (_, count) = snapshot.policy.counts().find(|(rule, _)| rule.id == [2; 16]).unwrap();
    assert_eq!((count.packets, count.bytes), (2, 56));
}
