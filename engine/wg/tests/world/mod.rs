//! A wire between parties with a seeded mind of its own.

use cvlan_wg::{Event, FrameKind, Outcome, Output, PeerConfig, PeerId, Slot, StaticKey, Wg, classify};
use mock_instant::MockClock;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub const A: usize = 0;
pub const B: usize = 1;
pub const C: usize = 2;
const STEP: Duration = Duration::from_millis(10);
const DELAY: Duration = Duration::from_millis(20);

pub fn key(seed: u8) -> [u8; 32] {
    Wg::new(&StaticKey::new([seed; 32].into())).public_key()
}

pub struct Party {
    pub wg: Wg,
    address: SocketAddr,
    received: Vec<u32>,
    events: Vec<Event>,
    sent: usize,
}

impl Party {
    pub fn address(index: usize) -> SocketAddr {
        SocketAddr::from(([203, 0, 113, u8::try_from(index).unwrap() + 1], 51820))
    }
}

struct Flying {
    due: Duration,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

pub struct World {
    parties: Vec<Party>,
    wire: Vec<Flying>,
    log: Vec<(SocketAddr, Vec<u8>)>,
    start: Instant,
    elapsed: Duration,
    seed: u64,
    pub loss_percent: u64,
    pub reorder: bool,
}

impl World {
    /// A and B know each other; C exists and knows nobody.
    pub fn two(seed: u64) -> Self {
        MockClock::set_time(Duration::from_secs(1000));
        let parties = (0..3)
            .map(|index| Party {
                wg: Wg::new(&StaticKey::new([u8::try_from(index).unwrap() + 1; 32].into())),
                address: Party::address(index),
                received: Vec::new(),
                events: Vec::new(),
                sent: 0,
            })
            .collect();
        let mut world = Self {
            parties,
            wire: Vec::new(),
            log: Vec::new(),
            start: Instant::now(),
            elapsed: Duration::ZERO,
            seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            loss_percent: 0,
            reorder: false,
        };
        world.declare(A, &[B]);
        world.declare(B, &[A]);
        world
    }

    pub fn now(&self) -> Instant {
        self.start + self.elapsed
    }

    pub fn party(&self, index: usize) -> &Party {
        &self.parties[index]
    }

    pub fn set_peers(&mut self, of: usize, peers: Vec<PeerConfig>) -> Vec<(PeerId, cvlan_wg::Refused)> {
        self.parties[of].wg.set_peers(self.now(), peers)
    }

    pub fn declare(&mut self, of: usize, peers: &[usize]) {
        let configs = peers.iter().map(|&peer| PeerConfig {
            id: PeerId(u32::try_from(peer).unwrap()),
            public_key: self.parties[peer].wg.public_key(),
            candidates: vec![self.parties[peer].address],
        });
        let configs = configs.collect();
        assert_eq!(self.set_peers(of, configs), []);
    }

    pub fn move_to(&mut self, party: usize, address: SocketAddr) {
        self.parties[party].address = address;
    }

    pub fn received(&self, party: usize) -> Vec<u32> {
        self.parties[party].received.clone()
    }

    pub fn events(&self, party: usize) -> &[Event] {
        &self.parties[party].events
    }

    pub fn sent_by(&self, party: usize) -> usize {
        self.parties[party].sent
    }

    pub fn sent_to(&self, address: SocketAddr) -> usize {
        self.log.iter().filter(|(to, _)| *to == address).count()
    }

    pub fn captured_to(&self, address: SocketAddr) -> Vec<Vec<u8>> {
        self.log
            .iter()
            .filter(|(to, _)| *to == address)
            .map(|(_, bytes)| bytes.clone())
            .collect()
    }

    pub fn send(&mut self, from: usize, to: usize, number: u32) -> Outcome {
        self.seal(from, PeerId(u32::try_from(to).unwrap()), &ip_packet(number))
    }

    /// A packet of `bytes` for any peer handle.
    pub fn send_long(&mut self, from: usize, peer: u32, bytes: usize) -> Outcome {
        self.seal(from, PeerId(peer), &vec![0; bytes])
    }

    /// Seals a packet that the wire then loses; says what was on it.
    pub fn capture_next(&mut self, from: usize, to: usize, number: u32) -> Vec<u8> {
        let loss = std::mem::replace(&mut self.loss_percent, 100);
        assert_eq!(self.send(from, to, number), Outcome::Sealed);
        self.loss_percent = loss;
        self.log.last().unwrap().1.clone()
    }

    pub fn inject(&mut self, at: usize, from: SocketAddr, bytes: Vec<u8>) {
        let mut outputs = Vec::new();
        self.take(at, from, &bytes, &mut outputs);
        self.carry_out(at, outputs);
    }

    /// Time passes at the parties, the wire holds everything back.
    pub fn deliver_nothing_for(&mut self, time: Duration) {
        let until = self.elapsed + time;
        while self.elapsed < until {
            self.pass_step();
        }
    }

    pub fn run(&mut self, time: Duration) {
        let until = self.elapsed + time;
        while self.elapsed < until {
            let idle = self.wire.is_empty()
                && self
                    .parties
                    .iter()
                    .all(|party| party.wg.next_deadline(self.now()).is_none());
            if idle {
                let rest = until - self.elapsed;
                self.elapsed = until;
                MockClock::advance(rest);
                continue;
            }
            self.pass_step();
            let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.wire)
                .into_iter()
                .partition(|flying| flying.due <= self.elapsed);
            self.wire = later;
            for flying in due {
                if let Some(at) = self.parties.iter().position(|party| party.address == flying.to) {
                    self.inject(at, flying.from, flying.bytes);
                }
            }
        }
    }

    fn pass_step(&mut self) {
        self.elapsed += STEP;
        MockClock::advance(STEP);
        for party in 0..self.parties.len() {
            let mut outputs = Vec::new();
            self.parties[party].wg.poll(self.now(), &mut outputs);
            self.carry_out(party, outputs);
        }
    }

    fn take(&mut self, at: usize, from: SocketAddr, bytes: &[u8], outputs: &mut Vec<Output>) {
        let now = self.now();
        let party = &mut self.parties[at];
        if classify(bytes) != Some(FrameKind::Data) {
            party.wg.handshake(now, from, bytes, outputs);
            return;
        }
        let mut slots = [Slot::default()];
        let slot = &mut slots[0];
        slot.sealed_room()[..bytes.len()].copy_from_slice(bytes);
        slot.set_sealed_len(bytes.len());
        slot.endpoint = Some(from);
        party.wg.open_batch(now, &mut slots, outputs);
        if slots[0].outcome == Outcome::Opened {
            party
                .received
                .push(u32::from_be_bytes(slots[0].plain()[20..24].try_into().unwrap()));
        }
    }

    fn seal(&mut self, from: usize, peer: PeerId, packet: &[u8]) -> Outcome {
        let mut slots = [Slot::default()];
        slots[0].plain_room()[..packet.len()].copy_from_slice(packet);
        slots[0].set_plain_len(packet.len());
        self.parties[from].wg.seal_batch(self.now(), peer, &mut slots);
        if slots[0].outcome == Outcome::Sealed {
            let to = slots[0].endpoint.unwrap();
            self.launch(from, to, slots[0].sealed().to_vec());
        }
        slots[0].outcome
    }

    fn carry_out(&mut self, party: usize, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Datagram { to, bytes } => self.launch(party, to, bytes),
                Output::Release { peer, packets } => {
                    for packet in packets {
                        assert_eq!(self.seal(party, peer, &packet), Outcome::Sealed);
                    }
                }
                Output::Event(event) => self.parties[party].events.push(event),
            }
        }
    }

    fn launch(&mut self, from: usize, to: SocketAddr, bytes: Vec<u8>) {
        self.parties[from].sent += 1;
        self.log.push((to, bytes.clone()));
        if self.random(100) < self.loss_percent {
            return;
        }
        let extra = if self.reorder {
            Duration::from_millis(self.random(100))
        } else {
            Duration::ZERO
        };
        self.wire.push(Flying {
            due: self.elapsed + DELAY + extra,
            from: self.parties[from].address,
            to,
            bytes,
        });
    }

    /// xorshift64.
    fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % below
    }
}

/// An IPv4 packet whose payload is a number.
fn ip_packet(number: u32) -> Vec<u8> {
    let mut packet = vec![0; 24];
    packet[0] = 0x45;
    packet[3] = 24;
    packet[12..16].copy_from_slice(&[100, 64, 0, 1]);
    packet[16..20].copy_from_slice(&[100, 64, 0, 2]);
    packet[20..].copy_from_slice(&number.to_be_bytes());
    packet
}
