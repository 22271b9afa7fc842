//! Handshakes, timers and packets of our own.

use super::judge::Outbound;
use super::outgoing::Outgoing;
use super::{Line, Message};
use crate::counters::{Drop, add};
use cvlan_io::Run;
use cvlan_offload::{Split, Vnet};
use cvlan_wg::{Epoch, Event, Load, Output, PeerId};
use cvlan_wire::PeerHandle;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

/// Longest sleep; the data path sets timers without waking anybody.
const IDLE: Duration = Duration::from_secs(1);
/// Messages worked off before the timers get their turn.
const TURN: usize = 64;

/// Runs until told to stop or until nobody can tell it any more.
pub fn run(line: &Line, messages: &Receiver<Message>) {
    let mut outputs = Vec::new();
    let mut outgoing = Outgoing::new(1);
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
        let mut load = Load::default();
        while let Some(current) = message {
            match current {
                Message::Stop => return,
                Message::Handshake { from, bytes } => {
                    let begun = Instant::now();
                    line.shared.wg.handshake(begun, from, &bytes, &mut outputs);
                    load.spent += begun.elapsed();
                    load.waiting = line
                        .handshakes_waiting
                        .fetch_sub(1, Ordering::Relaxed)
                        .saturating_sub(1);
                }
                Message::Outputs(found) => outputs.extend(found),
                Message::Inject(packet) => send_plain(line, std::iter::once(packet), &mut outgoing),
                Message::Queued => {}
            }
            turn += 1;
            message = if turn < TURN { messages.try_recv().ok() } else { None };
        }
        let epoch = Epoch {
            instant: Instant::now(),
            wall: SystemTime::now(),
        };
        line.shared.wg.report_load(epoch.instant, load);
        line.shared.wg.set_clock(epoch);
        line.shared.wg.poll(epoch.instant, &mut outputs);
        for output in outputs.drain(..) {
            carry_out(line, output, &mut outgoing);
        }
    }
}

fn carry_out(line: &Line, output: Output, outgoing: &mut Outgoing) {
    match output {
        Output::Datagram { to, bytes } => {
            if line.udp.send_batch(std::iter::once(Run::one(to, &bytes))).taken == 0 {
                add(&line.shared.counters.tx_dropped_send, 1);
            }
        }
        Output::Release { packets, .. } => send_plain(line, packets.into_iter(), outgoing),
        Output::Event(event) => tell(line, &event),
    }
}

/// Judges packets as if the interface had given them, and sends what may go. What waits for a session again is looked
/// after by the poll that follows.
fn send_plain(line: &Line, packets: impl Iterator<Item = Vec<u8>>, outgoing: &mut Outgoing) {
    let snapshot = line.shared.snapshot.load();
    let mut judge = Outbound::new(&line.shared, &snapshot, line.udp.port(), Instant::now());
    let dropped = &line.shared.counters.tx_dropped;
    for packet in packets {
        match (judge.judge(&packet), Split::new(&Vnet::NONE, &packet)) {
            (Ok(peer), Ok(split)) => drop(outgoing.take(line, peer, &split)),
            (Err(why), _) => dropped.count(why, 1),
            (_, Err(_)) => dropped.count(Drop::Malformed, 1),
        }
    }
    outgoing.flush(line);
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
        Event::EndpointChanged { peer, endpoint } => {
            line.shared.paths.forget(*peer);
            ("endpoint_changed", peer, SocketAddr::to_string(endpoint))
        }
    };
    let node_id = node_id(peer);
    // Peers decide how often; watchers and status tell it, the log of a node must not fill its disk.
    tracing::debug!(event = name, node_id, "peer");
    line.shared.events.tell(name, &node_id, detail);
}
