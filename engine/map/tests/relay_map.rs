//! The relay map: comes, stays, changes and goes with what else a node knows, and nobody but the controller makes it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use common::*;
use cvlan_map::{FileStorage, MapDiff, MapStore, Membership, Reason};
use cvlan_testkit::{relay_map, sign};

const HOUR: Duration = Duration::from_secs(3600);

fn endpoints(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn with(step: entity::MapUpdate, relay_map: Vec<u8>) -> entity::MapUpdate {
    entity::MapUpdate { relay_map, ..step }
}

/// A step to `revision` with the servers at these endpoints, at a revision of the record.
fn told(revision: u64, record_revision: u64, servers: &[&str]) -> entity::MapUpdate {
    let record = relay_map(record_revision, &endpoints(servers));
    with(
        tenant().delta(revision - 1, revision, &[], &[]),
        tenant().sign_relay_map(&record),
    )
}

fn apply(store: &mut MapStore, step: entity::MapUpdate) -> MapDiff {
    store.apply(&[step], now()).unwrap()
}

/// Revision and endpoints of what is known.
fn known(store: &MapStore) -> Option<(u64, Vec<SocketAddr>)> {
    let map = store.map()?.relay_map.clone()?;
    let endpoints = map.servers.iter().flat_map(|server| server.endpoints.clone());
    Some((map.record_revision, endpoints.collect()))
}

#[test]
fn comes_stays_changes_becomes_empty_and_goes_with_a_full_map() {
    let memory = Memory::default();
    let mut store = joined(&memory);
    apply(&mut store, tenant().full(1, &[own()], &[]));
    assert_eq!(known(&store), None);
    let first = told(2, 1, &["192.0.2.1:3478"]);
    assert!(apply(&mut store, first.clone()).relay_map_changed);
    assert!(apply(&mut store, first).is_empty());
    assert!(!apply(&mut store, tenant().delta(2, 3, &[peer(2)], &[])).relay_map_changed);
    assert_eq!(known(&store), Some((1, endpoints(&["192.0.2.1:3478"]))));
    let servers = ["192.0.2.1:3478", "[2001:db8::1]:3479"];
    assert!(apply(&mut store, told(4, 2, &servers)).relay_map_changed);

    let mut store = open(&memory);
    assert_eq!(known(&store), Some((2, endpoints(&servers))));
    let server = store.map().unwrap().relay_map.as_ref().unwrap().servers[1].clone();
    assert_eq!(
        (server.id.as_str(), server.region.as_str()),
        ("discoveryserver_1", "eu-west")
    );
    assert!(apply(&mut store, told(5, 3, &[])).relay_map_changed);
    assert_eq!(known(&open(&memory)), Some((3, Vec::new())));
    assert!(apply(&mut store, tenant().full(6, &[own()], &[])).relay_map_changed);
    assert_eq!(known(&store), None);

    // What went is remembered, also over a restart.
    let mut store = open(&memory);
    assert_eq!(refused(&mut store, &memory, &[told(7, 2, &servers)]), Reason::OldRecord);
    assert!(apply(&mut store, told(7, 4, &servers)).relay_map_changed);
}

/// Applies a step that must be refused, and checks that map and disk are what they were.
fn refused(store: &mut MapStore, memory: &Memory, frames: &[entity::MapUpdate]) -> Reason {
    let look = |store: &MapStore| (known(store), shape(store), memory.0.lock().unwrap().current.clone());
    let before = look(store);
    let error = store.apply(frames, now()).err().unwrap();
    assert_eq!(look(store), before, "{error}");
    assert_eq!(error.field(), "relay_map");
    assert!(!error.remedy().is_empty());
    error.reason()
}

#[test]
fn is_refused_unless_it_is_the_newest_of_this_cvlan_and_signed_for_it() {
    let memory = Memory::default();
    let mut store = joined(&memory);
    apply(&mut store, tenant().full(1, &[own()], &[]));
    apply(&mut store, told(2, 5, &["192.0.2.1:3478"]));
    let tenant = tenant();
    let good = relay_map(6, &endpoints(&["192.0.2.2:3478"]));
    let step = || tenant.delta(2, 3, &[], &[]);
    let mut refuse = |bytes: Vec<u8>| refused(&mut store, &memory, &[with(step(), bytes)]);

    let other = cvlan_testkit::Tenant::new(9, now());
    assert_eq!(refuse(other.sign_relay_map(&good)), Reason::BadSignature);
    assert_eq!(refuse(sign("dns", "enrol", &tenant.enrol, &good)), Reason::BadSignature);
    assert_eq!(
        refuse(sign("relay-map", "nobody", &tenant.enrol, &good)),
        Reason::UnknownKey
    );
    for (key_id, key) in [("map", &tenant.map), ("policy", &tenant.policy)] {
        assert_eq!(refuse(sign("relay-map", key_id, key, &good)), Reason::WrongRole);
    }
    assert_eq!(
        refuse(sign("relay-map", "root", &tenant.root, &good)),
        Reason::UnknownKey
    );
    let mut flipped = tenant.sign_relay_map(&good);
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(refuse(flipped), Reason::BadSignature);

    let of_tenant = entity::RelayMap {
        tenant_id: "tenant_other".into(),
        ..good.clone()
    };
    assert_eq!(refuse(tenant.sign_relay_map(&of_tenant)), Reason::WrongTenant);
    let of_cvlan = entity::RelayMap {
        cvlan_id: "cvlan_other".into(),
        ..good.clone()
    };
    assert_eq!(refuse(tenant.sign_relay_map(&of_cvlan)), Reason::WrongCvlan);

    let older = relay_map(4, &endpoints(&["192.0.2.1:3478"]));
    assert_eq!(refuse(tenant.sign_relay_map(&older)), Reason::OldRecord);
    let another = relay_map(5, &endpoints(&["192.0.2.2:3478"]));
    assert_eq!(refuse(tenant.sign_relay_map(&another)), Reason::OldRecord);

    assert_eq!(refuse(vec![0xff; 9]), Reason::Malformed);
    assert_eq!(refuse(vec![0; cvlan_map::MAX_RELAY_MAP + 1]), Reason::TooMany);
    let unusable = relay_map(6, &endpoints(&["0.0.0.0:3478"]));
    assert_eq!(refuse(tenant.sign_relay_map(&unusable)), Reason::Malformed);
    let many: Vec<SocketAddr> = (1..=65).map(|port| SocketAddr::from(([192, 0, 2, 1], port))).collect();
    assert_eq!(refuse(tenant.sign_relay_map(&relay_map(6, &many))), Reason::Malformed);

    let two = [
        entity::MapUpdate {
            more: true,
            ..with(step(), tenant.sign_relay_map(&good))
        },
        with(step(), tenant.sign_relay_map(&another)),
    ];
    assert_eq!(refused(&mut store, &memory, &two), Reason::Malformed);
    apply(&mut store, with(step(), tenant.sign_relay_map(&good)));
}

#[test]
fn outlives_the_validity_of_the_key_that_signed_it_and_not_the_key() {
    let memory = Memory::default();
    let mut store = joined(&memory);
    let mut keyset = tenant().keyset(1);
    keyset.keys[0].not_after = Some((now() + HOUR).into());
    let signed = |keyset: &entity::Keyset, step: entity::MapUpdate| entity::MapUpdate {
        keyset: tenant().sign_keyset(keyset),
        ..step
    };
    apply(&mut store, signed(&keyset, tenant().full(1, &[], &[])));
    let first = told(2, 1, &["192.0.2.1:3478"]);
    apply(&mut store, first.clone());

    let late = now() + HOUR;
    let next = told(3, 2, &["192.0.2.2:3478"]);
    assert_eq!(store.apply(&[next], late).unwrap_err().reason(), Reason::KeyNotValid);
    let again = with(tenant().delta(2, 3, &[], &[]), first.relay_map);
    assert!(store.apply(&[again], late).unwrap().is_empty());

    keyset.version = 2;
    keyset.keys.remove(0);
    let without = signed(&keyset, tenant().delta(3, 4, &[], &[]));
    assert!(apply(&mut store, without).relay_map_changed);
    assert_eq!(known(&store), None);
}

#[test]
fn may_be_older_after_the_controller_was_restored() {
    let memory = Memory::default();
    let mut store = joined(&memory);
    apply(&mut store, tenant().full(1, &[own()], &[]));
    apply(&mut store, told(2, 5, &["192.0.2.1:3478"]));
    let restored = entity::MapUpdate {
        head: tenant().sign_head(&tenant().head(2, 1, 20)),
        relay_map: tenant().sign_relay_map(&relay_map(3, &endpoints(&["192.0.2.2:3478"]))),
        ..tenant().full(1, &[own()], &[])
    };
    apply(&mut store, restored);
    assert_eq!(known(&store), Some((3, endpoints(&["192.0.2.2:3478"]))));
}

fn open_in(folder: &tempfile::TempDir) -> MapStore {
    MapStore::open(Box::new(FileStorage::open(folder.path()).unwrap()), OWN_KEY).unwrap()
}

#[test]
fn is_kept_in_the_journal_of_a_large_map() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open_in(&folder);
    store
        .set_membership(Membership::try_from(&tenant().membership("node_1")).unwrap())
        .unwrap();
    let verbose = (100..120).map(|number| entity::NodeRecord {
        selectors: (0..200).map(|id| [number, id].repeat(8)).collect(),
        ..peer(number)
    });
    let nodes: Vec<_> = std::iter::once(own()).chain(verbose).collect();
    apply(&mut store, tenant().full(1, &nodes, &[]));
    // The first change after a first map writes the whole state again, so that both slots have one.
    apply(&mut store, told(2, 1, &["192.0.2.1:3478"]));
    let whole = fs::read(folder.path().join("map")).unwrap();
    apply(&mut store, told(3, 2, &["192.0.2.2:3478"]));
    assert_eq!(fs::read(folder.path().join("map")).unwrap(), whole);
    let store = open_in(&folder);
    assert_eq!(known(&store), Some((2, endpoints(&["192.0.2.2:3478"]))));
    assert_eq!(store.load_problem(), None);

    // Signed anew by another key it says the same, and is kept all the same.
    let journal = || fs::read(folder.path().join("map.journal")).unwrap().len();
    let before = journal();
    let mut store = open_in(&folder);
    let seed = ed25519_dalek::SigningKey::from_bytes(&[77; 32]);
    let mut keyset = tenant().keyset(2);
    keyset.keys.push(entity::DelegatedKey {
        key_id: "enrol2".into(),
        public_key: seed.verifying_key().to_bytes().to_vec(),
        ..keyset.keys[0].clone()
    });
    let record = relay_map(2, &endpoints(&["192.0.2.2:3478"]));
    let anew = entity::MapUpdate {
        keyset: tenant().sign_keyset(&keyset),
        relay_map: sign("relay-map", "enrol2", &seed, &record),
        ..tenant().delta(3, 4, &[], &[])
    };
    assert!(!apply(&mut store, anew).relay_map_changed);
    assert!(journal() > before);
    keyset.version = 3;
    keyset.keys.remove(0);
    let only_the_new = entity::MapUpdate {
        keyset: tenant().sign_keyset(&keyset),
        ..tenant().delta(4, 5, &[], &[])
    };
    assert!(!apply(&mut open_in(&folder), only_the_new).relay_map_changed);
    assert_eq!(known(&open_in(&folder)), Some((2, endpoints(&["192.0.2.2:3478"]))));
}
