//! `cvlan-lab blast` and `cvlan-lab sink`: datagrams at a fixed rate, and how many of them arrive.

use crate::stop::stop_flag;
use cvlan_io::{BATCH, Received, Run, UdpPort, wait_readable};
use serde_json::json;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// Largest payload of a UDP datagram over IPv4.
const MAX_SIZE: usize = 65_507;
/// Datagrams that one flow sends at once when it is the only one.
const ALONE: usize = 32;
/// Flows take turns after so many datagrams: few, so that the flows are mixed on the way.
const TURN: usize = 8;
/// Silence after which a sink that was told to end has seen everything that was under way.
const SILENCE: Duration = Duration::from_millis(50);
const NOTICE: Duration = Duration::from_millis(20);
/// What a sender that was held up makes up for. More would be a burst, which no queue has to hold, and no fixed rate.
const MADE_UP: Duration = Duration::from_millis(5);

#[derive(clap::Args)]
pub struct BlastOptions {
    /// Where to.
    #[arg(long)]
    to: SocketAddr,
    /// Bytes of a datagram's payload.
    #[arg(long, default_value_t = 1200)]
    size: usize,
    /// Source ports that take turns.
    #[arg(long, default_value_t = 1)]
    flows: usize,
    /// Datagrams a second of all flows; as fast as it goes when not given.
    #[arg(long)]
    rate: Option<u32>,
    /// How long.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

#[derive(clap::Args)]
pub struct SinkOptions {
    /// Port on all addresses.
    #[arg(long)]
    port: u16,
}

/// Sends until the time is over and says how many datagrams the kernel took.
///
/// # Errors
/// When an option is out of range or a socket cannot be had.
pub fn blast(options: &BlastOptions, out: &mut impl Write) -> io::Result<()> {
    let refuse = |text: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    if options.size > MAX_SIZE {
        return refuse("--size is at most 65507 bytes");
    }
    let Ok(length) = Duration::try_from_secs_f64(options.seconds) else {
        return refuse("--seconds is a number of seconds");
    };
    let ports = (0..options.flows)
        .map(|_| UdpPort::bind(0, false))
        .collect::<io::Result<Vec<_>>>()?;
    let payload = vec![0; options.size];
    let turn = if ports.len() == 1 { ALONE } else { TURN };
    let pause = options
        .rate
        .map(|rate| Duration::from_secs_f64(turn as f64 / f64::from(rate.max(1))));
    let began = Instant::now();
    let mut due = began;
    let mut sent: u64 = 0;
    for port in ports.iter().cycle() {
        let now = Instant::now();
        if now.duration_since(began) >= length {
            break;
        }
        if let Some(pause) = pause {
            thread::sleep(due.saturating_duration_since(now).min(length));
            due = now.checked_sub(MADE_UP).map_or(due, |earliest| due.max(earliest)) + pause;
        }
        let datagrams = std::iter::repeat_n(Run::one(options.to, &payload), turn);
        sent += port.send_batch(datagrams).taken;
    }
    writeln!(
        out,
        "{}",
        json!({ "sent": sent, "seconds": began.elapsed().as_secs_f64() })
    )
}

/// Counts what comes until SIGTERM or SIGINT, and then until it is silent.
///
/// # Errors
/// When the port is taken.
pub fn sink(options: &SinkOptions, out: &mut impl Write) -> io::Result<()> {
    let stop = stop_flag()?;
    let port = UdpPort::bind(options.port, false)?;
    writeln!(out, "{}", json!({ "listening": port.port() }))?;
    out.flush()?;
    let mut rooms = vec![vec![0; MAX_SIZE]; BATCH];
    let mut received = [Received::default(); BATCH];
    let (mut packets, mut bytes) = (0, 0);
    let mut latest = Instant::now();
    while !stop.load(Ordering::Relaxed) || latest.elapsed() < SILENCE {
        let count = port.recv_batch(rooms.iter_mut().map(Vec::as_mut_slice), &mut received)?;
        if count == 0 {
            wait_readable([port.as_fd()], Some(NOTICE))?;
            continue;
        }
        latest = Instant::now();
        packets += count;
        bytes += received.iter().take(count).map(|one| one.len).sum::<usize>();
    }
    writeln!(out, "{}", json!({ "received": packets, "bytes": bytes }))
}
