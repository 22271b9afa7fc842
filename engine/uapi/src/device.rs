//! The answer to a `get` request.

use crate::key::push_hex;
use crate::{PublicKey, Refused, SecretKey};
use cvlan_wire::Prefix;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;
use zeroize::Zeroizing;

/// More than the lines of an interface, of a peer and of an allowed IP can have.
const DEVICE_BYTES: usize = 256;
const PEER_BYTES: usize = 576;
const ALLOWED_IP_BYTES: usize = 64;

/// What is told of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Left out when it is not told, or not set.
    pub private_key: Option<SecretKey>,
    /// UDP port.
    pub listen_port: Option<u16>,
    /// Mark of what is sent; 0 is none.
    pub fwmark: u32,
    /// All of them.
    pub peers: Vec<Peer>,
}

/// What is told of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Which one.
    pub public_key: PublicKey,
    /// Left out when it is not told, or not set.
    pub preshared_key: Option<SecretKey>,
    /// Where it is believed to be.
    pub endpoint: Option<SocketAddr>,
    /// Since the Unix epoch; `None` before the first.
    pub last_handshake: Option<Duration>,
    /// Bytes that were sent to it.
    pub tx_bytes: u64,
    /// Bytes that came from it.
    pub rx_bytes: u64,
    /// Seconds; 0 is none.
    pub persistent_keepalive: u16,
    /// What may come from it and goes to it.
    pub allowed_ips: Vec<Prefix>,
}

impl Device {
    /// The whole answer. It may hold keys, so it is wiped when dropped; it never moves while it grows.
    #[must_use]
    pub fn answer(&self) -> Zeroizing<String> {
        let prefixes: usize = self.peers.iter().map(|peer| peer.allowed_ips.len()).sum();
        let room = DEVICE_BYTES + self.peers.len() * PEER_BYTES + prefixes * ALLOWED_IP_BYTES;
        let mut out = Zeroizing::new(String::with_capacity(room));
        let key = |out: &mut String, name: &str, key: &[u8; 32]| {
            out.push_str(name);
            out.push('=');
            push_hex(out, key);
            out.push('\n');
        };
        if let Some(private) = &self.private_key {
            key(&mut out, "private_key", private.bytes());
        }
        // Writing to a string cannot fail.
        let _ = self.write_numbers(&mut out);
        for peer in &self.peers {
            key(&mut out, "public_key", &peer.public_key);
            if let Some(preshared) = &peer.preshared_key {
                key(&mut out, "preshared_key", preshared.bytes());
            }
            let _ = peer.write_rest(&mut out);
        }
        out.push_str(&Refused::answer(Ok(())));
        out
    }

    fn write_numbers(&self, out: &mut String) -> std::fmt::Result {
        if let Some(port) = self.listen_port {
            writeln!(out, "listen_port={port}")?;
        }
        if self.fwmark != 0 {
            writeln!(out, "fwmark={}", self.fwmark)?;
        }
        Ok(())
    }
}

impl Peer {
    fn write_rest(&self, out: &mut String) -> std::fmt::Result {
        out.push_str("protocol_version=1\n");
        if let Some(endpoint) = self.endpoint {
            writeln!(out, "endpoint={endpoint}")?;
        }
        let handshake = self.last_handshake.unwrap_or_default();
        writeln!(out, "last_handshake_time_sec={}", handshake.as_secs())?;
        writeln!(out, "last_handshake_time_nsec={}", handshake.subsec_nanos())?;
        writeln!(out, "tx_bytes={}", self.tx_bytes)?;
        writeln!(out, "rx_bytes={}", self.rx_bytes)?;
        writeln!(out, "persistent_keepalive_interval={}", self.persistent_keepalive)?;
        for prefix in &self.allowed_ips {
            writeln!(out, "allowed_ip={prefix}")?;
        }
        Ok(())
    }
}
