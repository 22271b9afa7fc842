//! Judged packets on their way out: gathered by peer, sealed together, sent together.

use super::Line;
use super::paths::{Answers, inside};
use super::probes::News;
use crate::counters::{Drop, add};
use cvlan_io::{Run, Sent, known_path_mtu};
use cvlan_offload::{Ecn, Fit, Fragments, Split, Vnet, clamp_segment_size, fit};
use cvlan_wg::{BURST_BYTES, Burst, PeerId, Sealed};
use std::net::SocketAddr;
use std::time::Instant;

/// Peers whose packets are gathered at one time.
const BUNDLES: usize = 8;
/// Senders that are told of packets that are too big, in a second.
const ANSWERS: u32 = 100;

/// Packets of one peer, in their order.
struct Bundle {
    burst: Burst,
    peer: Option<PeerId>,
    /// Of all packets; not capable when they differ (the compatibility mode of RFC 6040 section 4.3 is always allowed).
    ecn: Ecn,
    /// Bytes of the largest packet that the path carries.
    limit: usize,
    /// Where they go, once sealed.
    to: Option<SocketAddr>,
}

/// What was judged and not sent yet.
pub struct Outgoing {
    bundles: Vec<Bundle>,
    /// A packet that is cut into fragments.
    whole: Vec<u8>,
    answers: Answers,
}

impl Outgoing {
    /// Nothing gathered; room for packets of `peers` peers at one time, 64 KiB each.
    pub fn new(peers: usize) -> Self {
        let bundle = || Bundle {
            burst: Burst::with_capacity(BURST_BYTES),
            peer: None,
            ecn: Ecn::NotCapable,
            limit: 0,
            to: None,
        };
        Self {
            bundles: std::iter::repeat_with(bundle).take(peers.clamp(1, BUNDLES)).collect(),
            whole: Vec::new(),
            answers: Answers::new(ANSWERS, Instant::now()),
        }
    }

    /// For as many peers as the data path gathers for.
    pub fn full() -> Self {
        Self::new(BUNDLES)
    }

    /// Takes what one reading gave; what is in its way is sealed and sent first. Packets that the path does not carry are cut, or
    /// their sender is told, unless too many were told already.
    pub fn take(&mut self, line: &Line, peer: PeerId, split: &Split<'_>) {
        let paths = &line.shared.paths;
        let largest = split.len_of(0);
        let carries = paths.carries(peer, largest);
        if carries.tell && !line.tell(News::Used(peer)) {
            paths.untold(peer);
        }
        let limit = carries.limit.unwrap_or(usize::MAX);
        match fit(split.whole(), largest, limit) {
            Fit::Send => self.put_all(line, peer, split, usize::MAX),
            Fit::Cut => self.put_all(line, peer, split, limit),
            Fit::TooBig(answer) => {
                if !answer.is_empty() && self.answers.take(Instant::now()) {
                    // An interface that is down has nobody to tell.
                    let _ = line.interface.write(Vnet::NONE, std::iter::once(answer.as_slice()));
                }
                let count = split.count() as u64;
                line.shared.counters.tx_dropped.count(Drop::TooBig, count);
            }
        }
    }

    /// All packets, those past `limit` bytes in fragments.
    fn put_all(&mut self, line: &Line, peer: PeerId, split: &Split<'_>, limit: usize) {
        let ecn = Ecn::of_packet(split.whole());
        for index in 0..split.count() {
            let length = split.len_of(index);
            if length <= limit {
                self.put(line, peer, ecn, length, |room| split.write(index, room));
                continue;
            }
            let mut whole = std::mem::take(&mut self.whole);
            whole.resize(length, 0);
            // The length is that of the packet, so it is written.
            let fragments = split
                .write(index, &mut whole)
                .and_then(|()| Fragments::new(&whole, limit));
            match &fragments {
                Some(fragments) => {
                    for part in 0..fragments.count() {
                        let length = fragments.len_of(part);
                        self.put(line, peer, ecn, length, |room| fragments.write(part, room));
                    }
                    add(&line.shared.counters.tx_fragmented, 1);
                }
                None => line.shared.counters.tx_dropped.count(Drop::Malformed, 1),
            }
            self.whole = whole;
        }
    }

    /// One packet as it will be sealed.
    fn put(&mut self, line: &Line, peer: PeerId, ecn: Ecn, length: usize, write: impl Fn(&mut [u8]) -> Option<()>) {
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
        if !bundle.gather(line, peer, ecn, length, &write) {
            bundle.seal(line);
            send(line, std::slice::from_ref(bundle));
            bundle.clear();
            if !bundle.gather(line, peer, ecn, length, &write) {
                line.shared.counters.tx_dropped.count(Drop::Malformed, 1);
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
    fn gather(
        &mut self,
        line: &Line,
        peer: PeerId,
        ecn: Ecn,
        length: usize,
        write: impl Fn(&mut [u8]) -> Option<()>,
    ) -> bool {
        if self.peer.is_none() {
            // Padding must not make a packet longer than its path carries.
            self.limit = line.shared.limit(peer);
            self.burst.set_mtu(self.limit);
            self.ecn = ecn;
        }
        let Some(room) = self.burst.push(length) else {
            return false;
        };
        // The length is that of the packet, so it is written.
        let written = write(room);
        debug_assert!(written.is_some());
        if clamp_segment_size(room, self.limit) {
            add(&line.shared.counters.tcp_segments_lowered, 1);
        }
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

/// The kernel knows that a path is narrower than what was sent there: what follows obeys.
fn learn(line: &Line, bundles: &[Bundle], narrow: SocketAddr) {
    // Without a route there is nothing to learn, and nothing goes there.
    let Ok(mtu) = known_path_mtu(narrow) else { return };
    let limit = inside(narrow, mtu);
    let there = bundles.iter().filter(|bundle| bundle.to == Some(narrow));
    for peer in there.filter_map(|bundle| bundle.peer) {
        // With a full queue the next packet that is too long tells it.
        if line.tell(News::Narrow { peer, limit }) {
            line.shared.paths.lower(peer, limit);
        }
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
