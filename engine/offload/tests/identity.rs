//! Splitting and coalescing undo one another, and each does what a host without offload would have done.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::{ACK, CWR, ECE, FIN, Flow, PSH};
use cvlan_offload::{MAX_TRAIN, Offload, Split, Vnet, train};
use proptest::prelude::*;
use std::ops::Range;

fn flow() -> impl Strategy<Value = Flow> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(fin, psh, ece, cwr)| {
        let bit = |set, bit| if set { bit } else { 0 };
        ACK | bit(fin, FIN) | bit(psh, PSH) | bit(ece, ECE) | bit(cwr, CWR)
    });
    (
        (any::<bool>(), any::<bool>(), any::<u8>(), 1u8..),
        (any::<bool>(), any::<u16>(), any::<u32>(), any::<u32>()),
        (flags, any::<u16>(), proptest::collection::vec(any::<[u8; 4]>(), 0..=10)),
    )
        .prop_map(
            |(
                (v6, tcp, class, ttl),
                (dont_fragment, identification, sequence, acknowledged),
                (flags, window, options),
            )| {
                Flow {
                    v6,
                    tcp,
                    class,
                    ttl,
                    dont_fragment,
                    identification,
                    sequence,
                    acknowledged,
                    flags,
                    window,
                    options: options.concat(),
                }
            },
        )
}

fn bytes(length: usize, seed: u8) -> Vec<u8> {
    (0..length)
        .map(|index| (index * 31 + usize::from(seed) * 7 + index / 251) as u8)
        .collect()
}

fn split(vnet: &Vnet, packet: &[u8]) -> Vec<Vec<u8>> {
    let split = Split::new(vnet, packet).unwrap();
    (0..split.count())
        .map(|index| {
            let mut room = vec![0xee; split.len_of(index)];
            split.write(index, &mut room).unwrap();
            room
        })
        .collect()
}

/// Packets in one slab, with something between them.
fn slab(packets: &[Vec<u8>]) -> (Vec<u8>, Vec<Range<usize>>) {
    let mut slab = Vec::new();
    let ranges = packets
        .iter()
        .map(|packet| {
            slab.extend([0xdd; 16]);
            let from = slab.len();
            slab.extend(packet);
            from..slab.len()
        })
        .collect();
    (slab, ranges)
}

/// Coalesces everything; what the kernel would be handed, in order.
fn coalesce(packets: &[Vec<u8>]) -> Vec<(Vnet, Vec<u8>)> {
    let (mut slab, ranges) = slab(packets);
    let (mut rest, mut handed) = (ranges.as_slice(), Vec::new());
    while !rest.is_empty() {
        let found = train(&mut slab, rest, Offload::TcpUdp);
        handed.push((found.vnet, found.pieces(&slab, rest).collect::<Vec<_>>().concat()));
        rest = &rest[found.count..];
    }
    handed
}

fn without_identification(mut packet: Vec<u8>) -> Vec<u8> {
    if packet[0] >> 4 == 4 {
        packet[4..6].fill(0);
        packet[10..12].fill(0);
    }
    packet
}

proptest! {
    #[test]
    fn a_super_packet_is_cut_as_a_host_without_offload_would(flow in flow(), length in 1usize..40_000, segment in 1u16..9000, seed: u8) {
        let payload = bytes(length, seed);
        let cut = split(&flow.vnet(segment), &flow.unsummed(&payload));
        prop_assert_eq!(cut, flow.cut(&payload, usize::from(segment)));
    }

    #[test]
    fn coalescing_undoes_splitting(flow in flow(), segment in 1usize..1500, count in 1usize..=MAX_TRAIN, short in 0usize..1500, seed: u8) {
        let most = 65_535 - flow.header();
        let length = (segment * count).min(most).saturating_sub(short % segment).max(1);
        prop_assume!(length > segment);
        let payload = bytes(length, seed);
        let segment = u16::try_from(segment).unwrap();
        let (vnet, packet) = (flow.vnet(segment), flow.unsummed(&payload));
        let handed = coalesce(&split(&vnet, &packet));
        prop_assert_eq!(handed.len(), 1);
        prop_assert_eq!(&handed[0], &(vnet, packet));
    }

    /// Any run of packets, with differences between them, comes out as it went in.
    #[test]
    fn splitting_undoes_coalescing(
        flow in flow(),
        segment in 1usize..1500,
        changes in proptest::collection::vec((0u8..40, any::<u8>()), 1..100),
        fixed_identification: bool,
    ) {
        let mut flow = Flow { flags: ACK, ..flow };
        let mut packets = Vec::new();
        for (change, by) in changes {
            let mut length = segment;
            let mut one = flow.clone();
            match change {
                0 => flow.ttl ^= by,
                1 => flow.class ^= by,
                2 => flow.dont_fragment ^= true,
                3 => flow.identification = flow.identification.wrapping_add(u16::from(by)),
                4 => flow.sequence = flow.sequence.wrapping_add(u32::from(by)),
                5 => flow.acknowledged = flow.acknowledged.wrapping_add(u32::from(by)),
                6 => flow.window ^= u16::from(by),
                7 => flow.v6 ^= true,
                8 => flow.tcp ^= true,
                9 => one.flags ^= by,
                10 => length = usize::from(by) % segment,
                11 => length = segment + usize::from(by),
                12 => one.flags |= PSH,
                13 => one.flags |= FIN,
                14 => one.flags |= CWR,
                15 => flow.flags ^= ECE,
                _ => {}
            }
            let (flags, options) = (one.flags, one.options.clone());
            one = Flow { flags, options, ..flow.clone() };
            let mut packet = one.packet(&bytes(length, by));
            if change == 16 {
                let at = usize::from(by) % packet.len();
                packet[at] ^= 1;
            }
            packets.push(packet);
            flow.sequence = flow.sequence.wrapping_add(u32::try_from(length).unwrap());
            if !fixed_identification {
                flow.identification = flow.identification.wrapping_add(1);
            }
        }
        let handed = coalesce(&packets);
        let back: Vec<Vec<u8>> = handed.iter().flat_map(|(vnet, packet)| split(vnet, packet)).collect();
        if fixed_identification {
            // The kernel counts identifications of a super-packet up; DF makes them meaningless (RFC 6864 section 4.1).
            let forget = |packets: Vec<Vec<u8>>| packets.into_iter().map(without_identification).collect::<Vec<_>>();
            prop_assert_eq!(forget(back), forget(packets));
        } else {
            prop_assert_eq!(back, packets);
        }
    }
}

fn plain() -> Flow {
    Flow {
        v6: false,
        tcp: true,
        class: 0,
        ttl: 64,
        dont_fragment: true,
        identification: 7,
        sequence: u32::MAX - 1000,
        acknowledged: 5,
        flags: ACK | PSH,
        window: 512,
        options: vec![1; 12],
    }
}

#[test]
fn a_push_ends_a_super_packet() {
    let flow = plain();
    let mut packets = flow.cut(&bytes(5000, 1), 1000);
    let mut next = flow.clone();
    next.sequence = next.sequence.wrapping_add(5000);
    next.identification += 5;
    packets.extend(next.cut(&bytes(3000, 2), 1000));
    let handed = coalesce(&packets);
    assert_eq!(handed.len(), 2);
    assert_eq!(handed[0].1, flow.unsummed(&bytes(5000, 1)));
}

#[test]
fn a_packet_with_a_wrong_checksum_stays_alone_and_as_it_is() {
    let mut packets = plain().cut(&bytes(5000, 1), 1000);
    packets[2][100] ^= 1;
    let handed = coalesce(&packets);
    let counts: Vec<usize> = handed.iter().map(|(_, packet)| packet.len()).collect();
    assert_eq!(counts, [2052, 1052, 2052]);
    assert_eq!(handed[1].1, packets[2]);
    assert_eq!(handed[1].0, Vnet::NONE);
}

#[test]
fn super_packets_of_udp_are_made_only_for_a_kernel_that_takes_them() {
    let packets = Flow { tcp: false, ..plain() }.cut(&bytes(5000, 1), 1000);
    let (mut slab, ranges) = slab(&packets);
    assert_eq!(train(&mut slab, &ranges, Offload::Tcp).count, 1);
    assert_eq!(train(&mut slab, &ranges, Offload::TcpUdp).count, 5);
}

#[test]
fn what_is_no_tcp_or_udp_stays_alone() {
    for change in [
        |packet: &mut Vec<u8>| packet[9] = 1,
        |packet: &mut Vec<u8>| packet[6] = 0x20,
        |packet: &mut Vec<u8>| packet[0] = 0x46,
        |packet: &mut Vec<u8>| packet[3] ^= 1,
        |packet: &mut Vec<u8>| packet[33] = 0x12,
        |packet: &mut Vec<u8>| packet[33] = 0x14,
        |packet: &mut Vec<u8>| packet[33] = 0x30,
    ] {
        let mut packets = plain().cut(&bytes(2000, 1), 1000);
        packets.iter_mut().for_each(change);
        let before = packets.clone();
        let handed = coalesce(&packets);
        assert_eq!(handed.len(), 2);
        assert_eq!(handed[0], (Vnet::NONE, before[0].clone()));
    }
}
