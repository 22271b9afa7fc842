//! Handshakes, timers and packets of our own.

use super::{Line, Message, judge, tx};
use crate::counters::add;
use cvlan_io::{BATCH, Run};
use cvlan_wg::{Event, Output, PeerId, Slot};
use cvlan_wire::PeerHandle;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Longest sleep; the rate of handshakes is counted in seconds.
const IDLE: Duration = Duration::from_secs(1);
/// Messages worked off before the timers get their turn.
const TURN: usize = 64;

/// Runs until told to stop or until nobody can tell it any more.
pub fn run(line: &Line, messages: &Receiver<Message>) {
    let mut outputs = Vec::new();
    let mut slots: Vec<Slot> = std::iter::repeat_with(Slot::default).take(BATCH).collect();
    loop {
        let now = Instant::now();
        let wait = line
            .shared
            .wg
            .next_deadline(now)
            .map_or(IDLE, |at| at.saturating_duration_since(now).min(IDLE));
        let mut message = match messages.recv_timeout(wait) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let mut turn = 0;
        while let Some(current) = message {
            match current {
                Message::Stop => return,
                Message::Handshake { from, bytes } => {
                    line.shared.wg.handshake(Instant::now(), from, &bytes, &mut outputs);
                }
                Message::Outputs(found) => outputs.extend(found),
                Message::Inject(packet) => send_plain(line, std::iter::once(packet), &mut slots),
                Message::Queued => {}
            }
            turn += 1;
            message = if turn < TURN { messages.try_recv().ok() } else { None };
        }
        line.shared.wg.poll(Instant::now(), &mut outputs);
        for output in outputs.drain(..) {
            carry_out(line, output, &mut slots);
        }
    }
}

fn carry_out(line: &Line, output: Output, slots: &mut [Slot]) {
    match output {
        Output::Datagram { to, bytes } => {
            if line.udp.send_batch(std::iter::once(Run::one(to, &bytes))).taken == 0 {
                add(&line.shared.counters.tx_dropped_send, 1);
            }
        }
        Output::Release { packets, .. } => send_plain(line, packets.into_iter(), slots),
        Output::Event(event) => tell(line, &event),
    }
}

/// Judges packets as if the interface had given them, and sends what may go.
fn send_plain(line: &Line, mut packets: impl Iterator<Item = Vec<u8>>, slots: &mut [Slot]) {
    loop {
        let (mut taken, mut kept) = (0, 0);
        {
            let snapshot = line.shared.snapshot.load();
            while let Some(slot) = slots.get_mut(kept) {
                let Some(packet) = packets.next() else { break };
                taken += 1;
                slot.clear();
                let Some(room) = slot.plain_room().get_mut(..packet.len()) else {
                    continue;
                };
                room.copy_from_slice(&packet);
                slot.set_plain_len(packet.len());
                match judge::outbound(&line.shared, &snapshot, line.udp.port(), &packet, Instant::now()) {
                    Ok(peer) => {
                        slot.peer = Some(peer);
                        kept += 1;
                    }
                    Err(why) => line.shared.counters.tx_dropped.count(why),
                }
            }
        }
        if taken == 0 {
            return;
        }
        // What waits for a session again is looked after by the poll that follows.
        tx::seal_and_send(line, slots.get_mut(..kept).unwrap_or_default());
    }
}

fn tell(line: &Line, event: &Event) {
    let snapshot = line.shared.snapshot.load();
    let node_id = |peer: &PeerId| {
        let peers = snapshot.map.as_ref().map(|map| &map.peers);
        peers
            .and_then(|peers| peers.get(&PeerHandle(peer.0)))
            .map_or(String::new(), |peer| peer.node.node_id.clone())
    };
    let (name, peer, detail) = match event {
        Event::HandshakeCompleted { peer } => ("handshake_completed", peer, String::new()),
        Event::HandshakeTimedOut { peer } => ("handshake_timed_out", peer, String::new()),
        Event::EndpointChanged { peer, endpoint } => ("endpoint_changed", peer, SocketAddr::to_string(endpoint)),
    };
    let node_id = node_id(peer);
    // Peers decide how often; watchers and status tell it, the log of a node must not fill its disk.
    tracing::debug!(event = name, node_id, "peer");
    line.shared.events.tell(name, &node_id, detail);
}
