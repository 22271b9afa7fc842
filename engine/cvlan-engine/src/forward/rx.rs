//! UDP to TUN: receive, open, judge, write.

use super::{Line, Message, PACKET_BYTES, judge};
use crate::counters::add;
use cvlan_io::{BATCH, Received, wait_readable};
use cvlan_wg::{DATA_OVERHEAD, FrameKind, Opened, Output, classify};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

/// Runs until stopped.
///
/// # Errors
/// When the socket is broken.
pub fn run(line: &Line, control: &SyncSender<Message>) -> io::Result<()> {
    let mut rooms: Vec<Vec<u8>> = vec![vec![0; PACKET_BYTES + DATA_OVERHEAD]; BATCH];
    let mut received = [Received::default(); BATCH];
    let (mut opened, mut outputs) = (Vec::new(), Vec::new());
    while !line.stopping.load(Ordering::Relaxed) {
        let [_, woken] = wait_readable([line.udp.as_fd(), line.wake_rx.as_fd()], None)?;
        if woken {
            line.wake_rx.clear();
        }
        loop {
            let count = line
                .udp
                .recv_batch(rooms.iter_mut().map(Vec::as_mut_slice), &mut received)?;
            for (room, one) in rooms.iter_mut().zip(&received).take(count) {
                let length = if one.truncated { 0 } else { one.len };
                let datagram = room.get_mut(..length).unwrap_or_default();
                match (classify(datagram), one.from) {
                    (Some(FrameKind::Data), Some(from)) => {
                        open(line, from, datagram, &mut opened, &mut outputs);
                    }
                    (Some(_), Some(from)) => hand_over(line, control, from, datagram),
                    _ => add(&line.shared.counters.rx_dropped_no_wireguard, 1),
                }
            }
            if !outputs.is_empty()
                && control
                    .try_send(Message::Outputs(std::mem::take(&mut outputs)))
                    .is_err()
            {
                add(&line.shared.counters.rx_dropped_queue, 1);
            }
            if count < BATCH || line.stopping.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    Ok(())
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

fn open(line: &Line, from: SocketAddr, datagram: &mut [u8], opened: &mut Vec<Opened>, outputs: &mut Vec<Output>) {
    let now = Instant::now();
    let segment = datagram.len();
    line.shared.wg.open_batch(now, from, datagram, segment, opened, outputs);
    for one in opened.drain(..).filter(|one| !one.keepalive) {
        deliver(line, &one, datagram.get(one.plain.clone()).unwrap_or_default(), now);
    }
}

fn deliver(line: &Line, one: &Opened, packet: &[u8], now: Instant) {
    let shared = &line.shared;
    match judge::inbound(shared, &shared.snapshot.load(), one.peer, packet, now) {
        Ok(meta) if shared.echo.take_answer(&meta, packet, now) => {}
        Ok(_) => {
            if line.interface.write(packet).is_err() {
                add(&shared.counters.rx_dropped_interface, 1);
                return;
            }
        }
        Err(why) => {
            shared.counters.rx_dropped.count(why);
            return;
        }
    }
    add(&shared.counters.rx_packets, 1);
    add(&shared.counters.rx_bytes_sealed, one.sealed as u64);
}
