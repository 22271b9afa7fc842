//! `cvlan-lab forward`: what the I/O of the engine could do if ciphers were free.

use crate::frames::{Frames, packet_of};
use crate::stop::stop_flag;
use cvlan_io::{BATCH, Received, Run, Tun, UdpPort, Wake, wait_readable};
use cvlan_offload::{Ecn, Offload, Split, train};
use serde_json::json;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Bytes of one receive room, the largest that the kernel puts together.
const ROOM: usize = 1 << 16;
const ROOMS: usize = 64;
/// How often a signal is looked for.
const NOTICE: Duration = Duration::from_millis(100);

#[derive(clap::Args)]
pub struct Options {
    /// TUN interface to make.
    #[arg(long)]
    tun: String,
    /// UDP port to listen on.
    #[arg(long)]
    listen: u16,
    /// Where packets go.
    #[arg(long)]
    peer: SocketAddr,
}

struct Line {
    tun: Tun,
    udp: UdpPort,
    peer: SocketAddr,
    ended: AtomicBool,
    wake_tx: Wake,
    wake_rx: Wake,
}

/// Forwards until SIGTERM or SIGINT.
///
/// # Errors
/// When interface or socket cannot be had, or break.
pub fn run(options: &Options, out: &mut impl Write) -> io::Result<()> {
    let stop = stop_flag()?;
    let line = Line {
        tun: Tun::create(&options.tun, Offload::TcpUdp).map_err(io::Error::other)?,
        udp: UdpPort::bind(options.listen, true)?,
        peer: options.peer,
        ended: AtomicBool::new(false),
        wake_tx: Wake::new()?,
        wake_rx: Wake::new()?,
    };
    let described =
        json!({ "tun": options.tun, "port": line.udp.port(), "offload": format!("{:?}", line.tun.offload()) });
    writeln!(out, "{described}")?;
    out.flush()?;
    std::thread::scope(|scope| {
        let tx = scope.spawn(|| line.ending(tx(&line)));
        let rx = scope.spawn(|| line.ending(rx(&line)));
        while !stop.load(Ordering::Relaxed) && !line.ended.load(Ordering::Relaxed) {
            std::thread::sleep(NOTICE);
        }
        line.end();
        let broken = |_| io::Error::other("a thread panicked");
        tx.join().map_err(broken)?.and(rx.join().map_err(broken)?)
    })
}

impl Line {
    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.wake_tx.wake();
        self.wake_rx.wake();
    }

    fn ending(&self, result: io::Result<()>) -> io::Result<()> {
        self.end();
        result
    }

    fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    fn send(&self, frames: &mut Frames) {
        let run = |(bytes, segment)| Run {
            to: self.peer,
            bytes,
            segment,
            ecn: Ecn::NotCapable,
        };
        self.udp.send_batch(frames.runs().map(run));
        frames.clear();
    }
}

fn tx(line: &Line) -> io::Result<()> {
    let mut room = vec![0; ROOM];
    let mut frames = Frames::new();
    while !line.ended() {
        wait_readable([line.tun.as_fd(), line.wake_tx.as_fd()], None)?;
        while let Some((vnet, length)) = line.tun.read(&mut room)? {
            let Ok(split) = Split::new(&vnet, room.get(..length).unwrap_or_default()) else {
                continue;
            };
            for index in 0..split.count() {
                let size = split.len_of(index);
                if let Some(to) = frames.push(size) {
                    split.write(index, to);
                } else {
                    line.send(&mut frames);
                    frames.push(size).and_then(|to| split.write(index, to));
                }
            }
            if line.ended() {
                break;
            }
        }
        line.send(&mut frames);
    }
    Ok(())
}

fn rx(line: &Line) -> io::Result<()> {
    let mut slab = vec![0; ROOM * ROOMS];
    let mut received = [Received::default(); BATCH];
    let mut packets = Vec::new();
    while !line.ended() {
        wait_readable([line.udp.as_fd(), line.wake_rx.as_fd()], None)?;
        loop {
            let count = line.udp.recv_batch(slab.chunks_mut(ROOM), &mut received)?;
            packets.clear();
            for (room, one) in received.iter().take(count).enumerate() {
                let (from, end) = (room * ROOM, room * ROOM + one.len);
                let frames = (from..end).step_by(one.segment.max(1));
                packets.extend(frames.filter_map(|at| packet_of(&slab, at..(at + one.segment).min(end))));
            }
            let mut rest = packets.as_slice();
            while !rest.is_empty() {
                let found = train(&mut slab, rest, line.tun.offload());
                // An interface that is down loses the packet.
                let _ = line.tun.write(found.vnet, found.pieces(&slab, rest));
                rest = rest.get(found.count..).unwrap_or_default();
            }
            if count == 0 || line.ended() {
                break;
            }
        }
    }
    Ok(())
}
