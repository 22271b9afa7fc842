//! Any bytes from anybody: no panic, and what stands goes on standing.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod world;

use proptest::prelude::*;
use std::fs;
use std::path::Path;
use std::time::Duration;
use world::{A, B, Party, World};

/// What holds for any datagrams, whatever a party is doing: no answer is longer than what it answers, and afterwards
/// packets pass as before; the body of the fuzz target `wg-message`.
fn check(datagrams: &[Vec<u8>]) {
    let elsewhere = "198.51.100.7:4000".parse().unwrap();
    for stage in 0..4 {
        let mut world = World::two(1);
        if stage > 0 {
            world.send(A, B, 0);
            world.deliver_nothing_for(Duration::from_millis(20));
        }
        if stage > 1 {
            world.run(Duration::from_secs(1));
        }
        if stage > 2 {
            world.set_load(A, 10_000);
            world.set_load(B, 10_000);
        }
        for datagram in datagrams {
            for at in [A, B] {
                let answered = world.inject(at, elsewhere, datagram.clone());
                assert!(answered <= datagram.len(), "{answered} bytes for {}", datagram.len());
            }
        }
        for number in 1..=30 {
            world.send(A, B, number);
            world.run(Duration::from_secs(1));
        }
        assert!(world.received(B).contains(&30), "stage {stage}");
    }
}

#[test]
fn the_corpus_is_replayed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/wg-message/corpus");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let whole = fs::read(entry.unwrap().path()).unwrap();
        check(
            &(0..=whole.len())
                .map(|length| whole[..length].to_vec())
                .collect::<Vec<_>>(),
        );
        count += 1;
    }
    assert!(count >= 8, "the corpus is not there");
}

/// The keys of the world are fixed, so that this file is a genuine initiation for ever: the others are not forms alone.
#[test]
fn the_initiation_of_the_corpus_is_answered() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/wg-message/corpus/initiation");
    let mut world = World::two(1);
    assert_eq!(world.inject(B, Party::address(A), fs::read(path).unwrap()), 92);
}

/// Genuine messages of all four types, to be damaged: an initiation, a response, a cookie reply and data.
fn genuine() -> (World, Vec<Vec<u8>>) {
    let mut world = World::two(1);
    world.send(A, B, 0);
    world.run(Duration::from_secs(1));
    let mut messages = world.captured_to(Party::address(B));
    messages.extend(world.captured_to(Party::address(A)));
    world.set_load(B, 10_000);
    world.inject(B, Party::address(A), messages[0].clone());
    messages.push(world.captured_to(Party::address(A)).pop().unwrap());
    (world, messages)
}

#[derive(Clone, Debug)]
enum Damage {
    Flip { at: usize, with: u8 },
    Cut { to: usize },
    Grow { by: usize },
    Index { at: usize, from: usize },
    Nothing,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => (0..200usize, 1..=255u8).prop_map(|(at, with)| Damage::Flip { at, with }),
        1 => (0..200usize).prop_map(|to| Damage::Cut { to }),
        1 => (0..70_000usize).prop_map(|by| Damage::Grow { by }),
        2 => (prop_oneof![Just(4usize), Just(8)], 0..8usize).prop_map(|(at, from)| Damage::Index { at, from }),
        1 => Just(Damage::Nothing),
    ]
}

fn apply(damage: &Damage, message: &mut Vec<u8>, all: &[Vec<u8>]) {
    match *damage {
        Damage::Flip { at, with } => {
            let at = at % message.len();
            message[at] ^= with;
        }
        Damage::Cut { to } => message.truncate(to),
        Damage::Grow { by } => message.resize(message.len() + by, 0),
        Damage::Index { at, from } => {
            let index = all[from % all.len()][4..8].to_vec();
            message[at..at + 4].copy_from_slice(&index);
        }
        Damage::Nothing => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn damaged_messages_change_nothing(
        steps in proptest::collection::vec((any::<prop::sample::Index>(), damage(), any::<bool>()), 1..60),
    ) {
        let (mut world, messages) = genuine();
        let elsewhere = "198.51.100.7:4000".parse().unwrap();
        for (which, damage, at_b) in steps {
            let mut message = which.get(&messages).clone();
            apply(&damage, &mut message, &messages);
            world.inject(if at_b { B } else { A }, elsewhere, message);
        }
        prop_assert_eq!(world.received(B), vec![0]);
        world.send(A, B, 1);
        world.send(B, A, 2);
        world.run(Duration::from_secs(1));
        prop_assert_eq!((world.received(B), world.received(A)), (vec![0, 1], vec![2]));
    }

    #[test]
    fn any_bytes_are_survived(
        datagrams in proptest::collection::vec((0..6u8, proptest::collection::vec(any::<u8>(), 0..200)), 1..20),
    ) {
        let formed = datagrams.into_iter().map(|(kind, mut bytes)| {
            let length = match kind { 1 => 148, 2 => 92, 3 => 64, _ => bytes.len() };
            bytes.resize(length, 0);
            if let Some(header) = bytes.first_chunk_mut() { *header = [kind, 0, 0, 0] }
            bytes
        });
        check(&formed.collect::<Vec<_>>());
    }

    #[test]
    fn noise_stops_no_handshake(
        noise in proptest::collection::vec((1..=4u8, proptest::collection::vec(any::<u8>(), 0..200)), 1..40),
    ) {
        let mut world = World::two(2);
        world.send(A, B, 1);
        world.deliver_nothing_for(Duration::from_millis(20));
        let initiation = world.captured_to(Party::address(B)).remove(0);
        for (kind, mut bytes) in noise {
            bytes.resize([148, 92, 64, bytes.len().max(32)][usize::from(kind) - 1], 0);
            bytes[..4].copy_from_slice(&[kind, 0, 0, 0]);
            let at = if kind == 2 { 8 } else { 4 };
            bytes[at..at + 4].copy_from_slice(&initiation[4..8]);
            world.inject(A, Party::address(B), bytes);
        }
        world.run(Duration::from_millis(400));
        prop_assert_eq!(world.received(B), vec![1]);
    }
}
