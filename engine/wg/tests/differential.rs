//! Our core against boringtun's, in both roles.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod world;

use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};
use cvlan_wg::{Burst, Epoch, Load, Output, PeerConfig, PeerId, PresharedKey, Sealed, StaticKey, Wg};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use world::ip_packet;

const OURS: [u8; 32] = [1; 32];
const THEIRS: [u8; 32] = [2; 32];
const PEER: PeerId = PeerId(7);

struct Pair {
    wg: Wg,
    tunn: Tunn,
    now: Instant,
    /// What our side was given.
    received: Vec<Vec<u8>>,
    /// What their side was given.
    delivered: Vec<Vec<u8>>,
}

fn address() -> SocketAddr {
    "192.0.2.2:51820".parse().unwrap()
}

impl Pair {
    fn new(ours: Option<[u8; 32]>, theirs: Option<[u8; 32]>, per_second: u64) -> Self {
        let now = Instant::now();
        let epoch = Epoch {
            instant: now,
            wall: SystemTime::now(),
        };
        let wg = Wg::new(&StaticKey::new(OURS.into()), epoch);
        let secret = StaticSecret::from(THEIRS);
        let public = PublicKey::from(&secret);
        let peer = PeerConfig {
            endpoint: Some(address()),
            preshared_key: ours.map(|key| PresharedKey::new(key.into())),
            ..PeerConfig::new(PEER, public.to_bytes())
        };
        wg.put_peer(now, peer).unwrap();
        let limiter = Arc::new(RateLimiter::new(&public, per_second));
        let own = PublicKey::from(wg.public_key());
        let tunn = Tunn::new(secret, own, theirs, None, 99, Some(limiter));
        Self {
            wg,
            tunn,
            now,
            received: Vec::new(),
            delivered: Vec::new(),
        }
    }

    fn send(&mut self, packet: &[u8]) -> bool {
        let mut burst = Burst::with_capacity(2048);
        burst.push(packet.len()).unwrap().copy_from_slice(packet);
        let sealed = self.wg.seal_batch(self.now, PEER, &mut burst);
        if let Sealed::Sent { to } = sealed {
            assert_eq!(to, address());
            for frame in burst.frames().map(<[u8]>::to_vec).collect::<Vec<_>>() {
                self.give_them(&frame);
            }
        }
        matches!(sealed, Sealed::Sent { .. })
    }

    fn give_them(&mut self, datagram: &[u8]) {
        let mut room = [0; 4096];
        let answer = match self.tunn.decapsulate(Some([192, 0, 2, 1].into()), datagram, &mut room) {
            TunnResult::WriteToNetwork(bytes) => bytes.to_vec(),
            TunnResult::WriteToTunnelV4(bytes, _) => return self.delivered.push(bytes.to_vec()),
            _ => return,
        };
        self.give_us(&answer);
    }

    fn give_us(&mut self, datagram: &[u8]) {
        let mut outputs = Vec::new();
        if datagram[0] == 4 {
            let (mut buffer, mut opened) = (datagram.to_vec(), Vec::new());
            let segment = buffer.len();
            self.wg
                .open_batch(self.now, address(), &mut buffer, segment, &mut opened, &mut outputs);
            let plain = opened.iter().filter(|one| !one.keepalive);
            self.received
                .extend(plain.map(|one| buffer[one.plain.clone()].to_vec()));
        } else {
            self.wg.handshake(self.now, address(), datagram, &mut outputs);
        }
        self.carry_out(outputs);
    }

    fn carry_out(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Datagram { bytes, .. } => self.give_them(&bytes),
                Output::Release { packets, .. } => assert!(packets.iter().all(|packet| self.send(packet))),
                Output::Event(_) => {}
            }
        }
    }

    /// Our timers, after some time.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        let mut outputs = Vec::new();
        self.wg.poll(self.now, &mut outputs);
        self.carry_out(outputs);
    }

    fn they_begin(&mut self) {
        let mut room = [0; 256];
        let TunnResult::WriteToNetwork(bytes) = self.tunn.format_handshake_initiation(&mut room, true) else {
            panic!("boringtun makes no initiation");
        };
        let bytes = bytes.to_vec();
        self.give_us(&bytes);
    }

    fn they_send(&mut self, packet: &[u8]) {
        let mut room = [0; 4096];
        let TunnResult::WriteToNetwork(bytes) = self.tunn.encapsulate(packet, &mut room) else {
            panic!("boringtun seals nothing");
        };
        let bytes = bytes.to_vec();
        self.give_us(&bytes);
    }

    fn exchange(&mut self) {
        self.received.clear();
        self.delivered.clear();
        for n in 0..50 {
            let packet = ip_packet(n);
            self.they_send(&packet);
            assert!(self.send(&packet));
            assert_eq!(
                (self.received.last(), self.delivered.last()),
                (Some(&packet), Some(&packet))
            );
        }
    }
}

#[test]
fn we_begin_and_data_passes_both_ways() {
    for preshared in [None, Some([9; 32])] {
        let mut pair = Pair::new(preshared, preshared, 1000);
        assert!(!pair.send(&ip_packet(1)), "it waits");
        pair.pass(Duration::ZERO);
        assert_eq!(pair.delivered, [ip_packet(1)]);
        pair.exchange();
    }
}

#[test]
fn they_begin_and_data_passes_both_ways() {
    for preshared in [None, Some([9; 32])] {
        let mut pair = Pair::new(preshared, preshared, 1000);
        pair.they_begin();
        pair.exchange();
    }
}

#[test]
fn with_different_preshared_keys_neither_side_makes_a_session() {
    let mut pair = Pair::new(Some([8; 32]), Some([9; 32]), 1000);
    pair.send(&ip_packet(1));
    pair.pass(Duration::ZERO);
    pair.they_begin();
    assert!(!pair.send(&ip_packet(2)));
    assert_eq!(pair.delivered, Vec::<Vec<u8>>::new());
}

#[test]
fn we_renew_and_they_renew_under_traffic() {
    let mut pair = Pair::new(None, None, 1000);
    pair.send(&ip_packet(1));
    pair.pass(Duration::ZERO);
    let completed = |pair: &Pair| pair.wg.stats(PEER, pair.now).unwrap().latest_handshake;
    for _ in 0..3 {
        let before = completed(&pair);
        pair.now += Duration::from_secs(121);
        pair.exchange();
        pair.pass(Duration::ZERO);
        assert!(completed(&pair) > before, "ours by time");
        pair.exchange();
    }
    for _ in 0..3 {
        let before = completed(&pair);
        pair.now += Duration::from_secs(1);
        pair.they_begin();
        pair.exchange();
        assert!(completed(&pair) > before, "theirs");
    }
    let before = completed(&pair);
    pair.now += Duration::from_secs(121);
    pair.exchange();
    pair.pass(Duration::ZERO);
    assert_eq!(completed(&pair), before, "who answered does not renew by time");
}

#[test]
fn our_keepalive_is_one_to_them() {
    let mut pair = Pair::new(None, None, 1000);
    pair.they_begin();
    pair.they_send(&ip_packet(1));
    let before = pair.wg.stats(PEER, pair.now).unwrap().bytes_sent;
    pair.pass(Duration::from_millis(9_900));
    assert_eq!(pair.wg.stats(PEER, pair.now).unwrap().bytes_sent, before);
    pair.pass(Duration::from_millis(200));
    assert_eq!(pair.wg.stats(PEER, pair.now).unwrap().bytes_sent, before + 32);
    assert_eq!(pair.delivered, Vec::<Vec<u8>>::new());
    pair.exchange();
}

#[test]
fn we_return_their_cookie() {
    let mut pair = Pair::new(None, None, 0);
    pair.send(&ip_packet(1));
    pair.pass(Duration::ZERO);
    assert_eq!(
        pair.delivered,
        Vec::<Vec<u8>>::new(),
        "the first one is answered by a cookie"
    );
    for _ in 0..20 {
        pair.pass(Duration::from_millis(100));
    }
    assert_eq!(pair.delivered, [ip_packet(1)]);
}

#[test]
fn they_return_our_cookie() {
    let mut pair = Pair::new(None, None, 1000);
    let load = Load {
        waiting: 10_000,
        ..Load::default()
    };
    pair.wg.report_load(pair.now, load);
    pair.they_begin();
    assert!(!pair.send(&ip_packet(1)));
    pair.they_begin();
    pair.they_send(&ip_packet(2));
    assert_eq!(pair.received, [ip_packet(2)]);
    pair.exchange();
}
