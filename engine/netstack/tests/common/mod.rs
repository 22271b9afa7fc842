//! Two stacks on a wire that loses, repeats and reorders by a seed, in virtual time.

#![allow(dead_code, reason = "each test uses its part")]

use cvlan_netstack::{ConnectionId, Limits, Read, Stack, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

pub const A: &str = "100.64.0.1";
pub const B: &str = "100.64.0.2";
pub const A6: &str = "fd00::1";
pub const B6: &str = "fd00::2";

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(address), port)
}

/// xorshift64*: enough chance for a wire, and the same each time.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

/// What the wire does to packets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Harm {
    pub loss: u64,
    pub repeat: u64,
    pub reorder: u64,
}

pub struct Pair {
    pub now: Instant,
    pub stacks: [Stack; 2],
    harm: Harm,
    chance: Chance,
    flying: Vec<(Instant, u64, usize, Vec<u8>)>,
    count: u64,
    mtu: usize,
}

const DELAY: Duration = Duration::from_millis(5);

impl Pair {
    pub fn new(harm: Harm, seed: u64, limits: Limits) -> Self {
        Self::with_mtu(harm, seed, limits, 1420)
    }

    pub fn with_mtu(harm: Harm, seed: u64, limits: Limits, mtu: u16) -> Self {
        let now = Instant::now();
        let mut stacks = [7, 8].map(|salt| Stack::new(mtu, seed ^ salt, limits, now));
        stacks[0].set_addresses([ip(A), ip(A6)]);
        stacks[1].set_addresses([ip(B), ip(B6)]);
        Self {
            now,
            stacks,
            harm,
            chance: Chance::new(seed),
            flying: Vec::new(),
            count: 0,
            mtu: mtu.into(),
        }
    }

    fn send(&mut self, to: usize, packet: Vec<u8>) {
        assert!(packet.len() <= self.mtu, "{} bytes", packet.len());
        let copies = 1 + usize::from(self.chance.percent(self.harm.repeat));
        for _ in 0..copies {
            if self.chance.percent(self.harm.loss) {
                continue;
            }
            let late = self.chance.percent(self.harm.reorder).then_some(DELAY * 3);
            self.count += 1;
            self.flying.push((
                self.now + DELAY + late.unwrap_or_default(),
                self.count,
                to,
                packet.clone(),
            ));
        }
    }

    /// Lets both work at this moment, then moves time to what comes next; false when nothing ever will.
    pub fn step(&mut self) -> bool {
        for index in 0..2 {
            self.stacks[index].poll(self.now);
            while let Some(packet) = self.stacks[index].take_packet() {
                self.send(1 - index, packet);
                self.stacks[index].poll(self.now);
            }
        }
        let arrival = self.flying.iter().map(|(at, ..)| *at).min();
        let deadlines = self.stacks.iter().filter_map(Stack::next_deadline);
        let Some(next) = deadlines.chain(arrival).min() else {
            return false;
        };
        self.now = next.max(self.now + Duration::from_micros(100));
        self.flying.sort_by_key(|(at, count, ..)| (*at, *count));
        let due = self.flying.iter().take_while(|(at, ..)| *at <= self.now).count();
        for (_, _, to, packet) in self.flying.drain(..due).collect::<Vec<_>>() {
            self.stacks[to].receive(self.now, &packet);
        }
        true
    }

    pub fn until<T>(&mut self, what: &str, mut found: impl FnMut(&mut Self) -> Option<T>) -> T {
        let mut goes_on = true;
        for _ in 0..2_000_000 {
            if let Some(found) = found(self) {
                return found;
            }
            assert!(goes_on, "nothing will ever happen again: {what}");
            goes_on = self.step();
        }
        panic!("it takes too long: {what}");
    }

    /// A complete connection from the first stack to the second.
    pub fn connected(&mut self, from: &str, to: &str, port: u16) -> (ConnectionId, ConnectionId) {
        let now = self.now;
        assert!(self.stacks[1].listen(port));
        let here = self.stacks[0].connect(now, ip(from), at(to, port)).unwrap();
        let there = self.until("the connection", |pair| pair.stacks[1].accept(port, None));
        self.until("both know", |pair| {
            (pair.stacks[0].opened(here, None) == Write::Bytes(0)).then_some(())
        });
        (here, there)
    }

    /// Writes all of it on one side and reads to the end on the other.
    pub fn carry(&mut self, from: usize, out: ConnectionId, into: ConnectionId, bytes: &[u8]) -> Vec<u8> {
        let (mut written, mut got, mut shut) = (0, Vec::new(), false);
        self.until("the transfer", |pair| {
            while written < bytes.len() {
                match pair.stacks[from].write(out, &bytes[written..], None) {
                    Write::Bytes(count) => written += count,
                    Write::Pending => break,
                    Write::Broken => panic!("broken after {written} bytes"),
                }
            }
            if written == bytes.len() && !shut {
                shut = true;
                pair.stacks[from].shut(out);
            }
            let mut room = [0; 4096];
            loop {
                match pair.stacks[1 - from].read(into, &mut room, None) {
                    Read::Bytes(count) => got.extend(&room[..count]),
                    Read::Pending => return None,
                    Read::End => return Some(std::mem::take(&mut got)),
                    Read::Reset => panic!("reset after {} bytes", got.len()),
                }
            }
        })
    }
}
