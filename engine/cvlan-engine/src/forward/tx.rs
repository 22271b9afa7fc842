//! TUN to UDP: read, judge, seal, send.

use super::{Line, Message, judge};
use crate::counters::add;
use cvlan_io::{BATCH, Run, wait_readable};
use cvlan_wg::{Outcome, Slot};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

/// Runs until stopped.
///
/// # Errors
/// When the interface is gone.
pub fn run(line: &Line, control: &SyncSender<Message>) -> io::Result<()> {
    let mut slots: Vec<Slot> = std::iter::repeat_with(Slot::default).take(BATCH).collect();
    while !line.stopping.load(Ordering::Relaxed) {
        let [_, woken] = wait_readable([line.interface.as_fd(), line.wake_tx.as_fd()], None)?;
        if woken {
            line.wake_tx.clear();
        }
        loop {
            let (read, admitted) = take_batch(line, &mut slots)?;
            let batch = slots.get_mut(..admitted).unwrap_or_default();
            if seal_and_send(line, batch) {
                // A full queue means that the control thread is awake.
                let _ = control.try_send(Message::Queued);
            }
            if read < BATCH || line.stopping.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    Ok(())
}

/// Reads up to a batch and keeps what may go; says how many were read and how many kept.
fn take_batch(line: &Line, slots: &mut [Slot]) -> io::Result<(usize, usize)> {
    let snapshot = line.shared.snapshot.load();
    let now = Instant::now();
    let (mut read, mut kept) = (0, 0);
    while read < slots.len() {
        let Some(slot) = slots.get_mut(kept) else { break };
        slot.clear();
        let Some(length) = line.interface.read(slot.plain_room())? else {
            break;
        };
        slot.set_plain_len(length);
        read += 1;
        match judge::outbound(&line.shared, &snapshot, line.udp.port(), slot.plain(), now) {
            Ok(peer) => {
                slot.peer = Some(peer);
                kept += 1;
            }
            Err(why) => line.shared.counters.tx_dropped.count(why),
        }
    }
    Ok((read, kept))
}

/// Seals what was judged and sends it; true when something waits for a session now.
pub fn seal_and_send(line: &Line, slots: &mut [Slot]) -> bool {
    let now = Instant::now();
    for run in slots.chunk_by_mut(|a, b| a.peer == b.peer) {
        if let Some(peer) = run.first().and_then(|slot| slot.peer) {
            line.shared.wg.seal_batch(now, peer, run);
        }
    }
    let sealed = slots.iter().filter(|slot| slot.outcome == Outcome::Sealed);
    let (packets, bytes) = sealed
        .clone()
        .fold((0, 0), |(n, bytes), slot| (n + 1, bytes + slot.sealed().len() as u64));
    if packets > 0 {
        let sent = send(line, sealed.filter_map(|slot| Some((slot.endpoint?, slot.sealed()))));
        add(&line.shared.counters.tx_packets, sent);
        add(&line.shared.counters.tx_bytes_sealed, bytes);
        add(&line.shared.counters.tx_dropped_send, packets - sent);
    }
    slots.iter().any(|slot| slot.outcome == Outcome::Queued)
}

#[cfg(not(feature = "test-no-forward"))]
fn send<'a>(line: &Line, datagrams: impl Iterator<Item = (SocketAddr, &'a [u8])>) -> u64 {
    line.udp
        .send_batch(datagrams.map(|(to, bytes)| Run::one(to, bytes)))
        .taken
}

/// The one place where the engine of the test that must fail differs: sealed packets end here.
#[cfg(feature = "test-no-forward")]
fn send<'a>(_: &Line, _: impl Iterator<Item = (SocketAddr, &'a [u8])>) -> u64 {
    0
}
