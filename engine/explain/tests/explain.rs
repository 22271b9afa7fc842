//! The hops of a packet, by a map as a controller signs it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io;
use std::time::{Duration, Instant, SystemTime};

use cloudvlan_gen::cloudvlan::engine::v1 as engine;
use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use cvlan_explain::{PathState, Records, View, evaluate, explain};
use cvlan_filter::{Compiled, Flows};
use cvlan_map::{Freshness, MapStore, Membership, Slot, StalePolicy, Storage};
use cvlan_route::Table;
use cvlan_testkit::{Tenant, node, rule};

/// A disk that takes everything and keeps nothing; these tests never read it.
struct NoDisk;

impl Storage for NoDisk {
    fn read(&self, _: Slot) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }
    fn replace(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn journal(&self, _: Slot) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }
    fn append(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn set_aside(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn https_only() -> entity::RuleRecord {
    entity::RuleRecord {
        ports: vec![entity::PortRange { first: 443, last: 0 }],
        ..rule(1, entity::PolicyAction::Allow, entity::PolicyProtocol::Tcp)
    }
}

fn deny_ping() -> entity::RuleRecord {
    rule(2, entity::PolicyAction::Deny, entity::PolicyProtocol::Icmp)
}

/// Node 1 with peer 2, which has 10.0.0.0/8 behind it.
fn store() -> MapStore {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let tenant = Tenant::new(1, now);
    let mut store = MapStore::open(Box::new(NoDisk), [1; 32]).unwrap();
    store
        .set_membership(Membership::try_from(&tenant.membership("node_1")).unwrap())
        .unwrap();
    let mut router = node(2, [2; 32]);
    router.routes.push(entity::Prefix {
        address: vec![10, 0, 0, 0],
        length: 8,
    });
    store
        .apply(
            &[tenant.full(5, &[node(1, [1; 32]), router], &[https_only(), deny_ping()])],
            now,
        )
        .unwrap();
    store
}

fn packet(source: [u8; 4], destination: [u8; 4], protocol: u32, port: u32) -> engine::Packet {
    engine::Packet {
        source: source.to_vec(),
        destination: destination.to_vec(),
        protocol,
        source_port: 40_000,
        destination_port: port,
    }
}

const OWN: [u8; 4] = [100, 64, 0, 1];
const PEER: [u8; 4] = [100, 64, 0, 2];

fn ask_with(
    freshness: Freshness,
    path: PathState,
    direction: engine::Direction,
    packet: engine::Packet,
) -> engine::ExplainResponse {
    let map = store().map().unwrap();
    let table = Table::compile(map.own.clone(), map.shared_nodes());
    let policy = Compiled::new(1, map.own.clone(), map.shared_nodes(), map.shared_rules());
    let flows = Flows::new(64, [0, 0]);
    let view = View {
        records: Some(Records::from(&*map)),
        freshness,
        table: &table,
        policy: &policy,
        flows: &flows,
        now: Instant::now(),
    };
    let request = engine::ExplainRequest {
        packet: Some(packet),
        direction: direction.into(),
    };
    explain(&view, &request, |_| path).unwrap()
}

fn ask(direction: engine::Direction, packet: engine::Packet) -> engine::ExplainResponse {
    ask_with(Freshness::Fresh, PathState::Untried(2), direction, packet)
}

/// Names of the hops and whether the last is ok.
fn outline(response: &engine::ExplainResponse) -> (bool, Vec<&str>) {
    assert!(
        response.hops.iter().rev().skip(1).all(|hop| hop.ok),
        "a packet went past a refusal"
    );
    let last = response.hops.last().unwrap();
    assert_eq!(response.forwarded, last.ok);
    assert_eq!(last.ok, last.remedy.is_empty(), "{last:?}");
    (
        response.forwarded,
        response.hops.iter().map(|hop| hop.name.as_str()).collect(),
    )
}

#[test]
fn an_allowed_packet_meets_all_hops() {
    let response = ask(engine::Direction::Outbound, packet(OWN, PEER, 6, 443));
    assert_eq!(outline(&response), (true, vec!["map", "route", "filter", "path"]));
    assert_eq!(response.hops[1].node_id, "node_2");
    assert_eq!(
        (response.hops[2].rule_name.as_str(), response.hops[2].rule_id.as_slice()),
        ("rule1", &[1; 16][..])
    );
    let response = ask(engine::Direction::Inbound, packet(PEER, OWN, 6, 443));
    assert_eq!(outline(&response), (true, vec!["map", "route", "filter", "path"]));
}

#[test]
fn each_hop_can_be_the_last() {
    let out = engine::Direction::Outbound;
    assert_eq!(
        outline(&ask(out, packet(OWN, PEER, 6, 80))),
        (false, vec!["map", "route", "filter"])
    );
    let denied = ask(out, packet(OWN, PEER, 1, 0));
    assert_eq!(outline(&denied), (false, vec!["map", "route", "filter"]));
    assert_eq!(denied.hops[2].rule_name, "rule2");
    assert_eq!(
        outline(&ask(out, packet(OWN, [9, 9, 9, 9], 6, 443))),
        (false, vec!["map", "route"])
    );
    assert_eq!(
        outline(&ask(out, packet([9, 9, 9, 9], PEER, 6, 443))),
        (false, vec!["map", "route"])
    );
    assert_eq!(
        outline(&ask(out, packet(OWN, OWN, 6, 443))),
        (false, vec!["map", "route"])
    );
    let good = || packet(OWN, PEER, 6, 443);
    let stopped = ask_with(Freshness::Stale(StalePolicy::Stop), PathState::Untried(1), out, good());
    assert_eq!(outline(&stopped), (false, vec!["map"]));
    let stale = ask_with(
        Freshness::Stale(StalePolicy::NoNewFlows),
        PathState::Untried(1),
        out,
        good(),
    );
    assert_eq!(outline(&stale), (false, vec!["map", "route", "filter"]));
    let kept = ask_with(Freshness::Stale(StalePolicy::Keep), PathState::Untried(1), out, good());
    assert!(outline(&kept).0);
    let lost = ask_with(Freshness::Fresh, PathState::NoEndpoint, out, good());
    assert_eq!(outline(&lost), (false, vec!["map", "route", "filter", "path"]));
}

#[test]
fn what_is_behind_a_peer_is_said_to_be_so() {
    let response = ask(engine::Direction::Outbound, packet(OWN, [10, 1, 2, 3], 6, 443));
    assert_eq!(response.hops[1].detail, "10.1.2.3 is behind host2");
    assert!(!response.forwarded, "no prefix allows it");
}

#[test]
fn questions_that_make_no_sense() {
    let map = store().map().unwrap();
    let table = Table::default();
    let policy = Compiled::new(1, None, std::iter::empty(), []);
    let flows = Flows::new(1, [0, 0]);
    let view = View {
        records: Some(Records::from(&*map)),
        freshness: Freshness::Fresh,
        table: &table,
        policy: &policy,
        flows: &flows,
        now: Instant::now(),
    };
    let field = |packet: Option<engine::Packet>, direction: i32| {
        explain(&view, &engine::ExplainRequest { packet, direction }, |_| {
            PathState::NoEndpoint
        })
        .unwrap_err()
        .field
    };
    let good = packet(OWN, PEER, 6, 443);
    assert_eq!(field(None, 1), "packet");
    assert_eq!(field(Some(good.clone()), 0), "direction");
    assert_eq!(field(Some(good.clone()), 3), "direction");
    assert_eq!(
        field(
            Some(engine::Packet {
                source: vec![1; 5],
                ..good.clone()
            }),
            1
        ),
        "packet.source"
    );
    assert_eq!(
        field(
            Some(engine::Packet {
                source: vec![1; 16],
                ..good.clone()
            }),
            1
        ),
        "packet"
    );
    assert_eq!(
        field(
            Some(engine::Packet {
                protocol: 256,
                ..good.clone()
            }),
            1
        ),
        "packet.protocol"
    );
    assert_eq!(
        field(
            Some(engine::Packet {
                destination_port: 65_536,
                ..good
            }),
            1
        ),
        "packet.destination_port"
    );
}

#[test]
fn records_alone_are_enough_to_evaluate() {
    let mut request = engine::EvaluateRequest {
        source: Some(node(1, [1; 32])),
        destination: Some(node(2, [2; 32])),
        rules: vec![deny_ping(), https_only()],
        packets: vec![
            packet(OWN, PEER, 6, 443),
            packet(OWN, PEER, 6, 80),
            packet(OWN, PEER, 1, 0),
        ],
        ..engine::EvaluateRequest::default()
    };
    let verdict = |allowed, rule: u8, action: entity::PolicyAction| engine::Verdict {
        allowed,
        rule_name: format!("rule{rule}"),
        action: action.into(),
        rule_id: vec![rule; 16],
    };
    let expected = vec![
        verdict(true, 1, entity::PolicyAction::Allow),
        engine::Verdict::default(),
        verdict(false, 2, entity::PolicyAction::Deny),
    ];
    assert_eq!(evaluate(&request).unwrap().verdicts, expected);

    request.packets.push(engine::Packet::default());
    assert_eq!(evaluate(&request).unwrap_err().field, "packets[3].source");
    request.rules[1].action = 0;
    assert_eq!(evaluate(&request).unwrap_err().field, "rules[1]");
    request.destination = None;
    assert_eq!(evaluate(&request).unwrap_err().field, "destination");
}
