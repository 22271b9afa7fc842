//! The outer form of a WireGuard message (whitepaper, section 5.4), read before any key is touched.

use crate::noise::message::{COOKIE_BYTES, INITIATION_BYTES, RESPONSE_BYTES, take};

/// Type, receiver index and counter of a data message.
pub(crate) const HEADER_BYTES: usize = 16;
/// Header and tag of a data message.
pub const DATA_OVERHEAD: usize = 32;
/// Plain packets are padded to a multiple of this (section 5.4.6).
pub(crate) const PADDING: usize = 16;

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
        (1, INITIATION_BYTES) => Some(FrameKind::Initiation),
        (2, RESPONSE_BYTES) => Some(FrameKind::Response),
        (3, COOKIE_BYTES) => Some(FrameKind::Cookie),
        (4, DATA_OVERHEAD..) => Some(FrameKind::Data),
        _ => None,
    }
}

/// Header of a data message.
pub(crate) fn data_header(receiver: u32, counter: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0] = 4;
    header[4..8].copy_from_slice(&receiver.to_le_bytes());
    header[8..16].copy_from_slice(&counter.to_le_bytes());
    header
}

/// Receiver index of a data message.
pub(crate) fn data_receiver(datagram: &[u8]) -> Option<u32> {
    take(datagram, 4).map(u32::from_le_bytes)
}

/// Counter of a data message.
pub(crate) fn data_counter(datagram: &[u8]) -> Option<u64> {
    take(datagram, 8).map(u64::from_le_bytes)
}

/// Length of a plain packet with its padding, which goes no further than `mtu`: a full packet must not become longer
/// than the path carries.
pub(crate) fn padded(length: usize, mtu: usize) -> Option<usize> {
    let padded = length.checked_next_multiple_of(PADDING)?;
    Some(if length <= mtu { padded.min(mtu) } else { padded })
}

/// Length of an IP packet by its own header (RFC 791, section 3.1; RFC 8200, section 3), which what is behind it is
/// padding to. `None`: no IP packet, or cut short.
pub(crate) fn inner_length(padded: &[u8]) -> Option<usize> {
    let length = match padded.first()? >> 4 {
        4 => usize::from(u16::from_be_bytes(take(padded, 2)?)),
        6 => 40 + usize::from(u16::from_be_bytes(take(padded, 4)?)),
        _ => return None,
    };
    let least = if padded.first()? >> 4 == 4 { 20 } else { 40 };
    (least..=padded.len()).contains(&length).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_fills_sixteen_and_stays_below_the_mtu() {
        for mtu in [576usize, 1280, 1412, 1420, 9000] {
            for length in 0..=mtu + 64 {
                let padded = padded(length, mtu).unwrap();
                assert!(padded >= length && padded - length < PADDING);
                assert!(length > mtu || padded <= mtu, "{length} of {mtu}");
                assert!(padded.is_multiple_of(PADDING) || padded == mtu);
            }
        }
        assert_eq!(padded(usize::MAX, 1420), None);
    }

    #[test]
    fn the_inner_length_is_believed_within_the_packet_only() {
        let v4 = |length: u16| [&[0x45, 0][..], &length.to_be_bytes(), &[0; 44]].concat();
        assert_eq!(inner_length(&v4(20)), Some(20));
        assert_eq!(inner_length(&v4(48)), Some(48));
        assert_eq!([19, 49, 0, u16::MAX].map(|length| inner_length(&v4(length))), [None; 4]);
        let v6 = |length: u16| [&[0x60, 0, 0, 0][..], &length.to_be_bytes(), &[0; 42]].concat();
        assert_eq!((inner_length(&v6(0)), inner_length(&v6(8))), (Some(40), Some(48)));
        assert_eq!((inner_length(&v6(9)), inner_length(&v6(u16::MAX))), (None, None));
        assert_eq!(
            (inner_length(&[]), inner_length(&[0x45]), inner_length(&[0x60; 5])),
            (None, None, None)
        );
        assert_eq!(inner_length(&[0x15; 60]), None);
    }

    #[test]
    fn kinds_are_told_by_type_and_exact_length() {
        for (kind, length, expected) in [
            (1, 148, Some(FrameKind::Initiation)),
            (2, 92, Some(FrameKind::Response)),
            (3, 64, Some(FrameKind::Cookie)),
            (4, 32, Some(FrameKind::Data)),
            (4, 65_535, Some(FrameKind::Data)),
            (4, 31, None),
            (1, 147, None),
            (1, 149, None),
            (0, 148, None),
            (5, 64, None),
        ] {
            let mut bytes = vec![0; length];
            bytes[0] = kind;
            assert_eq!(classify(&bytes), expected, "type {kind}, {length} bytes");
            bytes[3] = 1;
            assert_eq!(classify(&bytes), None, "the reserved bytes are zero");
        }
        assert_eq!((classify(&[]), classify(&[1, 0, 0])), (None, None));
    }
}
