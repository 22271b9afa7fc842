//! TUN to UDP: read, judge, seal, send.

use super::Line;
use super::judge::Outbound;
use super::outgoing::Outgoing;
use super::prompt::Prompt;
use crate::counters::Drop;
use cvlan_io::wait_readable;
use cvlan_offload::{MAX_PACKET, Split};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Readings before what was gathered goes out, also when there is more to read.
const TURN: usize = 64;

/// Runs until stopped.
///
/// # Errors
/// When the interface is gone.
pub fn run(line: &Line) -> io::Result<()> {
    let mut room = vec![0; MAX_PACKET];
    let mut outgoing = Outgoing::full();
    let mut prompt = Prompt::new();
    while !line.stopping.load(Ordering::Relaxed) {
        let [_, woken] = wait_readable([line.interface.as_fd(), line.wake_tx.as_fd()], None)?;
        if woken {
            line.wake_tx.clear();
        }
        loop {
            let (more, packets) = take_turn(line, &mut room, &mut outgoing)?;
            outgoing.flush(line);
            prompt.worked(packets);
            if !more || line.stopping.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    Ok(())
}

/// Reads and hands on what may go; says whether there may be more to read, and how many packets there were.
fn take_turn(line: &Line, room: &mut [u8], outgoing: &mut Outgoing) -> io::Result<(bool, usize)> {
    let snapshot = line.shared.snapshot.load();
    let now = Instant::now();
    let mut judge = Outbound::new(&line.shared, &snapshot, line.udp.port(), now);
    let mut packets = 0;
    for _ in 0..TURN {
        let Some((vnet, length)) = line.interface.read(room)? else {
            return Ok((false, packets));
        };
        let dropped = &line.shared.counters.tx_dropped;
        let Ok(split) = Split::new(&vnet, room.get(..length).unwrap_or_default()) else {
            dropped.count(Drop::Malformed, 1);
            continue;
        };
        packets += split.count();
        // The packets of a super-packet have the headers of the whole, so its verdict is theirs.
        match judge.judge(split.whole()) {
            Ok(peer) => outgoing.take(line, peer, &split),
            Err(why) => dropped.count(why, split.count() as u64),
        }
    }
    Ok((true, packets))
}
