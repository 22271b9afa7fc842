//! What a peer costs.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod world;

use cvlan_wg::{Burst, Epoch, Output, PeerConfig, PeerId, Sealed, StaticKey, Wg};
use std::net::SocketAddr;
use std::time::{Instant, SystemTime};
use world::ip_packet;

const PAGE: usize = 4096;

/// Resident memory of this process, whoever allocated it: the cipher's is in C.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * PAGE
}

/// Lets a peer make a session with `server` and vanish.
fn connect(server: &Wg, now: Instant, number: u32, epoch: Epoch) {
    let mut private = [0x42; 32];
    private[4..8].copy_from_slice(&number.to_le_bytes());
    let client = Wg::new(&StaticKey::new(private.into()), epoch);
    let address = SocketAddr::from(([10, 0, 0, 1], 1));
    let to_server = PeerConfig {
        endpoint: Some(address),
        ..PeerConfig::new(PeerId(0), server.public_key())
    };
    client.put_peer(now, to_server).unwrap();
    server
        .put_peer(now, PeerConfig::new(PeerId(number), client.public_key()))
        .unwrap();
    let packet = ip_packet(number);
    let mut burst = Burst::with_capacity(128);
    burst.push(packet.len()).unwrap().copy_from_slice(&packet);
    assert_eq!(client.seal_batch(now, PeerId(0), &mut burst), Sealed::Queued);
    let (mut sent, mut answers, mut opened) = (Vec::new(), Vec::new(), Vec::new());
    client.poll(now, &mut sent);
    for output in std::mem::take(&mut sent) {
        if let Output::Datagram { bytes, .. } = output {
            server.handshake(now, address, &bytes, &mut answers);
        }
    }
    for output in answers {
        if let Output::Datagram { bytes, .. } = output {
            client.handshake(now, address, &bytes, &mut sent);
        }
    }
    for output in sent {
        if let Output::Datagram { mut bytes, .. } = output {
            let segment = bytes.len();
            server.open_batch(now, address, &mut bytes, segment, &mut opened, &mut Vec::new());
        }
    }
    assert!(server.stats(PeerId(number), now).unwrap().session);
}

#[test]
fn an_established_idle_peer_costs_at_most_4_kib() {
    let now = Instant::now();
    let epoch = Epoch {
        instant: now,
        wall: SystemTime::now(),
    };
    let server = Wg::new(&StaticKey::new([1; 32].into()), epoch);
    // What is allocated once is allocated now.
    (0..200).for_each(|number| connect(&server, now, number, epoch));
    let before = resident();
    (200..2200).for_each(|number| connect(&server, now, number, epoch));
    let each = (resident() - before) / 2000;
    assert!((1000..=4096).contains(&each), "{each} bytes a peer");
}
