//! Scripts of what two parties, their wire, their clocks and a stranger may do, in any order.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod world;

use cvlan_wg::{PeerConfig, PresharedKey, QUEUE_BYTES};
use proptest::prelude::*;
use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use world::{A, B, Party, World};

const MAX_STEPS: usize = 200;
/// Virtual time of a script.
const MAX_TIME: Duration = Duration::from_secs(900);
/// Seconds after the Unix epoch at which the clocks start.
const EPOCH: u64 = 1_800_000_000;

/// A script under way.
struct Run<'a> {
    world: World,
    script: &'a [u8],
    /// The number of the next packet; each is sent once.
    next: u32,
    /// What was put in from outside.
    injected: usize,
}

impl Run<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.script.split_first()?;
        self.script = rest;
        Some(*first)
    }

    fn party(&mut self) -> Option<usize> {
        Some(usize::from(self.byte()? & 1))
    }

    /// At most what is left of the time of the script.
    fn time(&mut self, unit: Duration) -> Option<Duration> {
        let wanted = unit * u32::from(self.byte()?);
        Some(wanted.min(MAX_TIME.saturating_sub(self.world.elapsed())))
    }

    fn send(&mut self, from: usize) {
        self.world.send(from, 1 - from, self.next);
        self.next += 1;
    }

    fn inject(&mut self, at: usize, bytes: Vec<u8>) -> Option<()> {
        let from = match self.byte()? % 3 {
            0 => Party::address(1 - at),
            1 => SocketAddr::from(([198, 51, 100, 7], 4000)),
            _ => "[2001:db8::7]:4000".parse().unwrap(),
        };
        let length = bytes.len();
        self.injected += 1;
        let answered = self.world.inject(at, from, bytes);
        assert!(answered <= length, "{answered} bytes for {length}");
        Some(())
    }

    /// Something that was on the wire, once more, damaged or not.
    fn repeat(&mut self) -> Option<()> {
        let at = self.party()?;
        let mut all = self.world.captured_to(Party::address(A));
        all.extend(self.world.captured_to(Party::address(B)));
        let which = usize::from(self.byte()?);
        let (kind, place, with) = (self.byte()?, usize::from(self.byte()?), self.byte()?);
        if all.is_empty() {
            return Some(());
        }
        let mut message = all.swap_remove(which % all.len());
        let length = message.len();
        match kind % 4 {
            0 => message[place % length] ^= with,
            1 => message.truncate(place % length),
            2 => message.resize(length + place * 16, with),
            _ => {}
        }
        self.inject(at, message)
    }

    /// One step; `None` at the end of the script.
    fn step(&mut self) -> Option<()> {
        match self.byte()? % 12 {
            0 => self.send(A),
            1 => self.send(B),
            2 => {
                let time = self.time(Duration::from_millis(10))?;
                self.world.run(time);
            }
            3 => {
                let time = self.time(Duration::from_secs(1))?;
                self.world.run(time);
            }
            4 => {
                let time = self.time(Duration::from_millis(100))?;
                self.world.deliver_nothing_for(time);
            }
            5 => self.repeat()?,
            6 => {
                let (at, length) = (self.party()?, usize::from(self.byte()?));
                let bytes = self.script[..length.min(self.script.len())].to_vec();
                self.script = &self.script[bytes.len()..];
                self.inject(at, bytes)?;
            }
            7 => {
                let byte = self.byte()?;
                self.world.loss_percent = u64::from(byte % 101);
                self.world.reorder = byte & 1 == 1;
            }
            8 => {
                let (at, waiting) = (self.party()?, usize::from(self.byte()?) * 2);
                self.world.set_load(at, waiting);
            }
            9 => {
                let (at, host) = (self.party()?, self.byte()?);
                let host = 10 + 2 * (host & 0x3f) + u8::from(at == B);
                self.world.move_to(at, SocketAddr::from(([203, 0, 113, host], 51820)));
            }
            10 => {
                let at = self.party()?;
                let hours = u64::from(self.byte()?);
                self.world.set_clock(at, EPOCH + 3600 * hours - 128 * 3600);
            }
            _ => {
                let (at, how) = (self.party()?, self.byte()?);
                self.declare(at, how);
            }
        }
        Some(())
    }

    fn declare(&mut self, at: usize, how: u8) {
        let key = |byte: u8| PresharedKey::new([byte; 32].into());
        let peer = PeerConfig {
            preshared_key: (how & 2 == 2).then(|| key(how >> 4)),
            persistent_keepalive: (how & 4 == 4).then_some(u16::from(how >> 3)),
            ..self.world.config(1 - at)
        };
        let peers = if how & 1 == 1 { vec![peer] } else { Vec::new() };
        assert_eq!(self.world.set_peers(at, peers), []);
    }

    fn holds(&self) {
        for party in [A, B] {
            let wg = &self.world.party(party).wg;
            assert!(wg.queued_bytes() <= QUEUE_BYTES);
            assert!(wg.peers(self.world.now()).len() <= 1);
            let received = self.world.received(party);
            let once: HashSet<_> = received.iter().collect();
            assert_eq!(once.len(), received.len(), "a packet came twice");
            assert!(received.iter().all(|number| *number < self.next), "nobody sent this");
            // Rounds of a try, keepalives, and what each message or packet brings about.
            let seconds = usize::try_from(self.world.elapsed().as_secs()).unwrap();
            let most = 100 + 5 * seconds + 4 * (self.injected + self.next as usize);
            assert!(self.world.sent_by(party) <= most, "more than {most} datagrams");
        }
    }
}

/// What holds for any script: no panic, bounded memory and bounded noise, each packet at most once; and when the wire is
/// good again and both know each other, packets pass. The body of the fuzz target `wg-state`.
fn check(script: &[u8]) {
    let mut run = Run {
        world: World::two(7),
        script,
        next: 0,
        injected: 0,
    };
    for _ in 0..MAX_STEPS {
        if run.step().is_none() {
            break;
        }
        run.holds();
    }
    run.world.loss_percent = 0;
    run.world.reorder = false;
    run.world.declare(A, &[B]);
    run.world.declare(B, &[A]);
    let first = run.next;
    for _ in 0..60 {
        run.send(A);
        run.send(B);
        run.world.run(Duration::from_secs(1));
    }
    run.holds();
    for party in [A, B] {
        let received = run.world.received(party);
        assert!(
            received.iter().any(|number| *number > first + 100),
            "it does not recover"
        );
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/wg-state/corpus");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn the_corpus_is_replayed() {
    let corpus = corpus();
    assert!(corpus.len() >= 10, "the corpus is not there");
    for script in corpus {
        check(&script);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_script_is_survived(script in proptest::collection::vec(any::<u8>(), 0..300)) {
        check(&script);
    }

    #[test]
    fn damaged_scripts_are_survived(
        which in any::<prop::sample::Index>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut script = which.get(&corpus()).clone();
        for (at, value) in damage {
            let at = at.index(script.len());
            script[at] = value;
        }
        check(&script);
    }
}
