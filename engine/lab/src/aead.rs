//! `cvlan-lab aead`: how fast this machine seals with the library that the engine seals with.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde_json::json;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// A full packet of a tunnel with MTU 1420, padded.
const PACKET: usize = 1440;
/// Packets that are gone through in turn: as much memory as a burst of the engine.
const PACKETS: usize = 44;

#[derive(clap::Args)]
pub struct Options {
    /// How long to measure.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
}

/// Seals in place with ChaCha20-Poly1305 until the time is over.
///
/// # Errors
/// When the output cannot be written.
pub fn run(options: &Options, out: &mut impl Write) -> io::Result<()> {
    let refused = |_| io::Error::other("the cipher refused a packet");
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).map_err(refused)?);
    let mut packets = vec![[0; PACKET]; PACKETS];
    let (mut sealed, started) = (0u64, Instant::now());
    let wanted = Duration::from_secs(options.seconds);
    while started.elapsed() < wanted {
        for packet in &mut packets {
            let mut nonce = [0; NONCE_LEN];
            for (to, from) in nonce.iter_mut().skip(4).zip(sealed.to_le_bytes()) {
                *to = from;
            }
            let nonce = Nonce::assume_unique_for_key(nonce);
            let tag = key
                .seal_in_place_separate_tag(nonce, Aad::empty(), packet)
                .map_err(refused)?;
            std::hint::black_box(tag.as_ref());
            sealed += 1;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let bytes = sealed * PACKET as u64;
    let rate = bytes as f64 / seconds;
    let line =
        json!({ "cipher": "chacha20-poly1305", "packet_bytes": PACKET, "seconds": seconds, "bytes_per_second": rate });
    writeln!(out, "{line}")
}
