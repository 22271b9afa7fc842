//! Headers that nobody should send.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use cvlan_offload::{Ecn, Fragments, MAX_PACKET, Offload, Refused, Split, VNET_BYTES, Vnet, clamp_segment_size, train};
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;

/// What holds for any bytes, a virtio header and a packet; the body of the fuzz target `offload`.
fn check(bytes: &[u8]) {
    let Some((header, packet)) = bytes.split_first_chunk::<VNET_BYTES>() else {
        return;
    };
    let mut slab = packet.to_vec();
    let half = slab.len() / 2;
    train(&mut slab, &[0..half, half..packet.len()], Offload::TcpUdp);
    train(
        &mut slab,
        &[0..packet.len(), packet.len()..packet.len() + 9],
        Offload::TcpUdp,
    );
    for outer in 0..4 {
        let _ = Ecn::of_class(outer).arrive(&mut slab);
    }
    for limit in [68, 576, 1300] {
        let mut clamped = packet.to_vec();
        if clamp_segment_size(&mut clamped, limit) {
            assert!(!clamp_segment_size(&mut clamped, limit));
        }
        let Some(fragments) = Fragments::new(packet, limit) else {
            continue;
        };
        for index in 0..fragments.count() {
            let mut room = vec![0; fragments.len_of(index)];
            assert!((1..=limit).contains(&room.len()));
            fragments.write(index, &mut room).unwrap();
        }
    }
    let Some(vnet) = Vnet::parse(header) else { return };
    assert_eq!(Vnet::parse(&vnet.to_bytes()), Some(vnet));
    let Ok(split) = Split::new(&vnet, packet) else { return };
    let (mut slab, mut ranges) = (Vec::new(), Vec::new());
    for index in 0..split.count() {
        let from = slab.len();
        slab.resize(from + split.len_of(index), 0);
        assert!(slab.len() > from);
        split.write(index, &mut slab[from..]).unwrap();
        ranges.push(from..slab.len());
    }
    assert_eq!(split.len_of(split.count()), 0);
    assert_eq!(split.write(split.count(), &mut []), None);
    let whole = slab.clone();
    let found = train(&mut slab, &ranges, Offload::TcpUdp);
    assert!((1..=ranges.len()).contains(&found.count));
    let first = ranges[0].clone();
    if found.count == 1 {
        assert_eq!(slab, whole, "a packet that stands alone was changed");
    } else {
        assert_eq!(
            slab[first.end..],
            whole[first.end..],
            "more than one header was changed"
        );
    }
}

#[test]
fn the_corpus_is_replayed() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/offload/corpus");
    let mut count = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        check(&bytes);
        for length in 0..bytes.len() {
            check(&bytes[..length]);
        }
        count += 1;
    }
    assert!(count >= 20, "the corpus is not there");
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes);
    }

    #[test]
    fn damaged_super_packets_are_survived(
        which in 0usize..1000,
        damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6),
        cut in any::<u16>(),
    ) {
        let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/offload/corpus");
        let mut files: Vec<_> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let mut bytes = fs::read(&files[which % files.len()]).unwrap();
        for (at, value) in damage {
            // Mostly headers.
            let at = usize::from(at) % bytes.len().min(100);
            bytes[at] = value;
        }
        check(&bytes);
        bytes.truncate(usize::from(cut) % bytes.len());
        check(&bytes);
    }
}

#[test]
fn a_header_that_contradicts_its_packet_is_refused() {
    let flow = common::Flow {
        v6: false,
        tcp: true,
        class: 0,
        ttl: 64,
        dont_fragment: true,
        identification: 0,
        sequence: 0,
        acknowledged: 0,
        flags: common::ACK,
        window: 0,
        options: Vec::new(),
    };
    let packet = flow.unsummed(&[0; 100]);
    let refused = |vnet: &Vnet, packet: &[u8]| Split::new(vnet, packet).err();
    let good = flow.vnet(10);
    assert_eq!(refused(&good, &packet), None);
    assert_eq!(refused(&Vnet { segment: 0, ..good }, &packet), Some(Refused::Range));
    assert_eq!(refused(&good, &flow.unsummed(&[])), Some(Refused::Range));
    assert_eq!(refused(&good, &packet[..99]), Some(Refused::Contradiction));
    assert_eq!(refused(&good, &[]), Some(Refused::Length(0)));
    let long = vec![0x45; MAX_PACKET + 1];
    assert_eq!(refused(&Vnet::NONE, &long), Some(Refused::Length(65_536)));
    let six = common::Flow {
        v6: true,
        ..flow.clone()
    };
    assert_eq!(refused(&six.vnet(10), &packet), Some(Refused::Contradiction));
    let udp = common::Flow { tcp: false, ..flow };
    assert_eq!(refused(&udp.vnet(10), &packet), Some(Refused::Contradiction));
    let beyond = Vnet {
        needs_checksum: true,
        checksum_start: 130,
        checksum_offset: 16,
        ..Vnet::NONE
    };
    assert_eq!(refused(&beyond, &packet), Some(Refused::Range));
}
