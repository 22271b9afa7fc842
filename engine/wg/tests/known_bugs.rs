//! What other implementations got wrong, each as a scenario. Further ones: `simulator.rs` (garbage responses, idle peers,
//! renewals, indices, padding), and beside the code `session.rs` (counters that wrap, threads and the replay window),
//! `cookie.rs` (the port), `burst.rs` (lengths), `engine/cvlan-engine/tests/pair.rs` (another peer's inner address).

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod world;

use blake2::digest::consts::U16;
use blake2::digest::{KeyInit, Mac};
use blake2::{Blake2s256, Blake2sMac, Digest};
use cvlan_wg::{Epoch, Event, PeerConfig, PresharedKey};
use rand_core::RngCore;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};
use world::{A, B, C, Dice, Outcome, Party, World};

const SECOND: Duration = Duration::from_secs(1);

fn of_type(kind: u8, datagrams: &[Vec<u8>]) -> usize {
    datagrams.iter().filter(|datagram| datagram[0] == kind).count()
}

fn connected(seed: u64) -> World {
    let mut world = World::two(seed);
    world.send(A, B, 0);
    world.run(SECOND);
    assert_eq!(world.received(B), [0]);
    world
}

/// mullvad/gotatun 0.7.2: one oversized datagram ended all reception.
#[test]
fn an_oversized_datagram_is_one_dropped_datagram() {
    let mut world = connected(1);
    let genuine = world.capture_next(A, B, 1);
    for length in [33, 1500, 9216, 9217, 65_507, 65_535, 1 << 20] {
        let mut huge = vec![0; length];
        huge[..16].copy_from_slice(&genuine[..16]);
        world.inject(B, Party::address(A), huge);
    }
    world.inject(B, Party::address(A), genuine);
    assert_eq!(world.received(B), [0, 1]);
}

/// mullvad/gotatun: a changed preshared key never reached the handshake.
#[test]
fn a_changed_preshared_key_counts_from_the_next_handshake_on() {
    let mut world = connected(2);
    let secret = |world: &World, peer| PeerConfig {
        preshared_key: Some(PresharedKey::new([5; 32].into())),
        ..world.config(peer)
    };
    let of_b = secret(&world, B);
    assert_eq!(world.set_peers(A, vec![of_b]), []);
    assert_eq!(world.send(A, B, 1), Outcome::Sealed, "the session of before goes on");
    world.run(200 * SECOND);
    world.send(A, B, 2);
    world.run(20 * SECOND);
    assert_eq!(world.received(B), [0, 1], "one side alone");
    let of_a = secret(&world, A);
    assert_eq!(world.set_peers(B, vec![of_a]), []);
    world.run(20 * SECOND);
    assert_eq!(world.received(B), [0, 1, 2]);
}

/// mullvad/gotatun: the keepalive counted from what was sent last, so that one-way traffic went unanswered and the
/// sender made handshakes without end.
#[test]
fn one_way_traffic_is_answered_and_needs_no_handshake() {
    let mut world = connected(3);
    let before = world.captured_to(Party::address(A)).len();
    for n in 1..=100 {
        world.send(A, B, n);
        world.run(SECOND);
    }
    let answers = world.captured_to(Party::address(A)).split_off(before);
    assert_eq!(of_type(4, &answers), answers.len());
    assert!((8..=10).contains(&answers.len()), "{} in 100 s", answers.len());
    assert_eq!(of_type(1, &world.captured_to(Party::address(B))), 1);
}

/// mullvad/gotatun 0.8.0: a cookie reply moved the endpoint. Anybody can send one again from elsewhere.
#[test]
fn a_cookie_reply_moves_no_endpoint() {
    let mut world = connected(4);
    world.set_load(B, 10_000);
    world.run(121 * SECOND);
    world.loss_percent = 100;
    world.send(A, B, 1);
    world.run(Duration::from_millis(20));
    let initiation = world.captured_to(Party::address(B)).pop().unwrap();
    assert_eq!(initiation[0], 1);
    world.set_load(B, 10_000);
    world.inject(B, Party::address(A), initiation);
    let cookie = world.captured_to(Party::address(A)).pop().unwrap();
    assert_eq!(cookie[0], 3);
    let elsewhere = "198.51.100.7:4000".parse().unwrap();
    world.inject(A, elsewhere, cookie);
    world.loss_percent = 0;
    world.run(10 * SECOND);
    assert_eq!(world.sent_to(elsewhere), 0);
    world.send(A, B, 2);
    world.run(SECOND);
    assert!(world.received(B).contains(&2));
}

/// mullvad/gotatun: retries without jitter, so that peers of a restarted gateway stay in step.
#[test]
fn tries_that_began_together_drift_apart() {
    let times: std::collections::HashSet<_> = (0..8)
        .map(|seed| {
            let mut world = World::two(seed);
            world.loss_percent = 100;
            world.send(A, B, 1);
            world.run(20 * SECOND);
            world.sent_at(A).pop().unwrap()
        })
        .collect();
    assert!(times.len() > 4, "{times:?}");
}

/// mullvad/gotatun, boringtun: a window of 1,024 loses what a wide path reorders.
#[test]
fn eight_thousand_packets_open_in_reverse_order() {
    let mut world = connected(5);
    let count = 8_000;
    let sealed: Vec<_> = (1..=count).map(|n| world.capture_next(A, B, n)).collect();
    for datagram in sealed.into_iter().rev() {
        world.inject(B, Party::address(A), datagram);
    }
    assert_eq!(world.received(B).len(), 1 + count as usize);
}

/// firezone/boringtun#51: every packet that waited began another handshake.
#[test]
fn packets_that_wait_begin_no_further_handshake() {
    let mut world = World::two(6);
    world.loss_percent = 100;
    for n in 0..60 {
        assert_eq!(world.send(A, B, n), Outcome::Queued);
        world.deliver_nothing_for(Duration::from_millis(5));
    }
    assert_eq!(of_type(1, &world.captured_to(Party::address(B))), 1);
}

/// boringtun, firezone/boringtun#126: labels from a clock that is stepped back are refused by every peer.
#[test]
fn a_clock_that_is_stepped_back_locks_nobody_out() {
    let mut world = connected(7);
    for step in 1..4 {
        world.run(600 * SECOND);
        let epoch = Epoch {
            instant: world.now(),
            wall: SystemTime::UNIX_EPOCH + step * SECOND,
        };
        world.party(A).wg.set_clock(epoch);
        world.send(A, B, step);
        world.run(SECOND);
    }
    assert_eq!(world.received(B), [0, 1, 2, 3]);
}

/// A persistent keepalive holds a path open without traffic, and makes the session.
#[test]
fn a_persistent_keepalive_is_sent_as_often_as_declared() {
    let mut world = World::two(8);
    let of_b = PeerConfig {
        persistent_keepalive: Some(25),
        ..world.config(B)
    };
    world.set_peers(A, vec![of_b]);
    world.run(SECOND);
    let before = world.captured_to(Party::address(B)).len();
    world.run(100 * SECOND);
    let sent = world.captured_to(Party::address(B)).split_off(before);
    assert_eq!(of_type(4, &sent), sent.len());
    assert!((4..=5).contains(&sent.len()), "{} in 100 s", sent.len());
    world.run(1000 * SECOND);
    assert!(world.party(A).wg.peers(world.now())[0].2.session, "it lives on");
}

/// Many networks that know the key and can spoof addresses (`mullvad/gotatun`: a limit per address alone never notices).
#[test]
fn a_flood_of_spoofed_initiations_stops_neither_data_nor_a_peer() {
    let mut world = World::two(9);
    world.declare(B, &[A, C]);
    world.declare(C, &[B]);
    world.send(C, B, 1_000_000);
    world.run(SECOND);
    let mut dice = Dice::new(9);
    let spoofed = spoofed(world.party(B).wg.public_key());
    let before = world.captured_to(Party::address(B)).len();
    for turn in 0..1000 {
        if turn == 100 {
            world.send(A, B, 1);
        }
        world.send(C, B, 1_000_001 + turn);
        for _ in 0..100 {
            let from = SocketAddr::from((Ipv4Addr::from_bits(dice.next_u32() | 1 << 30), 1 + turn as u16));
            world.inject(B, from, spoofed(&mut dice));
        }
        world.run(Duration::from_millis(10));
        if turn == 300 {
            assert!(world.received(B).contains(&1), "within two seconds");
        }
    }
    world.run(SECOND);
    let data = world.received(B).iter().filter(|n| **n > 1_000_000).count();
    assert_eq!(data, 1000, "data is never limited");
    let from_peers = world.captured_to(Party::address(B)).len() - before;
    assert!(from_peers < 1020, "a peer needs few tries: {from_peers}");
    let sent = world.sent_by(B);
    // A tenth of ten seconds at 200 µs; what is not computed is answered by a cookie.
    assert!((95_000..100_100).contains(&sent), "{sent} cookies");
    assert!(
        world
            .events(B)
            .iter()
            .all(|event| !matches!(event, Event::HandshakeTimedOut { .. }))
    );
}

/// Initiations of nobody with a right first MAC.
fn spoofed(public: [u8; 32]) -> impl Fn(&mut Dice) -> Vec<u8> {
    let key = Blake2s256::new()
        .chain_update(b"mac1----")
        .chain_update(public)
        .finalize();
    move |dice| {
        let mut message = vec![0; 148];
        dice.fill_bytes(&mut message[4..116]);
        message[0] = 1;
        let mut mac = <Blake2sMac<U16> as KeyInit>::new_from_slice(&key).unwrap();
        Mac::update(&mut mac, &message[..116]);
        message[116..132].copy_from_slice(&mac.finalize().into_bytes());
        message
    }
}
