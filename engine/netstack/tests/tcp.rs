//! TCP between two stacks.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;

use common::{A, A6, B, B6, Chance, Harm, Pair, at, ip};
use cvlan_netstack::{ConnectionId, Limits, OpenError, Read, Stack, Write};
use proptest::prelude::*;
use std::time::{Duration, Instant};

fn bytes(count: usize, seed: u64) -> Vec<u8> {
    let mut chance = Chance::new(seed);
    std::iter::repeat_with(|| chance.next().to_le_bytes()[3])
        .take(count)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_whatever_the_wire_does(
        seed: u64, loss in 0..10u64, repeat in 0..10u64, reorder in 0..20u64, count in 0..200_000usize, v6: bool, mtu in 1280..9000u16
    ) {
        let mut pair = Pair::with_mtu(Harm { loss, repeat, reorder }, seed, Limits::default(), mtu);
        let (from, to) = if v6 { (A6, B6) } else { (A, B) };
        let (here, there) = pair.connected(from, to, 80);
        let (question, answer) = (bytes(count, seed), bytes(count / 3, !seed));
        prop_assert!(pair.carry(0, here, there, &question) == question);
        prop_assert!(pair.carry(1, there, here, &answer) == answer);
        let now = pair.now;
        pair.stacks[0].release(here, Some(now));
        pair.stacks[1].release(there, Some(now));
        pair.until("both forget", |pair| pair.stacks.iter().all(|stack| stack.counters().connections == 0).then_some(()));
    }
}

/// The first sends, the second sends back what it reads.
fn echoed(pair: &mut Pair, here: ConnectionId, there: ConnectionId, all: &[u8]) -> Vec<u8> {
    let (mut sent, mut got, mut held, mut shut) = (0, Vec::new(), Vec::new(), false);
    let mut room = [0; 4096];
    pair.until("the echo", |pair| {
        let [a, b] = &mut pair.stacks;
        while let Write::Bytes(count) = a.write(here, &all[sent..], None) {
            sent += count;
            if sent == all.len() {
                a.shut(here);
                break;
            }
        }
        loop {
            if !held.is_empty() {
                let Write::Bytes(count) = b.write(there, &held, None) else {
                    break;
                };
                held.drain(..count);
                continue;
            }
            match b.read(there, &mut room, None) {
                Read::Bytes(count) => held.extend(&room[..count]),
                Read::End if !shut => {
                    shut = true;
                    b.shut(there);
                }
                _ => break,
            }
        }
        loop {
            match a.read(here, &mut room, None) {
                Read::Bytes(count) => got.extend(&room[..count]),
                Read::End => return Some(std::mem::take(&mut got)),
                Read::Pending => return None,
                Read::Reset => panic!("reset"),
            }
        }
    })
}

#[test]
fn both_ways_at_once() {
    for seed in (1..40).step_by(2) {
        for loss in [0, 5, 12] {
            let harm = Harm {
                loss,
                reorder: loss,
                repeat: loss,
            };
            let limits = Limits {
                outbound: if seed % 4 == 1 { 256 } else { 20 },
                ..Limits::default()
            };
            let mut pair = Pair::new(harm, seed, limits);
            let (here, there) = pair.connected(A, B, 80);
            let all = bytes(300_000, seed);
            assert!(echoed(&mut pair, here, there, &all) == all);
        }
    }
}

#[test]
fn the_window_is_a_quarter_of_a_mebibyte() {
    let mut pair = Pair::new(Harm::default(), 1, Limits::default());
    let (here, _there) = pair.connected(A, B, 80);
    let all = vec![1; 2 << 20];
    let mut written = 0;
    for _ in 0..20_000 {
        if !pair.step() {
            break;
        }
        while let Write::Bytes(count) = pair.stacks[0].write(here, &all[written..], None) {
            written += count;
        }
        // Both buffers are full and nothing but probes of the window is left to do.
    }
    let short = (512 << 10) - written;
    assert!(
        short < 16,
        "what a reader does not read fills its buffer and ours, and no more: {short}"
    );
}

#[test]
fn a_slow_reader_holds_the_writer_up_and_loses_nothing() {
    let limits = Limits {
        buffer: 8 << 10,
        small_buffer: 8 << 10,
        ..Limits::default()
    };
    let mut pair = Pair::new(
        Harm {
            loss: 2,
            ..Harm::default()
        },
        3,
        limits,
    );
    let (here, there) = pair.connected(A, B, 80);
    let all = bytes(100_000, 5);
    let (mut written, mut got, mut turn) = (0, Vec::<u8>::new(), 0);
    pair.until("all is read", |pair| {
        if let Write::Bytes(count) = pair.stacks[0].write(here, &all[written..], None) {
            written += count;
        }
        turn += 1;
        let mut room = [0; 512];
        if turn % 20 == 0
            && let Read::Bytes(count) = pair.stacks[1].read(there, &mut room, None)
        {
            got.extend(&room[..count]);
        }
        assert!(written - got.len() <= 16 << 10);
        (got.len() == all.len()).then_some(())
    });
    assert!(got == all);
}

#[test]
fn a_port_that_nobody_listens_on_refuses() {
    let mut pair = Pair::new(Harm::default(), 1, Limits::default());
    let now = pair.now;
    let id = pair.stacks[0].connect(now, ip(A), at(B, 81)).unwrap();
    pair.until("the refusal", |pair| {
        (pair.stacks[0].opened(id, None) == Write::Broken).then_some(())
    });
    assert_eq!(pair.stacks[0].read(id, &mut [0; 8], None), Read::Reset);
    assert!(pair.now - now < Duration::from_secs(1), "it was refused, not timed out");
}

#[test]
fn a_connection_that_is_let_go_unread_is_reset() {
    let mut pair = Pair::new(Harm::default(), 1, Limits::default());
    let (here, there) = pair.connected(A, B, 80);
    assert_eq!(pair.stacks[0].write(here, b"unread", None), Write::Bytes(6));
    let now = pair.now;
    pair.stacks[1].release(there, Some(now));
    pair.until("the reset", |pair| {
        (pair.stacks[0].read(here, &mut [0; 8], None) == Read::Reset).then_some(())
    });
    assert_eq!(pair.stacks[1].counters().connections, 0);
    assert_eq!(pair.stacks[0].write(here, b"x", None), Write::Broken);
}

#[test]
fn an_address_that_goes_takes_its_connections_along() {
    let mut pair = Pair::new(Harm::default(), 1, Limits::default());
    let (here, there) = pair.connected(A6, B6, 80);
    pair.stacks[0].set_addresses([ip(A)]);
    assert_eq!(pair.stacks[0].read(here, &mut [0; 8], None), Read::Reset);
    pair.until("the other side learns of it", |pair| {
        (pair.stacks[1].read(there, &mut [0; 8], None) == Read::Reset).then_some(())
    });
    let now = pair.now;
    assert_eq!(pair.stacks[0].connect(now, ip(A6), at(B6, 80)), Err(OpenError::Ends));
}

/// SYN segments of many ports, from a stack that never hears the answers.
fn flood(count: usize) -> Vec<Vec<u8>> {
    let now = Instant::now();
    let limits = Limits {
        connections: count,
        connections_per_remote: count,
        buffer: 64,
        small_buffer: 64,
        outbound: count,
        ..Limits::default()
    };
    let mut stack = Stack::new(1420, 9, limits, now);
    stack.set_addresses([ip(A)]);
    for _ in 0..count {
        stack.connect(now, ip(A), at(B, 80)).unwrap();
    }
    stack.poll(now);
    std::iter::from_fn(|| stack.take_packet()).collect()
}

#[test]
fn half_open_connections_are_bounded_and_forgotten() {
    let syns = flood(300);
    assert_eq!(syns.len(), 300);
    let limits = Limits {
        half_open: 20,
        half_open_per_remote: 10,
        ..Limits::default()
    };
    let now = Instant::now();
    let mut stack = Stack::new(1420, 1, limits, now);
    stack.set_addresses([ip(B)]);
    assert!(stack.listen(80));
    for syn in &syns {
        stack.receive(now, syn);
    }
    let counters = stack.counters();
    assert_eq!((counters.connections, counters.dropped_connections), (10, 290));
    assert_eq!(stack.accept(80, None), None, "none is complete");
    stack.poll(now);
    let answers = std::iter::from_fn(|| stack.take_packet()).count();
    assert_eq!(answers, 10);
    let later = now + Duration::from_secs(11);
    stack.poll(later);
    while stack.take_packet().is_some() {
        stack.poll(later);
    }
    assert_eq!(stack.counters().connections, 0);
    stack.receive(later, &syns[0]);
    assert_eq!(stack.counters().connections, 1, "there is room again");
}

#[test]
fn connections_and_their_memory_are_bounded() {
    let limits = Limits {
        connections: 50,
        connections_per_remote: 40,
        memory: 2 << 20,
        ..Limits::default()
    };
    let now = Instant::now();
    let mut stack = Stack::new(1420, 1, limits, now);
    stack.set_addresses([ip(A)]);
    let begun = |stack: &mut Stack, to: &str| {
        (0..100)
            .filter(|_| stack.connect(now, ip(A), at(to, 80)).is_ok())
            .count()
    };
    let first = begun(&mut stack, B);
    assert_eq!(first, 2 + 16, "two have a whole window, the others a small one");
    assert_eq!(stack.connect(now, ip(A), at(B, 80)), Err(OpenError::Full));
    let ids: Vec<_> = stack.connections().map(|(id, ..)| id).collect();
    ids.into_iter().for_each(|id| stack.release(id, Some(now)));
    stack.poll(now);
    while stack.take_packet().is_some() {
        stack.poll(now);
    }
    assert_eq!(begun(&mut stack, B), first, "what was let go gives its room back");
}
