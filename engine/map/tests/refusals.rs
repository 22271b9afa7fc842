//! Every reason for which a step is refused, and that a refusal changes nothing.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use common::*;
use cvlan_map::{MapStore, Reason};
use cvlan_testkit::sign;

/// A store that stands at revision 10 with itself, node 2 and rule 1.
fn standing() -> (MapStore, Memory) {
    let memory = Memory::default();
    let mut store = joined(&memory);
    store
        .apply(&[tenant().full(10, &[own(), peer(2)], &[allow(1)])], now())
        .unwrap();
    (store, memory)
}

/// Applies a step that must be refused, and checks that map and disk are what they were.
fn refused(store: &mut MapStore, memory: &Memory, frames: &[entity::MapUpdate]) -> Reason {
    let before = (shape(store), memory.0.lock().unwrap().current.clone());
    let error = store.apply(frames, now()).err().unwrap();
    assert_eq!(
        (shape(store), memory.0.lock().unwrap().current.clone()),
        before,
        "{error}"
    );
    assert!(!error.remedy().is_empty() && !error.field().is_empty());
    error.reason()
}

fn refuse(frames: &[entity::MapUpdate]) -> Reason {
    let (mut store, memory) = standing();
    refused(&mut store, &memory, frames)
}

fn step() -> entity::MapUpdate {
    tenant().delta(10, 11, &[], &[])
}

#[test]
fn the_step_that_the_refusals_vary_is_good() {
    let (mut store, _) = standing();
    let good = entity::MapUpdate {
        nodes: vec![tenant().sign_node(&peer(3))],
        ..step()
    };
    let diff = store.apply(&[good], now()).unwrap();
    assert_eq!((diff.added.len(), diff.changed.len(), diff.removed.len()), (1, 0, 0));
}

#[test]
fn forged_records() {
    let tenant = tenant();
    let other = cvlan_testkit::Tenant::new(9, now());
    let nodes = |bytes: Vec<u8>| {
        [entity::MapUpdate {
            nodes: vec![bytes],
            ..step()
        }]
    };
    let rules = |bytes: Vec<u8>| {
        [entity::MapUpdate {
            rules: vec![bytes],
            ..step()
        }]
    };

    let dns = |bytes: Vec<u8>| [entity::MapUpdate { dns: bytes, ..step() }];
    let names = cvlan_testkit::dns(1, &[]);

    assert_eq!(refuse(&dns(other.sign_dns(&names))), Reason::BadSignature);
    assert_eq!(
        refuse(&dns(sign("node", "enrol", &tenant.enrol, &names))),
        Reason::BadSignature
    );
    assert_eq!(refuse(&dns(sign("dns", "map", &tenant.map, &names))), Reason::WrongRole);
    let elsewhere = entity::DnsRecord {
        cvlan_id: "cvlan_other".into(),
        ..names.clone()
    };
    assert_eq!(refuse(&dns(tenant.sign_dns(&elsewhere))), Reason::WrongCvlan);
    let nameless = entity::DnsRecord {
        domain: String::new(),
        ..names
    };
    assert_eq!(refuse(&dns(tenant.sign_dns(&nameless))), Reason::Malformed);

    assert_eq!(refuse(&nodes(other.sign_node(&peer(3)))), Reason::BadSignature);
    assert_eq!(refuse(&rules(other.sign_rule(&allow(3)))), Reason::BadSignature);
    assert_eq!(
        refuse(&nodes(sign("node", "nobody", &tenant.enrol, &peer(3)))),
        Reason::UnknownKey
    );
    assert_eq!(
        refuse(&nodes(sign("node", "policy", &tenant.policy, &peer(3)))),
        Reason::WrongRole
    );
    assert_eq!(
        refuse(&nodes(sign("node", "map", &tenant.map, &peer(3)))),
        Reason::WrongRole
    );
    assert_eq!(
        refuse(&rules(sign("rule", "enrol", &tenant.enrol, &allow(3)))),
        Reason::WrongRole
    );
    assert_eq!(
        refuse(&nodes(sign("rule", "enrol", &tenant.enrol, &peer(3)))),
        Reason::BadSignature
    );
    assert_eq!(
        refuse(&nodes(sign("node", "root", &tenant.root, &peer(3)))),
        Reason::UnknownKey
    );

    let mut flipped = entity::MapUpdate {
        nodes: vec![tenant.sign_node(&peer(3))],
        ..step()
    };
    let last = flipped.nodes[0].len() - 1;
    flipped.nodes[0][last] ^= 1;
    assert_eq!(refuse(&[flipped]), Reason::BadSignature);
}

#[test]
fn records_of_others() {
    let tenant = tenant();
    let nodes = |record: &entity::NodeRecord| {
        [entity::MapUpdate {
            nodes: vec![tenant.sign_node(record)],
            ..step()
        }]
    };
    assert_eq!(
        refuse(&nodes(&entity::NodeRecord {
            tenant_id: "t".into(),
            ..peer(3)
        })),
        Reason::WrongTenant
    );
    assert_eq!(
        refuse(&nodes(&entity::NodeRecord {
            cvlan_id: "c".into(),
            ..peer(3)
        })),
        Reason::WrongCvlan
    );
    let twin = entity::NodeRecord {
        wireguard_public_key: vec![2; 32],
        ..peer(3)
    };
    assert_eq!(refuse(&nodes(&twin)), Reason::DuplicateKey);
    let squatter = entity::NodeRecord {
        addresses: peer(2).addresses,
        ..peer(3)
    };
    assert_eq!(refuse(&nodes(&squatter)), Reason::DuplicateAddress);
    let other_key = entity::NodeRecord {
        record_revision: 2,
        wireguard_public_key: vec![7; 32],
        ..own()
    };
    assert_eq!(refuse(&nodes(&other_key)), Reason::OwnKeyMismatch);
}

#[test]
fn malformed_records() {
    let tenant = tenant();
    let nodes = |record: &entity::NodeRecord| {
        [entity::MapUpdate {
            nodes: vec![tenant.sign_node(record)],
            ..step()
        }]
    };
    let prefix = |address: &[u8], length: u32| entity::Prefix {
        address: address.to_vec(),
        length,
    };
    for broken in [
        entity::NodeRecord {
            wireguard_public_key: vec![1; 31],
            ..peer(3)
        },
        entity::NodeRecord {
            wireguard_public_key: vec![0; 32],
            ..peer(3)
        },
        entity::NodeRecord {
            node_id: String::new(),
            ..peer(3)
        },
        entity::NodeRecord {
            name: "a b\n".into(),
            ..peer(3)
        },
        entity::NodeRecord { kind: 99, ..peer(3) },
        entity::NodeRecord {
            selectors: vec![vec![0; 15]],
            ..peer(3)
        },
        entity::NodeRecord {
            addresses: vec![prefix(&[10, 0, 0, 0], 24)],
            ..peer(3)
        },
        entity::NodeRecord {
            addresses: vec![prefix(&[0, 0, 0, 0], 32)],
            ..peer(3)
        },
        entity::NodeRecord {
            addresses: vec![prefix(&[224, 0, 0, 1], 32)],
            ..peer(3)
        },
        entity::NodeRecord {
            addresses: vec![prefix(&[10, 0, 0, 1], 33)],
            ..peer(3)
        },
        entity::NodeRecord {
            addresses: vec![prefix(&[10, 0, 0, 1, 1], 32)],
            ..peer(3)
        },
        entity::NodeRecord {
            addresses: vec![prefix(&[10, 0, 0, 1], 32); 2],
            ..peer(3)
        },
        entity::NodeRecord {
            routes: vec![prefix(&[10, 0, 0, 1], 24)],
            ..peer(3)
        },
    ] {
        assert_eq!(refuse(&nodes(&broken)), Reason::Malformed, "{broken:?}");
    }
    let rules = |record: &entity::RuleRecord| {
        [entity::MapUpdate {
            rules: vec![tenant.sign_rule(record)],
            ..step()
        }]
    };
    let range = |first, last| vec![entity::PortRange { first, last }];
    let tcp = || entity::RuleRecord {
        protocol: entity::PolicyProtocol::Tcp.into(),
        ..allow(3)
    };
    for broken in [
        entity::RuleRecord {
            rule_id: vec![1; 15],
            ..allow(3)
        },
        entity::RuleRecord { action: 0, ..allow(3) },
        entity::RuleRecord { action: 7, ..allow(3) },
        entity::RuleRecord {
            protocol: 0,
            ..allow(3)
        },
        entity::RuleRecord { tunnel: 9, ..allow(3) },
        entity::RuleRecord {
            sources: Vec::new(),
            ..allow(3)
        },
        entity::RuleRecord {
            destinations: vec![entity::RuleSelector { selector: None }],
            ..allow(3)
        },
        entity::RuleRecord {
            ports: range(1, 2),
            ..allow(3)
        },
        entity::RuleRecord {
            ports: range(0, 2),
            ..tcp()
        },
        entity::RuleRecord {
            ports: range(3, 2),
            ..tcp()
        },
        entity::RuleRecord {
            ports: range(65_536, 0),
            ..tcp()
        },
    ] {
        assert_eq!(refuse(&rules(&broken)), Reason::Malformed, "{broken:?}");
    }
    assert_eq!(
        refuse(&[entity::MapUpdate {
            nodes: vec![vec![0xff; 9]],
            ..step()
        }]),
        Reason::Malformed
    );
    assert_eq!(
        refuse(&[entity::MapUpdate {
            nodes: vec![vec![0; 5000]],
            ..step()
        }]),
        Reason::TooMany
    );
    assert_eq!(
        refuse(&[entity::MapUpdate {
            removed_rules: vec![vec![0; 3]],
            ..step()
        }]),
        Reason::Malformed
    );
}

#[test]
fn heads() {
    let tenant = tenant();
    let head = |head: entity::MapHead| {
        [entity::MapUpdate {
            head: tenant.sign_head(&head),
            ..step()
        }]
    };
    let good = tenant.head(1, 11, 1);
    assert_eq!(
        refuse(&[entity::MapUpdate {
            head: Vec::new(),
            ..step()
        }]),
        Reason::NoHead
    );
    assert_eq!(
        refuse(&head(entity::MapHead {
            revision: 12,
            ..good.clone()
        })),
        Reason::HeadMismatch
    );
    assert_eq!(
        refuse(&head(entity::MapHead {
            epoch: 0,
            ..good.clone()
        })),
        Reason::OldEpoch
    );
    assert_eq!(
        refuse(&head(entity::MapHead {
            epoch: 2,
            ..good.clone()
        })),
        Reason::Gap
    );
    assert_eq!(
        refuse(&head(entity::MapHead {
            tenant_id: "t".into(),
            ..good.clone()
        })),
        Reason::WrongTenant
    );
    assert_eq!(
        refuse(&head(entity::MapHead {
            cvlan_id: "c".into(),
            ..good.clone()
        })),
        Reason::WrongCvlan
    );
    assert_eq!(
        refuse(&head(entity::MapHead {
            keyset_version: 2,
            ..good.clone()
        })),
        Reason::OldKeyset
    );
    assert_eq!(
        refuse(&head(entity::MapHead {
            issued_at: None,
            ..good.clone()
        })),
        Reason::Malformed
    );
    assert_eq!(
        refuse(&head(entity::MapHead {
            expires_at: good.issued_at,
            ..good.clone()
        })),
        Reason::Malformed
    );
    assert_eq!(refuse(&head(tenant.head(1, 11, 311))), Reason::HeadInFuture);
    let earlier = cvlan_testkit::Tenant {
        now: now() - Duration::from_secs(3600),
        ..common::tenant()
    };
    assert_eq!(refuse(&head(earlier.head(1, 11, 0))), Reason::OldRevision);
    let wrong = sign("head", "enrol", &tenant.enrol, &good);
    assert_eq!(
        refuse(&[entity::MapUpdate { head: wrong, ..step() }]),
        Reason::WrongRole
    );
}

#[test]
fn envelopes() {
    let tenant = tenant();
    assert_eq!(refuse(&[]), Reason::Truncated);
    assert_eq!(refuse(&[entity::MapUpdate { more: true, ..step() }]), Reason::Truncated);
    assert_eq!(refuse(&[step(), step()]), Reason::Malformed);
    assert_eq!(
        refuse(&vec![
            entity::MapUpdate { more: true, ..step() };
            cvlan_map::MAX_FRAMES + 1
        ]),
        Reason::TooMany
    );
    assert_eq!(refuse(&[tenant.delta(9, 11, &[], &[])]), Reason::Gap);
    assert_eq!(refuse(&[tenant.delta(11, 12, &[], &[])]), Reason::Gap);
    assert_eq!(refuse(&[tenant.delta(8, 9, &[], &[])]), Reason::OldRevision);
    assert_eq!(refuse(&[tenant.full(9, &[own()], &[])]), Reason::OldRevision);
    let continued = entity::MapUpdate {
        more: true,
        ..tenant.delta(10, 11, &[], &[])
    };
    assert_eq!(refuse(&[continued, tenant.full(11, &[own()], &[])]), Reason::Gap);

    let memory = Memory::default();
    assert_eq!(
        open(&memory).apply(&[step()], now()).unwrap_err().reason(),
        Reason::NoMembership
    );
    assert_eq!(
        joined(&memory).apply(&[step()], now()).unwrap_err().reason(),
        Reason::UnknownKey
    );
    let keyset = tenant.sign_keyset(&tenant.keyset(1));
    let first = [entity::MapUpdate { keyset, ..step() }];
    assert_eq!(joined(&memory).apply(&first, now()).unwrap_err().reason(), Reason::Gap);
}

#[test]
fn older_records_do_not_come_back() {
    let tenant = tenant();
    let (mut store, memory) = standing();
    let newer = entity::NodeRecord {
        record_revision: 5,
        ..peer(2)
    };
    let rule = entity::RuleRecord {
        policy_version: 5,
        ..allow(1)
    };
    store
        .apply(
            &[tenant.delta(10, 11, std::slice::from_ref(&newer), std::slice::from_ref(&rule))],
            now(),
        )
        .unwrap();
    assert_eq!(
        refused(&mut store, &memory, &[tenant.delta(11, 12, &[peer(2)], &[])]),
        Reason::OldRecord
    );
    assert_eq!(
        refused(&mut store, &memory, &[tenant.delta(11, 12, &[], &[allow(1)])]),
        Reason::OldRecord
    );
    assert_eq!(
        refused(&mut store, &memory, &[tenant.full(12, &[own(), peer(2)], &[])]),
        Reason::OldRecord
    );
    let other = entity::NodeRecord {
        name: "other".into(),
        ..newer.clone()
    };
    assert_eq!(
        refused(
            &mut store,
            &memory,
            &[tenant.delta(11, 12, std::slice::from_ref(&other), &[])]
        ),
        Reason::OldRecord
    );

    let removal = entity::MapUpdate {
        removed_nodes: vec!["node_2".into()],
        removed_rules: vec![vec![1; 16]],
        ..tenant.delta(11, 12, &[], &[])
    };
    let diff = store.apply(&[removal], now()).unwrap();
    assert_eq!((diff.removed.len(), !diff.rules_changed.is_empty()), (1, true));
    assert_eq!(
        refused(&mut store, &memory, &[tenant.delta(12, 13, &[peer(2)], &[])]),
        Reason::OldRecord
    );
    assert_eq!(
        refused(&mut store, &memory, &[tenant.delta(12, 13, &[other], &[])]),
        Reason::OldRecord
    );
    assert_eq!(
        refused(&mut store, &memory, &[tenant.delta(12, 13, &[], &[allow(1)])]),
        Reason::OldRecord
    );

    // What was removed is remembered over a restart, and the very same record may be seen again.
    let mut store = open(&memory);
    assert_eq!(
        refused(&mut store, &memory, &[tenant.delta(12, 13, &[peer(2)], &[])]),
        Reason::OldRecord
    );
    store.apply(&[tenant.delta(12, 13, &[newer], &[rule])], now()).unwrap();

    // A restored controller says so by its epoch, which only a full map may begin.
    let restored = entity::MapUpdate {
        head: tenant.sign_head(&tenant.head(2, 3, 20)),
        ..tenant.full(3, &[own(), peer(2)], &[allow(1)])
    };
    store.apply(&[restored], now()).unwrap();
    assert_eq!(
        refused(&mut store, &memory, &[tenant.full(99, &[own()], &[])]),
        Reason::OldEpoch
    );
}

#[test]
fn keysets() {
    let tenant = tenant();
    let (mut store, memory) = standing();
    let with = |keyset: &entity::Keyset, revision| entity::MapUpdate {
        keyset: tenant.sign_keyset(keyset),
        ..tenant.delta(revision - 1, revision, &[], &[])
    };
    let changed = entity::Keyset {
        issued_at: None,
        ..tenant.keyset(1)
    };
    assert_eq!(refused(&mut store, &memory, &[with(&changed, 11)]), Reason::OldKeyset);
    let foreign = entity::Keyset {
        tenant_id: "t".into(),
        ..tenant.keyset(2)
    };
    assert_eq!(refused(&mut store, &memory, &[with(&foreign, 11)]), Reason::WrongTenant);
    let mut doubled = tenant.keyset(2);
    doubled.keys.push(doubled.keys[0].clone());
    assert_eq!(refused(&mut store, &memory, &[with(&doubled, 11)]), Reason::Malformed);
    let forged = entity::MapUpdate {
        keyset: sign("keyset", "root", &tenant.map, &tenant.keyset(2)),
        ..step()
    };
    assert_eq!(refused(&mut store, &memory, &[forged]), Reason::BadSignature);
    let delegated = entity::MapUpdate {
        keyset: sign("keyset", "map", &tenant.map, &tenant.keyset(2)),
        ..step()
    };
    assert_eq!(refused(&mut store, &memory, &[delegated]), Reason::WrongRole);
    let twice = entity::MapUpdate {
        more: true,
        ..with(&tenant.keyset(2), 11)
    };
    assert_eq!(
        refused(&mut store, &memory, &[twice, with(&tenant.keyset(3), 11)]),
        Reason::Malformed
    );
    let mut expired = tenant.keyset(2);
    expired.keys[2].not_after = Some(now().into());
    assert_eq!(refused(&mut store, &memory, &[with(&expired, 11)]), Reason::KeyNotValid);

    store.apply(&[with(&tenant.keyset(2), 11)], now()).unwrap();
    assert_eq!(
        refused(&mut store, &memory, &[with(&tenant.keyset(1), 12)]),
        Reason::OldKeyset
    );

    // A key that is dropped takes with it what it signed.
    let mut dropped = tenant.keyset(3);
    dropped.keys.retain(|key| key.key_id != "policy");
    let diff = store.apply(&[with(&dropped, 12)], now()).unwrap();
    assert!(!diff.rules_changed.is_empty());
    assert_eq!(store.map().unwrap().rules.size(), 0);
    assert_eq!(store.map().unwrap().peers.size(), 1);
}

#[test]
fn a_key_that_is_replaced_under_its_id_takes_its_records_along() {
    let (mut store, _) = standing();
    let mut rotated = tenant().keyset(2);
    let other = cvlan_testkit::Tenant::new(9, now());
    rotated.keys[0].public_key = other.enrol.verifying_key().to_bytes().to_vec();
    let step = entity::MapUpdate {
        keyset: tenant().sign_keyset(&rotated),
        nodes: vec![other.sign_node(&own())],
        ..tenant().delta(10, 11, &[], &[])
    };
    let diff = store.apply(&[step], now()).unwrap();
    assert_eq!(
        (diff.removed.len(), diff.own_changed, !diff.rules_changed.is_empty()),
        (1, false, false)
    );
    assert_eq!(store.map().unwrap().peers.size(), 0);
}

#[test]
fn a_clock_that_went_back_does_not_bring_back_an_expired_key() {
    let (mut store, memory) = standing();
    let mut short = tenant().keyset(2);
    short.keys[0].not_after = Some((now() + Duration::from_secs(30)).into());
    let head = tenant().sign_head(&tenant().head(1, 11, 60));
    let keyset = tenant().sign_keyset(&short);
    store
        .apply(
            &[entity::MapUpdate { keyset, head, ..step() }],
            now() + Duration::from_secs(60),
        )
        .unwrap();

    let head = |revision| tenant().sign_head(&tenant().head(1, revision, 400));
    let before = now() - Duration::from_secs(1000);
    let forged = entity::MapUpdate {
        head: head(12),
        ..tenant().delta(11, 12, &[peer(3)], &[])
    };
    assert_eq!(
        store.apply(&[forged], before).unwrap_err().reason(),
        Reason::HeadInFuture
    );
    let late = entity::MapUpdate {
        head: tenant().sign_head(&tenant().head(1, 12, 61)),
        ..tenant().delta(11, 12, &[peer(3)], &[])
    };
    assert_eq!(store.apply(&[late], before).unwrap_err().reason(), Reason::KeyNotValid);
    // The lower bound outlives a restart, and lets heads of the present pass while the clock is behind.
    let mut store = open(&memory);
    let present = entity::MapUpdate {
        head: tenant().sign_head(&tenant().head(1, 12, 350)),
        ..tenant().delta(11, 12, &[], &[allow(2)])
    };
    store.apply(&[present], before).unwrap();
}

#[test]
fn an_expired_key_signs_nothing_new_and_keeps_what_it_signed() {
    let tenant = tenant();
    let (mut store, memory) = standing();
    let mut expired = tenant.keyset(2);
    expired.keys[0].not_after = Some(now().into());
    let keyset = tenant.sign_keyset(&expired);
    let full = entity::MapUpdate {
        keyset: keyset.clone(),
        ..tenant.full(11, &[own(), peer(2)], &[allow(1)])
    };
    store.apply(&[full], now()).unwrap();
    assert_eq!(store.map().unwrap().peers.size(), 1);
    assert_eq!(
        refused(&mut store, &memory, &[tenant.delta(11, 12, &[peer(3)], &[])]),
        Reason::KeyNotValid
    );
    assert_eq!(open(&memory).map().unwrap().peers.size(), 1);
}

#[test]
fn another_membership_is_refused() {
    let (mut store, _) = standing();
    let same = cvlan_map::Membership::try_from(&tenant().membership("node_1")).unwrap();
    store.set_membership(same).unwrap();
    let other = cvlan_map::Membership::try_from(&tenant().membership("node_2")).unwrap();
    assert_eq!(
        store.set_membership(other).unwrap_err().reason(),
        Reason::MembershipConflict
    );
    let mut weak = tenant().membership("node_1");
    weak.root_public_key = vec![0; 32];
    assert_eq!(
        cvlan_map::Membership::try_from(&weak).unwrap_err().reason(),
        Reason::Malformed
    );
}
