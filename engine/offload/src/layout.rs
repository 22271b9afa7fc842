//! Where the parts of a packet are.

use crate::Sum;

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const V4_HEADER: usize = 20;
pub(crate) const V6_HEADER: usize = 40;
/// Extension headers that may stand before TCP or UDP.
const MAX_EXTENSIONS: usize = 8;

/// A whole TCP or UDP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub v6: bool,
    pub tcp: bool,
    /// Where the transport header begins.
    pub transport: usize,
    /// Where the payload begins.
    pub payload: usize,
}

impl Layout {
    /// Understands a packet whose own length is that of the bytes; `None` for everything else, and for fragments.
    pub fn of(packet: &[u8]) -> Option<Self> {
        let (v6, protocol, transport) = match packet.first()? >> 4 {
            4 => {
                let transport = usize::from(packet.first()? & 0x0f) * 4;
                let whole = usize::from(read(packet, 2)?) == packet.len() && read(packet, 6)? & 0x3fff == 0;
                (transport >= V4_HEADER && whole).then_some((false, *packet.get(9)?, transport))?
            }
            6 => {
                let whole = usize::from(read(packet, 4)?).checked_add(V6_HEADER)? == packet.len();
                let (protocol, transport) = whole.then(|| behind_extensions(packet))??;
                (true, protocol, transport)
            }
            _ => return None,
        };
        let header = match protocol {
            TCP => usize::from(packet.get(transport.checked_add(12)?)? >> 4) * 4,
            UDP => 8,
            _ => return None,
        };
        let payload = transport.checked_add(header)?;
        let tcp = protocol == TCP;
        (payload <= packet.len() && header >= if tcp { 20 } else { 8 }).then_some(Self {
            v6,
            tcp,
            transport,
            payload,
        })
    }

    /// The sum of the pseudo-header (RFC 9293 section 3.1, RFC 768, RFC 8200 section 8.1) over `length` bytes of transport header and payload.
    pub fn pseudo(&self, packet: &[u8], length: usize) -> Sum {
        let addresses = if self.v6 { packet.get(8..40) } else { packet.get(12..20) };
        Sum::default()
            .bytes(addresses.unwrap_or_default())
            .word(u16::from(if self.tcp { TCP } else { UDP }))
            .word(u16::try_from(length).unwrap_or(u16::MAX))
    }

    /// Where the checksum stands, from the transport header.
    pub fn checksum_offset(&self) -> usize {
        if self.tcp { 16 } else { 6 }
    }
}

/// The protocol behind hop-by-hop and destination options; routing headers and fragments are not followed.
fn behind_extensions(packet: &[u8]) -> Option<(u8, usize)> {
    let (mut next, mut at) = (*packet.get(6)?, V6_HEADER);
    for _ in 0..MAX_EXTENSIONS {
        if !matches!(next, 0 | 60) {
            return Some((next, at));
        }
        let [following, length] = *packet.get(at..)?.first_chunk()?;
        (next, at) = (following, at.checked_add(8 + usize::from(length) * 8)?);
    }
    None
}

/// A big-endian 16-bit number.
pub(crate) fn read(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A big-endian 32-bit number.
pub(crate) fn read_long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Writes a big-endian 16-bit number.
pub(crate) fn write(bytes: &mut [u8], at: usize, value: u16) -> Option<()> {
    *bytes.get_mut(at..)?.first_chunk_mut()? = value.to_be_bytes();
    Some(())
}

/// Gives the IPv4 header at the start of `bytes` the length of its packet and its checksum (RFC 791 section 3.1).
pub(crate) fn finish_v4(bytes: &mut [u8], header: usize, total: usize) -> Option<()> {
    write(bytes, 2, u16::try_from(total).ok()?)?;
    write(bytes, 10, 0)?;
    let checksum = Sum::default().bytes(bytes.get(..header)?).checksum();
    write(bytes, 10, checksum)
}

/// A UDP checksum that comes out as zero is sent as all ones, since zero means that there is none (RFC 768).
pub(crate) fn never_zero(checksum: u16) -> u16 {
    if checksum == 0 { u16::MAX } else { checksum }
}
