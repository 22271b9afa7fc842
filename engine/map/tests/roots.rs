//! A root key that signed its successor is followed, by nobody's word but its own.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use common::*;
use cvlan_map::{MapStore, Membership, Reason};
use cvlan_testkit::{Tenant, sign};

fn standing() -> (MapStore, Memory) {
    let memory = Memory::default();
    let mut store = joined(&memory);
    store
        .apply(&[tenant().full(10, &[own(), peer(2)], &[])], now())
        .unwrap();
    (store, memory)
}

/// A step to `revision` with the keyset of this version, signed by the tenant's root, and these transitions.
fn step(tenant: &Tenant, revision: u64, version: u64, root_transitions: &[Vec<u8>]) -> entity::MapUpdate {
    let head = entity::MapHead {
        keyset_version: version,
        ..tenant.head(1, revision, revision)
    };
    entity::MapUpdate {
        keyset: tenant.sign_keyset(&tenant.keyset(version)),
        head: tenant.sign_head(&head),
        root_transitions: root_transitions.to_vec(),
        ..tenant.delta(revision - 1, revision, &[], &[])
    }
}

fn refused(frame: entity::MapUpdate) -> Reason {
    let (mut store, memory) = standing();
    let before = memory.0.lock().unwrap().current.clone();
    let error = store.apply(&[frame], now()).err().unwrap();
    assert_eq!(memory.0.lock().unwrap().current, before, "{error}");
    assert_eq!(shape(&store).unwrap().1, 10);
    error.reason()
}

#[test]
fn the_signed_successor_takes_over_and_nothing_else_changes() {
    let (mut store, memory) = standing();
    let mut tenant = tenant();
    let first = tenant.rotate_root(1, 101);
    let diff = store
        .apply(&[step(&tenant, 11, 2, std::slice::from_ref(&first))], now())
        .unwrap();
    assert!(diff.is_empty(), "records stay as they are");

    let mut store_again = open(&memory);
    assert_eq!(store_again.load_problem(), None);
    let second = tenant.rotate_root(2, 102);
    // The controller sends the whole chain; what is known of it says nothing new.
    store_again
        .apply(&[step(&tenant, 12, 3, &[first, second])], now())
        .unwrap();
    assert_eq!(open(&memory).position(now()).keyset_version, 3);
}

#[test]
fn a_node_that_was_away_follows_several_at_once() {
    let (mut store, memory) = standing();
    let mut tenant = tenant();
    let chain: Vec<_> = (1..=5)
        .map(|n| tenant.rotate_root(n, 100 + u8::try_from(n).unwrap()))
        .collect();
    store.apply(&[step(&tenant, 11, 6, &chain)], now()).unwrap();
    let later = step(&tenant, 12, 7, &chain);
    open(&memory).apply(&[later], now()).unwrap();
}

#[test]
fn a_node_that_pinned_a_later_root_needs_only_the_rest() {
    let mut tenant = tenant();
    let first = tenant.rotate_root(1, 101);
    let membership = tenant.membership("node_1");
    let second = tenant.rotate_root(2, 102);
    let memory = Memory::default();
    let mut store = open(&memory);
    store
        .set_membership(Membership::try_from(&membership).unwrap())
        .unwrap();
    let full = entity::MapUpdate {
        root_transitions: vec![first, second],
        ..tenant.full(1, &[own()], &[])
    };
    store.apply(&[full], now()).unwrap();
}

#[test]
fn the_membership_may_name_any_root_of_the_chain() {
    let (mut store, _) = standing();
    let mut rotated = tenant();
    let transition = rotated.rotate_root(1, 101);
    let named = |tenant: &Tenant| Membership::try_from(&tenant.membership("node_1")).unwrap();
    assert_eq!(
        store.set_membership(named(&rotated)).unwrap_err().reason(),
        Reason::MembershipConflict,
        "nobody signed it yet"
    );
    store.apply(&[step(&rotated, 11, 2, &[transition])], now()).unwrap();
    store.set_membership(named(&tenant())).unwrap();
    store.set_membership(named(&rotated)).unwrap();
    let stranger = Tenant::new(9, now());
    assert_eq!(
        store.set_membership(named(&stranger)).unwrap_err().reason(),
        Reason::MembershipConflict
    );
    let other_node = Membership::try_from(&rotated.membership("node_2")).unwrap();
    assert_eq!(
        store.set_membership(other_node).unwrap_err().reason(),
        Reason::MembershipConflict
    );
}

#[test]
fn a_keyset_of_an_unannounced_root() {
    let mut tenant = tenant();
    tenant.rotate_root(1, 101);
    assert_eq!(refused(step(&tenant, 11, 2, &[])), Reason::BadSignature);
}

#[test]
fn a_keyset_of_the_root_that_went() {
    let mut rotated = tenant();
    let transition = rotated.rotate_root(1, 101);
    assert_eq!(refused(step(&tenant(), 11, 2, &[transition])), Reason::BadSignature);
}

#[test]
fn gaps_and_replays() {
    let mut tenant = tenant();
    let chain: Vec<_> = (1..=3)
        .map(|n| tenant.rotate_root(n, 100 + u8::try_from(n).unwrap()))
        .collect();
    let of = |transitions: &[&Vec<u8>]| {
        let transitions: Vec<_> = transitions.iter().map(|bytes| (*bytes).clone()).collect();
        step(&tenant, 11, 2, &transitions)
    };
    assert_eq!(refused(of(&[&chain[1], &chain[2]])), Reason::RootGap);
    assert_eq!(refused(of(&[&chain[0], &chain[2]])), Reason::RootGap);
    assert_eq!(
        refused(of(&[&chain[0], &chain[0], &chain[1], &chain[2]])),
        Reason::RootGap
    );
    assert_eq!(refused(of(&[&chain[2], &chain[1], &chain[0]])), Reason::RootGap);

    let (mut store, _) = standing();
    store.apply(&[of(&[&chain[0], &chain[1], &chain[2]])], now()).unwrap();
    let error = store.apply(&[step(&tenant, 12, 3, &chain[..1])], now()).err().unwrap();
    assert_eq!(
        error.reason(),
        Reason::RootGap,
        "a chain that ends before the key in force"
    );
}

#[test]
fn a_number_that_is_left_out() {
    let mut tenant = tenant();
    let chain = [tenant.rotate_root(1, 101), tenant.rotate_root(3, 102)];
    assert_eq!(refused(step(&tenant, 11, 2, &chain)), Reason::RootGap);

    let (mut store, _) = standing();
    let mut tenant = common::tenant();
    let first = tenant.rotate_root(1, 101);
    store.apply(&[step(&tenant, 11, 2, &[first])], now()).unwrap();
    let skipping = tenant.rotate_root(3, 102);
    let error = store.apply(&[step(&tenant, 12, 3, &[skipping])], now()).err().unwrap();
    assert_eq!(error.reason(), Reason::RootGap);
}

#[test]
fn transitions_that_the_pinned_root_did_not_sign() {
    let mut stranger = Tenant::new(9, now());
    let foreign = stranger.rotate_root(1, 101);
    assert_eq!(refused(step(&stranger, 11, 2, &[foreign])), Reason::RootGap);

    let tenant = tenant();
    let record = |former: &Tenant, tenant_id: &str| entity::RootTransition {
        tenant_id: tenant_id.into(),
        sequence: 1,
        root_public_key: stranger.root.verifying_key().to_bytes().to_vec(),
        issued_at: Some(now().into()),
        former_root_public_key: former.root.verifying_key().to_bytes().to_vec(),
    };
    let good = record(&tenant, cvlan_testkit::TENANT);
    let signed = |domain, key_id, key| step(&stranger, 11, 2, &[sign(domain, key_id, key, &good)]);
    assert_eq!(refused(signed("root", "root", &stranger.root)), Reason::BadSignature);
    assert_eq!(refused(signed("root", "root", &tenant.enrol)), Reason::BadSignature);
    assert_eq!(refused(signed("keyset", "root", &tenant.root)), Reason::BadSignature);
    assert_eq!(refused(signed("root", "enrol", &tenant.root)), Reason::WrongRole);
    let elsewhere = sign("root", "root", &tenant.root, &record(&tenant, "tenant_other"));
    assert_eq!(refused(step(&stranger, 11, 2, &[elsewhere])), Reason::WrongTenant);
    let weak = entity::RootTransition {
        root_public_key: vec![0; 32],
        ..good.clone()
    };
    let weak = sign("root", "root", &tenant.root, &weak);
    assert_eq!(refused(step(&stranger, 11, 2, &[weak])), Reason::Malformed);
    assert_eq!(refused(step(&stranger, 11, 2, &[vec![0xff; 9]])), Reason::Malformed);
    assert_eq!(refused(step(&stranger, 11, 2, &[vec![0; 5000]])), Reason::TooMany);

    let (mut store, _) = standing();
    let sound = step(&stranger, 11, 2, &[sign("root", "root", &tenant.root, &good)]);
    let keys_of_the_tenant = entity::MapUpdate {
        head: tenant.sign_head(&entity::MapHead {
            keyset_version: 2,
            ..tenant.head(1, 11, 11)
        }),
        keyset: stranger.sign_keyset(&tenant.keyset(2)),
        ..sound
    };
    store.apply(&[keys_of_the_tenant], now()).unwrap();
}

#[test]
fn more_than_a_tenant_may_have() {
    let mut tenant = tenant();
    let chain: Vec<_> = (1..=65)
        .map(|n| tenant.rotate_root(n, 100 + u8::try_from(n).unwrap()))
        .collect();
    assert_eq!(refused(step(&tenant, 11, 2, &chain)), Reason::TooMany);
    let (mut store, _) = standing();
    let mut tenant = common::tenant();
    let chain: Vec<_> = (1..=64)
        .map(|n| tenant.rotate_root(n, 100 + u8::try_from(n).unwrap()))
        .collect();
    store.apply(&[step(&tenant, 11, 2, &chain)], now()).unwrap();
}
