//! Single packets: echo, UDP, replies to nobody, and whatever a peer may make up.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;

use common::{A, A6, B, B6, Harm, Pair, at, ip};
use cvlan_netstack::{Datagram, Limits, SendError, Stack, Write};
use cvlan_wire::packet::parse;
use cvlan_wire::{IcmpKind, Protocol, Transport};
use proptest::prelude::*;
use std::time::Instant;

fn stack(address: &str, limits: Limits) -> (Stack, Instant) {
    let now = Instant::now();
    let mut stack = Stack::new(1420, 1, limits, now);
    stack.set_addresses([ip(address)]);
    (stack, now)
}

/// An echo request, with right checksums.
fn echo(v6: bool) -> Vec<u8> {
    let sum = |parts: &[&[u8]]| {
        let words = parts.iter().flat_map(|part| part.chunks(2));
        let sum: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
        (!u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap()).to_be_bytes()
    };
    let mut message = vec![if v6 { 128 } else { 8 }, 0, 0, 0, 0, 7, 0, 1, b'h', b'i'];
    let mut packet;
    if v6 {
        let ends = [ip(A6), ip(B6)].map(|ip| match ip {
            std::net::IpAddr::V6(ip) => ip.octets(),
            std::net::IpAddr::V4(_) => panic!("an IPv6 address"),
        });
        let check = sum(&[&ends[0], &ends[1], &[0, 0, 0, 10, 0, 0, 0, 58], &message]);
        message[2..4].copy_from_slice(&check);
        packet = vec![0x60, 0, 0, 0, 0, 10, 58, 64];
        packet.extend(ends.concat());
    } else {
        let check = sum(&[&message]);
        message[2..4].copy_from_slice(&check);
        packet = vec![0x45, 0, 0, 30, 0, 0, 0x40, 0, 64, 1, 0, 0, 100, 64, 0, 1, 100, 64, 0, 2];
        let check = sum(&[&packet]);
        packet[10..12].copy_from_slice(&check);
    }
    packet.extend(message);
    packet
}

#[test]
fn an_echo_is_answered() {
    for (v6, from, to) in [(false, A, B), (true, A6, B6)] {
        let (mut stack, now) = stack(to, Limits::default());
        stack.receive(now, &echo(v6));
        let reply = stack.take_packet().expect("an answer");
        let meta = parse(&reply).unwrap();
        assert_eq!((meta.source, meta.destination), (ip(to), ip(from)));
        assert_eq!(meta.transport, Transport::Icmp(IcmpKind::Reply { identifier: 7 }));
        assert!(reply.ends_with(b"hi"));
        assert!(stack.take_packet().is_none());
        stack.set_addresses([ip(from)]);
        stack.receive(now, &echo(v6));
        assert!(stack.take_packet().is_none(), "another's address");
        assert_eq!(stack.counters().dropped_unwanted, 1);
    }
}

#[test]
fn a_datagram_arrives_and_its_answer_too() {
    for (from, to) in [(A, B), (A6, B6)] {
        let mut pair = Pair::new(Harm::default(), 1, Limits::default());
        let [a, b] = &mut pair.stacks;
        let (client, server) = (a.bind_udp(0).unwrap(), b.bind_udp(53).unwrap());
        assert_eq!(b.bind_udp(53), None, "taken");
        a.send_udp(client, ip(from), at(to, 53), b"question").unwrap();
        let got = pair.until("the question", |pair| pair.stacks[1].receive_from_udp(server, None));
        let expected = Datagram {
            local: ip(to),
            remote: at(from, client.number()),
            payload: b"question".to_vec(),
        };
        assert_eq!(got, expected);
        pair.stacks[1]
            .send_udp(server, got.local, got.remote, b"answer")
            .unwrap();
        let answer = pair.until("the answer", |pair| pair.stacks[0].receive_from_udp(client, None));
        assert_eq!((answer.remote, answer.payload), (at(to, 53), b"answer".to_vec()));
        let send = |length| pair.stacks[0].send_udp(client, ip(from), at(to, 53), &vec![0; length]);
        let headers = if from == A { 28 } else { 48 };
        assert_eq!(
            [1420 - headers, 1421 - headers].map(send),
            [Ok(()), Err(SendError::TooLong)]
        );
        assert_eq!(
            pair.stacks[0].send_udp(client, ip(to), at(to, 53), b"x"),
            Err(SendError::Ends)
        );
    }
}

#[test]
fn a_changed_datagram_is_dropped() {
    let (mut a, _) = stack(A, Limits::default());
    let (mut b, now) = stack(B, Limits::default());
    let (client, server) = (a.bind_udp(0).unwrap(), b.bind_udp(53).unwrap());
    a.send_udp(client, ip(A), at(B, 53), b"question").unwrap();
    let packet = a.take_packet().unwrap();
    for index in (0..packet.len()).filter(|index| !(12..20).contains(index)) {
        let mut changed = packet.clone();
        changed[index] ^= 0x10;
        b.receive(now, &changed);
        assert_eq!(b.receive_from_udp(server, None), None, "byte {index}");
    }
    b.receive(now, &packet);
    assert!(b.receive_from_udp(server, None).is_some());
}

#[test]
fn a_queue_that_nobody_reads_is_bounded() {
    let limits = Limits {
        udp_queue: 3,
        udp_memory: 250,
        ..Limits::default()
    };
    let (mut a, _) = stack(A, limits);
    let (mut b, now) = stack(B, limits);
    let client = a.bind_udp(0).unwrap();
    let [one, other] = [53, 54].map(|port| b.bind_udp(port).unwrap());
    for (port, size) in [(53, 10), (53, 10), (53, 10), (53, 10), (54, 200), (54, 100)] {
        a.send_udp(client, ip(A), at(B, port), &vec![0; size]).unwrap();
        b.receive(now, &a.take_packet().unwrap());
    }
    assert_eq!(b.counters().dropped_datagrams, 2);
    let count = |b: &mut Stack, port| std::iter::from_fn(|| b.receive_from_udp(port, None)).count();
    assert_eq!((count(&mut b, one), count(&mut b, other)), (3, 1));
    b.unbind_udp(one);
    assert!(b.bind_udp(53).is_some());
}

#[test]
fn replies_to_nobody_are_bounded() {
    let limits = Limits {
        replies_per_second: 5,
        ..Limits::default()
    };
    let (mut a, _) = stack(A, limits);
    let (mut b, now) = stack(B, limits);
    let client = a.bind_udp(0).unwrap();
    a.send_udp(client, ip(A), at(B, 99), b"anybody?").unwrap();
    let packet = a.take_packet().unwrap();
    let replies: Vec<_> = (0..20)
        .filter_map(|_| {
            b.receive(now, &packet);
            b.take_packet()
        })
        .collect();
    assert_eq!(replies.len(), 5);
    let meta = parse(&replies[0]).unwrap();
    assert!(matches!(meta.transport, Transport::Icmp(IcmpKind::Error(Some(quoted))) if quoted.destination_port == 99));
    assert_eq!(b.counters().dropped_replies, 15);
}

#[test]
fn packets_that_nobody_takes_hold_senders_up() {
    let limits = Limits {
        outbound: 4,
        ..Limits::default()
    };
    let (mut a, now) = stack(A, limits);
    let client = a.bind_udp(0).unwrap();
    let sent = (0..10)
        .filter(|_| a.send_udp(client, ip(A), at(B, 1), b"x").is_ok())
        .count();
    assert_eq!(sent, 4);
    assert_eq!(a.send_udp(client, ip(A), at(B, 1), b"x"), Err(SendError::Busy));
    let id = a.connect(now, ip(A), at(B, 80)).unwrap();
    a.poll(now);
    let protocols = std::iter::from_fn(|| a.take_packet()).map(|packet| parse(&packet).unwrap().protocol);
    assert_eq!(protocols.collect::<Vec<_>>(), [Protocol::UDP; 4]);
    a.poll(now);
    assert_eq!(
        parse(&a.take_packet().unwrap()).unwrap().protocol,
        Protocol::TCP,
        "it only waited"
    );
    assert_eq!(a.opened(id, None), Write::Pending);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 1..40)) {
        let (mut stack, now) = stack(B, Limits::default());
        prop_assert!(stack.listen(80));
        for packet in packets {
            stack.receive(now, &packet);
            stack.poll(now);
        }
    }

    /// Segments of a conversation that a peer changes, repeats, and makes up, with right checksums.
    #[test]
    fn a_hostile_peer_is_survived(
        segments in proptest::collection::vec((any::<u8>(), any::<u32>(), any::<u32>(), any::<u16>(), 0..3usize, 0..1300usize, proptest::collection::vec(any::<u8>(), 0..40)), 1..60),
        learn: bool,
    ) {
        let (mut stack, mut now) = stack(B, Limits::default());
        prop_assert!(stack.listen(80));
        let (mut sequence, mut acknowledge) = (1_000u32, 0u32);
        for (flags, seq, ack, window, port, payload, options) in segments {
            let near = |base: u32, offset: u32| base.wrapping_add(offset % 5_000).wrapping_sub(2_500);
            let (seq, ack) = if learn { (near(sequence, seq), near(acknowledge, ack)) } else { (seq, ack) };
            stack.receive(now, &segment([80, 81, 4000][port], flags, seq, ack, window, &options, payload));
            now += std::time::Duration::from_millis(u64::from(window % 700));
            stack.poll(now);
            while let Some(packet) = stack.take_packet() {
                prop_assert!(packet.len() <= 1420);
                prop_assert!(parse(&packet).is_ok());
                if let Some(answer) = packet.get(24..32) {
                    acknowledge = u32::from_be_bytes(answer[..4].try_into().unwrap());
                    sequence = u32::from_be_bytes(answer[4..].try_into().unwrap());
                }
                stack.poll(now);
            }
            if let Some(id) = stack.accept(80, None) {
                stack.write(id, &[1; 3000], None);
            }
        }
        prop_assert!(stack.counters().connections <= 16);
    }
}

fn segment(port: u16, flags: u8, seq: u32, ack: u32, window: u16, options: &[u8], payload: usize) -> Vec<u8> {
    let options = &options[..options.len() / 4 * 4];
    let mut tcp = Vec::new();
    tcp.extend(4000u16.to_be_bytes());
    tcp.extend(port.to_be_bytes());
    tcp.extend(seq.to_be_bytes());
    tcp.extend(ack.to_be_bytes());
    tcp.push(u8::try_from(5 + options.len() / 4).unwrap() << 4);
    tcp.push(flags);
    tcp.extend(window.to_be_bytes());
    tcp.extend([0; 4]);
    tcp.extend(options);
    tcp.extend(vec![7; payload]);
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 100, 64, 0, 1, 100, 64, 0, 2];
    packet[2..4].copy_from_slice(&u16::try_from(20 + tcp.len()).unwrap().to_be_bytes());
    let sum = |bytes: &[u8], start: u32| {
        let words = bytes
            .chunks(2)
            .map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0)));
        let sum = words.fold(start, |sum, word| sum + word);
        let sum = (sum & 0xffff) + (sum >> 16);
        (!u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap()).to_be_bytes()
    };
    let ends: u32 = packet[12..20]
        .chunks(2)
        .map(|w| u32::from(w[0]) << 8 | u32::from(w[1]))
        .sum();
    let check = sum(&tcp, ends + 6 + u32::try_from(tcp.len()).unwrap());
    tcp[16..18].copy_from_slice(&check);
    let check = sum(&packet, 0);
    packet[10..12].copy_from_slice(&check);
    packet.extend(tcp);
    packet
}
