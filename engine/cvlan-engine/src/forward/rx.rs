//! UDP to TUN: receive, open, judge, write.

use super::{Line, Message, judge};
use crate::counters::{Drop, add};
use cvlan_io::{BATCH, Received, wait_readable};
use cvlan_wg::{DropReason, FrameKind, Outcome, Slot, classify};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

/// Runs until stopped.
///
/// # Errors
/// When the socket is broken.
pub fn run(line: &Line, control: &SyncSender<Message>) -> io::Result<()> {
    let mut slots: Vec<Slot> = std::iter::repeat_with(Slot::default).take(BATCH).collect();
    let mut received = [Received::default(); BATCH];
    let mut outputs = Vec::new();
    while !line.stopping.load(Ordering::Relaxed) {
        let [_, woken] = wait_readable([line.udp.as_fd(), line.wake_rx.as_fd()], None)?;
        if woken {
            line.wake_rx.clear();
        }
        loop {
            slots.iter_mut().for_each(Slot::clear);
            let count = line
                .udp
                .recv_batch(slots.iter_mut().map(Slot::sealed_room), &mut received)?;
            let batch = slots.get_mut(..count).unwrap_or_default();
            sort_in(line, control, batch, &received);
            for run in batch.chunk_by_mut(|a, b| is_data(a) == is_data(b)) {
                if run.first().is_some_and(is_data) {
                    line.shared.wg.open_batch(Instant::now(), run, &mut outputs);
                }
            }
            if !outputs.is_empty()
                && control
                    .try_send(Message::Outputs(std::mem::take(&mut outputs)))
                    .is_err()
            {
                add(&line.shared.counters.rx_dropped_queue, 1);
            }
            deliver(line, batch);
            if count < BATCH || line.stopping.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    Ok(())
}

fn is_data(slot: &Slot) -> bool {
    classify(slot.sealed()) == Some(FrameKind::Data)
}

/// Measures what came and hands handshakes to the control thread.
fn sort_in(line: &Line, control: &SyncSender<Message>, slots: &mut [Slot], received: &[Received]) {
    let counters = &line.shared.counters;
    for (slot, one) in slots.iter_mut().zip(received) {
        slot.endpoint = one.from;
        slot.set_sealed_len(if one.truncated { 0 } else { one.len });
        match (classify(slot.sealed()), one.from) {
            (Some(FrameKind::Data), Some(_)) => {}
            (Some(_), Some(from)) => {
                let message = Message::Handshake {
                    from,
                    bytes: slot.sealed().to_vec(),
                };
                if control.try_send(message).is_err() {
                    add(&counters.rx_dropped_queue, 1);
                }
            }
            _ => add(&counters.rx_dropped_no_wireguard, 1),
        }
    }
}

fn deliver(line: &Line, slots: &mut [Slot]) {
    let shared = &line.shared;
    let now = Instant::now();
    let snapshot = shared.snapshot.load();
    for slot in slots {
        match (slot.outcome, slot.peer) {
            (Outcome::Opened, Some(carrier)) => match judge::inbound(shared, &snapshot, carrier, slot.plain(), now) {
                Ok(meta) if shared.echo.take_answer(&meta, slot.plain(), now) => count_received(line, slot),
                Ok(_) => match line.interface.write(slot.plain()) {
                    Ok(()) => count_received(line, slot),
                    Err(_) => add(&shared.counters.rx_dropped_interface, 1),
                },
                Err(why) => shared.counters.rx_dropped.count(why),
            },
            (Outcome::Dropped(DropReason::Malformed), _) => shared.counters.rx_dropped.count(Drop::Malformed),
            _ => {}
        }
    }
}

fn count_received(line: &Line, slot: &Slot) {
    add(&line.shared.counters.rx_packets, 1);
    add(&line.shared.counters.rx_bytes_sealed, slot.sealed().len() as u64);
}
