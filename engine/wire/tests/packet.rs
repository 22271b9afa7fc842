//! The packet parser against known packets, a corpus and arbitrary bytes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use cvlan_wire::packet::{PacketError, parse, tcp_flags};
use cvlan_wire::{Fragment, IcmpKind, Meta, Protocol, Quoted, Transport};
use proptest::prelude::*;

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/packet/corpus")
}

fn read(name: &str) -> Result<Meta, PacketError> {
    parse(&fs::read(corpus().join(name)).unwrap())
}

/// What holds for any bytes; the body of a fuzz target.
fn check(bytes: &[u8]) {
    let Ok(meta) = parse(bytes) else { return };
    assert_eq!(meta.source.is_ipv4(), meta.destination.is_ipv4());
    let packet = &bytes[..meta.length];
    assert_eq!(parse(packet), Ok(meta), "padding changes what is seen");
    assert!(packet.len() >= 20);
    for cut in [packet.len() - 1, packet.len() / 2, 0] {
        assert!(parse(&packet[..cut]).is_err(), "a packet that is cut short is accepted");
    }
    let later = meta.fragment.is_some_and(|fragment| fragment.offset > 0);
    assert_eq!(later, meta.transport == Transport::Absent);
}

#[test]
fn the_corpus_is_replayed() {
    let mut count = 0;
    for entry in fs::read_dir(corpus()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        check(&bytes);
        for length in 0..bytes.len() {
            check(&bytes[..length]);
        }
        count += 1;
    }
    assert!(count > 50, "the corpus is not there");
}

fn v4(last: u8) -> IpAddr {
    IpAddr::from([100, 64, 0, last])
}

fn v6(last: u8) -> IpAddr {
    let mut octets = [0; 16];
    (octets[0], octets[15]) = (0xfd, last);
    IpAddr::from(octets)
}

#[test]
fn whole_packets() {
    let tcp = Transport::Tcp {
        source: 40_000,
        destination: 443,
        flags: tcp_flags::SYN,
    };
    let udp = Transport::Udp {
        source: 40_000,
        destination: 53,
    };
    let expected = Meta {
        source: v4(1),
        destination: v4(2),
        protocol: Protocol::TCP,
        transport: tcp,
        fragment: None,
        length: 40,
    };
    assert_eq!(read("v4-tcp"), Ok(expected));
    assert_eq!(read("v4-tcp-padded"), Ok(expected));
    for name in [
        "v4-udp",
        "v4-options",
        "v6-udp",
        "v6-hop-by-hop",
        "v6-eight-extensions",
        "v6-routing-4",
    ] {
        assert_eq!(read(name).unwrap().transport, udp, "{name}");
    }
    for name in ["v6-tcp", "v6-atomic-fragment"] {
        let meta = read(name).unwrap();
        assert_eq!(
            (meta.source, meta.destination, meta.transport, meta.fragment),
            (v6(1), v6(2), tcp, None)
        );
    }
    for name in ["v4-gre", "v4-icmpv6", "v6-no-next-header"] {
        assert_eq!(read(name).unwrap().transport, Transport::Other, "{name}");
    }
}

#[test]
fn icmp() {
    let request = Transport::Icmp(IcmpKind::Request { identifier: 9 });
    assert_eq!(read("v4-echo").unwrap().transport, request);
    assert_eq!(read("v6-echo").unwrap().transport, request);
    assert_eq!(
        read("v4-echo-reply").unwrap().transport,
        Transport::Icmp(IcmpKind::Reply { identifier: 9 })
    );
    assert_eq!(
        read("v6-neighbour-solicitation").unwrap().transport,
        Transport::Icmp(IcmpKind::Other)
    );
    let quoted = |name| match read(name).unwrap().transport {
        Transport::Icmp(IcmpKind::Error(quoted)) => quoted,
        other => panic!("{other:?}"),
    };
    let expected = |source, destination, protocol, destination_port| {
        Some(Quoted {
            source,
            destination,
            protocol,
            source_port: 40_000,
            destination_port,
        })
    };
    assert_eq!(quoted("v4-unreachable"), expected(v4(1), v4(2), Protocol::UDP, 53));
    assert_eq!(quoted("v6-too-big"), expected(v6(1), v6(2), Protocol::TCP, 443));
    assert_eq!(
        quoted("v6-unreachable-cut-quote"),
        expected(v6(1), v6(2), Protocol::UDP, 53)
    );
    for name in [
        "v4-unreachable-quotes-v6",
        "v4-unreachable-quotes-fragment",
        "v4-unreachable-quotes-nothing",
        "v4-redirect",
    ] {
        assert_eq!(quoted(name), None, "{name}");
    }
}

#[test]
fn fragments() {
    let fragment = |identification, offset| Some(Fragment { identification, offset });
    let first = read("v4-first-fragment").unwrap();
    assert_eq!(first.fragment, fragment(7, 0));
    assert_eq!(
        first.transport,
        Transport::Udp {
            source: 40_000,
            destination: 53
        }
    );
    assert_eq!(read("v4-later-fragment").unwrap().fragment, fragment(7, 16));
    assert_eq!(read("v4-last-fragment").unwrap().fragment, fragment(7, 800));
    assert_eq!(
        read("v4-fragment-highest-offset").unwrap().fragment,
        fragment(7, 65_528)
    );
    assert_eq!(read("v6-first-fragment").unwrap().fragment, fragment(0xdead_beef, 0));
    let later = read("v6-later-fragment").unwrap();
    assert_eq!(
        (later.fragment, later.transport),
        (fragment(0xdead_beef, 32), Transport::Absent)
    );
    assert_eq!(read("v6-later-fragment-of-extension").unwrap().protocol, Protocol(60));
    assert_eq!(read("v4-tiny-first-fragment"), Err(PacketError::Fragment));
    assert_eq!(read("v4-overlapping-fragment"), Err(PacketError::Fragment));
    assert_eq!(read("v6-two-fragment-headers"), Err(PacketError::Header));
}

#[test]
fn refusals() {
    use PacketError::{Header, SourceRoute, TooManyHeaders, Truncated, Version};
    for (name, error) in [
        ("v4-tcp-offset-4", Header),
        ("v4-tcp-offset-15", Header),
        ("v4-udp-truncated", Truncated),
        ("v4-udp-no-header", Truncated),
        ("v4-source-route", SourceRoute),
        ("v4-option-length-0", Header),
        ("v4-option-length-1", Header),
        ("v4-option-too-long", Header),
        ("v4-ihl-4", Header),
        ("v4-ihl-15", Header),
        ("v4-length-0", Header),
        ("v4-length-65535", Truncated),
        ("v6-hop-by-hop-second", Header),
        ("v6-nine-extensions", TooManyHeaders),
        ("v6-routing-0", SourceRoute),
        ("v6-extension-too-long", Truncated),
        ("v6-jumbo", Truncated),
        ("v6-header-only", Truncated),
        ("v6-truncated", Truncated),
        ("empty", Truncated),
        ("one-byte-v4", Truncated),
        ("one-byte-v6", Truncated),
        ("version-0", Version),
        ("version-15", Version),
    ] {
        assert_eq!(read(name), Err(error), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        check(&bytes);
    }

    /// Packets of the corpus with a few bytes changed come further than arbitrary ones.
    #[test]
    fn nearly_packets(
        choice in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut names: Vec<_> = fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        let mut bytes = fs::read(choice.get(&names)).unwrap();
        for (index, value) in changes {
            if !bytes.is_empty() {
                let at = index.index(bytes.len());
                bytes[at] = value;
            }
        }
        check(&bytes);
    }
}
