//! UDP to TUN: receive, open, judge, write.

use super::judge::{Inbound, Law, is_syn};
use super::paths::Answers;
use super::probe::ProbePacket;
use super::probes::News;
use super::prompt::Prompt;
use super::{Line, Message};
use crate::counters::{Drop, add};
use cvlan_io::{BATCH, Received, wait_readable};
use cvlan_offload::{clamp_segment_size, train};
use cvlan_wg::{FrameKind, Opened, Output, classify};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

/// Bytes of one receive room: the most that the kernel puts together.
const ROOM: usize = 1 << 16;
/// Rooms that are offered while datagrams come put together: what fits the second-level cache of a processor.
const TOGETHER: usize = 8;
/// Packets that wait to be written; a multiple of the longest train.
const WAITING: usize = 256;

/// Probes and answers to probes that are told of in a second.
const PROBES: u32 = 1000;

/// What the thread works with, allocated once.
struct Desk {
    /// Rooms side by side, so that packets of several receptions may become one.
    slab: Vec<u8>,
    opened: Vec<Opened>,
    outputs: Vec<Output>,
    /// Judged packets in the slab, and the bytes of the datagrams that they came in.
    packets: Vec<Range<usize>>,
    sealed: Vec<usize>,
    /// Probes that are told of.
    probes: Answers,
}

/// Runs until stopped.
///
/// # Errors
/// When the socket is broken.
pub fn run(line: &Line, control: &SyncSender<Message>) -> io::Result<()> {
    let mut desk = Desk {
        slab: vec![0; ROOM * BATCH],
        opened: Vec::new(),
        outputs: Vec::new(),
        packets: Vec::with_capacity(WAITING),
        sealed: Vec::with_capacity(WAITING),
        probes: Answers::new(PROBES, Instant::now()),
    };
    let mut received = [Received::default(); BATCH];
    let mut offered = BATCH;
    let mut prompt = Prompt::new();
    while !line.stopping.load(Ordering::Relaxed) {
        let [_, woken] = wait_readable([line.udp.as_fd(), line.wake_rx.as_fd()], None)?;
        if woken {
            line.wake_rx.clear();
        }
        loop {
            let rooms = desk.slab.chunks_mut(ROOM).take(offered);
            let count = line.udp.recv_batch(rooms, &mut received)?;
            let came = received.get(..count).unwrap_or_default();
            desk.work_off(line, control, came);
            prompt.worked(came.iter().map(Received::count).sum());
            let all = count == offered;
            let together = came.iter().any(|one| one.segment < one.len);
            offered = if together { TOGETHER } else { BATCH };
            if !all || line.stopping.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    Ok(())
}

impl Desk {
    fn work_off(&mut self, line: &Line, control: &SyncSender<Message>, received: &[Received]) {
        let now = Instant::now();
        let shared = &line.shared;
        let snapshot = shared.snapshot.load();
        let mut judge = Inbound::new(shared, &snapshot, now);
        for (number, one) in received.iter().enumerate() {
            let (start, length) = (number * ROOM, if one.truncated { 0 } else { one.len });
            let Some(room) = self.slab.get_mut(start..start + length) else {
                continue;
            };
            let Some(from) = one.from.filter(|_| sort_in(line, control, one, room)) else {
                continue;
            };
            shared
                .wg
                .open_batch(now, from, room, one.segment, &mut self.opened, &mut self.outputs);
            for opened in self.opened.drain(..).filter(|opened| !opened.keepalive) {
                let packet = start + opened.plain.start..start + opened.plain.end;
                let Some(bytes) = self.slab.get_mut(packet.clone()) else {
                    continue;
                };
                if !one.ecn.arrive(bytes) {
                    shared.counters.rx_dropped.count(Drop::Congestion, 1);
                    continue;
                }
                // Between the engines themselves: no packet of a tenant, and no business of its policy.
                if let Some(packet) = ProbePacket::parse(bytes).filter(|_| snapshot.law == Law::Map) {
                    if self.probes.take(now) {
                        let peer = opened.peer;
                        line.tell(News::Probe { peer, packet });
                    }
                    continue;
                }
                match judge.judge(opened.peer, bytes) {
                    Ok(meta) if shared.echo.take_answer(&meta, bytes, now) => count_received(line, 1, opened.sealed),
                    Ok(meta) => {
                        if is_syn(&meta) && clamp_segment_size(bytes, shared.limit(opened.peer)) {
                            add(&shared.counters.tcp_segments_lowered, 1);
                        }
                        self.packets.push(packet);
                        self.sealed.push(opened.sealed);
                    }
                    Err(why) => shared.counters.rx_dropped.count(why, 1),
                }
                if self.packets.len() >= WAITING {
                    write_out(line, &mut self.slab, &mut self.packets, &mut self.sealed);
                }
            }
        }
        write_out(line, &mut self.slab, &mut self.packets, &mut self.sealed);
        if !self.outputs.is_empty() {
            let outputs = Message::Outputs(std::mem::take(&mut self.outputs));
            if control.try_send(outputs).is_err() {
                add(&shared.counters.rx_dropped_queue, 1);
            }
        }
    }
}

/// Hands handshakes to the control thread; true when there are data messages.
fn sort_in(line: &Line, control: &SyncSender<Message>, received: &Received, room: &[u8]) -> bool {
    let counters = &line.shared.counters;
    if room.is_empty() {
        add(&counters.rx_dropped_no_wireguard, 1);
        return false;
    }
    let mut data = false;
    for datagram in room.chunks(received.segment.max(1)) {
        match (classify(datagram), received.from) {
            (Some(FrameKind::Data), Some(_)) => data = true,
            (Some(_), Some(from)) => hand_over(line, control, from, datagram),
            _ => add(&counters.rx_dropped_no_wireguard, 1),
        }
    }
    data
}

/// Gives a handshake message to the control thread.
fn hand_over(line: &Line, control: &SyncSender<Message>, from: SocketAddr, datagram: &[u8]) {
    let bytes = datagram.to_vec();
    line.handshakes_waiting.fetch_add(1, Ordering::Relaxed);
    if control.try_send(Message::Handshake { from, bytes }).is_err() {
        line.handshakes_waiting.fetch_sub(1, Ordering::Relaxed);
        add(&line.shared.counters.rx_dropped_queue, 1);
    }
}

/// Writes packets to the interface, those of one flow together.
fn write_out(line: &Line, slab: &mut [u8], packets: &mut Vec<Range<usize>>, sealed: &mut Vec<usize>) {
    let (mut rest, mut sizes) = (packets.as_slice(), sealed.as_slice());
    while !rest.is_empty() {
        let found = train(slab, rest, line.interface.offload());
        let (bytes, sizes_after) = sizes.split_at_checked(found.count).unwrap_or_default();
        match line.interface.write(found.vnet, found.pieces(slab, rest)) {
            Ok(()) => count_received(line, found.count, bytes.iter().sum()),
            Err(_) => add(&line.shared.counters.rx_dropped_interface, found.count as u64),
        }
        rest = rest.get(found.count..).unwrap_or_default();
        sizes = sizes_after;
    }
    packets.clear();
    sealed.clear();
}

fn count_received(line: &Line, packets: usize, sealed: usize) {
    add(&line.shared.counters.rx_packets, packets as u64);
    add(&line.shared.counters.rx_bytes_sealed, sealed as u64);
}
