//! Packets by views: the answers are those of an engine that holds the same records.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io;
use std::time::{Duration, Instant, SystemTime};

use cloudvlan_gen::cloudvlan::engine::v1 as engine;
use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use cvlan_explain::{MAX_DESTINATIONS, PathState, Records, View, evaluate, explain};
use cvlan_filter::{Compiled, Flows};
use cvlan_map::{Freshness, Map, MapStore, Membership, Slot, StalePolicy, Storage};
use cvlan_route::Table;
use cvlan_testkit::{Tenant, node, rule};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

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

const NODES: u8 = 6;

/// The map of node `own` with these records, as a controller signs it.
fn map_of(own: u8, nodes: &[entity::NodeRecord], rules: &[entity::RuleRecord]) -> Map {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let tenant = Tenant::new(1, now);
    let mut store = MapStore::open(Box::new(NoDisk), [own; 32]).unwrap();
    let membership = tenant.membership(&format!("node_{own}"));
    store
        .set_membership(Membership::try_from(&membership).unwrap())
        .unwrap();
    store.apply(&[tenant.full(5, nodes, rules)], now).unwrap();
    Map::clone(&store.map().unwrap())
}

fn view_of(own: u8, nodes: &[entity::NodeRecord], rules: &[entity::RuleRecord]) -> engine::MapView {
    let own_id = format!("node_{own}");
    let (own, peers): (Vec<_>, Vec<_>) = nodes.iter().cloned().partition(|node| node.node_id == own_id);
    let hint = |peer: &entity::NodeRecord| entity::EndpointHint {
        node_id: peer.node_id.clone(),
        endpoints: vec![entity::NodeEndpoint {
            address: "192.0.2.1".into(),
            port: 51_820,
        }],
    };
    engine::MapView {
        own: own.into_iter().next(),
        hints: peers.iter().map(hint).collect(),
        peers,
        rules: rules.to_vec(),
        epoch: 1,
        revision: 5,
        stale: 0,
    }
}

fn by_map(
    map: &Map,
    freshness: Freshness,
    direction: engine::Direction,
    packet: &engine::Packet,
) -> engine::ExplainResponse {
    let table = Table::compile(map.own.clone(), map.shared_nodes());
    let policy = Compiled::new(1, map.own.clone(), map.shared_nodes(), map.shared_rules());
    let view = View {
        records: Some(Records::from(map)),
        freshness,
        table: &table,
        policy: &policy,
        flows: &Flows::new(64, [0, 0]),
        now: Instant::now(),
    };
    let request = engine::ExplainRequest {
        packet: Some(packet.clone()),
        direction: direction.into(),
    };
    explain(&view, &request, |_| PathState::Untried(1)).unwrap()
}

fn packet(source: [u8; 4], destination: [u8; 4], protocol: u32, port: u32) -> engine::Packet {
    engine::Packet {
        source: source.to_vec(),
        destination: destination.to_vec(),
        protocol,
        source_port: 49_152,
        destination_port: port,
    }
}

/// An address of some node, behind one, or nobody's.
fn address() -> impl Strategy<Value = [u8; 4]> {
    prop_oneof![
        (1..=NODES).prop_map(|n| [100, 64, 0, n]),
        (0..4u8, any::<u8>()).prop_map(|(net, host)| [10, net, 0, host]),
        Just([203, 0, 113, 9]),
    ]
}

fn packets() -> impl Strategy<Value = Vec<engine::Packet>> {
    let one = (
        address(),
        address(),
        prop_oneof![Just(1), Just(6), Just(17), Just(47)],
        0..6u32,
    )
        .prop_map(|(source, destination, protocol, port)| packet(source, destination, protocol, port));
    vec(one, 1..12)
}

fn selector() -> impl Strategy<Value = entity::RuleSelector> {
    use entity::rule_selector::Selector;
    let prefix = (0..4u8, prop_oneof![Just(8u32), Just(16), Just(24)]).prop_map(|(net, length)| {
        let net = if length == 8 { 0 } else { net };
        Selector::Prefix(entity::Prefix {
            address: vec![10, net, 0, 0],
            length,
        })
    });
    prop_oneof![
        Just(Selector::Any(true)),
        (0..3u8).prop_map(|id| Selector::SelectorId(vec![id; 16])),
        (1..=NODES).prop_map(|n| Selector::NodeId(format!("node_{n}"))),
        prefix,
    ]
    .prop_map(|selector| entity::RuleSelector {
        selector: Some(selector),
    })
}

fn rules() -> impl Strategy<Value = Vec<entity::RuleRecord>> {
    let one = (
        any::<bool>(),
        vec(selector(), 1..3),
        vec(selector(), 1..3),
        1..5i32,
        vec(1..6u32, 0..3),
    );
    vec(one, 0..8).prop_map(|rules| {
        (1..)
            .zip(rules)
            .map(|(number, (allow, sources, destinations, protocol, ports))| {
                let action = if allow {
                    entity::PolicyAction::Allow
                } else {
                    entity::PolicyAction::Deny
                };
                let protocol = entity::PolicyProtocol::try_from(protocol).unwrap();
                let has_ports = matches!(protocol, entity::PolicyProtocol::Tcp | entity::PolicyProtocol::Udp);
                entity::RuleRecord {
                    sources,
                    destinations,
                    ports: ports
                        .into_iter()
                        .filter(|_| has_ports)
                        .map(|first| entity::PortRange { first, last: 0 })
                        .collect(),
                    ..rule(number, action, protocol)
                }
            })
            .collect()
    })
}

/// Some of the nodes carry networks, and some are in groups.
fn nodes() -> impl Strategy<Value = Vec<entity::NodeRecord>> {
    let one = (
        vec(0..3u8, 0..3),
        vec((0..4u8, prop_oneof![Just(16u32), Just(24)]), 0..2),
    );
    vec(one, usize::from(NODES)).prop_map(|nodes| {
        (1..)
            .zip(nodes)
            .map(|(number, (groups, routes))| entity::NodeRecord {
                selectors: groups.into_iter().map(|id| vec![id; 16]).collect(),
                routes: routes
                    .into_iter()
                    .map(|(net, length)| entity::Prefix {
                        address: vec![10, net, 0, 0],
                        length,
                    })
                    .collect(),
                ..node(number, [number; 32])
            })
            .collect()
    })
}

fn request() -> impl Strategy<Value = engine::EvaluateRequest> {
    (nodes(), rules(), packets()).prop_map(|(nodes, rules, packets)| engine::EvaluateRequest {
        source_view: Some(view_of(1, &nodes, &rules)),
        destination_views: (2..=NODES).map(|own| view_of(own, &nodes, &rules)).collect(),
        packets,
        ..engine::EvaluateRequest::default()
    })
}

fn has(node: &entity::NodeRecord, address: &[u8]) -> bool {
    node.addresses.iter().chain(&node.routes).any(|prefix| {
        let bytes = usize::try_from(prefix.length / 8).unwrap();
        prefix.address.len() == address.len() && prefix.address[..bytes] == address[..bytes]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_view_answers_as_the_map_of_the_same_records(nodes in nodes(), rules in rules(), packets in packets()) {
        let request = engine::EvaluateRequest {
            source_view: Some(view_of(1, &nodes, &rules)),
            destination_views: (2..=NODES).map(|own| view_of(own, &nodes, &rules)).collect(),
            packets,
            ..engine::EvaluateRequest::default()
        };
        let response = evaluate(&request).unwrap();
        prop_assert_eq!(response.verdicts.len(), request.packets.len());
        let source = map_of(1, &nodes, &rules);
        for (packet, following) in request.packets.iter().zip(&response.followings) {
            let outbound = by_map(&source, Freshness::Fresh, engine::Direction::Outbound, packet);
            prop_assert_eq!(following.outbound.as_ref(), Some(&outbound));
            let routed = outbound.hops.iter().find(|hop| hop.name == "route" && hop.ok);
            prop_assert_eq!(&following.destination_id, routed.map_or("", |hop| &hop.node_id));
            let Some(routed) = routed else {
                prop_assert!(following.inbound.is_none());
                continue;
            };
            let number = routed.node_id.trim_start_matches("node_").parse().unwrap();
            let destination = map_of(number, &nodes, &rules);
            let inbound = by_map(&destination, Freshness::Fresh, engine::Direction::Inbound, packet);
            prop_assert_eq!(following.inbound.as_ref(), Some(&inbound));
        }
    }

    #[test]
    fn peers_that_have_no_address_of_a_packet_may_be_left_out(request in request()) {
        let whole = evaluate(&request).unwrap();
        let addresses: Vec<_> = request.packets.iter().flat_map(|packet| [&packet.source, &packet.destination]).collect();
        let mut less = request.clone();
        for view in less.source_view.iter_mut().chain(&mut less.destination_views) {
            view.peers.retain(|peer| addresses.iter().any(|address| has(peer, address)));
            let kept: Vec<_> = view.peers.iter().map(|peer| peer.node_id.clone()).collect();
            view.hints.retain(|hint| kept.contains(&hint.node_id));
        }
        let reduced = evaluate(&less).unwrap();
        prop_assert_eq!(&whole.verdicts, &reduced.verdicts);
        // The map hop says how many peers there are.
        let judged = |response: engine::EvaluateResponse| -> Vec<_> {
            let hops = |explained: Option<engine::ExplainResponse>| explained.map(|it| (it.forwarded, it.hops[1..].to_vec()));
            response.followings.into_iter().map(|each| (hops(each.outbound), hops(each.inbound))).collect()
        };
        prop_assert_eq!(judged(whole), judged(reduced));
    }

    #[test]
    fn no_bytes_make_it_panic(request in request(), cuts in vec((any::<prop::sample::Index>(), any::<u8>()), 0..12), tail in vec(any::<u8>(), 0..64)) {
        let mut bytes = request.encode_to_vec();
        for (index, byte) in cuts {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.extend(&tail);
        for bytes in [bytes, tail] {
            if let Ok(request) = engine::EvaluateRequest::decode(bytes.as_slice())
                && let Err(error) = evaluate(&request)
            {
                prop_assert!(!error.field.is_empty() && !error.problem.is_empty());
            }
        }
    }
}

fn one_way() -> engine::EvaluateRequest {
    let nodes = [node(1, [1; 32]), node(2, [2; 32])];
    let rules = [rule(1, entity::PolicyAction::Allow, entity::PolicyProtocol::Tcp)];
    engine::EvaluateRequest {
        source_view: Some(view_of(1, &nodes, &rules)),
        destination_views: vec![view_of(2, &nodes, &rules)],
        packets: vec![packet([100, 64, 0, 1], [100, 64, 0, 2], 6, 443)],
        ..engine::EvaluateRequest::default()
    }
}

#[test]
fn each_end_may_hold_a_map_past_its_time() {
    for (stale, policy) in [
        (entity::StalePolicy::Keep, StalePolicy::Keep),
        (entity::StalePolicy::NoNewFlows, StalePolicy::NoNewFlows),
        (entity::StalePolicy::Stop, StalePolicy::Stop),
    ] {
        let mut request = one_way();
        request.destination_views[0].stale = stale.into();
        let following = evaluate(&request).unwrap().followings.remove(0);
        assert!(following.outbound.unwrap().forwarded);
        assert_eq!(following.inbound.unwrap().forwarded, policy == StalePolicy::Keep);
        let mut request = one_way();
        request.source_view.as_mut().unwrap().stale = stale.into();
        let following = evaluate(&request).unwrap().followings.remove(0);
        assert_eq!(following.outbound.unwrap().forwarded, policy == StalePolicy::Keep);
    }
}

#[test]
fn a_peer_without_endpoints_is_not_reached_and_may_still_come() {
    let mut request = one_way();
    request.source_view.as_mut().unwrap().hints.clear();
    request.destination_views[0].hints.clear();
    let following = evaluate(&request).unwrap().followings.remove(0);
    let outbound = following.outbound.unwrap();
    assert_eq!(
        outbound.hops.last().map(|hop| (hop.name.as_str(), hop.ok)),
        Some(("path", false))
    );
    assert!(following.inbound.unwrap().forwarded);
}

#[test]
fn what_the_rules_say_does_not_depend_on_who_sees_whom() {
    let mut request = one_way();
    request.source_view.as_mut().unwrap().peers.clear();
    request.source_view.as_mut().unwrap().hints.clear();
    let response = evaluate(&request).unwrap();
    assert_eq!(
        (response.verdicts[0].allowed, response.verdicts[0].rule_name.as_str()),
        (true, "rule1")
    );
    assert!(!response.followings[0].outbound.as_ref().unwrap().forwarded);
    assert_eq!(response.followings[0].destination_id, "");
}

#[test]
fn views_that_make_no_sense_are_named() {
    let field = |change: fn(&mut engine::EvaluateRequest)| {
        let mut request = one_way();
        change(&mut request);
        evaluate(&request).unwrap_err().field
    };
    let view = |request: &mut engine::EvaluateRequest| request.source_view.take().unwrap();
    assert_eq!(field(|request| drop(request.source_view.take())), "source_view");
    assert_eq!(field(|request| request.source = Some(node(1, [1; 32]))), "source_view");
    assert_eq!(
        field(|request| request.destination_views = vec![engine::MapView::default(); MAX_DESTINATIONS + 1]),
        "destination_views"
    );
    assert_eq!(
        field(|request| request.destination_views[0].own = None),
        "destination_views[0].own"
    );
    assert_eq!(
        field(|request| request.destination_views[0].peers[0].kind = 9),
        "destination_views[0].peers[0]"
    );
    assert_eq!(
        field(|request| request.destination_views[0].hints[0].node_id = "node_9".into()),
        "destination_views[0].hints[0]"
    );
    let mut twice = one_way();
    let mut source = view(&mut twice);
    source.peers.push(source.peers[0].clone());
    twice.source_view = Some(source);
    assert_eq!(evaluate(&twice).unwrap_err().field, "source_view.peers[1]");
    let mut own = one_way();
    let mut source = view(&mut own);
    source.peers.push(node(1, [1; 32]));
    own.source_view = Some(source);
    assert_eq!(evaluate(&own).unwrap_err().field, "source_view.peers[1]");
}
