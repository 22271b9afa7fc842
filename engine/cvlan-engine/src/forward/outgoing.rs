//! Judged packets on their way out: gathered by peer, sealed together, sent together.

use super::Line;
use crate::counters::{Drop, add};
use cvlan_io::{Run, Sent, known_path_mtu};
use cvlan_offload::{Ecn, Split};
use cvlan_wg::{BURST_BYTES, Burst, PeerId, Sealed};
use std::net::SocketAddr;
use std::time::Instant;

/// Peers whose packets are gathered at one time.
const BUNDLES: usize = 8;

/// Packets of one peer, in their order.
struct Bundle {
    burst: Burst,
    peer: Option<PeerId>,
    /// Of all packets; not capable when they differ (the compatibility mode of RFC 6040 section 4.3 is always allowed).
    ecn: Ecn,
    /// Where they go, once sealed.
    to: Option<SocketAddr>,
}

/// What was judged and not sent yet.
pub struct Outgoing {
    bundles: Vec<Bundle>,
}

impl Outgoing {
    /// Nothing gathered; room for packets of `peers` peers at one time, 64 KiB each.
    pub fn new(peers: usize) -> Self {
        let bundle = || Bundle {
            burst: Burst::with_capacity(BURST_BYTES),
            peer: None,
            ecn: Ecn::NotCapable,
            to: None,
        };
        Self {
            bundles: std::iter::repeat_with(bundle).take(peers.clamp(1, BUNDLES)).collect(),
        }
    }

    /// For as many peers as the data path gathers for.
    pub fn full() -> Self {
        Self::new(BUNDLES)
    }

    /// Takes what one reading gave; what is in its way is sealed and sent first.
    pub fn take(&mut self, line: &Line, peer: PeerId, split: &Split<'_>) {
        let ecn = Ecn::of_packet(split.whole());
        let held = |bundle: &Bundle| bundle.peer == Some(peer);
        let mut place = self.bundles.iter().position(held);
        if place.is_none() {
            place = self.bundles.iter().position(|bundle| bundle.peer.is_none());
        }
        let place = place.unwrap_or_else(|| {
            self.flush(line);
            0
        });
        let Some(bundle) = self.bundles.get_mut(place) else {
            return;
        };
        for index in 0..split.count() {
            if !bundle.gather(line, peer, ecn, split, index) {
                bundle.seal(line);
                send(line, std::slice::from_ref(bundle));
                bundle.clear();
                if !bundle.gather(line, peer, ecn, split, index) {
                    line.shared.counters.tx_dropped.count(Drop::Malformed, 1);
                }
            }
        }
    }

    /// Seals what was gathered and sends it.
    pub fn flush(&mut self, line: &Line) {
        self.bundles.iter_mut().for_each(|bundle| bundle.seal(line));
        send(line, &self.bundles);
        self.bundles.iter_mut().for_each(Bundle::clear);
    }
}

impl Bundle {
    fn clear(&mut self) {
        self.burst.clear();
        self.peer = None;
        self.to = None;
    }

    /// False when there is no room.
    fn gather(&mut self, line: &Line, peer: PeerId, ecn: Ecn, split: &Split<'_>, index: usize) -> bool {
        if self.peer.is_none() {
            // Padding must not make a packet longer than its path carries.
            let mtu = line.shared.mtu();
            let limit = line.shared.paths.limit(peer, Instant::now());
            self.burst.set_mtu(limit.map_or(mtu, |limit| limit.min(mtu)));
            self.ecn = ecn;
        }
        let Some(room) = self.burst.push(split.len_of(index)) else {
            return false;
        };
        // The length is that of the packet, so it is written.
        let written = split.write(index, room);
        debug_assert!(written.is_some());
        self.peer = Some(peer);
        if self.ecn != ecn {
            self.ecn = Ecn::NotCapable;
        }
        true
    }

    fn seal(&mut self, line: &Line) {
        let Some(peer) = self.peer else { return };
        if let Sealed::Sent { to } = line.shared.wg.seal_batch(Instant::now(), peer, &mut self.burst) {
            self.to = Some(to);
        }
    }

    fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        let run = |(bytes, segment)| {
            Some(Run {
                to: self.to?,
                bytes,
                segment,
                ecn: self.ecn,
            })
        };
        self.burst.runs().filter_map(run)
    }
}

fn send(line: &Line, bundles: &[Bundle]) {
    let sealed = || bundles.iter().filter(|bundle| bundle.to.is_some());
    if sealed().next().is_none() {
        return;
    }
    let sent = hand_over(line, sealed().flat_map(Bundle::runs));
    let bytes: usize = sealed().flat_map(Bundle::runs).map(|run| run.bytes.len()).sum();
    let counters = &line.shared.counters;
    add(&counters.tx_packets, sent.taken);
    add(&counters.tx_bytes_sealed, bytes as u64);
    add(&counters.tx_dropped_send, sent.refused);
    if let Some(narrow) = sent.narrow {
        learn(line, bundles, narrow);
    }
}

/// A path is narrower than the interface: what follows is told so, or cut up by the kernel.
fn learn(line: &Line, bundles: &[Bundle], narrow: SocketAddr) {
    // Without a route there is nothing to learn, and nothing goes there.
    let Ok(mtu) = known_path_mtu(narrow) else { return };
    let there = bundles.iter().filter(|bundle| bundle.to == Some(narrow));
    for peer in there.filter_map(|bundle| bundle.peer) {
        line.shared.paths.learn(peer, narrow, mtu, Instant::now());
    }
}

#[cfg(not(feature = "test-no-forward"))]
fn hand_over<'a>(line: &Line, runs: impl Iterator<Item = Run<'a>>) -> Sent {
    line.udp.send_batch(runs)
}

/// The one place where the engine of the test that must fail differs: sealed packets end here.
#[cfg(feature = "test-no-forward")]
fn hand_over<'a>(_: &Line, runs: impl Iterator<Item = Run<'a>>) -> Sent {
    Sent {
        refused: runs.count() as u64,
        ..Sent::default()
    }
}
