//! Good steps, and that no disturbance of a stream leads anywhere but to the truth or a refusal.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;

use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use common::*;
use cvlan_map::{MapStore, Membership, Reason};
use proptest::prelude::*;
use prost::Message;

#[test]
fn handles_are_kept_while_a_peer_is_there_and_never_given_again() {
    let memory = Memory::default();
    let mut store = joined(&memory);
    let added = store
        .apply(&[tenant().full(1, &[own(), peer(2)], &[])], now())
        .unwrap()
        .added;
    let renewed = entity::NodeRecord {
        record_revision: 2,
        wireguard_public_key: vec![99; 32],
        ..peer(2)
    };
    let diff = store
        .apply(&[tenant().delta(1, 2, std::slice::from_ref(&renewed), &[])], now())
        .unwrap();
    assert_eq!(diff.changed, added);
    let gone = entity::MapUpdate {
        removed_nodes: vec!["node_2".into()],
        ..tenant().delta(2, 3, &[], &[])
    };
    assert_eq!(store.apply(&[gone], now()).unwrap().removed, added);
    let again = store
        .apply(&[tenant().delta(3, 4, &[renewed], &[])], now())
        .unwrap()
        .added;
    assert_ne!(again, added);
}

#[test]
fn the_last_step_again_changes_nothing() {
    let memory = Memory::default();
    let mut store = joined(&memory);
    let full = [tenant().full(1, &[own(), peer(2)], &[])];
    store.apply(&full, now()).unwrap();
    assert!(store.apply(&full, now()).unwrap().is_empty());
    let step = [tenant().delta(1, 2, &[peer(3)], &[])];
    assert_eq!(store.apply(&step, now()).unwrap().added.len(), 1);
    assert!(store.apply(&step, now()).unwrap().is_empty());
}

#[test]
fn a_step_of_several_frames_counts_whole() {
    let memory = Memory::default();
    let mut store = joined(&memory);
    let mut first = tenant().full(1, &[own()], &[]);
    first.more = true;
    first.head = Vec::new();
    let middle = entity::MapUpdate {
        more: true,
        nodes: vec![tenant().sign_node(&peer(2))],
        ..Default::default()
    };
    let last = tenant().delta(0, 1, &[peer(3)], &[allow(1)]);
    let frames = [first, middle, last];
    for cut in 0..frames.len() {
        assert!(store.apply(&frames[..cut], now()).is_err());
        assert!(store.map().is_none());
    }
    store.apply(&frames, now()).unwrap();
    assert_eq!(store.map().unwrap().peers.size(), 2);

    // A full map replaces: whatever is not in it is gone.
    let diff = store.apply(&[tenant().full(2, &[own(), peer(3)], &[])], now()).unwrap();
    assert_eq!(
        (diff.removed.len(), !diff.rules_changed.is_empty(), diff.own_changed),
        (1, true, false)
    );
}

fn with_dns(step: entity::MapUpdate, revision: u64, routes: &[(&str, &[std::net::SocketAddr])]) -> entity::MapUpdate {
    entity::MapUpdate {
        dns: tenant().sign_dns(&cvlan_testkit::dns(revision, routes)),
        ..step
    }
}

#[test]
fn the_dns_record_comes_stays_changes_and_goes_with_a_full_map() {
    let memory = Memory::default();
    let mut store = joined(&memory);
    let revision = |store: &MapStore| store.map().unwrap().dns.as_ref().map(|dns| dns.record_revision);
    store.apply(&[tenant().full(1, &[own()], &[])], now()).unwrap();
    assert_eq!(revision(&store), None);
    let step = with_dns(tenant().delta(1, 2, &[], &[]), 1, &[]);
    assert!(store.apply(&[step], now()).unwrap().dns_changed);
    let diff = store.apply(&[tenant().delta(2, 3, &[peer(2)], &[])], now()).unwrap();
    assert!(!diff.dns_changed);
    assert_eq!(revision(&store), Some(1));
    let upstreams = ["192.0.2.1:53".parse().unwrap()];
    let routed = with_dns(tenant().delta(3, 4, &[], &[]), 2, &[("corp", &upstreams)]);
    assert!(store.apply(&[routed], now()).unwrap().dns_changed);
    drop(store);

    let mut store = open(&memory);
    assert_eq!(
        store.map().unwrap().dns.as_ref().unwrap().routes[0].upstreams,
        upstreams
    );
    let full = tenant().full(5, &[own()], &[]);
    assert!(store.apply(&[full], now()).unwrap().dns_changed);
    assert_eq!(revision(&store), None);
    drop(store);

    let mut store = open(&memory);
    let old = with_dns(tenant().delta(5, 6, &[], &[]), 1, &[]);
    assert_eq!(store.apply(&[old], now()).unwrap_err().reason(), Reason::OldRecord);
    let other = with_dns(tenant().delta(5, 6, &[], &[]), 2, &[]);
    assert_eq!(store.apply(&[other], now()).unwrap_err().reason(), Reason::OldRecord);
    let newer = with_dns(tenant().delta(5, 6, &[], &[]), 3, &[]);
    store.apply(&[newer], now()).unwrap();
    assert_eq!(revision(&store), Some(3));
}

#[test]
fn without_its_own_record_a_node_has_no_self() {
    let memory = Memory::default();
    let mut store = joined(&memory);
    store.apply(&[tenant().full(1, &[own(), peer(2)], &[])], now()).unwrap();
    let gone = entity::MapUpdate {
        removed_nodes: vec!["node_1".into()],
        ..tenant().delta(1, 2, &[], &[])
    };
    assert!(store.apply(&[gone], now()).unwrap().own_changed);
    assert!(store.map().unwrap().own.is_none());
}

fn called(number: u8, revision: u64, name: &str) -> entity::NodeRecord {
    entity::NodeRecord {
        name: name.into(),
        record_revision: revision,
        ..peer(number)
    }
}

#[test]
fn a_name_means_who_has_it_now() {
    let memory = Memory::default();
    let mut store = joined(&memory);
    let own_name = own().name;
    let all = [own(), called(2, 1, "web"), called(3, 1, "db"), called(4, 1, "web")];
    store.apply(&[tenant().full(1, &all, &[])], now()).unwrap();
    let meant = |store: &MapStore, name: &str| {
        let map = store.map().unwrap();
        map.node_named(name).map(|node| node.node_id.clone())
    };
    assert_eq!(meant(&store, "WEB."), Some("node_2".into()), "the first of them");
    assert_eq!(meant(&store, &own_name), Some("node_1".into()));
    assert_eq!(
        (meant(&store, "we"), meant(&store, "webx"), meant(&store, "")),
        (None, None, None)
    );
    let renamed = entity::MapUpdate {
        removed_nodes: vec!["node_3".into()],
        ..tenant().delta(1, 2, &[called(2, 2, "db")], &[])
    };
    store.apply(&[renamed], now()).unwrap();
    assert_eq!(meant(&store, "web"), Some("node_4".into()));
    assert_eq!(meant(&store, "db"), Some("node_2".into()));
    let back = tenant().delta(2, 3, &[called(2, 3, "mail"), called(4, 2, "web")], &[]);
    store.apply(&[back], now()).unwrap();
    assert_eq!(
        (meant(&store, "web"), meant(&store, "db")),
        (Some("node_4".into()), None)
    );
    drop(store);
    assert_eq!(meant(&open(&memory), "mail"), Some("node_2".into()));
}

#[test]
fn a_first_membership_and_its_step_count_together_or_not_at_all() {
    let membership = |number: u8| Membership::try_from(&tenant().membership(&format!("node_{number}"))).unwrap();
    let memory = Memory::default();
    let mut store = open(&memory);
    let full = [tenant().full(1, &[own(), peer(2)], &[])];
    let mut torn = full.clone();
    torn[0].nodes[0].reverse();
    assert!(store.begin(membership(1), &torn, now()).is_err());
    memory.0.lock().unwrap().full = true;
    assert_eq!(
        store.begin(membership(1), &full, now()).unwrap_err().reason(),
        Reason::Storage
    );
    memory.0.lock().unwrap().full = false;
    assert!(store.membership().is_none() && store.map().is_none());
    assert!(open(&memory).membership().is_none());

    assert_eq!(store.begin(membership(1), &full, now()).unwrap().added.len(), 1);
    assert_eq!(memory.0.lock().unwrap().writes, 1);
    let kept = open(&memory);
    assert_eq!(kept.membership(), Some(&membership(1)));
    assert_eq!(kept.map().unwrap().peers.size(), 1);
    let step = [tenant().delta(1, 2, &[peer(3)], &[])];
    assert_eq!(
        store.begin(membership(2), &step, now()).unwrap_err().reason(),
        Reason::MembershipConflict
    );
    assert_eq!(store.begin(membership(1), &step, now()).unwrap().added.len(), 1);
}

/// One change of the truth.
#[derive(Clone, Debug)]
enum Change {
    Node(u8),
    NoNode(u8),
    Rule(u8),
    NoRule(u8),
    Nothing,
    Full,
}

/// One disturbance of the stream.
#[derive(Clone, Debug)]
enum Trouble {
    Swap(usize, usize),
    Repeat(usize, usize),
    Lose(usize),
    Flip(usize, usize),
    Cut(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (2u8..6).prop_map(Change::Node),
        2 => (2u8..6).prop_map(Change::NoNode),
        2 => (1u8..4).prop_map(Change::Rule),
        1 => (1u8..4).prop_map(Change::NoRule),
        1 => Just(Change::Nothing),
        1 => Just(Change::Full),
    ]
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let at = || 0usize..20;
    prop_oneof![
        (at(), at()).prop_map(|(a, b)| Trouble::Swap(a, b)),
        (at(), at()).prop_map(|(a, b)| Trouble::Repeat(a, b)),
        at().prop_map(Trouble::Lose),
        (at(), 0usize..100_000).prop_map(|(a, b)| Trouble::Flip(a, b)),
        (at(), 0usize..100_000).prop_map(|(a, b)| Trouble::Cut(a, b)),
    ]
}

/// The stream of frames, serialised, and what a node must hold after each.
fn script(changes: &[Change]) -> (Vec<Vec<u8>>, Vec<Option<Shape>>) {
    let tenant = tenant();
    let mut nodes: BTreeMap<u8, entity::NodeRecord> = BTreeMap::from([(1, own())]);
    let mut rules: BTreeMap<u8, entity::RuleRecord> = BTreeMap::new();
    let all = |nodes: &BTreeMap<u8, entity::NodeRecord>| nodes.values().cloned().collect::<Vec<_>>();
    let every = |rules: &BTreeMap<u8, entity::RuleRecord>| rules.values().cloned().collect::<Vec<_>>();
    let mut frames = vec![tenant.full(1, &all(&nodes), &[])];
    let mut shapes: Vec<Option<Shape>> = Vec::new();
    let shape_of = |revision, nodes: &BTreeMap<u8, entity::NodeRecord>, rules: &BTreeMap<u8, entity::RuleRecord>| {
        let nodes = nodes
            .values()
            .map(|node| (node.node_id.clone(), node.record_revision))
            .collect();
        Some((
            1,
            revision,
            nodes,
            rules.iter().map(|(id, rule)| (*id, rule.policy_version)).collect(),
        ))
    };
    shapes.push(shape_of(1, &nodes, &rules));
    for (revision, change) in (2..).zip(changes) {
        let mut frame = tenant.delta(revision - 1, revision, &[], &[]);
        match change {
            Change::Node(number) => {
                let record = entity::NodeRecord {
                    record_revision: revision,
                    ..peer(*number)
                };
                frame.nodes.push(tenant.sign_node(&record));
                nodes.insert(*number, record);
            }
            Change::NoNode(number) => {
                frame.removed_nodes.push(format!("node_{number}"));
                nodes.remove(number);
            }
            Change::Rule(number) => {
                let record = entity::RuleRecord {
                    policy_version: revision,
                    ..allow(*number)
                };
                frame.rules.push(tenant.sign_rule(&record));
                rules.insert(*number, record);
            }
            Change::NoRule(number) => {
                frame.removed_rules.push(vec![*number; 16]);
                rules.remove(number);
            }
            Change::Nothing => {}
            Change::Full => frame = tenant.full(revision, &all(&nodes), &every(&rules)),
        }
        frames.push(frame);
        shapes.push(shape_of(revision, &nodes, &rules));
    }
    (frames.iter().map(Message::encode_to_vec).collect(), shapes)
}

fn disturb(stream: &mut Vec<Vec<u8>>, trouble: &Trouble) {
    let count = stream.len();
    match trouble {
        Trouble::Swap(a, b) => stream.swap(a % count, b % count),
        Trouble::Repeat(from, to) => {
            let frame = stream[from % count].clone();
            stream.insert(to % count, frame);
        }
        Trouble::Lose(at) if count > 1 => drop(stream.remove(at % count)),
        Trouble::Lose(_) => {}
        Trouble::Flip(at, bit) => {
            let frame = &mut stream[at % count];
            let bits = frame.len() * 8;
            if bits > 0 {
                frame[(bit % bits) / 8] ^= 1 << (bit % 8);
            }
        }
        Trouble::Cut(at, length) => {
            let frame = &mut stream[at % count];
            let keep = length % (frame.len() + 1);
            frame.truncate(keep);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn an_undisturbed_stream_arrives(changes in proptest::collection::vec(change(), 0..10)) {
        let (stream, shapes) = script(&changes);
        let memory = Memory::default();
        let mut store = joined(&memory);
        for (bytes, expected) in stream.iter().zip(shapes) {
            store.apply(&[entity::MapUpdate::decode(bytes.as_slice()).unwrap()], now()).unwrap();
            prop_assert_eq!(&shape(&store), &expected);
        }
        prop_assert_eq!(shape(&store), shape(&open(&memory)).map(|mut loaded| {
            // Heads that changed nothing need not be on disk.
            loaded.1 = shape(&store).unwrap().1;
            loaded
        }));
    }

    /// The envelope is unsigned, so a disturbed removal may stay without effect or remove another id; whatever a node
    /// holds was signed, and it never holds more, or newer, than the truth at the revision where it stands.
    #[test]
    fn a_disturbed_stream_leads_to_the_truth_or_to_a_refusal(
        changes in proptest::collection::vec(change(), 1..10),
        troubles in proptest::collection::vec(trouble(), 1..6),
    ) {
        let (stream, shapes) = script(&changes);
        let mut disturbed = stream.clone();
        let mut bits_touched = false;
        for trouble in &troubles {
            bits_touched |= matches!(trouble, Trouble::Flip(..) | Trouble::Cut(..));
            disturb(&mut disturbed, trouble);
        }
        let memory = Memory::default();
        let mut store = joined(&memory);
        let mut before = shape(&store);
        for bytes in &disturbed {
            let Ok(frame) = entity::MapUpdate::decode(bytes.as_slice()) else { continue };
            let applied = store.apply(&[frame], now());
            let after = shape(&store);
            match (applied, &after) {
                (Err(_), _) => prop_assert_eq!(&before, &after),
                (Ok(_), None) => prop_assert!(false, "a map vanished"),
                (Ok(_), Some((epoch, revision, nodes, rules))) => {
                    let truth = usize::try_from(*revision).ok().and_then(|revision| shapes.get(revision - 1));
                    let Some(Some(truth)) = truth else { panic!("a revision that never was: {revision}") };
                    if bits_touched {
                        prop_assert_eq!(*epoch, 1);
                        for (id, version) in nodes {
                            let known = shapes.iter().flatten().any(|shape| shape.2.contains(&(id.clone(), *version)));
                            prop_assert!(known && version <= revision);
                        }
                        for rule in rules {
                            prop_assert!(shapes.iter().flatten().any(|shape| shape.3.contains(rule)));
                        }
                    } else {
                        prop_assert_eq!(&after, &Some(truth.clone()));
                    }
                }
            }
            before = after;
        }
        // A full map heals whatever happened.
        let revision = stream.len() as u64 + 1;
        let Some((_, _, nodes, rules)) = shapes.last().unwrap().clone() else { panic!("no truth") };
        let nodes: Vec<_> = nodes
            .iter()
            .map(|(id, version)| {
                let number = id.strip_prefix("node_").unwrap().parse().unwrap();
                let record = if number == 1 { own() } else { peer(number) };
                entity::NodeRecord { record_revision: *version, ..record }
            })
            .collect();
        let rules: Vec<_> =
            rules.iter().map(|(id, version)| entity::RuleRecord { policy_version: *version, ..allow(*id) }).collect();
        store.apply(&[tenant().full(revision, &nodes, &rules)], now()).unwrap();
        prop_assert_eq!(store.map().unwrap().peers.size(), nodes.len() - 1);
    }
}
