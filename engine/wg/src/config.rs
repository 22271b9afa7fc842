//! What the caller declares: the own key and the peers.

use std::fmt;
use std::net::SocketAddr;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Handle of a peer, chosen by the caller and stable while the peer exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u32);

/// One peer as the caller wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    /// Stable while the peer exists.
    pub id: PeerId,
    /// X25519.
    pub public_key: [u8; 32],
    /// Endpoints worth trying, best first. Unusable ones are left out, what is past [`crate::MAX_CANDIDATES`] too.
    pub candidates: Vec<SocketAddr>,
    /// Where the peer is to be believed until an authentic packet comes from elsewhere; taken over when it changes.
    pub endpoint: Option<SocketAddr>,
    /// Mixed into every handshake (whitepaper, section 5.2); a change counts from the next one on.
    pub preshared_key: Option<PresharedKey>,
    /// Seconds without a packet in either direction after which an empty one is sent; also makes the first session.
    pub persistent_keepalive: Option<u16>,
}

impl PeerConfig {
    /// A peer of this key without anything else.
    #[must_use]
    pub fn new(id: PeerId, public_key: [u8; 32]) -> Self {
        Self {
            id,
            public_key,
            candidates: Vec::new(),
            endpoint: None,
            preshared_key: None,
            persistent_keepalive: None,
        }
    }
}

/// Why a peer was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// RFC 7748, section 6.1.
    #[error("the public key is of low order, no secret can be shared with it")]
    LowOrderKey,
    /// A loop.
    #[error("the public key is our own")]
    OwnKey,
    /// Two peers of one key cannot be told apart.
    #[error("the public key belongs to another peer already")]
    DuplicateKey,
    /// Named twice in one declaration.
    #[error("the handle belongs to another peer already")]
    DuplicateId,
}

/// X25519 private key, wiped when dropped; not printable.
pub struct StaticKey(Zeroizing<[u8; 32]>);

impl StaticKey {
    /// Takes the key as 32 bytes (RFC 7748; clamped when used).
    #[must_use]
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A secret that both sides were given beforehand, wiped when dropped; not printable.
#[derive(Clone)]
pub struct PresharedKey(Zeroizing<[u8; 32]>);

impl PresharedKey {
    /// Takes the key.
    #[must_use]
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &Zeroizing<[u8; 32]> {
        &self.0
    }
}

impl PartialEq for PresharedKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl Eq for PresharedKey {}

impl fmt::Debug for PresharedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PresharedKey")
    }
}

/// Whether a datagram to this endpoint can make sense: a unicast address and a port.
#[must_use]
pub fn usable_endpoint(endpoint: &SocketAddr) -> bool {
    let ip = endpoint.ip().to_canonical();
    let broadcast = matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast());
    endpoint.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

/// The endpoints that are usable, each once and in its shortest form.
pub(crate) fn usable(candidates: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut kept: Vec<SocketAddr> = Vec::new();
    for candidate in candidates.iter().filter_map(canonical) {
        if kept.len() < crate::MAX_CANDIDATES && !kept.contains(&candidate) {
            kept.push(candidate);
        }
    }
    kept
}

/// The endpoint in its shortest form, if it is usable.
pub(crate) fn canonical(endpoint: &SocketAddr) -> Option<SocketAddr> {
    let same = SocketAddr::new(endpoint.ip().to_canonical(), endpoint.port());
    usable_endpoint(endpoint).then_some(if endpoint.ip().is_ipv4() || same.ip().is_ipv4() {
        same
    } else {
        *endpoint
    })
}
