//! A wire between parties with a seeded mind of its own.

#![allow(dead_code, reason = "each test uses a part")]

use cvlan_wg::{
    Burst, DropReason, Epoch, Event, FrameKind, Load, Output, PeerConfig, PeerId, Sealed, StaticKey, Wg, classify,
};
use rand_core::{CryptoRng, RngCore};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::time::{Duration, Instant, SystemTime};

pub const A: usize = 0;
pub const B: usize = 1;
pub const C: usize = 2;
const STEP: Duration = Duration::from_millis(10);
const DELAY: Duration = Duration::from_millis(20);

/// What a handshake message costs that is computed, and one that a cookie answers.
const HANDSHAKE_COST: Duration = Duration::from_micros(200);
const COOKIE_COST: Duration = Duration::from_micros(5);

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Sealed,
    Queued,
    Dropped(DropReason),
}

/// xorshift64: the same in each run.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
}

impl RngCore for Dice {
    fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        rand_core::impls::fill_bytes_via_next(self, bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Dice {}

pub fn key(seed: u8) -> [u8; 32] {
    public_key([seed; 32])
}

pub fn public_key(private: [u8; 32]) -> [u8; 32] {
    let epoch = Epoch {
        instant: Instant::now(),
        wall: SystemTime::UNIX_EPOCH,
    };
    Wg::new(&StaticKey::new(private.into()), epoch).public_key()
}

pub struct Party {
    pub wg: Wg,
    address: SocketAddr,
    received: Vec<u32>,
    events: Vec<Event>,
    sent_at: Vec<Duration>,
    woken: Arc<Woken>,
    /// Until then nobody polls, unless woken.
    sleeps_until: Option<Instant>,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
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
    dice: Dice,
    pub loss_percent: u64,
    pub reorder: bool,
    polls: usize,
}

impl World {
    /// A and B know each other; C exists and knows nobody.
    pub fn two(seed: u64) -> Self {
        let start = Instant::now();
        let epoch = Epoch {
            instant: start,
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        };
        let private = |index| StaticKey::new([u8::try_from(index).unwrap() + 1; 32].into());
        let parties = (0..3)
            .map(|index| {
                let wg = Wg::with_random(&private(index), epoch, Dice::new(seed * 10 + index as u64));
                let woken = Arc::new(Woken::default());
                wg.set_waker(Some(woken.clone().into()));
                Party {
                    sleeps_until: wg.next_deadline(start),
                    wg,
                    address: Party::address(index),
                    received: Vec::new(),
                    events: Vec::new(),
                    sent_at: Vec::new(),
                    woken,
                }
            })
            .collect();
        let mut world = Self {
            parties,
            wire: Vec::new(),
            log: Vec::new(),
            start,
            elapsed: Duration::ZERO,
            dice: Dice::new(seed),
            loss_percent: 0,
            reorder: false,
            polls: 0,
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
        let configs = peers.iter().map(|&peer| self.config(peer)).collect();
        assert_eq!(self.set_peers(of, configs), []);
    }

    /// A peer as the others know it.
    pub fn config(&self, peer: usize) -> PeerConfig {
        let id = PeerId(u32::try_from(peer).unwrap());
        PeerConfig {
            candidates: vec![self.parties[peer].address],
            ..PeerConfig::new(id, self.parties[peer].wg.public_key())
        }
    }

    /// Another process goes on for a party, from what the former one told; the wire notices nothing.
    pub fn replace(&mut self, party: usize, peers: &[usize]) {
        let now = self.now();
        let epoch = Epoch {
            instant: now,
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + self.elapsed,
        };
        let seed = self.dice.next_u64();
        let private = StaticKey::new([u8::try_from(party).unwrap() + 1; 32].into());
        let next = Wg::with_random(&private, epoch, Dice::new(seed));
        let configs = peers.iter().map(|&peer| self.config(peer)).collect();
        assert_eq!(next.set_peers(now, configs), []);
        let former = &self.parties[party].wg;
        next.adopt_common(now, former.tell_common(now)).unwrap();
        for told in former.tell_peers(now) {
            assert!(next.adopt_peer(now, told).unwrap());
        }
        let party = &mut self.parties[party];
        next.set_waker(Some(party.woken.clone().into()));
        party.sleeps_until = next.next_deadline(now);
        party.wg = next;
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
        self.parties[party].sent_at.len()
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Steps a party's wall clock to so many seconds after the Unix epoch.
    pub fn set_clock(&self, party: usize, seconds: u64) {
        let epoch = Epoch {
            instant: self.now(),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        };
        self.parties[party].wg.set_clock(epoch);
    }

    /// When this party sent what it sent.
    pub fn sent_at(&self, party: usize) -> Vec<Duration> {
        self.parties[party].sent_at.clone()
    }

    /// Lets a party believe that so many handshake messages wait.
    pub fn set_load(&self, party: usize, waiting: usize) {
        let load = Load {
            waiting,
            ..Load::default()
        };
        self.parties[party].wg.report_load(self.now(), load);
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

    /// Gives a party a datagram; says how many bytes it answers at once.
    pub fn inject(&mut self, at: usize, from: SocketAddr, bytes: Vec<u8>) -> usize {
        let mut outputs = Vec::new();
        self.take(at, from, &bytes, &mut outputs);
        let answer = |output: &Output| match output {
            Output::Datagram { bytes, .. } => bytes.len(),
            Output::Release { .. } | Output::Event(_) => 0,
        };
        let answered = outputs.iter().map(answer).sum();
        let turn = !outputs.is_empty() || classify(&bytes) != Some(FrameKind::Data);
        self.carry_out(at, outputs);
        if turn {
            self.poll(at);
        }
        answered
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
            let asleep = |party: &Party| party.sleeps_until.is_none() && !party.woken.0.load(Ordering::Relaxed);
            if self.wire.is_empty() && self.parties.iter().all(asleep) {
                self.elapsed = until;
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
        for at in 0..self.parties.len() {
            let (now, party) = (self.now(), &self.parties[at]);
            let due = party.sleeps_until.is_some_and(|until| until <= now);
            if party.woken.0.swap(false, Ordering::Relaxed) || due {
                self.poll(at);
            }
        }
    }

    /// A turn of the thread that polls, until it sleeps.
    fn poll(&mut self, at: usize) {
        let mut outputs = Vec::new();
        self.polls += 1;
        self.parties[at].wg.poll(self.now(), &mut outputs);
        self.carry_out(at, outputs);
        self.parties[at].sleeps_until = self.parties[at].wg.next_deadline(self.now());
    }

    /// How often anybody polled.
    pub fn polls(&self) -> usize {
        self.polls
    }

    fn take(&mut self, at: usize, from: SocketAddr, bytes: &[u8], outputs: &mut Vec<Output>) {
        let now = self.now();
        let party = &mut self.parties[at];
        if classify(bytes) != Some(FrameKind::Data) {
            let before = outputs.len();
            party.wg.handshake(now, from, bytes, outputs);
            let fended = outputs[before..]
                .iter()
                .any(|output| matches!(output, Output::Datagram { bytes, .. } if bytes.len() == 64));
            let spent = if fended { COOKIE_COST } else { HANDSHAKE_COST };
            party.wg.report_load(now, Load { spent, waiting: 0 });
            return;
        }
        let mut opened = Vec::new();
        let mut buffer = bytes.to_vec();
        let segment = buffer.len();
        party
            .wg
            .open_batch(now, from, &mut buffer, segment, &mut opened, outputs);
        for one in opened.iter().filter(|one| !one.keepalive) {
            let plain = &buffer[one.plain.clone()];
            party
                .received
                .push(u32::from_be_bytes(plain[20..24].try_into().unwrap()));
        }
    }

    fn seal(&mut self, from: usize, peer: PeerId, packet: &[u8]) -> Outcome {
        let mut burst = Burst::with_capacity(packet.len() + 64);
        burst.push(packet.len()).unwrap().copy_from_slice(packet);
        match self.parties[from].wg.seal_batch(self.now(), peer, &mut burst) {
            Sealed::Sent { to } => {
                for frame in burst.frames() {
                    self.launch(from, to, frame.to_vec());
                }
                Outcome::Sealed
            }
            Sealed::Queued => Outcome::Queued,
            Sealed::Dropped(why) => Outcome::Dropped(why),
        }
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
        self.parties[from].sent_at.push(self.elapsed);
        self.log.push((to, bytes.clone()));
        if self.dice.below(100) < self.loss_percent {
            return;
        }
        let extra = if self.reorder {
            Duration::from_millis(self.dice.below(100))
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
}

/// An IPv4 packet whose payload is a number.
pub fn ip_packet(number: u32) -> Vec<u8> {
    let mut packet = vec![0; 24];
    packet[0] = 0x45;
    packet[3] = 24;
    packet[12..16].copy_from_slice(&[100, 64, 0, 1]);
    packet[16..20].copy_from_slice(&[100, 64, 0, 2]);
    packet[20..].copy_from_slice(&number.to_be_bytes());
    packet
}
