//! Declarations while packets flow.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;

use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use common::{Host, pair, udp, wait_until};
use cvlan_testkit::{Tenant, rule};
use entity::{PolicyAction, PolicyProtocol};
use std::sync::atomic::{AtomicBool, Ordering};

/// More than any batch that was on its way when a declaration was answered.
const SEVERAL_BATCHES: u64 = 200;

fn allow(version: u64) -> entity::RuleRecord {
    entity::RuleRecord {
        policy_version: version,
        ..rule(1, PolicyAction::Allow, PolicyProtocol::Udp)
    }
}

/// Runs `declare` again and again under a stream of packets from `a` to `b`. It takes away what lets them pass and says
/// which counter tells so; `restore` gives it back.
fn under_fire(
    a: &mut Host,
    b: &Host,
    counter: &str,
    mut declare: impl FnMut(&mut Host, u64),
    mut restore: impl FnMut(&mut Host, u64),
) {
    let ended = AtomicBool::new(false);
    let (from, into) = (
        a.os.as_ref().unwrap().try_clone().unwrap(),
        b.os.as_ref().unwrap().try_clone().unwrap(),
    );
    into.set_read_timeout(Some(std::time::Duration::from_millis(50)))
        .unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let packets: Vec<_> = (0..8).map(|port| udp(1, 2, 4000 + port, 53, b"fire")).collect();
            while !ended.load(Ordering::Relaxed) {
                for packet in &packets {
                    from.send(packet).unwrap();
                }
            }
        });
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                into.recv(&mut [0; 2048]).ok();
            }
        });
        for round in 0..20 {
            let before = a.counter("tx_packets");
            wait_until("packets pass", || a.counter("tx_packets") > before + SEVERAL_BATCHES);
            declare(a, round);
            let answered = a.counter(counter);
            wait_until("the last batch is through", || {
                a.counter(counter) > answered + SEVERAL_BATCHES
            });
            let sealed = a.counter("tx_packets");
            let answered = a.counter(counter);
            wait_until("many more were judged", || {
                a.counter(counter) > answered + SEVERAL_BATCHES
            });
            assert_eq!(a.counter("tx_packets"), sealed, "round {round}");
            restore(a, round);
        }
        ended.store(true, Ordering::Relaxed);
    });
}

fn step(
    tenant: &Tenant,
    revision: u64,
    rules: &[entity::RuleRecord],
    nodes: &[entity::NodeRecord],
) -> entity::MapUpdate {
    tenant.delta(revision, revision + 1, nodes, rules)
}

#[test]
fn a_rule_removed_under_fire_lets_nothing_more_pass() {
    let (tenant, mut a, b) = pair(&[allow(1)]);
    under_fire(
        &mut a,
        &b,
        "tx_dropped_filter",
        |a, round| {
            let gone = entity::MapUpdate {
                removed_rules: vec![vec![1; 16]],
                ..step(&tenant, 1 + 2 * round, &[], &[])
            };
            a.apply(None, vec![gone]).unwrap();
        },
        |a, round| {
            let back = step(&tenant, 2 + 2 * round, &[allow(2 + round)], &[]);
            a.apply(None, vec![back]).unwrap();
        },
    );
}

#[test]
fn a_peer_removed_under_fire_gets_nothing_more() {
    let (tenant, mut a, b) = pair(&[allow(1)]);
    let (peer, hint) = (b.record(), b.hint());
    under_fire(
        &mut a,
        &b,
        "tx_dropped_no_route",
        |a, round| {
            let gone = entity::MapUpdate {
                removed_nodes: vec!["node_2".into()],
                ..step(&tenant, 1 + 2 * round, &[], &[])
            };
            a.apply(None, vec![gone]).unwrap();
        },
        |a, round| {
            let node = entity::NodeRecord {
                record_revision: peer.record_revision + 1 + round,
                ..peer.clone()
            };
            let back = entity::MapUpdate {
                hints: vec![hint.clone()],
                ..step(&tenant, 2 + 2 * round, &[], &[node])
            };
            a.apply(None, vec![back]).unwrap();
        },
    );
}
