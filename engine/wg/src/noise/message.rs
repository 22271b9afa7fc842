//! The layouts of the three handshake messages (whitepaper, sections 5.4.2, 5.4.3 and 5.4.7).

/// Bytes of an initiation.
pub const INITIATION_BYTES: usize = 148;
/// Bytes of a response.
pub const RESPONSE_BYTES: usize = 92;
/// Bytes of a cookie reply.
pub const COOKIE_BYTES: usize = 64;

/// The `N` bytes at an offset.
pub fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// An initiation without its MACs.
pub struct Initiation {
    pub sender: u32,
    pub ephemeral: [u8; 32],
    /// Sealed static key and tag.
    pub sealed_static: [u8; 48],
    /// Sealed timestamp and tag.
    pub sealed_timestamp: [u8; 28],
}

impl Initiation {
    /// `None` when the length is another.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == INITIATION_BYTES).then_some(())?;
        Some(Self {
            sender: u32::from_le_bytes(take(bytes, 4)?),
            ephemeral: take(bytes, 8)?,
            sealed_static: take(bytes, 40)?,
            sealed_timestamp: take(bytes, 88)?,
        })
    }

    /// With room for both MACs.
    pub fn encode(&self) -> [u8; INITIATION_BYTES] {
        let mut bytes = [0; INITIATION_BYTES];
        bytes[0] = 1;
        bytes[4..8].copy_from_slice(&self.sender.to_le_bytes());
        bytes[8..40].copy_from_slice(&self.ephemeral);
        bytes[40..88].copy_from_slice(&self.sealed_static);
        bytes[88..116].copy_from_slice(&self.sealed_timestamp);
        bytes
    }
}

/// A response without its MACs.
pub struct Response {
    pub sender: u32,
    pub receiver: u32,
    pub ephemeral: [u8; 32],
    /// The tag of nothing.
    pub sealed_nothing: [u8; 16],
}

impl Response {
    /// `None` when the length is another.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == RESPONSE_BYTES).then_some(())?;
        Some(Self {
            sender: u32::from_le_bytes(take(bytes, 4)?),
            receiver: u32::from_le_bytes(take(bytes, 8)?),
            ephemeral: take(bytes, 12)?,
            sealed_nothing: take(bytes, 44)?,
        })
    }

    /// With room for both MACs.
    pub fn encode(&self) -> [u8; RESPONSE_BYTES] {
        let mut bytes = [0; RESPONSE_BYTES];
        bytes[0] = 2;
        bytes[4..8].copy_from_slice(&self.sender.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.receiver.to_le_bytes());
        bytes[12..44].copy_from_slice(&self.ephemeral);
        bytes[44..60].copy_from_slice(&self.sealed_nothing);
        bytes
    }
}

/// A cookie reply.
pub struct CookieReply {
    pub receiver: u32,
    pub nonce: [u8; 24],
    pub sealed_cookie: [u8; 16],
    pub tag: [u8; 16],
}

impl CookieReply {
    /// `None` when the length is another.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == COOKIE_BYTES).then_some(())?;
        Some(Self {
            receiver: u32::from_le_bytes(take(bytes, 4)?),
            nonce: take(bytes, 8)?,
            sealed_cookie: take(bytes, 32)?,
            tag: take(bytes, 48)?,
        })
    }

    pub fn encode(&self) -> [u8; COOKIE_BYTES] {
        let mut bytes = [0; COOKIE_BYTES];
        bytes[0] = 3;
        bytes[4..8].copy_from_slice(&self.receiver.to_le_bytes());
        bytes[8..32].copy_from_slice(&self.nonce);
        bytes[32..48].copy_from_slice(&self.sealed_cookie);
        bytes[48..64].copy_from_slice(&self.tag);
        bytes
    }
}
