//! Judged packets on their way out: gathered for a peer, sealed together, sent.

use super::Line;
use crate::counters::{Drop, add};
use cvlan_io::Run;
use cvlan_wg::{BURST_BYTES, Burst, PeerId, Sealed};
use std::time::Instant;

/// Packets of one peer that came in a row.
pub struct Outgoing {
    burst: Burst,
    peer: Option<PeerId>,
}

impl Outgoing {
    /// Nothing gathered.
    pub fn new() -> Self {
        Self {
            burst: Burst::with_capacity(BURST_BYTES),
            peer: None,
        }
    }

    /// Takes a packet; what is in its way is sealed and sent first. True when something waits for a session now.
    pub fn take(&mut self, line: &Line, peer: PeerId, packet: &[u8]) -> bool {
        let another = self.peer.is_some_and(|held| held != peer);
        let mut queued = another && self.flush(line);
        if !self.gather(line, peer, packet) {
            queued |= self.flush(line);
            if !self.gather(line, peer, packet) {
                line.shared.counters.tx_dropped.count(Drop::Malformed);
            }
        }
        queued
    }

    /// False when there is no room.
    fn gather(&mut self, line: &Line, peer: PeerId, packet: &[u8]) -> bool {
        self.burst.set_mtu(line.shared.mtu());
        let Some(room) = self.burst.push(packet.len()) else {
            return false;
        };
        room.copy_from_slice(packet);
        self.peer = Some(peer);
        true
    }

    /// Seals what was gathered and sends it; true when it waits for a session instead.
    pub fn flush(&mut self, line: &Line) -> bool {
        let Some(peer) = self.peer.take() else { return false };
        let sealed = line.shared.wg.seal_batch(Instant::now(), peer, &mut self.burst);
        if let Sealed::Sent { to } = sealed {
            let frames = self.burst.len() as u64;
            let bytes: usize = self.burst.frames().map(<[u8]>::len).sum();
            let sent = send(line, self.burst.frames().map(|frame| Run::one(to, frame)));
            let counters = &line.shared.counters;
            add(&counters.tx_packets, sent);
            add(&counters.tx_bytes_sealed, bytes as u64);
            add(&counters.tx_dropped_send, frames.saturating_sub(sent));
        }
        self.burst.clear();
        sealed == Sealed::Queued
    }
}

#[cfg(not(feature = "test-no-forward"))]
fn send<'a>(line: &Line, runs: impl Iterator<Item = Run<'a>>) -> u64 {
    line.udp.send_batch(runs).taken
}

/// The one place where the engine of the test that must fail differs: sealed packets end here.
#[cfg(feature = "test-no-forward")]
fn send<'a>(_: &Line, _: impl Iterator<Item = Run<'a>>) -> u64 {
    0
}
