//! The outer form of a WireGuard message (whitepaper, section 5.4), read before any key is touched.

/// Messages a session may carry (whitepaper, section 6.1); a counter past it is refused before it reaches the window.
pub(crate) const REJECT_AFTER_MESSAGES: u64 = u64::MAX - (1 << 13);
/// Header and tag of a data message.
pub(crate) const DATA_OVERHEAD: usize = 32;

/// Type of a message by its header and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Section 5.4.2, 148 bytes.
    Initiation,
    /// Section 5.4.3, 92 bytes.
    Response,
    /// Section 5.4.7, 64 bytes.
    Cookie,
    /// Section 5.4.6, 32 bytes or more.
    Data,
}

/// The kind of a datagram; `None` when it is no WireGuard message.
#[must_use]
pub fn classify(datagram: &[u8]) -> Option<FrameKind> {
    let kind = u32::from_le_bytes(*datagram.first_chunk()?);
    match (kind, datagram.len()) {
        (1, 148) => Some(FrameKind::Initiation),
        (2, 92) => Some(FrameKind::Response),
        (3, 64) => Some(FrameKind::Cookie),
        (4, DATA_OVERHEAD..) => Some(FrameKind::Data),
        _ => None,
    }
}

/// Receiver index of a message that carries one.
pub(crate) fn receiver_index(kind: FrameKind, datagram: &[u8]) -> Option<u32> {
    let at = match kind {
        FrameKind::Initiation => return None,
        FrameKind::Response => 8,
        FrameKind::Cookie | FrameKind::Data => 4,
    };
    Some(u32::from_le_bytes(*datagram.get(at..)?.first_chunk()?))
}

/// Counter of a data message.
pub(crate) fn data_counter(datagram: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(*datagram.get(8..)?.first_chunk()?))
}
