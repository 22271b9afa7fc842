//! Two parties over a wire with loss, delay and reordering, in virtual time.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod world;

use cvlan_wg::{DropReason, Event, PeerConfig, PeerId};
use std::time::Duration;
use world::{A, B, C, Outcome, Party, World, key};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn packets_that_waited_for_the_handshake_arrive_in_order() {
    let mut world = World::two(1);
    for n in 0..5 {
        assert_eq!(world.send(A, B, n), Outcome::Queued);
    }
    world.run(SECOND);
    assert_eq!(world.received(B), [0, 1, 2, 3, 4]);
    assert_eq!(world.send(B, A, 9), Outcome::Sealed);
    world.run(SECOND);
    assert_eq!(world.received(A), [9]);
}

#[test]
fn the_handshake_survives_loss_and_reordering() {
    for seed in 0..40 {
        let mut world = World::two(seed);
        world.loss_percent = 40;
        world.reorder = true;
        world.send(A, B, 1);
        world.run(60 * SECOND);
        world.loss_percent = 0;
        world.send(A, B, 2);
        world.run(10 * SECOND);
        assert!(world.received(B).contains(&2), "seed {seed}");
    }
}

#[test]
fn keys_are_renewed_under_traffic_without_a_lost_packet() {
    let mut world = World::two(2);
    world.send(A, B, 0);
    world.run(SECOND);
    for n in 1..=400 {
        assert_eq!(world.send(A, B, n), Outcome::Sealed, "second {n}");
        world.run(SECOND);
    }
    assert_eq!(world.received(B).len(), 401);
    assert!(
        world
            .events(A)
            .iter()
            .filter(|event| matches!(event, Event::HandshakeCompleted { .. }))
            .count()
            >= 3
    );
}

/// cloudflare/boringtun#258: a session was thrown away at its first timer tick because the clock of the state stood
/// still while the peer was idle.
#[test]
fn a_session_made_after_long_idleness_stays() {
    let mut world = World::two(3);
    world.run(3600 * SECOND);
    world.send(A, B, 1);
    world.run(SECOND);
    world.run(20 * SECOND);
    assert_eq!(world.send(B, A, 2), Outcome::Sealed);
    world.run(SECOND);
    assert_eq!((world.received(B), world.received(A)), (vec![1], vec![2]));
}

/// The first try of a fresh peer runs across the moment when its unused state expires (540 s).
#[test]
fn a_try_across_the_expiry_of_an_unused_state_goes_on() {
    let mut world = World::two(4);
    world.run(Duration::from_millis(539_800));
    world.loss_percent = 100;
    world.send(A, B, 1);
    world.run(2 * SECOND);
    world.loss_percent = 0;
    world.run(10 * SECOND);
    assert_eq!(world.received(B), [1]);
}

#[test]
fn an_unknown_key_gets_no_answer_and_a_count() {
    let mut world = World::two(5);
    world.declare(C, &[B]);
    world.send(C, B, 1);
    world.run(10 * SECOND);
    assert_eq!(world.sent_by(B), 0);
    let counters = world.party(B).wg.counters();
    assert!(
        counters
            .rx_dropped_unknown_peer
            .load(std::sync::atomic::Ordering::Relaxed)
            > 0
    );
    assert!(counters.handshakes_refused.load(std::sync::atomic::Ordering::Relaxed) > 0);
}

#[test]
fn a_removed_peer_is_gone_at_once_in_both_directions() {
    let mut world = World::two(6);
    world.send(A, B, 1);
    world.run(SECOND);
    world.declare(B, &[]);
    let before = world.sent_by(B);
    assert_eq!(world.send(B, A, 2), Outcome::Dropped(DropReason::UnknownPeer));
    world.send(A, B, 3);
    world.run(200 * SECOND);
    assert_eq!(world.received(B), [1]);
    assert_eq!(world.sent_by(B), before, "nothing may be sent to a removed peer");
    world.declare(B, &[A]);
    world.send(A, B, 4);
    world.run(30 * SECOND);
    assert!(world.received(B).contains(&4));
}

#[test]
fn what_waits_is_bounded_and_the_oldest_goes_first() {
    let mut world = World::two(7);
    world.loss_percent = 100;
    let sent = u32::try_from(cvlan_wg::QUEUE_PACKETS).unwrap() + 10;
    for n in 0..sent {
        world.send(A, B, n);
    }
    world.loss_percent = 0;
    world.run(10 * SECOND);
    assert_eq!(world.received(B), (10..sent).collect::<Vec<_>>());
    assert_eq!(
        world
            .party(A)
            .wg
            .counters()
            .tx_dropped_queue
            .load(std::sync::atomic::Ordering::Relaxed),
        10
    );
}

#[test]
fn a_try_without_an_answer_ends_and_falls_silent() {
    let mut world = World::two(8);
    world.loss_percent = 100;
    world.send(A, B, 1);
    world.run(120 * SECOND);
    assert!(
        world
            .events(A)
            .contains(&Event::HandshakeTimedOut { peer: PeerId(B as u32) })
    );
    let sent = world.sent_by(A);
    assert!(sent < 40, "{sent} initiations in 90 s");
    world.run(600 * SECOND);
    assert_eq!(world.sent_by(A), sent);
    assert_eq!(world.party(A).wg.next_deadline(world.now()), None);
}

#[test]
fn candidates_are_tried_one_at_a_time_until_one_answers() {
    let mut world = World::two(9);
    let dead = "192.0.2.1:9".parse().unwrap();
    let config = PeerConfig {
        candidates: vec![dead, Party::address(B)],
        ..world.config(B)
    };
    world.set_peers(A, vec![config]);
    world.send(A, B, 1);
    world.run(Duration::from_millis(100));
    assert_eq!(world.sent_to(dead), 1);
    assert_eq!(
        world.sent_to(Party::address(B)),
        0,
        "the second candidate waits for the first"
    );
    world.run(SECOND);
    assert_eq!(world.received(B), [1]);
    let sent = world.sent_to(dead);
    world.send(A, B, 2);
    world.run(300 * SECOND);
    assert_eq!(
        world.sent_to(dead),
        sent,
        "who answered is believed, the other is left alone"
    );
}

#[test]
fn a_try_starts_over_when_somewhere_new_is_known() {
    let mut world = World::two(17);
    let peer = |world: &World, endpoint| PeerConfig {
        candidates: vec![endpoint],
        ..world.config(B)
    };
    let dead = peer(&world, "192.0.2.1:9".parse().unwrap());
    world.set_peers(A, vec![dead]);
    world.send(A, B, 1);
    world.run(30 * SECOND);
    let live = peer(&world, Party::address(B));
    world.set_peers(A, vec![live]);
    world.run(Duration::from_millis(200));
    assert_eq!(world.received(B), [1], "rounds are five seconds apart by now");
}

#[test]
fn a_peer_that_moves_is_followed_and_a_forger_is_not() {
    let mut world = World::two(10);
    world.send(A, B, 1);
    world.run(SECOND);
    let elsewhere = "198.51.100.7:4000".parse().unwrap();
    let genuine = world.captured_to(Party::address(B)).pop().unwrap();
    let mut forged = genuine.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    world.inject(B, elsewhere, forged);
    world.inject(B, elsewhere, genuine);
    world.send(B, A, 2);
    world.run(SECOND);
    assert_eq!(world.sent_to(elsewhere), 0, "forged and repeated packets move nothing");
    world.move_to(A, elsewhere);
    world.send(A, B, 3);
    world.run(SECOND);
    world.send(B, A, 4);
    world.run(SECOND);
    assert_eq!(world.received(A), [2, 4]);
    assert!(world.sent_to(elsewhere) > 0);
}

#[test]
fn a_repeated_or_garbled_handshake_changes_nothing() {
    let mut world = World::two(11);
    world.send(A, B, 1);
    world.run(SECOND);
    let initiation = world.captured_to(Party::address(B)).remove(0);
    let response = world.captured_to(Party::address(A)).remove(0);
    assert_eq!((initiation.len(), response.len()), (148, 92));
    let sent = world.sent_by(B);
    world.inject(B, "198.51.100.7:4000".parse().unwrap(), initiation);
    world.run(SECOND);
    assert_eq!(world.sent_by(B), sent, "a replayed initiation is not answered");
    for at in 0..response.len() {
        let mut garbled = response.clone();
        garbled[at] ^= 0x40;
        world.inject(A, Party::address(B), garbled);
    }
    world.run(SECOND);
    assert_eq!(world.send(A, B, 2), Outcome::Sealed);
    world.run(SECOND);
    assert_eq!(world.received(B), [1, 2]);
}

/// tailscale/tailscale-rs#334: a garbage response cleared the initiator's state, so that anybody could stop handshakes.
#[test]
fn a_garbage_response_does_not_stop_the_handshake() {
    let mut world = World::two(12);
    world.send(A, B, 1);
    world.deliver_nothing_for(Duration::from_millis(20));
    let initiation = world.captured_to(Party::address(B)).remove(0);
    let mut garbage = vec![0; 92];
    garbage[0] = 2;
    garbage[8..12].copy_from_slice(&initiation[4..8]);
    world.inject(A, Party::address(B), garbage);
    world.run(Duration::from_millis(400));
    assert_eq!(world.received(B), [1]);
}

#[test]
fn a_counter_past_the_limit_is_refused_without_a_panic() {
    let mut world = World::two(13);
    world.send(A, B, 1);
    world.run(SECOND);
    let mut packet = world.captured_to(Party::address(B)).pop().unwrap();
    packet[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    world.inject(B, Party::address(A), packet);
    world.run(SECOND);
    assert_eq!(world.received(B), [1]);
}

#[test]
fn bad_peers_are_refused_and_the_others_stand() {
    let mut world = World::two(14);
    let own = world.party(A).wg.public_key();
    let good = world.party(B).wg.public_key();
    let peer = |id, public_key| PeerConfig {
        candidates: vec![Party::address(B)],
        ..PeerConfig::new(PeerId(id), public_key)
    };
    let refused = world.set_peers(
        A,
        vec![
            peer(7, [0; 32]),
            peer(8, own),
            peer(1, good),
            peer(9, good),
            peer(1, key(77)),
        ],
    );
    let ids: Vec<u32> = refused.iter().map(|(id, _)| id.0).collect();
    assert_eq!(ids, [7, 8, 9, 1]);
    world.send(A, B, 1);
    world.run(SECOND);
    assert_eq!(world.received(B), [1]);
}

#[test]
fn sealed_packets_are_padded_so_that_their_length_says_little() {
    let mut world = World::two(15);
    world.send(A, B, 1);
    world.run(SECOND);
    for datagram in world
        .captured_to(Party::address(B))
        .iter()
        .filter(|datagram| datagram[0] == 4)
    {
        assert_eq!(datagram.len() % 16, 0);
    }
}

/// A flood of valid-looking initiations makes initiators prove their address first; who does gets through.
#[test]
fn a_flood_of_initiations_does_not_lock_out_a_peer() {
    let mut world = World::two(16);
    world.declare(C, &[B]);
    world.send(C, B, 1);
    world.deliver_nothing_for(Duration::from_millis(20));
    let initiation = world.captured_to(Party::address(B)).remove(0);
    world.send(A, B, 2);
    for _ in 0..600 {
        for _ in 0..10 {
            world.inject(B, "198.51.100.66:6666".parse().unwrap(), initiation.clone());
        }
        world.run(Duration::from_millis(10));
    }
    let answers = world.captured_to("198.51.100.66:6666".parse().unwrap());
    assert!(!answers.is_empty(), "the flood was no load");
    assert!(
        answers.iter().all(|answer| answer.len() == 64),
        "a cookie is shorter than what it answers"
    );
    assert_eq!(world.received(B), [2]);
}

/// Copies of one peer's own initiation name that peer, so that a limiter a peer would ask it for another cookie than
/// the common one does, and no initiation could satisfy both.
#[test]
fn a_flood_of_a_peers_own_old_initiation_does_not_lock_it_out() {
    let mut world = World::two(18);
    world.send(A, B, 1);
    world.deliver_nothing_for(Duration::from_millis(20));
    let initiation = world.captured_to(Party::address(B)).remove(0);
    world.run(SECOND);
    // Both forget their sessions.
    world.run(600 * SECOND);
    for turn in 0..1200 {
        if turn == 100 {
            world.send(A, B, 2);
        }
        for _ in 0..60 {
            world.inject(B, "198.51.100.66:6666".parse().unwrap(), initiation.clone());
        }
        world.run(Duration::from_millis(10));
    }
    assert_eq!(world.received(B), [1, 2]);
}

/// A host that scans the whole overlay must not fill the memory of its engine.
#[test]
fn what_waits_for_all_peers_together_is_bounded() {
    let mut world = World::two(19);
    let peers = u32::try_from(cvlan_wg::QUEUE_BYTES / (cvlan_wg::QUEUE_PACKETS * 1024)).unwrap() * 2;
    let key = |n: u32| {
        let mut secret = [9; 32];
        secret[4..8].copy_from_slice(&n.to_le_bytes());
        world::public_key(secret)
    };
    let configs = (0..peers).map(|n| PeerConfig::new(PeerId(n), key(n))).collect();
    assert_eq!(world.set_peers(A, configs), []);
    for peer in 0..peers {
        for _ in 0..cvlan_wg::QUEUE_PACKETS {
            world.send_long(A, peer, 1024);
        }
    }
    assert!(world.party(A).wg.queued_bytes() <= cvlan_wg::QUEUE_BYTES);
    assert!(
        world.party(A).wg.queued_bytes() > cvlan_wg::QUEUE_BYTES / 2,
        "the bound is used"
    );
    world.run(120 * SECOND);
    assert_eq!(
        world.party(A).wg.queued_bytes(),
        0,
        "what was given up gives its room back"
    );
    world.send_long(A, 0, 1024);
    assert_eq!(world.party(A).wg.queued_bytes(), 1024);
    world.set_peers(A, Vec::new());
    assert_eq!(
        world.party(A).wg.queued_bytes(),
        0,
        "a removed peer gives its room back"
    );
}

/// firezone/boringtun#51, #66, cloudflare/boringtun#363: renewals that nothing asked for.
#[test]
fn keys_are_renewed_every_two_minutes_and_by_one_side() {
    let mut world = World::two(20);
    world.send(A, B, 600);
    world.run(SECOND);
    for n in 0..600 {
        world.send(A, B, n);
        world.send(B, A, n);
        world.run(SECOND);
    }
    let initiations = |to| {
        world
            .captured_to(Party::address(to))
            .iter()
            .filter(|d| d[0] == 1)
            .count()
    };
    assert!((5..=6).contains(&initiations(B)), "{} in ten minutes", initiations(B));
    assert_eq!(
        initiations(A),
        0,
        "the responder of a session starts none of its own (firezone/boringtun#53)"
    );
}

/// mullvad/gotatun 0.7.2: two idle peers answered keepalives with keepalives for ever.
#[test]
fn idle_peers_fall_silent() {
    let mut world = World::two(21);
    world.send(A, B, 1);
    world.run(SECOND);
    world.send(B, A, 2);
    // boringtun renews once more, 165 s after a session that received something (cloudflare/boringtun#363).
    world.run(300 * SECOND);
    let sent = (world.sent_by(A), world.sent_by(B));
    assert!(sent.0 + sent.1 <= 9, "{sent:?}");
    world.run(3600 * SECOND);
    assert_eq!((world.sent_by(A), world.sent_by(B)), sent);
}

/// firezone/boringtun#68: nothing is sealed with keys past Reject-After-Time (whitepaper, section 6.1).
#[test]
fn keys_past_their_time_seal_and_open_nothing() {
    let mut world = World::two(22);
    world.send(A, B, 1);
    world.run(SECOND);
    let sealed = world.capture_next(A, B, 2);
    world.loss_percent = 100;
    world.run(181 * SECOND);
    assert_eq!(world.send(A, B, 3), Outcome::Queued);
    world.inject(B, Party::address(A), sealed);
    assert_eq!(world.received(B), [1]);
}

/// Both sides begin in the same moment; whatever sessions come of it, packets pass in both directions.
#[test]
fn two_handshakes_that_cross_end_in_a_session() {
    for seed in 0..20 {
        let mut world = World::two(seed);
        world.reorder = seed % 2 == 1;
        world.send(A, B, 1);
        world.send(B, A, 2);
        world.run(10 * SECOND);
        for n in 10..30 {
            world.send(A, B, n);
            world.send(B, A, n);
            world.run(SECOND);
        }
        let tail = |party| world.received(party).into_iter().filter(|n| *n >= 10).count();
        assert_eq!((tail(A), tail(B)), (20, 20), "seed {seed}");
        assert!(
            world.received(B).contains(&1) && world.received(A).contains(&2),
            "seed {seed}"
        );
    }
}

/// meshguard#119: each packet counts once, also when a thousand others came between (RFC 6479).
#[test]
fn a_packet_opens_once_whatever_the_order() {
    let mut world = World::two(23);
    world.send(A, B, 0);
    world.run(SECOND);
    let mut sealed: Vec<_> = (1..=900).map(|n| world.capture_next(A, B, n)).collect();
    sealed.reverse();
    for datagram in sealed.iter().chain(&sealed) {
        world.inject(B, Party::address(A), datagram.clone());
    }
    let mut received = world.received(B);
    received.sort_unstable();
    assert_eq!(received, (0..=900).collect::<Vec<_>>());
}

/// Receiver indices say nothing about how many peers and sessions there are.
#[test]
fn indices_of_neighbouring_peers_have_nothing_in_common() {
    let mut world = World::two(24);
    world.declare(A, &[B, C]);
    world.declare(C, &[A]);
    world.send(A, B, 1);
    world.send(A, C, 1);
    world.deliver_nothing_for(Duration::from_millis(20));
    let index = |to| {
        let initiation = world.captured_to(Party::address(to)).remove(0);
        u32::from_le_bytes(initiation[4..8].try_into().unwrap()) >> 8
    };
    assert!(index(B).abs_diff(index(C)) > 1 && index(B) > 255);
}

/// A peer that sends every packet from another port must not flood whoever watches events.
#[test]
fn a_peer_that_moves_with_every_packet_is_followed_and_told_of_once_a_second() {
    let mut world = World::two(25);
    world.send(A, B, 0);
    world.run(SECOND);
    let before = world.events(B).len();
    let last = (1..=300).fold(None, |_, n| {
        let sealed = world.capture_next(A, B, n);
        let from = std::net::SocketAddr::from(([198, 51, 100, 7], u16::try_from(n).unwrap()));
        world.inject(B, from, sealed);
        world.run(Duration::from_millis(10));
        Some(from)
    });
    assert!(
        (1..=5).contains(&(world.events(B).len() - before)),
        "{:?}",
        world.events(B)
    );
    world.send(B, A, 1);
    assert_eq!(world.sent_to(last.unwrap()), 1, "the newest place counts");
}

/// Nor one that makes a new session as often as it can.
#[test]
fn a_peer_that_renews_its_keys_all_the_time_is_told_of_once_a_second() {
    let mut world = World::two(26);
    for n in 0..100 {
        // A forgets B and so begins anew; B knows A all along.
        world.declare(A, &[]);
        world.declare(A, &[B]);
        world.send(A, B, n);
        world.run(Duration::from_millis(60));
    }
    let completed = |event: &&Event| matches!(event, Event::HandshakeCompleted { .. });
    let told = world.events(B).iter().filter(completed).count();
    assert!((2..=8).contains(&told), "{told} in six seconds");
    assert!(world.received(B).len() > 50);
}
