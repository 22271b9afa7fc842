//! One process follows another: sessions go on, and no counter is used twice.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod world;

use cvlan_wg::{BadState, PeerId};
use proptest::prelude::*;
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;
use world::{A, B, Outcome, Party, World};

const SECOND: Duration = Duration::from_secs(1);

fn completed(world: &World) -> u64 {
    let of = |party| {
        world
            .party(party)
            .wg
            .counters()
            .handshakes_completed
            .load(Ordering::Relaxed)
    };
    of(A) + of(B)
}

/// Receiver index and counter of all data messages to a party.
fn nonces(world: &World, to: usize) -> Vec<Vec<u8>> {
    let data = world.captured_to(Party::address(to)).into_iter();
    data.filter(|bytes| bytes[0] == 4)
        .map(|bytes| bytes[4..16].to_vec())
        .collect()
}

#[test]
fn a_session_goes_on_without_a_handshake_and_refuses_what_came_before() {
    let mut world = World::two(1);
    world.send(A, B, 0);
    world.run(SECOND);
    let repeated = world.capture_next(B, A, 1);
    world.inject(A, Party::address(B), repeated.clone());
    let late = world.capture_next(B, A, 2);
    let stats = |world: &World| world.party(A).wg.stats(PeerId(1), world.now()).unwrap();
    let before = stats(&world);
    world.replace(A, &[B]);
    assert_eq!(
        stats(&world),
        before,
        "endpoint, traffic and handshake are those of before"
    );
    assert_eq!(world.send(A, B, 3), Outcome::Sealed);
    world.inject(A, Party::address(B), repeated);
    assert_eq!(world.received(A), [1], "what the former one opened is not opened again");
    world.inject(A, Party::address(B), late);
    world.run(SECOND);
    assert_eq!((world.received(A), world.received(B)), (vec![1, 2], vec![0, 3]));
    assert_eq!(
        completed(&world),
        1,
        "what B counted; the counts of the new one begin anew"
    );
}

#[test]
fn an_initiation_that_was_accepted_is_not_accepted_again() {
    let mut world = World::two(2);
    world.send(A, B, 0);
    world.run(SECOND);
    let initiation = world
        .captured_to(Party::address(B))
        .into_iter()
        .find(|bytes| bytes[0] == 1);
    world.replace(B, &[A]);
    assert_eq!(world.inject(B, Party::address(A), initiation.unwrap()), 0);
    // And its own are later than those before, so that they are accepted.
    world.replace(A, &[B]);
    world.run(200 * SECOND);
    world.send(A, B, 1);
    world.run(SECOND);
    assert_eq!(world.received(B), [0, 1]);
}

#[test]
fn what_waits_for_a_session_goes_on_waiting() {
    let mut world = World::two(3);
    assert_eq!(world.send(A, B, 0), Outcome::Queued);
    world.replace(A, &[B]);
    world.run(SECOND);
    world.replace(A, &[B]);
    assert_eq!(world.send(A, B, 1), Outcome::Sealed);
    world.run(SECOND);
    assert_eq!(world.received(B), [0, 1]);
}

#[test]
fn a_state_that_contradicts_itself_is_refused() {
    let mut world = World::two(4);
    world.send(A, B, 0);
    world.run(SECOND);
    let now = world.now();
    let tell = |world: &World| world.party(A).wg.tell_peers(now).next().unwrap();
    let told = tell(&world);
    assert_eq!(
        world.party(A).wg.adopt_peer(now, told),
        Err(BadState::Twice),
        "it is there already"
    );
    world.declare(B, &[]);
    world.declare(B, &[A]);
    let mut other = tell(&world);
    other.public_key = world.party(A).wg.public_key();
    other.current.as_mut().unwrap().seen.pop();
    assert_eq!(
        world.party(B).wg.adopt_peer(now, other),
        Err(BadState::Number),
        "a window of another size"
    );
    let mut nobody = tell(&world);
    nobody.public_key = [9; 32];
    assert_eq!(world.party(B).wg.adopt_peer(now, nobody), Ok(false));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever is under way, on a wire that loses and reorders, over renewals of sessions.
    #[test]
    fn no_counter_is_used_twice_and_everything_arrives(
        seed in 0u64..1000,
        lossy in any::<bool>(),
        steps in proptest::collection::vec((0u8..4, 1u64..40_000), 1..60),
    ) {
        let mut world = World::two(seed);
        world.reorder = lossy;
        world.loss_percent = if lossy { 20 } else { 0 };
        let (mut to_a, mut to_b) = (Vec::new(), Vec::new());
        for (number, (what, millis)) in (0..).zip(steps) {
            match what {
                0 => {
                    world.send(A, B, number);
                    to_b.push(number);
                }
                1 => {
                    world.send(B, A, number);
                    to_a.push(number);
                }
                2 => world.replace(A, &[B]),
                _ => world.replace(B, &[A]),
            }
            world.run(Duration::from_millis(millis));
        }
        world.run(100 * SECOND);
        for party in [A, B] {
            let nonces = nonces(&world, party);
            let distinct: HashSet<_> = nonces.iter().collect();
            prop_assert_eq!(distinct.len(), nonces.len(), "a counter was used twice");
        }
        for (party, sent) in [(A, to_a), (B, to_b)] {
            let received = world.received(party);
            let distinct: HashSet<_> = received.iter().collect();
            prop_assert_eq!(distinct.len(), received.len(), "a packet was taken twice");
            if !lossy {
                prop_assert_eq!(received.len(), sent.len());
            }
        }
    }
}
