//! When things happen: sessions with peers that just appeared, and timers that nobody looks at before their time.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod world;

use cvlan_wg::{Event, PeerConfig, PeerId};
use std::sync::atomic::Ordering;
use std::time::Duration;
use world::{A, B, C, Outcome, Party, World};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
/// There and back on the wire of the world.
const ROUND_TRIP: Duration = Duration::from_millis(40);
/// What the world's steps add.
const STEPS: Duration = Duration::from_millis(30);

fn completed(world: &World, party: usize) -> usize {
    let completed = |event: &&Event| matches!(event, Event::HandshakeCompleted { .. });
    world.events(party).iter().filter(completed).count()
}

/// Who is to send as soon as it may, and whether who hears later knows where the other is.
#[test]
fn peers_declared_within_100_ms_of_each_other_have_a_session_two_round_trips_later() {
    for gap in [0, 10, 20, 30, 50, 100] {
        for (early, late) in [(true, false), (false, true), (true, true)] {
            for located in [true, false] {
                if !located && !early {
                    continue;
                }
                let case = format!("gap {gap} ms, early sends: {early}, late sends: {late}, located: {located}");
                let mut world = World::two(20);
                world.declare(A, &[]);
                world.declare(B, &[]);
                world.run(SECOND);
                world.declare(A, &[B]);
                if early {
                    assert_eq!(world.send(A, B, 1), Outcome::Queued);
                }
                world.run(gap * MILLISECOND);
                let mut config = world.config(A);
                if !located {
                    config.candidates.clear();
                }
                assert_eq!(world.set_peers(B, vec![config]), []);
                if late {
                    assert_eq!(world.send(B, A, 2), Outcome::Queued);
                }
                world.run(2 * ROUND_TRIP + STEPS);
                assert_eq!(world.received(B), if early { vec![1] } else { vec![] }, "{case}");
                assert_eq!(world.received(A), if late { vec![2] } else { vec![] }, "{case}");
                assert!(completed(&world, A) > 0 && completed(&world, B) > 0, "{case}");
                // One of two sessions made at once is as good as the other, for both.
                for number in 3..10 {
                    assert_eq!(world.send(A, B, number), Outcome::Sealed, "{case}");
                    assert_eq!(world.send(B, A, number), Outcome::Sealed, "{case}");
                    world.run(50 * MILLISECOND);
                }
                assert!(world.received(A).ends_with(&[3, 4, 5, 6, 7, 8, 9]), "{case}");
                assert!(world.received(B).ends_with(&[3, 4, 5, 6, 7, 8, 9]), "{case}");
                let initiated = |party| {
                    let counters = world.party(party).wg.counters();
                    counters.handshakes_initiated.load(Ordering::Relaxed)
                };
                assert!(initiated(A) + initiated(B) <= 2, "{case}");
            }
        }
    }
}

/// The packet waits for a peer of which nothing but the key is known, and goes as soon as the endpoint is declared.
#[test]
fn what_waits_for_an_endpoint_goes_when_it_is_declared() {
    let mut world = World::two(21);
    let nowhere = PeerConfig {
        candidates: Vec::new(),
        ..world.config(B)
    };
    assert_eq!(world.set_peers(A, vec![nowhere]), []);
    assert_eq!(world.send(A, B, 1), Outcome::Queued);
    world.run(330 * MILLISECOND);
    assert_eq!(world.sent_by(A), 0);
    world.declare(A, &[B]);
    world.run(ROUND_TRIP + ROUND_TRIP / 2 + STEPS);
    assert_eq!(world.received(B), [1]);
}

#[test]
fn a_stranger_gets_nothing_and_is_not_waited_for_long() {
    let mut world = World::two(22);
    world.declare(C, &[B]);
    world.send(C, B, 1);
    world.deliver_nothing_for(10 * MILLISECOND);
    let initiation = world.captured_to(Party::address(B)).remove(0);
    world.declare(C, &[]);
    let elsewhere = "198.51.100.7:4000".parse().unwrap();
    assert_eq!(world.inject(B, elsewhere, initiation.clone()), 0);
    world.run(6 * SECOND);
    world.declare(B, &[A, C]);
    world.run(SECOND);
    assert_eq!(world.sent_by(B), 0, "what came long ago is forgotten");
    world.declare(B, &[A]);
    assert_eq!(world.inject(B, elsewhere, initiation.clone()), 0);
    world.run(SECOND);
    assert_eq!(world.sent_by(B), 0);
    world.declare(B, &[A, C]);
    world.run(SECOND);
    assert_eq!(world.sent_to(elsewhere), 1, "one answer to one initiation");
    assert_eq!(
        world.party(B).wg.stats(PeerId(C as u32), world.now()).unwrap().endpoint,
        None
    );
    assert_eq!(completed(&world, B), 0, "it proved nothing yet");
    assert_eq!(world.inject(B, elsewhere, initiation), 0, "and not to its copy");
}

/// Whitepaper, section 6.5: ten seconds after data that was not answered; 6.2: fifteen after data that nothing came after,
/// and up to a third of a second of jitter.
#[test]
fn timers_that_the_data_path_sets_are_kept_to_the_step() {
    let mut world = World::two(23);
    world.send(A, B, 1);
    world.run(12 * SECOND);
    let before = world.sent_by(B);
    assert_eq!(world.send(A, B, 2), Outcome::Sealed);
    let sent = world.elapsed();
    world.run(12 * SECOND);
    let answered = world.sent_at(B)[before..].to_vec();
    assert_eq!(answered.len(), 1, "one empty message");
    let late = answered[0] - sent - ROUND_TRIP / 2;
    assert!((10 * SECOND..10 * SECOND + STEPS).contains(&late), "{late:?}");

    let before = world.sent_by(A);
    world.loss_percent = 100;
    assert_eq!(world.send(A, B, 3), Outcome::Sealed);
    let sent = world.elapsed();
    world.run(16 * SECOND);
    let tried = world.sent_at(A)[before + 1] - sent;
    assert!(
        (15 * SECOND..15 * SECOND + 334 * MILLISECOND + STEPS).contains(&tried),
        "{tried:?}"
    );
}

#[test]
fn nobody_looks_at_peers_that_are_silent() {
    let mut world = World::two(24);
    world.send(A, B, 1);
    world.run(SECOND);
    let before = world.polls();
    world.run(3600 * SECOND);
    let polls = world.polls() - before;
    assert!(polls <= 20, "{polls} looks in an hour");
    assert_eq!(world.party(A).wg.next_deadline(world.now()), None);
}
