//! Handshakes, timers and packets of our own.

use super::judge::Outbound;
use super::outgoing::Outgoing;
use super::probes::Probes;
use super::{Line, Message};
use crate::counters::{Drop, add};
use cvlan_io::Run;
use cvlan_offload::{Split, Vnet};
use cvlan_wg::{Epoch, Event, Load, Output, PeerId};
use cvlan_wire::PeerHandle;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::task::Wake;
use std::time::{Instant, SystemTime};

/// Messages worked off before the timers get their turn.
const TURN: usize = 64;

/// Wakes the thread for a timer; when its queue is full it is awake.
struct Bell(SyncSender<Message>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let _ = self.0.try_send(Message::Timer);
    }
}

/// Runs until told to stop.
pub fn run(line: &Line, messages: &Receiver<Message>, own: SyncSender<Message>) {
    let wg = &line.shared.wg;
    wg.set_waker(Some(Arc::new(Bell(own)).into()));
    work(line, messages);
    wg.set_waker(None);
}

fn work(line: &Line, messages: &Receiver<Message>) {
    let wg = &line.shared.wg;
    let mut outputs = Vec::new();
    let mut outgoing = Outgoing::new(1);
    let mut probes = Probes::new();
    loop {
        let now = Instant::now();
        let deadline = [wg.next_deadline(now), probes.next()].into_iter().flatten().min();
        let received = match deadline {
            Some(at) => messages.recv_timeout(at.saturating_duration_since(now)),
            None => messages.recv().map_err(RecvTimeoutError::from),
        };
        let mut message = match received {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        wg.set_clock(Epoch {
            instant: Instant::now(),
            wall: SystemTime::now(),
        });
        let mut turn = 0;
        let mut last = false;
        let mut load = Load::default();
        while let Some(current) = message {
            match current {
                Message::Stop => last = true,
                Message::Handshake { from, bytes } => {
                    let begun = Instant::now();
                    wg.handshake(begun, from, &bytes, &mut outputs);
                    load.spent += begun.elapsed();
                    load.waiting = line
                        .handshakes_waiting
                        .fetch_sub(1, Ordering::Relaxed)
                        .saturating_sub(1);
                }
                Message::Outputs(found) => outputs.extend(found),
                Message::Inject(packet) => send_plain(line, std::iter::once(packet), &mut outgoing),
                Message::Path(news) => probes.take(line, &news, Instant::now()),
                Message::Timer => {}
            }
            turn += 1;
            message = if turn < TURN && !last {
                messages.try_recv().ok()
            } else {
                None
            };
        }
        let now = Instant::now();
        wg.report_load(now, load);
        wg.poll(now, &mut outputs);
        for output in outputs.drain(..) {
            if let Output::Event(Event::EndpointChanged { peer, .. }) = &output {
                probes.moved(line, *peer, now);
            }
            carry_out(line, output, &mut outgoing);
        }
        if last {
            return;
        }
        probes.poll(line, Instant::now());
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

/// Judges packets as if the interface had given them, and sends what may go. What waits for a session again sets a timer
/// that has passed.
fn send_plain(line: &Line, packets: impl Iterator<Item = Vec<u8>>, outgoing: &mut Outgoing) {
    let snapshot = line.shared.snapshot.load();
    let mut judge = Outbound::new(&line.shared, &snapshot, line.udp.port(), Instant::now());
    let dropped = &line.shared.counters.tx_dropped;
    for packet in packets {
        match (judge.judge(&packet), Split::new(&Vnet::NONE, &packet)) {
            (Ok(peer), Ok(split)) => outgoing.take(line, peer, &split),
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
        Event::EndpointChanged { peer, endpoint } => ("endpoint_changed", peer, SocketAddr::to_string(endpoint)),
    };
    let node_id = node_id(peer);
    // Peers decide how often; watchers and status tell it, the log of a node must not fill its disk.
    tracing::debug!(event = name, node_id, "peer");
    line.shared.events.tell(name, &node_id, detail);
}
