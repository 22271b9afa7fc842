//! What the caller declares: the own key and the peers.

use std::net::SocketAddr;
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

/// Whether a datagram to this endpoint can make sense: a unicast address and a port.
#[must_use]
pub fn usable_endpoint(endpoint: &SocketAddr) -> bool {
    let ip = endpoint.ip().to_canonical();
    let broadcast = matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast());
    endpoint.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}
