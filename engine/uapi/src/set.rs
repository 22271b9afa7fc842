//! What a `set` request wants changed.

use crate::{PublicKey, SecretKey};
use cvlan_wire::Prefix;
use std::net::SocketAddr;

/// Changes of an interface; what is `None` or empty stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetDevice {
    /// The static key; all zeroes takes it away.
    pub private_key: Option<SecretKey>,
    /// UDP port; 0 lets the system choose.
    pub listen_port: Option<u16>,
    /// Mark of what is sent; 0 is none.
    pub fwmark: Option<u32>,
    /// Takes all peers away first.
    pub replace_peers: bool,
    /// Peers in the order in which they are changed; one may come again.
    pub peers: Vec<SetPeer>,
}

/// Changes of one peer; what is `None` or empty stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetPeer {
    /// Which one.
    pub public_key: PublicKey,
    /// Takes the peer away; nothing else of it counts.
    pub remove: bool,
    /// Changes the peer if it is there and makes none.
    pub update_only: bool,
    /// Mixed into handshakes; all zeroes is none.
    pub preshared_key: Option<SecretKey>,
    /// Where it is.
    pub endpoint: Option<SocketAddr>,
    /// Seconds; 0 is none.
    pub persistent_keepalive: Option<u16>,
    /// Takes all allowed IPs of the peer away first.
    pub replace_allowed_ips: bool,
    /// In order.
    pub allowed_ips: Vec<AllowedIp>,
}

/// One allowed IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedIp {
    /// The peer has it from now on, and nobody else.
    Add(Prefix),
    /// The peer has it no more.
    Remove(Prefix),
}

impl SetPeer {
    /// No change of a peer.
    #[must_use]
    pub fn of(public_key: PublicKey) -> Self {
        Self {
            public_key,
            remove: false,
            update_only: false,
            preshared_key: None,
            endpoint: None,
            persistent_keepalive: None,
            replace_allowed_ips: false,
            allowed_ips: Vec::new(),
        }
    }
}
