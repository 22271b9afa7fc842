//! TUN to UDP: read, judge, seal, send.

use super::outgoing::Outgoing;
use super::{Line, Message, PACKET_BYTES, judge};
use cvlan_io::{BATCH, wait_readable};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

/// Runs until stopped.
///
/// # Errors
/// When the interface is gone.
pub fn run(line: &Line, control: &SyncSender<Message>) -> io::Result<()> {
    let mut room = vec![0; PACKET_BYTES];
    let mut outgoing = Outgoing::new();
    while !line.stopping.load(Ordering::Relaxed) {
        let [_, woken] = wait_readable([line.interface.as_fd(), line.wake_tx.as_fd()], None)?;
        if woken {
            line.wake_tx.clear();
        }
        loop {
            let (read, mut queued) = take_batch(line, &mut room, &mut outgoing)?;
            queued |= outgoing.flush(line);
            if queued {
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

/// Reads up to a batch and hands on what may go; says how many were read, and whether something waits for a session now.
fn take_batch(line: &Line, room: &mut [u8], outgoing: &mut Outgoing) -> io::Result<(usize, bool)> {
    let snapshot = line.shared.snapshot.load();
    let now = Instant::now();
    let (mut read, mut queued) = (0, false);
    while read < BATCH {
        let Some(length) = line.interface.read(room)? else {
            break;
        };
        read += 1;
        let packet = room.get(..length).unwrap_or_default();
        match judge::outbound(&line.shared, &snapshot, line.udp.port(), packet, now) {
            Ok(peer) => queued |= outgoing.take(line, peer, packet),
            Err(why) => line.shared.counters.tx_dropped.count(why),
        }
    }
    Ok((read, queued))
}
