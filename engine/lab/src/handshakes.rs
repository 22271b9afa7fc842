//! `cvlan-lab handshakes` and `cvlan-lab peers`: many initiators of handshakes with keys that both sides can know.
//!
//! The initiators are boringtun's, so that what is measured answers to an implementation that is not its own.

use crate::key::Key;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Packet, Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The largest message that an initiator gets or makes here.
const ROOM: usize = 256;
/// How long answers to the last initiations may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// A read must not wait for nothing: the socket takes no time-out of zero.
const LEAST_WAIT: Duration = Duration::from_micros(50);
/// Receiver indices tell initiators apart by their upper 24 bits.
const MAX_PEERS: u32 = 1 << 24;

#[derive(clap::Args)]
pub struct Options {
    /// The responder.
    #[arg(long)]
    to: SocketAddr,
    /// Its public key.
    #[arg(long)]
    key: Key,
    /// Initiators, which take turns.
    #[arg(long, default_value_t = 1)]
    peers: u32,
    /// Handshakes to begin.
    #[arg(long)]
    count: u32,
    /// Handshakes begun a second.
    #[arg(long)]
    rate: u32,
}

#[derive(clap::Args)]
pub struct PeersOptions {
    /// How many.
    #[arg(long)]
    count: u32,
}

/// Prints the public keys of the first initiators, a line of hexadecimal digits each.
///
/// # Errors
/// When the output cannot be written.
pub fn peers(options: &PeersOptions, out: &mut impl Write) -> io::Result<()> {
    for index in 0..options.count {
        writeln!(out, "{}", Key(*PublicKey::from(&private_key(index)).as_bytes()))?;
    }
    Ok(())
}

fn private_key(index: u32) -> StaticSecret {
    StaticSecret::from(<[u8; 32]>::from(Sha256::digest(format!("cvlan-lab peer {index}"))))
}

struct Initiators {
    socket: UdpSocket,
    tunnels: Vec<Tunn>,
    completed: u32,
    cookies: u32,
    first: Option<Duration>,
}

/// Begins handshakes at a fixed rate, answers what comes back, and says how many were done. A cookie is returned at once.
///
/// # Errors
/// When an option is out of range or the socket is broken.
pub fn run(options: &Options, out: &mut impl Write) -> io::Result<()> {
    if options.peers == 0 || options.peers > MAX_PEERS || options.rate == 0 {
        let text = "--peers is 1 to 16777216 and --rate is not 0";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let any: IpAddr = match options.to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(options.to)?;
    let mut initiators = Initiators {
        socket,
        tunnels: (0..options.peers).map(|index| tunnel(index, options.key)).collect(),
        completed: 0,
        cookies: 0,
        first: None,
    };
    let began = Instant::now();
    let interval = Duration::from_secs(1) / options.rate;
    let mut offered = 0;
    let end = interval * options.count + PATIENCE;
    while initiators.completed < options.count && began.elapsed() < end {
        let due = if offered < options.count {
            interval * offered
        } else {
            end
        };
        let wait = due.saturating_sub(began.elapsed());
        if wait.is_zero() {
            initiators.begin(offered % options.peers)?;
            offered += 1;
        } else {
            initiators.receive(began, wait.max(LEAST_WAIT))?;
        }
    }
    let line = json!({
        "offered": offered,
        "completed": initiators.completed,
        "cookies": initiators.cookies,
        "first_ms": initiators.first.map(|first| first.as_secs_f64() * 1000.0),
    });
    writeln!(out, "{line}")
}

fn tunnel(index: u32, responder: Key) -> Tunn {
    let private = private_key(index);
    // Answers are never too many here.
    let limiter = Arc::new(RateLimiter::new(&PublicKey::from(&private), u64::MAX));
    Tunn::new(private, PublicKey::from(responder.0), None, None, index, Some(limiter))
}

impl Initiators {
    fn begin(&mut self, index: u32) -> io::Result<()> {
        let Some(tunnel) = self.tunnels.get_mut(index as usize) else {
            return Ok(());
        };
        let mut room = [0; ROOM];
        if let TunnResult::WriteToNetwork(message) = tunnel.format_handshake_initiation(&mut room, true) {
            send(&self.socket, message)?;
        }
        Ok(())
    }

    /// Waits for one answer.
    fn receive(&mut self, began: Instant, wait: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(Some(wait))?;
        let mut message = [0; ROOM];
        let length = match self.socket.recv(&mut message) {
            Ok(length) => length,
            Err(error) if is_passing(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let message = message.get(..length).unwrap_or_default();
        let (receiver, is_cookie) = match Tunn::parse_incoming_packet(message) {
            Ok(Packet::HandshakeResponse(response)) => (response.receiver_idx, false),
            Ok(Packet::PacketCookieReply(cookie)) => (cookie.receiver_idx, true),
            _ => return Ok(()),
        };
        let index = receiver >> 8;
        let Some(tunnel) = self.tunnels.get_mut(index as usize) else {
            return Ok(());
        };
        let mut room = [0; ROOM];
        match tunnel.decapsulate(None, message, &mut room) {
            TunnResult::WriteToNetwork(confirmation) => {
                send(&self.socket, confirmation)?;
                self.completed += 1;
                self.first.get_or_insert_with(|| began.elapsed());
            }
            TunnResult::Done if is_cookie => {
                self.cookies += 1;
                self.begin(index)?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// What a port that is closed, or a queue that is full, does to a connected socket.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), ConnectionRefused | Interrupted | TimedOut | WouldBlock)
}

fn send(socket: &UdpSocket, message: &[u8]) -> io::Result<()> {
    match socket.send(message) {
        Err(error) if !is_passing(&error) => Err(error),
        _ => Ok(()),
    }
}
